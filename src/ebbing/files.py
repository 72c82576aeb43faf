"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[str], None]) -> None:
    """Let ``write`` make a file beside ``path``, flush it to the disk, and put it in place in one step.

    Whatever stops it on the way, ``path`` holds what it held before. Its folder is made if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        write(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """`write_whole` for UTF-8 text."""

    def write(name: str) -> None:
        Path(name).write_text(text, encoding="utf-8")

    write_whole(path, write)
