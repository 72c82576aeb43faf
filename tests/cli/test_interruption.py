"""`ebbing unlearn` is killed or interrupted at any moment, and the same command goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from faults import (
    COMMAND,
    INTERRUPTED,
    REFERENCES,
    Process,
    Project,
    Start,
    check_done,
    check_nothing_twice,
    check_whole,
    forking,
    make_project,
    started,
    trains,
    wait_until,
    with_training,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork and signals")

PHASES = ("imports", "loading", "unlearning", "references", "audit", "report", "end")
# of 30 moments: how many lie in each phase
SPREAD = {"imports": 3, "loading": 3, "unlearning": 7, "references": 9, "audit": 3, "report": 5}


class Moment(NamedTuple):
    """A fraction of the time that a phase takes, after the phase has begun."""

    phase: str
    fraction: float


def moments(spread: dict[str, int], *, seed: int) -> list[Moment]:
    """In random order, each at a random point of its phase."""
    generator = np.random.default_rng(seed)
    drawn = [Moment(phase, generator.uniform()) for phase, n in spread.items() for _ in range(n)]
    return [drawn[i] for i in generator.permutation(len(drawn))]


class Watch:
    """Tells by what a run leaves behind which phase it is in."""

    def __init__(self, project: Project, process: Process) -> None:
        self.project, self.process = project, process
        self.before, self.log = self.times(), len(project.log())

    def times(self) -> list[int]:
        """When weights, report and page were last put in place."""
        paths = (self.project.weights, self.project.report, self.project.page)
        return [p.stat().st_mtime_ns if p.exists() else 0 for p in paths]

    def phase(self) -> str:
        """The present one; what cannot be told apart counts as the later one."""
        weights, report, page = (a != b for a, b in zip(self.times(), self.before, strict=True))
        if page:
            return "end"
        if report:
            return "report"
        if weights:
            return "audit" if len(self.project.models()) == 1 + REFERENCES else "references"
        if b"One retraining" in (said := self.process.out.read_bytes()) or b"What one retraining" in said:
            return "unlearning"
        return "loading" if len(self.project.log()) > self.log else "imports"

    def wait_for(self, phase: str) -> bool:
        """Wait until the phase begins; False if the run ends before, or skips it."""
        while PHASES.index(self.phase()) < PHASES.index(phase):
            if self.process.poll(0.001) is not None:
                return False
        return True


def phases_of(start: Start, project: Project) -> dict[str, float]:
    """Seconds that each phase of an undisturbed run takes."""
    begun = {"imports": time.perf_counter()}
    process = start(project)
    watch = Watch(project, process)
    for phase in PHASES[1:]:
        assert watch.wait_for(phase), process.err.read_text()
        begun[phase] = time.perf_counter()
    assert process.wait() == 0
    return {a: begun[b] - begun[a] for a, b in pairwise(PHASES)}


class Struck(NamedTuple):
    """The phase in which a run was struck, its exit code, and the run."""

    phase: str
    code: int
    process: Process


def strike(start: Start, project: Project, moment: Moment, seconds: dict[str, float], what: signal.Signals) -> Struck:
    """Run, and send a signal at a moment."""
    process = start(project)
    watch = Watch(project, process)
    if watch.wait_for(moment.phase):
        fraction = moment.fraction
        if moment.phase == "references":  # by what is finished, as there may be some already
            done = len(project.models())
            models, fraction = divmod(fraction * (1 + REFERENCES - done), 1)
            while len(project.models()) < done + models and process.poll(0.001) is None:
                pass
            fraction /= REFERENCES
        process.poll(fraction * seconds[moment.phase])
    phase = watch.phase()
    process.send(what)
    return Struck(phase, process.wait(), process)


class World(NamedTuple):
    """A way to start runs, how long the phases of one last, and what an undisturbed one leaves."""

    start: Start
    seconds: dict[str, float]
    undisturbed: Project


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("faults") / "clinic")


@pytest.fixture(scope="module")
def quick(clinic: Project) -> Iterator[World]:
    """Runs that begin when all is imported."""
    with forking() as start:
        project = clinic.copy(clinic.folder.parent / "undisturbed")
        yield World(start, phases_of(start, project), project)


@pytest.fixture(scope="module")
def full(clinic: Project) -> World:
    """Runs that are processes of their own."""
    project = clinic.copy(clinic.folder.parent / "undisturbed by itself")
    return World(started, phases_of(started, project), project)


# ---------------------------------------------------------------- kill -9 and Ctrl-C at random moments


def through(
    world: World, project: Project, struck_at: list[Moment], what: signal.Signals
) -> tuple[Counter[str], list[Moment]]:
    """Strike runs in one folder, one after the other, and let the last one come to its end.

    Returns:
        How many were struck in each phase, and the moments at which the run had ended already.
    """
    struck: Counter[str] = Counter()
    missed: list[Moment] = []
    for moment in [*struck_at, None]:
        finished, kept, log = project.seeds(), project.models(), project.log()
        if moment is None:
            process = world.start(project)
            code = process.wait()
            assert code == 0
        else:
            phase, code, process = strike(world.start, project, moment, world.seconds, what)
            struck[phase] += code != 0
            missed += [moment] if code == 0 else []
        err = process.err.read_text()
        if what == signal.SIGINT:
            assert (code, err) in {(130, INTERRUPTED), (0, "")}, f"{moment}: {code}\n{err}"
            assert project.litter() == []
        else:
            assert (code, err) in {(-signal.SIGKILL, ""), (0, "")}, f"{moment}: {code}\n{err}"
            assert len(project.litter()) <= 3 * struck.total()  # for each kill a folder, a file, and a library's own
        check_nothing_twice(project, finished, kept, log)
        check_whole(project, world.undisturbed)
    check_done(project, world.undisturbed)
    return struck, missed


FEW = {"loading": 1, "unlearning": 1, "references": 2, "audit": 1, "report": 1}


@pytest.mark.slow
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGINT])
def test_after_a_few_strikes_the_same_command_ends_as_if_there_had_been_none(quick, clinic, tmp_path, what) -> None:
    # in the order of the phases, as a run that comes to its end leaves nothing to strike at in training
    few = sorted(moments(FEW, seed=1), key=lambda moment: PHASES.index(moment.phase))
    struck, missed = through(quick, clinic.copy(tmp_path / "clinic"), few, what)
    assert struck.total() + len(missed) == len(few)
    assert len(missed) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGINT])
def test_after_thirty_strikes_the_same_command_ends_as_if_there_had_been_none(full, clinic, tmp_path, what) -> None:
    begun, struck, folders = time.perf_counter(), Counter[str](), 0
    waiting = moments(SPREAD, seed=2)
    while waiting:
        assert folders < 20, f"{struck.total()} of 30"
        found, missed = through(full, clinic.copy(tmp_path / str(folders)), waiting[:3], what)
        waiting = waiting[3:] + missed
        struck, folders = struck + found, folders + 1
    minutes = (time.perf_counter() - begun) / 60
    lengths = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in full.seconds.items())
    print(f"{what.name}: {dict(struck)}; {folders} folders run to their end; {minutes:.1f} min; {lengths}")
    assert struck.total() == 30
    assert set(struck) >= {"unlearning", "references", "audit", "report"}


# ---------------------------------------------------------------- Ctrl-C in particular


def test_ctrl_c_stops_the_users_training_function(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project)
    wait_until(process, lambda: trains(project))
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert process.err.read_text() == INTERRUPTED
    assert project.log() == ["imported", "begin 1000"]
    assert project.litter() == []
    assert len(project.models()) == 1


def test_a_training_function_that_swallows_ctrl_c_leaves_no_half_trained_reference(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project, with_training("train_and_swallow"))
    wait_until(process, lambda: trains(project))
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert process.err.read_text() == INTERRUPTED
    assert project.seeds() == set()


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.02, 0.2])
def test_ctrl_c_twice_is_no_more_than_once(quick, clinic, tmp_path, pause) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project)
    wait_until(process, lambda: len(project.models()) >= 1)
    for _ in range(2):
        process.send(signal.SIGINT)
        time.sleep(pause)
    assert process.wait() == 130
    assert process.err.read_text() == INTERRUPTED
    assert project.litter() == []


AT_THE_END = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from ebbing.cli import entry, main
sys.argv, leave = ["ebbing", "--version"], sys.exit

def interrupted(code):
    signal.raise_signal(signal.SIGINT)
    leave(code)

sys.exit = interrupted
"""
GOES_ON = """
for _ in range(2):
    try:
        main()
    except SystemExit as done:
        print("code", done.code)
entry.time.monotonic = lambda: float("inf")
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted" if signal.getsignal(signal.SIGINT) is signal.default_int_handler else "not given back")
"""


