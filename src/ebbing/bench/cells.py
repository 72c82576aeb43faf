"""The cells of the leaderboard: a method within a budget on a task, judged on every original, in a small file each."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ebbing import __version__
from ebbing.bench.labels import REFERENCE, check_label, file_of, identity_of, is_identity_of, refuse_other_label
from ebbing.bench.margins import publish_margins
from ebbing.bench.methods import FREE, refuse_overdrawn, within
from ebbing.bench.score import floors, score
from ebbing.bench.tasks import BenchTask, request_of
from ebbing.errors import InputError
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.fingerprint import as_plain, sources_of
from ebbing.inside import probed_layers
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.methods import Unlearner
from ebbing.places import Folders
from ebbing.pool import Workers, compute
from ebbing.request import ForgetRequest
from ebbing.seen import Seen, see
from ebbing.store import ModelStore, Trained, kept, train_or_load
from ebbing.study import ORACLE_SEEDS
from ebbing.training import Trainer

MARK = "made_by.json"  # in a folder of models
TOO_DEAR = "It costs more than the budget, whatever is set."
INSIDE = 16  # models whose layers are read and which relearn: that takes longer than most methods


@dataclass(frozen=True)
class Places(Folders):
    """Where things of the leaderboard are.

    Attributes:
        device: what models are trained and run on.
    """

    device: str = "cpu"

    def trainer(self, task: BenchTask) -> Trainer:
        """What makes the models of a task here."""
        return replace(task.trainer, device=self.device)

    def reference(self, task: BenchTask) -> Path:
        """The figures of retrained models among themselves."""
        return self.results / task.folder / f"{REFERENCE}.json"

    def margins(self, task: BenchTask) -> Path:
        """The published margins of originals and retrained models."""
        return self.results / task.folder / "margins.npz"

    def seen(self, task: BenchTask, role: str, number: int) -> Path:
        """What was seen of a model."""
        return self.work / task.folder / "seen" / f"{role}-{number}.npz"

    def store(self, task: BenchTask) -> ModelStore:
        """Where weights are."""
        return ModelStore(self.work / task.folder / "models")


@dataclass(frozen=True)
class Cell:
    """A method within a budget on a task.

    Attributes:
        task: what must be forgotten.
        label: of the method.
        method: the method without a budget.
        budget: share of one retraining; None for what costs next to nothing.
    """

    task: BenchTask
    label: str
    method: Unlearner
    budget: float | None

    def __post_init__(self) -> None:
        """Refuse a label that cannot name a file."""
        check_label(self.label)

    @property
    def path(self) -> str:
        """Its file, below the folder of results."""
        return f"{self.task.folder}/{file_of(self.label, self.budget)}"


@dataclass(frozen=True)
class Job:
    """A model that a task needs: "original" or "retrained", by its number."""

    task: BenchTask
    role: str
    number: int

    @property
    def path(self) -> str:
        """Its name beside those of cells."""
        return f"{self.task.folder}/{self.role}-{self.number}"


def cells_of(tasks: Sequence[BenchTask], methods: Mapping[str, Unlearner], budgets: Sequence[float]) -> list[Cell]:
    """Every method within every budget on every task, each once; what is free has no budget.

    Raises:
        InputError: if the files of two methods would have one name.
    """
    spelled: dict[str, str] = {}
    for label in methods:
        other = spelled.setdefault(file_of(label, None), label)
        if other != label:
            raise InputError(
                f"methods must have files of their own, but those of {other!r} and {label!r} have one name, in which a colon "
                "is a dot. Give one of them another label (--method NAME@LABEL)."
            )
    return [
        Cell(task, label, method, budget)
        for task in tasks
        for label, method in methods.items()
        for budget in ((None,) if label in FREE else dict.fromkeys(budgets))
    ]


def refuse_other_settings(cells: Sequence[Cell], places: Places) -> None:
    """Refuse cells whose files were made by another method, by other settings or under a label that is spelled alike.

    Raises:
        InputError: naming the first.
    """
    for cell in cells:
        path = places.cell(cell)
        if not path.exists():
            continue
        held = json.loads(path.read_text(encoding="utf-8"))
        refuse_other_label(held, cell.label, path)
        if not is_identity_of(held["method"], cell.method):
            raise InputError(
                f"{str(path)!r} must be of the method that is asked for, but was made with other settings under the label "
                f"{cell.label!r}. Give the method another label (--method NAME@LABEL), or delete the file."
            )


def jobs_for(cells: Sequence[Cell], places: Places) -> list[Job]:
    """The models that the missing cells need and that were not seen yet."""
    return _jobs([cell for cell in cells if not places.cell(cell).exists()], places)


def _jobs(cells: Sequence[Cell], places: Places) -> list[Job]:
    """The models of the tasks of some cells that were not seen yet."""
    tasks = dict.fromkeys(cell.task for cell in cells)
    return [
        Job(task, role, number)
        for task in tasks
        for role in ("retrained", "original")
        for number in range(task.models)
        if not places.seen(task, role, number).exists()
    ]


def make_cells(cells: Sequence[Cell], places: Places, *, workers: Workers) -> Iterator[Job | Cell]:
    """Make what is missing, task by task; each model and each cell is given as soon as it is done.

    Args:
        cells: those whose file is there are passed over.
        places: where everything is kept.
        workers: processes of one thread each, or an executor.
    """
    shared = [places.results, places.work]
    for task in dict.fromkeys(cell.task for cell in cells):
        _claim(task, places)
        missing = [cell for cell in cells if cell.task == task and not places.cell(cell).exists()]
        request_of(task, places.data_dir)  # what cannot be had is found out before any process is started
        unmade = missing if places.reference(task).exists() else [cell for cell in cells if cell.task == task]
        jobs = _jobs(unmade, places)
        for cell in missing if jobs else ():
            if cell.budget is not None:
                try_out(cell.method, cell.budget, task, places)
        for job, _ in compute(_make_model, places, jobs, workers=workers, folders=shared):
            yield job
        if not places.reference(task).exists():
            _make_reference(task, places)
        for cell, _ in compute(_make_cell, places, missing, workers=workers, folders=shared):
            yield cell


def try_out(method: Unlearner, budget: float, task: BenchTask, places: Places) -> None:
    """Let a method from outside ebbing unlearn an untrained model: what is wrong with it is found before models are trained.

    Raises:
        InputError: if it returns no model, or does not keep to the budget; whatever its own code raises comes through.
    """
    request = request_of(task, places.data_dir)
    held = within(method, budget, task.recipe, request) if sources_of(method) else None
    if held is None:
        return
    journal = Journal()
    held.unlearn(places.trainer(task).initial(seed=0), request, task=task.trainer.task, journal=journal)
    refuse_overdrawn(held, journal.examples - journal.guards, budget, task.recipe, request)


def _claim(task: BenchTask, places: Places) -> None:
    """Refuse folders that hold models or figures of another recipe, or of another version: seen files go by numbers alone.

    Raises:
        InputError: naming the folder.
    """
    folder = places.work / task.folder
    refuse_other_models(folder, task, device=places.device)
    reference = places.reference(task)
    known = json.loads(reference.read_text(encoding="utf-8")) if reference.exists() else None
    if known is not None and known["task"] != as_plain(task):
        raise InputError(
            f"{str(reference)!r} holds figures of another recipe of {task.name}. Take other --results, or delete the folder."
        )
    if known is not None and ("accelerator" in known["provenance"]["hardware"]) != (places.device != "cpu"):
        raise InputError(
            f"{str(reference)!r} holds figures of models on another kind of device than {places.device}, which rounds "
            "otherwise. Take other --results, or another --device."
        )
    mark_as_made(folder, task, device=places.device)


def _made_by(task: BenchTask, device: str) -> dict[str, Any]:
    """What a folder of models is made by today."""
    own = {"task": as_plain(task), "ebbing": __version__, "torch": torch.__version__}
    return own if device == "cpu" else own | {"device": device}


def refuse_other_models(folder: Path, task: BenchTask, *, device: str | None = "cpu") -> None:
    """Refuse a folder that says that what it holds of a task was made otherwise.

    Args:
        folder: with what was seen of models, by their numbers alone.
        task: whose models they must be.
        device: where they must have been run; None for anywhere.

    Raises:
        InputError: naming the folder.
    """
    mark = folder / MARK
    known = json.loads(mark.read_text(encoding="utf-8")) if mark.exists() else None
    if known is not None and known != _made_by(task, known.get("device", "cpu") if device is None else device):
        raise InputError(
            f"{str(folder)!r} holds models of another recipe or another version of ebbing or torch. Take another --out, "
            "or delete the folder."
        )


def mark_as_made(folder: Path, task: BenchTask, *, device: str = "cpu") -> None:
    """Say in a folder what its models are made by, unless it does."""
    if not (folder / MARK).exists():
        write_text(folder / MARK, json.dumps(_made_by(task, device), indent=1) + "\n")


def trained(task: BenchTask, places: Places, role: str, number: int) -> Trained:
    """An original or retrained model, from the store or trained."""
    request = request_of(task, places.data_dir)
    original = role == "original"
    data, seed = (request.everything, number) if original else (request.retain, ORACLE_SEEDS + number)
    return train_or_load(places.trainer(task), data, seed=seed, store=places.store(task))


def _make_model(places: Places, job: Job) -> None:
    """Train a model, and keep what is seen of it."""
    task, request = job.task, request_of(job.task, places.data_dir)
    model = trained(task, places, job.role, job.number).model
    layers = probed_layers(model, request, task=task.trainer.task)
    see([model], request, task=task.trainer.task, layers=layers).save(places.seen(task, job.role, job.number))


@lru_cache(maxsize=1)
def judge_of(task: BenchTask, places: Places) -> Judge:
    """What all cells of a task are judged by."""
    before, retrained = (Seen.concatenate(_all_seen(task, places, role)) for role in ("original", "retrained"))
    return Judge(before, retrained, concept=request_of(task, places.data_dir).concept, seed=0)


def _all_seen(task: BenchTask, places: Places, role: str) -> list[Seen]:
    """Of every original, or of every retrained model."""
    return [Seen.load(places.seen(task, role, number)) for number in range(task.models)]


def _make_reference(task: BenchTask, places: Places) -> None:
    """What chance alone gives: the floors of every figure."""
    request = request_of(task, places.data_dir)
    seeds = [ORACLE_SEEDS + number for number in range(task.models)]
    seconds = kept(places.trainer(task), request.retain, seeds, store=places.store(task), threads=1)
    figures = {
        "task": as_plain(task),
        "request": {name: len(getattr(request, name)) for name in ("forget", "retain", "holdout")},
        "fingerprint": request.fingerprint,
        "retrained": floors(judge_of(task, places)),
        "seconds": statistics.median(seconds) if seconds else None,
        "provenance": describe(places.command, device=places.device) | {"threads": torch.get_num_threads()},
    }
    roles = {role: _all_seen(task, places, role) for role in ("original", "retrained")}
    publish_margins(places.margins(task), roles)
    write_text(places.reference(task), json.dumps(figures, indent=1) + "\n")


def _make_cell(places: Places, cell: Cell) -> None:
    """Unlearn every original, judge, and write the figures."""
    task, request = cell.task, request_of(cell.task, places.data_dir)
    method = cell.method if cell.budget is None else within(cell.method, cell.budget, task.recipe, request)
    figures: dict[str, Any] = {
        "task": task.name,
        "label": cell.label,
        "budget": cell.budget,
        "method": identity_of(cell.method),
        "settings": as_plain(method),
        "provenance": describe(places.command, device=places.device) | {"threads": torch.get_num_threads()},
    }
    if method is None:
        figures |= {"figures": None, "reason": _why_none(cell.method, task, request)}
    else:
        figures |= _figures(method, cell.budget, task, request, places)
    write_text(places.cell(cell), json.dumps(figures, indent=1) + "\n")


def _why_none(method: Unlearner, task: BenchTask, request: ForgetRequest) -> str:
    """Why a method has no figures: it is not made for such a request, or too dear."""
    try:
        method.require_fit(request, task=task.trainer.task)
    except InputError as error:
        return str(error)
    return TOO_DEAR


def _figures(
    method: Unlearner, budget: float | None, task: BenchTask, request: ForgetRequest, places: Places
) -> dict[str, Any]:
    """Cost and figures of a method."""
    runs = []
    for number in range(task.models):
        runs.append(_unlearn(method, task, request, places, number))
        if budget is not None:
            refuse_overdrawn(method, runs[-1].examples, budget, task.recipe, request)
    seen = [run.seen for run in runs]
    judge, inside = judge_of(task, places), Seen.concatenate(seen[:INSIDE])
    ratios = [run.seconds / run.retraining for run in runs if run.retraining]
    retraining = task.recipe.examples(len(request.retain))
    return {
        "figures": score(judge, Seen.concatenate([Seen(one.answers) for one in seen]), looked_into=inside),
        "cost": {
            "examples_ratio": statistics.median(run.examples for run in runs) / retraining,
            "seconds_ratio": statistics.median(ratios) if ratios else None,
            "seconds": statistics.median(run.seconds for run in runs),
        },
        "rolled_back": sum(run.undone for run in runs),
        "left_alone": sum(run.left_alone for run in runs),
    }


@dataclass(frozen=True)
class _Run:
    """What came of one original: what was seen, what it took without the guards' reading, and what retraining took."""

    seen: Seen
    examples: int
    seconds: float
    retraining: float | None
    undone: bool
    left_alone: bool


def _unlearn(method: Unlearner, task: BenchTask, request: ForgetRequest, places: Places, number: int) -> _Run:
    """Unlearn one original, with its own seed."""
    original = trained(task, places, "original", number).model
    journal, started = Journal(), time.perf_counter()
    model = method.unlearn(original, request, task=task.trainer.task, seed=number, journal=journal)
    seconds = time.perf_counter() - started
    layers = probed_layers(model, request, task=task.trainer.task) if number < INSIDE else []
    seen = see([model], request, task=task.trainer.task, layers=layers)
    retraining = trained(task, places, "retrained", number).seconds
    undone = journal.rolled_back is not None
    return _Run(seen, journal.examples - journal.guards, seconds, retraining, undone, journal.left_alone)
