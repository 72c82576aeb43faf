"""Make the cells of the grid: train, unlearn, judge, and keep the figures of each in a small file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

from ebbing.auditing import judge_observations
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.files import write_text
from ebbing.fingerprint import as_plain
from ebbing.inside import probed_layers
from ebbing.journal import RunRecord
from ebbing.machine import describe
from ebbing.methods import ForgettingNetwork
from ebbing.models import authors_cnn, paper_cnn
from ebbing.paper.grid import VARIANTS, Cell, Problem
from ebbing.places import Folders
from ebbing.pool import Workers, compute
from ebbing.request import ForgetRequest
from ebbing.seen import Seen, see
from ebbing.store import ModelStore, train_or_load
from ebbing.study import ORACLE_SEEDS, Study
from ebbing.task import Classification
from ebbing.training import Trainer
from ebbing.units import find_units

NETWORKS = {"paper-cnn": paper_cnn, "authors-cnn": authors_cnn}
TASK = Classification()


class Places(Folders):
    """Where things of the paper's experiments are."""

    def seen(self, problem: Problem, number: int, role: str = "retrained") -> Path:
        """What was seen of a retrained model, or of an original."""
        return self.work / problem.name / "seen" / f"{role}-{number}.npz"


@dataclass(frozen=True)
class Job:
    """A model that cells need. `role` is "original" or "retrained"."""

    problem: Problem
    role: str
    seed: int

    @property
    def path(self) -> str:
        """Its name beside those of cells."""
        return f"{self.problem.name}/{self.role}-{self.seed}"

    @property
    def examples(self) -> float:
        """Those of its training."""
        return self.problem.epochs * self.problem.train_size


def prepare(cells: Sequence[Cell], places: Places) -> list[Job]:
    """The models that the missing cells need, less the retrained ones that were seen already."""
    jobs: dict[Job, None] = {}
    for cell in cells:
        if not places.cell(cell).exists():
            for number in range(cell.problem.oracles):
                if not places.seen(cell.problem, number).exists():
                    jobs[Job(cell.problem, "retrained", number)] = None
            jobs[Job(cell.problem, "original", cell.seed)] = None
    return list(jobs)


def make_cells(cells: Sequence[Cell], places: Places, *, workers: Workers) -> Iterator[Job | Cell]:
    """Make what is missing, problem by problem; each job and each cell is given as soon as it is done.

    Args:
        cells: those whose file is there are passed over.
        places: where everything is kept.
        workers: processes of one thread each, or an executor.
    """
    groups: dict[tuple[Problem, int], list[Cell]] = {}
    for cell in cells:
        if not places.cell(cell).exists():
            groups.setdefault((cell.problem, cell.seed), []).append(cell)
    shared = [places.results, places.work]
    for group in groups.values():
        for job, _ in compute(_make_model, places, prepare(group, places), workers=workers, folders=shared):
            yield job
        for cell, _ in compute(_make_cell, places, group, workers=workers, folders=shared):
            yield cell


@lru_cache(maxsize=2)
def request_of(problem: Problem, data_dir: Path | None) -> ForgetRequest:
    """The request of a problem, the same for every seed."""
    bundle = load(problem.dataset, data_dir=data_dir, train_size=problem.train_size, seed=0)
    if problem.unseen < len(bundle.test):
        order = torch.randperm(len(bundle.test), generator=torch.Generator().manual_seed(0))
        chosen = order[: problem.unseen].sort().values
        bundle = replace(bundle, test=TensorDataset(*(tensor[chosen] for tensor in bundle.test.tensors)))
    return select(problem.split, bundle, seed=0)


def _trainer(problem: Problem) -> Trainer:
    return Trainer(NETWORKS[problem.network], problem.recipe)


def _store(problem: Problem, places: Places) -> ModelStore:
    return ModelStore(places.work / problem.name / "models")


def _make_model(places: Places, job: Job) -> None:
    """Train a model, and keep what is seen of it."""
    problem, seed = job.problem, job.seed
    request = request_of(problem, places.data_dir)
    store = _store(problem, places)
    original = job.role == "original"
    data, seed_of = (request.everything, seed) if original else (request.retain, ORACLE_SEEDS + seed)
    model = train_or_load(_trainer(problem), data, seed=seed_of, store=store).model
    path = places.seen(problem, seed, job.role)
    if not path.exists():
        see([model], request, task=TASK, layers=probed_layers(model, request, task=TASK)).save(path)


def _make_cell(places: Places, cell: Cell) -> None:
    """Unlearn, judge, and write the figures."""
    problem = cell.problem
    request, trainer, method = request_of(problem, places.data_dir), _trainer(problem), VARIANTS[cell.variant]
    study = Study(trainer, request, {}, 0, places.work / problem.name, seed=cell.seed)
    original = study.original()
    after, record = study.unlearn(cell.variant, method, original)
    layers = probed_layers(original, request, task=TASK)
    seen = see([after], request, task=TASK, layers=layers)
    before = Seen.load(places.seen(problem, cell.seed, "original"))
    retrained = Seen.concatenate([Seen.load(places.seen(problem, i)) for i in range(problem.oracles)])
    retraining = trainer.recipe.examples(len(request.retain))
    report = judge_observations(
        original=before,
        unlearned={cell.variant: seen},
        oracles=retrained,
        records={cell.variant: record},
        costs={cell.variant: {"seconds": record.seconds, "examples_ratio": (record.examples or 0) / retraining}},
        measures=None,
    ).data
    figures = {
        "problem": as_plain(problem),
        "variant": cell.variant,
        "seed": cell.seed,
        "request": {name: len(getattr(request, name)) for name in ("forget", "retain", "holdout")},
        "fingerprint": request.fingerprint,
        "original": _figures(report["original"]),
        "unlearned": _figures(report["methods"][cell.variant]),
        "retrained": _figures(report["oracles"]),
        "bands": report["bands"],
        "decay": _decay(method, original, request, record, seed=cell.seed),
        "provenance": describe(places.command) | {"threads": torch.get_num_threads()},
    }
    write_text(places.cell(cell), json.dumps(figures, indent=1) + "\n")


def _figures(block: dict[str, Any]) -> dict[str, Any]:
    """What tables are made of."""
    kept = ("verdict", "accuracy", "memory", "drift", "removed", "cost", "notes", "history", "count")
    found = {name: block[name] for name in kept if name in block}
    found["loss_auc"] = block["attacks"]["loss"]["auc"]
    found["attack_accuracy"] = block["attacks"]["loss-logistic"].get("accuracy")
    return found


def _decay(
    method: object, original: Any, request: ForgetRequest, record: RunRecord, *, seed: int
) -> dict[str, Any] | None:
    """The mean factor at the end of the first bout, over all units; None where nothing decays for good."""
    if not isinstance(method, ForgettingNetwork) or method.rank_in_batch:
        return None
    batch = [request.retain[i] for i in range(32)]
    stacked = (torch.stack([x for x, _ in batch]), torch.tensor([int(y) for _, y in batch]))
    units = find_units(original, task=TASK, batch=stacked, layers=method.layers)
    scores = method.rate.ranking.scores(original, units, request, task=TASK, seed=seed + 1)
    factors = [method.curve.factor(method.unlearning_epochs, tau) for tau in method.rate.tau(scores).values()]
    return {"mean_factor": float(torch.cat(factors).mean()), "turns": _turns(record.history)}


def _turns(history: Sequence[dict[str, Any]]) -> int:
    return max((entry["turn"] for entry in history), default=0)