def test_ctrl_c_at_the_very_end_does_not_kill_what_is_done() -> None:
    done = subprocess.run([sys.executable, "-c", f"{AT_THE_END}main()"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_in_text_that_is_evaluated_has_the_exit_code_of_any_other(tmp_path) -> None:
    """As annotations are, while commands are imported: ``python -m`` notes it, and would kill itself by SIGINT at its end."""
    (tmp_path / "command.py").write_text("""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ebbing.cli import entry, main
entry._run = lambda: eval("signal.raise_signal(signal.SIGINT)")
main()
""")
    done = subprocess.run([sys.executable, "-m", "command"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (130, INTERRUPTED)


def test_a_program_that_goes_on_after_a_command_has_its_ctrl_c_back() -> None:
    done = subprocess.run([sys.executable, "-c", AT_THE_END + GOES_ON], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if not line.startswith("ebbing")] == [
        *("code 0", "code 0", "interrupted")
    ]


def test_ctrl_c_twice_does_not_stop_the_tidying_up(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project, with_training("train_and_tidy_up"))
    wait_until(process, lambda: trains(project))
    for _ in range(3):
        process.send(signal.SIGINT)
        time.sleep(0.1)
    assert process.wait() == 130
    assert process.err.read_text() == INTERRUPTED
    assert project.log()[-1] == "tidied up"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see what a process has loaded")
def test_ctrl_c_is_met_while_modules_are_imported(clinic, tmp_path) -> None:
    for library in ("numpy", "libtorch_cpu"):  # the first of those that take long, and the longest
        project = clinic.copy(tmp_path / library)
        process = started(project)
        wait_until(process, lambda library=library, process=process: process.has_loaded(library))
        assert not trains(project)
        process.send(signal.SIGINT)
        assert process.wait() == 130
        assert process.err.read_text() == INTERRUPTED


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_reaches_workers_without_a_word_of_theirs(clinic, tmp_path) -> None:
    for number, seconds in enumerate((0.1, 1.0)):  # they import for about three
        project = clinic.copy(tmp_path / str(number))
        process = started(project, (*COMMAND, "--workers", "2"), group=True)
        wait_until(process, lambda project=project: project.weights.exists())
        process.poll(seconds)
        process.send(signal.SIGINT)
        assert process.wait() == 130
        assert process.err.read_text() == INTERRUPTED
        assert project.litter() == []


def test_debug_shows_where_ctrl_c_came(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project, ("--debug", *COMMAND))
    wait_until(process, lambda: trains(project))
    process.send(signal.SIGINT)
    assert process.wait() == 130
    said = process.err.read_text()
    assert said.startswith(INTERRUPTED + "Traceback")
    assert "clinic.py" in said


def test_a_training_function_that_leaves_is_named(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project, with_training("train_and_leave"))
    assert process.wait() == 2
    assert process.err.read_text() == "Error: the training function clinic:train_and_leave raised SystemExit: 0\n"
    assert project.seeds() == set()


def test_a_terminated_run_goes_on_when_called_again(quick, clinic, tmp_path) -> None:
    project = clinic.copy(tmp_path / "clinic")
    process = quick.start(project)
    wait_until(process, lambda: len(project.models()) >= 2)
    process.send(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM  # as any program: 143 in a shell
    assert process.err.read_text() == ""
    check_whole(project, quick.undisturbed)
    kept = project.models()
    assert quick.start(project).wait() == 0
    assert kept.items() <= project.models().items()
    check_done(project, quick.undisturbed)
