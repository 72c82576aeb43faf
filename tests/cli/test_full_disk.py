"""`ebbing unlearn` with nowhere to write to: a full disk, a read-only one, and outputs that are closed, full or unread."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faults import (
    COMMAND,
    ENVIRONMENT,
    INTERRUPTED,
    Process,
    Project,
    Start,
    check_done,
    check_nothing_twice,
    check_whole,
    forking,
    make_project,
    trains,
    wait_until,
)

from ebbing.checkpoints import record_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mount and /dev/full")

KEPT = "What was finished is kept: the same command goes on from there.\n"
NO_ROOM = f"Error: standard output could not be written: No space left on device. {KEPT}"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("disk") / "clinic")


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    with forking() as start:
        yield start


@pytest.fixture(scope="module")
def undisturbed(clinic: Project, start: Start) -> Project:
    project = clinic.copy(clinic.folder.parent / "undisturbed")
    process = start(project)
    assert process.wait() == 0, process.err.read_text()
    return project


@pytest.fixture
def project(clinic: Project, tmp_path: Path) -> Project:
    return clinic.copy(tmp_path / "clinic")


def mount(*words: object) -> None:
    """Mount a file system, or skip the test where that is not allowed."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here, which needs root: {done.stderr.strip()}")


@pytest.fixture
def disk(project: Project) -> Iterator[Path]:
    """A file system of 2 MB where the results go."""
    if shutil.which("mount") is None:
        pytest.skip("there is no `mount` here")
    folder = project.folder / "out"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "none", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# ---------------------------------------------------------------- a full disk

BALLAST = "ballast"


def leave_room(disk: Path, pages: int) -> None:
    """Fill the disk up, but for so many pages; a file takes whole ones."""
    ballast = disk / BALLAST
    ballast.unlink(missing_ok=True)
    found = os.statvfs(disk)
    ballast.write_bytes(bytes((found.f_bavail - pages) * found.f_frsize))
    assert os.statvfs(disk).f_bavail == pages


@pytest.mark.slow
def test_a_disk_that_runs_full_is_named_and_what_was_finished_stays(start, project, undisturbed, disk) -> None:
    def pages(path: Path) -> int:
        return -(-path.stat().st_size // os.statvfs(disk).f_frsize)

    made = undisturbed.models()
    each = {pages(undisturbed.work / name) for name in made}
    assert each == {1}
    pair = pages(undisturbed.weights) + pages(record_path(undisturbed.weights))
    # (room, the file that has none left, how many models there are then)
    story = [
        (0, project.work, 0),
        (1, project.weights, 1),
        (pair + 2, project.work, 3),
        (4, project.report, 7),
        (pages(undisturbed.report) + 1, project.page, 7),
    ]
    for room, lacking, models in story:
        leave_room(disk, room)
        finished, kept, log = project.seeds(), project.models(), project.log()
        process = start(project)
        assert process.wait() == 2, process.err.read_text()
        said = process.err.read_text()
        assert said.startswith(f"Error: {lacking.relative_to(project.folder)}")
        assert said.endswith(f" could not be written: No space left on device. {KEPT}")
        assert said.count("\n") == 1
        check_nothing_twice(project, finished, kept, log)
        assert len(project.models()) == models
        check_whole(project, undisturbed)
        assert project.litter() == [f"out/{BALLAST}"]
    assert not project.page.exists()
    (disk / BALLAST).unlink()
    finished, kept, log = project.seeds(), project.models(), project.log()
    process = start(project)
    assert process.wait() == 0, process.err.read_text()
    check_nothing_twice(project, finished, kept, log)
    check_done(project, undisturbed)


# ---------------------------------------------------------------- a disk that may only be read


def test_a_read_only_disk_is_refused_before_anything_is_trained(start, project, disk) -> None:
    mount("-o", "remount,ro", disk)
    process = start(project)
    assert process.wait() == 2
    assert (
        process.err.read_text()
        == "Error: --out out cannot be written to: Read-only file system. Choose another folder.\n"
    )
    assert not trains(project)


@pytest.mark.parametrize("taken", ["new.work/models", "new.report.json", "new.report.html", "new.safetensors.json"])
def test_a_place_that_is_taken_is_refused_before_anything_is_trained(start, project, taken) -> None:
    place = project.folder / "out" / taken
    if "models" in taken:
        place.parent.mkdir(parents=True)
        place.write_text("no folder")
    else:
        place.mkdir(parents=True)
    process = start(project)
    assert process.wait() == 2
    said = process.err.read_text()
    assert taken in said
    assert said.count("\n") == 1
    assert not trains(project)


# ---------------------------------------------------------------- standard output and standard error


def test_a_full_standard_output_is_an_error_in_one_line(start, project) -> None:
    (project.folder / "stdout").symlink_to("/dev/full")
    process = start(project)
    assert process.wait() == 2
    assert process.err.read_text() == NO_ROOM


def test_a_full_standard_error_takes_nothing_from_the_exit_code(start, project) -> None:
    (project.folder / "stderr").symlink_to("/dev/full")
    assert start(project, (*COMMAND, "--device", "nowhere")).wait() == 2
    assert start(project, ("--version",)).wait() == 0


@pytest.fixture
def reader(project: Project) -> Iterator[int]:
    """The other end of a pipe that is the standard output of the next run."""
    os.mkfifo(project.folder / "stdout")
    end = os.open(project.folder / "stdout", os.O_RDONLY | os.O_NONBLOCK)
    yield end
    with suppress(OSError):  # closed by the test
        os.close(end)


def read_a_line(process: Process, end: int) -> str:
    """As `head -1` does."""
    said = b""
    while not said.endswith(b"\n"):
        assert process.poll(0.001) is None, process.err.read_text()
        try:
            said += os.read(end, 1)
        except BlockingIOError:
            continue
    return said.decode()


def test_nobody_reads_on(start, project, reader) -> None:
    process = start(project)
    assert read_a_line(process, reader).startswith("No record beside model.safetensors")
    os.close(reader)
    assert process.wait() == 141  # 128 + SIGPIPE
    assert process.err.read_text() == ""


def test_ctrl_c_ends_a_pipe_as_a_whole(start, project, reader) -> None:
    process = start(project)
    wait_until(process, lambda: trains(project))
    os.close(reader)  # `ebbing unlearn | tee log`: both are interrupted
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert process.err.read_text() == INTERRUPTED
    assert project.litter() == []


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("ebbing_ --help >&-", 0, ""),
        ("ebbing_ --help >&- 2>&- <&-", 0, ""),
        ("ebbing_ nonsense 2>&-", 2, ""),
        ("ebbing_ --help > /dev/full", 2, NO_ROOM),
        ("PYTHONUNBUFFERED=1 ebbing_ --help > /dev/full", 2, NO_ROOM),
        ("ebbing_ nonsense > /dev/full 2> /dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(redirected, code, said) -> None:
    ebbing = f"ebbing_() {{ {sys.executable} -c 'from ebbing.cli import main; main()' \"$@\"; }}; "
    done = subprocess.run(
        ["bash", "-c", ebbing + redirected], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert (done.returncode, done.stderr) == (code, said)


def test_no_file_is_opened_in_the_place_of_a_closed_stream(tmp_path) -> None:
    """What other code prints would end up in the weights."""
    code = "from ebbing.cli.entry import _open_what_is_closed; _open_what_is_closed(); file = open('file', 'w'); "
    code += "print(file.fileno(), file=file)"
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" <&- >&- 2>&-'], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert int((tmp_path / "file").read_text()) > 2
