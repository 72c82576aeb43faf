"""Files are written whole or not at all: struck at every step of the writing."""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ebbing import files
from ebbing.files import SCRATCH, NotWrittenError, note_interruption, put_folder, write_text, write_whole
from steps import FULL, INTERRUPTED, KILLED, strike_at_every_step

DAY = 24 * 3600


def contents(folder: Path) -> dict[str, str]:
    """Every file and folder within, and what the files hold."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in folder.rglob("*")}


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("fault", [KILLED, FULL, INTERRUPTED])
def test_wherever_writing_stops_there_is_the_old_file_or_the_new_one(tmp_path, fault, before) -> None:
    path = tmp_path / "folder" / "file.txt"
    steps = 0

    def prepare() -> None:
        for left in tmp_path.rglob(SCRATCH):
            for file in left.iterdir():
                file.unlink()
            left.rmdir()
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_text(path, before)

    seen = set()
    for struck in strike_at_every_step(lambda: write_text(path, "new"), fault, tmp_path, prepare=prepare):
        found = path.read_text() if path.exists() else None
        assert found in (before, "new")
        seen.add(found)
        litter = set(contents(tmp_path)) - {"folder", "folder/file.txt"}
        assert all(re.search(r"/\.ebbing-[0-9a-f]{16}\.partial", name) for name in litter)
        assert not litter or fault == KILLED
        steps += struck
    assert steps >= 4
    assert seen == {before, "new"}


def test_a_file_is_replaced_and_its_folder_made(tmp_path) -> None:
    for text in ("one", "two"):
        write_text(tmp_path / "a" / "b" / "file.txt", text)
        assert contents(tmp_path) == {"a": "", "a/b": "", "a/b/file.txt": text}
    assert (tmp_path / "a" / "b" / "file.txt").stat().st_mode & 0o777 == 0o644


def test_who_reads_a_file_that_is_replaced_reads_the_old_one_to_its_end(tmp_path) -> None:
    write_text(tmp_path / "file", "old")
    with open(tmp_path / "file") as reader:
        write_text(tmp_path / "file", "new")
        assert reader.read() == "old"


def test_what_a_library_writes_beside_its_file_goes_with_it(tmp_path) -> None:
    def write(name: str) -> None:
        Path(name).write_text("whole")
        Path(name).with_name(".tmpA1b2C3").write_text("half")

    write_whole(tmp_path / "file", write)
    assert contents(tmp_path) == {"file": "whole"}


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "No space left on device", "another name"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("the weights could not be written: No space left on device (os error 28)"),
    ],
)
def test_an_error_of_the_system_names_the_file(tmp_path, error) -> None:
    def write(name: str) -> None:
        raise error

    with pytest.raises(NotWrittenError) as caught:
        write_whole(tmp_path / "file", write)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "file")
    assert str(caught.value) == f"{tmp_path / 'file'} could not be written: No space left on device"
    assert contents(tmp_path) == {}


def test_an_error_in_a_file_written_within_names_that_file(tmp_path) -> None:
    (tmp_path / "inner").mkdir()

    def write(name: str) -> None:
        Path(name).write_text("outer")
        write_text(tmp_path / "inner", "no place for a file")

    with pytest.raises(NotWrittenError, match=r"inner could not be written: Is a directory$"):
        write_whole(tmp_path / "outer", write)
    assert contents(tmp_path) == {"inner": ""}


@pytest.mark.parametrize("error", [ValueError("no number"), OSError("no number"), KeyError("os error 28")])
def test_other_errors_stay_what_they_are(tmp_path, error) -> None:
    def write(name: str) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        write_whole(tmp_path / "file", write)
    assert caught.value is error


# ---------------------------------------------------------------- what kills leave


def test_what_kills_left_a_day_ago_is_removed_and_nothing_else(tmp_path) -> None:
    now = time.time()
    for name, age in {
        ".ebbing-0123456789abcdef.partial": 1.1 * DAY,
        ".ebbing-fedcba9876543210.partial": 0.9 * DAY,
        ".mine.partial": 9 * DAY,
        "ebbing-1.partial": 9 * DAY,
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
        os.utime(tmp_path / name, (now - age, now - age))
    write_text(tmp_path / "file", "whole")
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {".ebbing-fedcba9876543210.partial", ".mine.partial", "ebbing-1.partial", "file"}


def test_a_writer_is_not_disturbed_by_others(tmp_path) -> None:
    def write(name: str) -> None:
        Path(name).write_text("outer")
        for text in ("one", "two"):
            write_text(tmp_path / "file", text)

    write_whole(tmp_path / "file", write)
    assert contents(tmp_path) == {"file": "outer"}  # the last to come


# ---------------------------------------------------------------- Ctrl-C that was not heeded


@pytest.fixture
def interrupted():
    note_interruption(True)
    yield
    note_interruption(False)


@pytest.mark.usefixtures("interrupted")
def test_after_ctrl_c_nothing_is_put_in_place(tmp_path) -> None:
    assert files.was_interrupted()
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "file", "half trained")
    assert contents(tmp_path) == {}


@pytest.mark.usefixtures("interrupted")
def test_after_ctrl_c_things_are_put_back(tmp_path) -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        write_text(tmp_path / "file", "as it was")
    assert contents(tmp_path) == {"file": "as it was"}


# ---------------------------------------------------------------- a folder


def folder_of(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "file.txt").write_text(text)
    return path


@pytest.mark.parametrize("before", ["old", None])
def test_a_folder_is_put_where_another_may_be(tmp_path, before) -> None:
    path = tmp_path / "folder"
    if before is not None:
        (folder_of(path, before) / "more.txt").write_text("gone with the old one")
    put_folder(folder_of(tmp_path / "made", "new"), path)
    assert contents(tmp_path) == {"folder": "", "folder/file.txt": "new"}
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("before", ["old", None])
def test_wherever_putting_a_folder_stops_there_is_the_old_one_or_the_new_one(
    tmp_path, monkeypatch, error, before
) -> None:
    """Struck before and after each rename."""
    rename, outcomes = Path.rename, set()
    for strike in range(1, 7):
        home = tmp_path / f"{strike}"
        home.mkdir()
        path, made = home / "folder", folder_of(home / "made", "new")
        if before is not None:
            folder_of(path, before)
        count = 0

        def struck(self: Path, target: Path, *, strike: int = strike) -> Path:
            nonlocal count
            for done in (False, True):
                count += 1
                if done:
                    rename(self, target)
                if count == strike:
                    raise error
            return target

        monkeypatch.setattr(Path, "rename", struck)
        with suppress(KeyboardInterrupt, NotWrittenError):
            put_folder(made, path)
        monkeypatch.setattr(Path, "rename", rename)
        found = contents(path).get("file.txt")
        outcomes.add(found)
        assert found in (before, "new")
        assert {p.name for p in home.iterdir()} <= {"folder", "made"}  # nothing hidden is left
    assert outcomes == {before, "new"}


def test_a_folder_that_may_not_be_replaced_stays_and_is_named(tmp_path, monkeypatch) -> None:
    """A folder around it that may only be read: root writes there all the same, so the system's answer is played."""
    path, made = folder_of(tmp_path / "folder", "old"), folder_of(tmp_path / "made", "new")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(NotWrittenError, match="Permission denied") as raised:
        put_folder(made, path)
    assert raised.value.filename == str(path)
    assert contents(path) == {"file.txt": "old"}
