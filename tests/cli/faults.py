"""What the tests of faults share: a user's project in a folder of its own, and ways to run `ebbing unlearn` on it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from safetensors import safe_open

from ebbing.checkpoints import read_record, record_path

REFERENCES = 6
COMMAND = (
    *("unlearn", "--threads", "1", "--model", "clinic:build", "--weights", "model.safetensors"),
    *("--data", "clinic:train_set", "--holdout", "clinic:test_set", "--matched", "clinic:like_the_wrong"),
    *("--forget", "wrong.txt", "--train-fn", "clinic:train", "--oracles", str(REFERENCES)),
    *("--out", "out/new.safetensors"),
)
INTERRUPTED = "Interrupted. What was finished is kept: the same command goes on from there.\n"
TIMED = {"seconds", "seconds_each", "ratio_to_retraining", "date"}

CLINIC = '''
"""A user's project: a network, data, and a training that takes a third of a second and keeps a log."""

import os
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

WRONG = 12
STEPS = int(os.environ.get("CLINIC_STEPS", "600"))


def note(line):
    """Append a line in one write, so that no kill leaves half of it."""
    with open(Path(__file__).with_name("log.txt"), "ab", buffering=0) as log:
        log.write(f"{line}\\n".encode())


def build():
    return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))


def records(n, seed):
    labels = torch.arange(n) % 3
    noise = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return torch.eye(8)[labels] * 2 + noise, labels


def train_set():
    inputs, labels = records(240, 1)
    labels[:WRONG] = (labels[:WRONG] + 1) % 3
    return TensorDataset(inputs, labels)


def test_set():
    return TensorDataset(*records(160, 2))


def like_the_wrong():
    inputs, labels = records(60, 3)
    return TensorDataset(inputs, (labels + 1) % 3)


def train(dataset, *, seed):
    note(f"begin {seed}")
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    inputs, labels = (torch.stack(part) for part in zip(*(dataset[i] for i in range(len(dataset)))))
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    note(f"end {seed}")
    return model


def train_and_swallow(dataset, *, seed):
    """What some trainers do: on Ctrl-C they stop, and hand back what they have."""
    try:
        return train(dataset, seed=seed)
    except KeyboardInterrupt:
        return build()


def train_and_tidy_up(dataset, *, seed):
    """What others do: temporary files are removed, which takes a while."""
    try:
        return train(dataset, seed=seed)
    except KeyboardInterrupt:
        time.sleep(0.5)
        note("tidied up")
        raise


def train_and_leave(dataset, *, seed):
    """A script that was made a function."""
    raise SystemExit(0)


if __name__ == "__main__":
    from safetensors.torch import save_model

    save_model(train(train_set(), seed=0), "model.safetensors")
    Path("wrong.txt").write_text("\\n".join(map(str, range(WRONG))))
    Path("log.txt").unlink()
else:
    note("imported")
