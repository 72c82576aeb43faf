"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SCRATCH = ".ebbing-*.partial"  # the folders that files are made in before they are put in place
STALE = 3600.0  # seconds without a change after which `ebbing bank prune` takes one for abandoned
LEFT_BEHIND = 24 * 3600.0  # seconds after which nobody is still writing into one

_interrupted = False


class NotWrittenError(OSError):
    """A file could not be written: the disk is full, it may only be read, and the like; ``filename`` says which."""

    def __str__(self) -> str:
        """In words."""
        return f"{self.filename} could not be written: {self.strerror}"


def note_interruption(happened: bool) -> None:
    """Say that Ctrl-C was pressed: from then on nothing more is put in place.

    Code of the user's may catch `KeyboardInterrupt` and hand back a model that is trained by half. It must not be kept
    as a finished one, so the next `write_whole` raises it again.
    """
    global _interrupted
    _interrupted = happened


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return _interrupted


def write_whole(path: Path, write: Callable[[str], None]) -> None:
    """Let ``write`` make a file beside ``path``, flush it to the disk, and put it in place in one step.

    Whatever stops it on the way, ``path`` holds what it held before. Its folder is made if it is missing. The file is
    made in a hidden folder of its own, where libraries that write through temporary files put those as well. Only a
    process that is killed leaves it behind; whoever writes beside it a day later removes it.

    Args:
        path: the file.
        write: called with the name of a file of the same name that is not there yet.

    Raises:
        NotWrittenError: if the system does not let it be written.
        KeyboardInterrupt: if an earlier one was caught and not heeded, see `note_interruption`.
    """

    def put(name: str) -> None:
        write(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # some libraries make files that only their owner may read
        os.replace(name, path)

    _beside(path, put)


def _beside(path: Path, put: Callable[[str], None]) -> None:
    """Have something made in a hidden folder beside ``path``, under its name, and put in its place."""
    if _interrupted and sys.exception() is None:  # while an exception is dealt with, things are put back as they were
        raise KeyboardInterrupt
    scratch = path.parent / SCRATCH.replace("*", os.urandom(8).hex())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        scratch.mkdir(mode=0o700)
        put(str(scratch / path.name))
    except Exception as error:
        number = _of_the_system(error)
        if number is None:
            raise
        raise NotWrittenError(number, os.strerror(number), str(path)) from error
    finally:
        try:
            shutil.rmtree(scratch, ignore_errors=True)
        finally:  # once more, where Ctrl-C came in between
            shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """`write_whole` for UTF-8 text."""

    def write(name: str) -> None:
        Path(name).write_text(text, encoding="utf-8")

    write_whole(path, write)


def write_whole_folder(path: Path, write: Callable[[Path], None]) -> None:
    """`write_whole` for a folder of files: what stood at ``path`` is replaced as a whole, see `put_folder`.

    Args:
        path: the folder.
        write: called with an empty folder of the same name.

    Raises:
        NotWrittenError: if the system does not let it be written.
        KeyboardInterrupt: as `write_whole` does.
    """

    def put(name: str) -> None:
        made = Path(name)
        made.mkdir()
        write(made)
        for file in made.iterdir():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
        put_folder(made, path)

    _beside(path, put)


def put_folder(made: Path, path: Path) -> None:
    """Put a folder that was made beside ``path`` in its place; what is there goes only when the new one stands.

    Whatever stops it on the way, ``path`` is the old folder or the new one, and nothing is left beside it. Only a process that
    is killed between two renames leaves none of that name: the old one then lies in a hidden folder beside it.

    Args:
        made: the folder, on the same disk.
        path: where it is to stand.

    Raises:
        NotWrittenError: if the system does not let it be put there.
    """
    try:
        made.chmod(0o755)
        if not path.exists():
            made.rename(path)
            return
        _exchange(made, path)
    except OSError as error:
        raise NotWrittenError(error.errno, error.strerror, str(path)) from error


def _exchange(made: Path, path: Path) -> None:
    """`put_folder` where there is one already."""
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    old = aside / path.name
    try:
        path.rename(old)
        made.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        if path.exists():  # else the old one is all that there is
            shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left long ago; what is younger may belong to one that is writing now."""
    for left in folder.glob(SCRATCH):
        try:
            age = time.time() - left.stat().st_mtime
        except OSError:  # another process was faster
            continue
        if age > LEFT_BEHIND:
            shutil.rmtree(left, ignore_errors=True)


def _of_the_system(error: Exception) -> int | None:
    """The number of an error of the system; None for any other.

    Libraries written in Rust, such as safetensors, name it in the message of an exception of their own.
    """
    if isinstance(error, NotWrittenError):  # of another file, written within this one's writing
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None