'''


# ---------------------------------------------------------------- processes

# Python leaves Ctrl-C alone where a shell started the tests in the background.
STARTER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from ebbing.cli import main; main()"

# Imports once what a run imports, and forks for every command: it begins at once, and has all to itself from there on.
FORKING = """
import gc, json, os, signal, sys
import matplotlib.pyplot, torch._dynamo
import ebbing.cli.commands, ebbing.cli.unlearn, ebbing.report.html
from ebbing.cli import main
gc.freeze()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(asked["folder"])
        for number, name in enumerate((os.devnull, asked["out"], asked["err"])):
            os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
        sys.argv = ["ebbing", *asked["words"]]
        main()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": ""}
Start = Callable[["Project", tuple[str, ...]], "Process"]


class Process:
    """A run of the command: how it is sent signals, what it said, and how it ended."""

    def __init__(self, project: Project, number: int, code: IO[bytes] | subprocess.Popen[bytes]) -> None:
        self.out, self.err = project.folder / "stdout", project.folder / "stderr"
        self._number, self._code = number, code
        self._ended: int | None = None

    def poll(self, seconds: float = 0.0) -> int | None:
        """The exit code, minus the signal for a killed one; None if it runs on for so many seconds."""
        if self._ended is None and isinstance(self._code, subprocess.Popen):
            try:
                self._ended = self._code.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
        elif self._ended is None and select.select([self._code], [], [], seconds)[0]:
            self._ended = int(self._code.readline())
        return self._ended

    def has_loaded(self, library: str) -> bool:
        """Whether a file of such a name is mapped into its memory, where the system tells."""
        return library in Path(f"/proc/{self._number}/maps").read_text()

    def send(self, what: signal.Signals) -> None:
        """A signal, if it still runs."""
        if self.poll() is None:
            os.kill(self._number, what)

    def wait(self) -> int:
        """The exit code of a run that ends by itself."""
        code = self.poll(120)
        assert code is not None, "it runs for two minutes"
        return code


def started(project: Project, words: tuple[str, ...] = COMMAND, *, group: bool = False) -> Process:
    """A whole process: the interpreter, the imports and the run; signals go to it alone, or to all processes it starts."""
    with open(project.folder / "stdout", "wb") as out, open(project.folder / "stderr", "wb") as err:
        line = [sys.executable, "-c", STARTER, *words]
        process = subprocess.Popen(
            line, cwd=project.folder, stdout=out, stderr=err, env=ENVIRONMENT, start_new_session=group
        )
    return Process(project, -process.pid if group else process.pid, process)


@contextmanager
def forking() -> Iterator[Start]:
    """Something like `started` without the three seconds of imports; one run at a time."""
    line, short = [sys.executable, "-c", FORKING], ENVIRONMENT | {"CLINIC_STEPS": "150"}
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=short) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        read, write = server.stdout, server.stdin

        def start(project: Project, words: tuple[str, ...] = COMMAND) -> Process:
            streams = {"out": str(project.folder / "stdout"), "err": str(project.folder / "stderr")}
            for name in streams.values():
                Path(name).write_bytes(b"")
            asked = {"words": words, "folder": str(project.folder), **streams}
            write.write(f"{json.dumps(asked)}\n".encode())
            return Process(project, int(read.readline()), read)

        yield start
        write.close()


# ---------------------------------------------------------------- the project and what a run leaves


@dataclass(frozen=True)
class Project:
    """The user's folder."""

    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "out" / "new.work" / "models"

    @property
    def weights(self) -> Path:
        return self.folder / "out" / "new.safetensors"

    @property
    def report(self) -> Path:
        return self.folder / "out" / "new.report.json"

    @property
    def page(self) -> Path:
        return self.folder / "out" / "new.report.html"

    def copy(self, to: Path) -> Project:
        """The same project with nothing done yet."""
        to.mkdir(parents=True)
        for name in ("clinic.py", "model.safetensors", "wrong.txt"):
            (to / name).write_bytes((self.folder / name).read_bytes())
        return Project(to)

    def models(self) -> dict[str, int]:
        """Finished models and when each was put in place."""
        return {p.name: p.stat().st_mtime_ns for p in self.work.glob("*.safetensors")}

    def log(self) -> list[str]:
        """What the training function and the import of its module noted."""
        log = self.folder / "log.txt"
        return log.read_text().splitlines() if log.exists() else []

    def seeds(self) -> set[str]:
        """Of the references that are finished."""
        facts = [facts_of(self.work / name) for name in self.models()]
        return {f["seed"] for f in facts if "method" not in f}

    def litter(self) -> list[str]:
        """What is neither the user's nor has a name that it should have in the end."""
        known = {*(p for p in self.folder.iterdir() if not p.is_dir()), *self.work.glob("[!.]*.safetensors")}
        known |= {self.weights, record_path(self.weights), self.report, self.page}
        known |= {self.folder / "out", self.work.parent, self.work}
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p not in known)


def make_project(folder: Path) -> Project:
    """The project, with its trained model."""
    folder.mkdir(parents=True)
    (folder / "clinic.py").write_text(CLINIC)
    subprocess.run([sys.executable, "clinic.py"], cwd=folder, check=True, env=ENVIRONMENT)
    return Project(folder)


def facts_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def tensors_of(path: Path) -> dict[str, Any]:
    """Every bit of a model."""
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118 - no mapping


def untimed(value: Any) -> Any:
    """The figures of a report without those that a clock gave."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMED}
    if isinstance(value, list):
        return [untimed(v) for v in value if not (isinstance(v, str) and v.startswith("Retraining would"))]
    return value


def check_whole(project: Project, undisturbed: Project) -> None:
    """Whatever has its final name is whole, and is what the undisturbed run has there."""
    for name in project.models():
        assert tensors_of(project.work / name) == tensors_of(undisturbed.work / name)
    if project.weights.exists():
        assert project.weights.read_bytes() == undisturbed.weights.read_bytes()
        assert read_record(project.weights) == read_record(undisturbed.weights)
    elif record_path(project.weights).exists():  # it goes first
        assert record_path(project.weights).read_bytes() == record_path(undisturbed.weights).read_bytes()
    if project.report.exists():
        assert untimed(json.loads(project.report.read_text())) == untimed(json.loads(undisturbed.report.read_text()))
    if project.page.exists():
        assert project.page.read_text().rstrip().endswith("</html>")


def check_done(project: Project, undisturbed: Project) -> None:
    """All is there that an undisturbed run leaves, and nothing that another one does."""
    for path in (project.weights, record_path(project.weights), project.report, project.page):
        assert path.exists()
    assert project.models().keys() == undisturbed.models().keys()
    check_whole(project, undisturbed)


def check_nothing_twice(project: Project, finished: set[str], kept: dict[str, int], log: list[str]) -> None:
    """What was finished before a run was neither trained in it nor put in place again."""
    begun = [line.split()[1] for line in project.log()[len(log) :] if line.startswith("begin")]
    assert not finished & set(begun)
    assert len(begun) == len(set(begun))
    assert kept.items() <= project.models().items()


def with_training(name: str) -> tuple[str, ...]:
    """The command with another training function."""
    return tuple(f"clinic:{name}" if word == "clinic:train" else word for word in COMMAND)


def wait_until(process: Process, reached: Callable[[], bool]) -> None:
    while not reached():
        assert process.poll(0.001) is None, process.err.read_text()


def trains(project: Project) -> bool:
    return any(line.startswith("begin") for line in project.log())
