"""Twenty requests one after the other: what is left of utility, and what comes back of what was forgotten before.

    python benchmarks/stream.py --task digits                      # what is there is not made again
    python benchmarks/stream.py --task fashion10k --label ebb --label fine-tune

One stream of 20 requests (disjoint, duplicate, nested, same class, near-duplicate), each for 1 % of the training set. Of 5
originals each method unlearns every request from what it made of the one before; the retain set is what remains after all
requests so far, and what asks for nothing new is not processed. Beside them stand 5 models retrained after each request. On
digits the same requests are also asked in other orders, and an adaptive stream asks for what looks best remembered. Every
method has the library's default budget, a fifth of one retraining's examples a request. Figures go to results/stream/, a file
for each finished cell.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stream_tasks import SHARE, TASKS, Field, StreamTask, field_of
from torch import nn
from torch.utils.data import Dataset, Subset

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.batches import iterate
from ebbing.bench.memorisation import Memorisation
from ebbing.bench.methods import within
from ebbing.cli.executing import executor_named
from ebbing.files import write_text
from ebbing.fingerprint import as_plain, of_model
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.measures import Reference, distance, figures, left_out, order_sensitivity
from ebbing.observations import Observations, load_arrays, save_arrays
from ebbing.pool import compute
from ebbing.store import ModelStore, train_or_load
from ebbing.task import correct, evaluation_mode, margin

N, FIRST_RETRAINED = 5, 1000
BUDGET = 0.2  # the library's default
TASK = eb.Classification()
SHARDING = eb.Sharding(shards=5, slices=4)
ADAPTIVE = 5  # requests
REFEREES = 24  # models that tell what is known of records by who never saw them: at least one for each

METHODS: Mapping[str, eb.Unlearner] = {
    "do-nothing": eb.DoNothing(),
    "ebb": eb.Ebb(),
    "ebb-hot": eb.Ebb(repair=replace(eb.Ebb().repair, learning_rate=0.1)),  # ten times the peak of training
    "forgetting-network": eb.ForgettingNetwork(turns=2),
    "fine-tune": eb.FineTune(),
    "neg-grad-plus": eb.NegGradPlus(),
    "scrub": eb.SCRUB(),
    "ssd": eb.SSD(),
    "sisa": eb.SISA(),
}
AS_THEY_ARE = (eb.DoNothing, eb.SISA)

Seen = dict[str, np.ndarray]


@dataclass(frozen=True)
class Places:
    """A task, and where its models and figures are."""

    task: StreamTask
    store: Path
    results: Path

    @property
    def own(self) -> Field:
        """The data."""
        return field_of(self.task)

    @property
    def steps(self) -> list[int]:
        """Numbers from 0 of the requests after which models are compared with retrained ones."""
        fresh = self.own.new(range(len(self.own.stream)))
        checked = self.task.checked
        return [t for t, ids in enumerate(fresh) if (ids if checked is None else t + 1 in checked)]


# ---------------------------------------------------------------- models


def original(places: Places, label: str, seed: int) -> nn.Module:
    """What a method starts from."""
    if label != "sisa":
        return train_or_load(places.task.trainer, places.own.train, seed=seed, store=models_of(places)).model
    folder = places.store / "sisa" / str(seed)
    return eb.ShardedEnsemble(places.task.trainer, SHARDING, folder=folder, seed=seed).fit(places.own.train)


def retrained(places: Places, gone: set[int], number: int) -> tuple[nn.Module, float]:
    """A model that never saw some records, and what its training took in seconds."""
    data: Dataset[Any] = Subset(places.own.train, [i for i in range(places.own.n) if i not in gone])
    trained = train_or_load(places.task.trainer, data, seed=FIRST_RETRAINED + number, store=models_of(places))
    return trained.model, trained.seconds or 0.0


def models_of(places: Places) -> ModelStore:
    """Where networks are kept."""
    return ModelStore(places.store / "models")


def look(model: nn.Module, own: Field) -> Seen:
    """Margins of all records and of the unseen ones, and which are right."""
    found: Seen = {}
    with evaluation_mode(model):
        for name, data in {"train": own.train, **own.unseen}.items():
            outputs = [TASK.forward(model, batch) for batch in iterate(data, batch_size=1024)]
            found[name] = torch.cat([margin(o) for o in outputs]).numpy()
            found[f"{name} right"] = torch.cat([correct(o) for o in outputs]).numpy()
    return found


# ---------------------------------------------------------------- figures


def observed(models: Sequence[Seen], own: Field, ids: Sequence[int], gone: set[int]) -> Observations:
    """What some models say of the records of one request, after all that have gone by then."""
    stays = [i for i in range(own.n) if i not in gone]
    matched = own.matched(ids)
    train = np.stack([m["train"] for m in models])
    return Observations.from_margins(
        forget=train[:, list(ids)],
        retain=train[:, stays],
        holdout=np.stack([m["holdout"] for m in models]),
        matched=np.concatenate([np.stack([m[name] for m in models])[:, matched[name]] for name in matched], axis=1),
    )


def memories(
    model: Seen, others: Sequence[Seen], own: Field, asked: Sequence[Sequence[int]], gone: set[int]
) -> list[Any]:
    """Memory M of each request so far by one model, beside the retrained ones; None for what asks for nothing new."""
    return [
        round(figures(observed([model], own, ids, gone), Reference(observed(others, own, ids, gone))).m, 4)
        if ids
        else None
        for ids in asked
    ]


def among_themselves(
    models: Sequence[Seen], own: Field, asked: Sequence[Sequence[int]], gone: set[int]
) -> list[list[Any]]:
    """Memory of each request by each of several models beside the others."""
    each = [left_out(Reference(observed(models, own, ids, gone))) if ids else None for ids in asked]
    return [[None if f is None else round(f[i].m, 4) for f in each] for i in range(len(models))]


def accuracies(model: Seen, own: Field, gone: set[int]) -> dict[str, float]:
    """On what stays, on that part of it whose labels are not wrong, and on unseen records."""
    stays = [i for i in range(own.n) if i not in gone]
    return {
        "retain": round(float(model["train right"][stays].mean()), 5),
        "rightly labelled": round(float(model["train right"][[i for i in stays if not own.wrong[i]]].mean()), 5),
        "holdout": round(float(model["holdout right"].mean()), 5),
    }


# ---------------------------------------------------------------- what retrained models say


def reference_job(places: Places, job: tuple[int, int]) -> None:
    """Retrain one model after a request, and keep what it says."""
    step, number = job
    path = places.store / f"retrained-{step}-{number}.npz"
    if not path.exists():
        model, seconds = retrained(places, gone_by(places, step), number)
        save_arrays(path, look(model, places.own) | {"seconds": np.array(seconds)})


def gone_by(places: Places, step: int) -> set[int]:
    """What has gone after a request."""
    return set().union(*(asked.ids for asked in places.own.stream[: step + 1]))


@lru_cache(maxsize=64)
def references(places: Places, step: int) -> tuple[Seen, ...]:
    """What the retrained models say after a request."""
    return tuple(load_arrays(places.store / f"retrained-{step}-{i}.npz", dict) for i in range(N))


def make_reference(places: Places) -> None:
    """Figures of the retrained models, each against the others, after each request that is checked."""
    own, steps = places.own, []
    fresh = own.new(range(len(own.stream)))
    for step in places.steps:
        gone, seen = gone_by(places, step), references(places, step)
        steps.append(
            {
                "request": step + 1,
                "accuracy": [accuracies(model, own, gone) for model in seen],
                "memory": among_themselves(seen, own, fresh[: step + 1], gone),
                "seconds": round(float(np.median([m["seconds"] for m in seen])), 2),
            }
        )
    stream = [
        {"kind": asked.kind, "of": asked.of, "names": len(asked.ids), "new": len(ids)}
        for asked, ids in zip(own.stream, fresh, strict=True)
    ]
    counts = {"records": own.n, "retrained": N, "wrong": int(own.wrong.sum())}
    found = {"steps": steps, "stream": stream, "counts": counts}
    path = places.results / "reference.json"
    there = json.loads(path.read_text()) if path.exists() else {}
    if there | found != there:  # who made it stays, as long as it is the same
        write_text(path, json.dumps(found | {"provenance": provenance()}) + "\n")


def provenance() -> dict[str, Any]:
    """What it was made by."""
    return describe("python benchmarks/stream.py") | {"threads": 1}


# ---------------------------------------------------------------- a method goes through a stream


@dataclass
class Walk:
    """A model on its way through a stream."""

    places: Places
    label: str
    seed: int
    model: nn.Module
    gone: set[int]

    @classmethod
    def begin(cls, places: Places, label: str, seed: int) -> Walk:
        """From the original; an ensemble has a copy of its folder, in which no later walk has left a checkpoint."""
        model = original(places, label, seed)
        if isinstance(model, eb.ShardedEnsemble):
            copy = places.store / "sisa" / f"walk-{seed}"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(model.folder, copy)
            model.folder = copy
        return cls(places, label, seed, model, set())

    def step(self, ids: Sequence[int], *, draw: int) -> dict[str, Any]:
        """One request; what it took. Nothing is done where nothing new is asked for."""
        before = of_model(self.model)
        fresh = [i for i in ids if i not in self.gone]
        told: dict[str, Any] = {"new": len(fresh), "examples": 0, "retraining": 0, "seconds": 0.0}
        if fresh:
            told |= self._unlearn(fresh, draw)
            self.gone |= set(fresh)
        return told | {"same bits": of_model(self.model) == before}

    def _unlearn(self, fresh: list[int], draw: int) -> dict[str, Any]:
        request, recipe = self.places.own.request(fresh, self.gone), self.places.task.trainer.recipe
        asked = METHODS[self.label]
        method = asked if isinstance(asked, AS_THEY_ARE) else within(asked, BUDGET, recipe, request)
        journal, started = Journal(), time.perf_counter()
        self.model = method.unlearn(self.model, request, seed=1000 * draw + self.seed, journal=journal)
        return {
            "examples": journal.examples,
            "retraining": recipe.examples(len(request.retain)),
            "seconds": round(time.perf_counter() - started, 2),
            "rolled back": journal.rolled_back is not None,
        }


def walk_through(places: Places, job: tuple[str, int]) -> None:
    """One original through the mixed stream by one method: what it took, and what the model says at each step, are kept."""
    label, seed = job
    walk, steps = Walk.begin(places, label, seed), []
    kept = {f"before/{name}": array for name, array in look(walk.model, places.own).items()}
    for step, asked in enumerate(places.own.stream):
        steps.append({"request": step + 1} | walk.step(asked.ids, draw=step + 1))
        if step in places.steps:
            kept |= {f"{step}/{name}": array for name, array in look(walk.model, places.own).items()}
    told: dict[str, Any] = {"steps": steps}
    if isinstance(walk.model, eb.ShardedEnsemble):
        told["from scratch"] = _from_scratch(places, walk.model, walk.gone, seed) == of_model(walk.model)
    save_arrays(walk_path(places, job, "npz"), kept)
    write_text(walk_path(places, job, "json"), json.dumps(told))


def _from_scratch(places: Places, model: eb.ShardedEnsemble, gone: set[int], seed: int) -> str:
    """The ensemble that is trained in an empty folder on what stays."""
    folder = places.store / "sisa" / f"scratch-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    fresh = eb.ShardedEnsemble(places.task.trainer, SHARDING, folder=folder, seed=model.seed)
    return of_model(fresh.fit(places.own.train, ids=[i for i in range(places.own.n) if i not in gone]))


def walk_path(places: Places, job: tuple[str, int], ending: str) -> Path:
    """Where what was met on the way is kept."""
    return places.store / f"walk-{job[0]}-{job[1]}.{ending}"


def seen_on_the_way(places: Places, job: tuple[str, int], when: object) -> Seen:
    """What the model said at a step."""
    arrays = load_arrays(walk_path(places, job, "npz"), dict)
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.partition("/")[0] == str(when)}


def make_cell(places: Places, job: tuple[str, int]) -> None:
    """The figures of a walk, beside retrained models; of an ensemble beside the others, which are retrained exactly."""
    (label, seed), own = job, places.own
    told = json.loads(walk_path(places, job, "json").read_text(encoding="utf-8"))
    fresh = own.new(range(len(own.stream)))

    def others(step: int) -> Sequence[Seen]:
        if label != "sisa":
            return references(places, step)
        return [seen_on_the_way(places, (label, i), step) for i in range(N) if i != seed]

    for step in places.steps:
        seen, gone = seen_on_the_way(places, job, step), gone_by(places, step)
        told["steps"][step]["accuracy"] = accuracies(seen, own, gone)
        told["steps"][step]["memory"] = memories(seen, others(step), own, fresh[: step + 1], gone)
    before, last = seen_on_the_way(places, job, "before"), places.steps[-1]
    told["before"] = {
        "accuracy": accuracies(before, own, set()),
        "memory": memories(before, others(last), own, fresh, gone_by(places, last)),
    }
    method = METHODS[label]
    about = {"label": label, "original": seed, "settings": as_plain(method)}
    about["budget"] = None if isinstance(method, AS_THEY_ARE) else BUDGET
    write_text(cell_path(places, job), json.dumps(about | told | {"provenance": provenance()}) + "\n")


def cell_path(places: Places, job: tuple[str, int]) -> Path:
    """Where the figures of a cell are."""
    return places.results / f"mixed-{job[0]}-{job[1]}.json"


# ---------------------------------------------------------------- other orders, and the same again


def make_orders(places: Places, label: str) -> None:
    """One original through the same requests in the other order, once more with other draws, and the last request again."""
    own, last = places.own, len(places.own.stream) - 1
    forth = list(range(last + 1))
    ends = {"as asked": seen_on_the_way(places, (label, 0), last)}
    for name, order, draws in (("reversed", forth[::-1], 0), ("other draws", forth, 500)):
        walk = Walk.begin(places, label, 0)
        for number in order:
            walk.step(own.stream[number].ids, draw=number + 1 + draws)
        ends[name] = look(walk.model, own)
    walk.gone -= set(own.stream[last].ids)  # asked for again, as if nobody had kept a list
    walk.step(own.stream[last].ids, draw=900)
    ends["asked again"] = look(walk.model, own)
    together = {name: np.concatenate([seen["train"], seen["holdout"]]) for name, seen in ends.items()}
    others = np.stack([np.concatenate([r["train"], r["holdout"]]) for r in references(places, last)])
    spread = Reference(Observations.from_margins(forget=others, retain=others, holdout=others)).moments("forget")[1]
    found = {
        "label": label,
        "orders": order_sensitivity(np.stack([together["as asked"], together["reversed"]]), spread=spread),
        "other draws": distance(together["as asked"], together["other draws"], spread=spread),
        "retrained": order_sensitivity(others, spread=spread),
        "asked again": distance(together["other draws"], together["asked again"], spread=spread),
        "provenance": provenance(),
    }
    write_text(places.results / f"orders-{label}.json", json.dumps(found) + "\n")


# ---------------------------------------------------------------- whoever asks next looks first


@lru_cache(maxsize=1)
def strangers(places: Places) -> np.ndarray:
    """(n,) mean margin of each record by models that were trained without it."""
    work = Memorisation(places.task.trainer, places.own.train, models_of(places), models=REFEREES)
    margins = np.stack([work.margins(i) for i in range(REFEREES)])
    inside = np.stack([work.part(i).numpy() for i in range(REFEREES)])
    means: np.ndarray = np.where(inside, 0, margins).sum(0) / (~inside).sum(0)
    return means


def make_adaptive(places: Places, label: str) -> None:
    """Five originals through a stream whose next request is what they seem to remember best: beyond who never saw it."""
    own, size = places.own, round(SHARE * places.own.n)
    walks = [Walk.begin(places, label, seed) for seed in range(N)]
    asked: list[list[int]] = []
    steps: list[dict[str, Any]] = []
    after: list[list[Seen]] = []
    for step in range(ADAPTIVE):
        known = np.mean([look(walk.model, own)["train"] for walk in walks], axis=0) - strangers(places)
        known[sorted(walks[0].gone)] = -np.inf
        asked.append(np.argsort(-known)[:size].tolist())
        told = [walk.step(asked[-1], draw=step + 1) for walk in walks]
        steps.append({"request": step + 1, "wrong": int(own.wrong[asked[-1]].sum()), "each": told})
        after.append([look(walk.model, own) for walk in walks])
    gone = walks[0].gone
    others = [look(retrained(places, gone, i)[0], own) for i in range(N)]
    exact = label == "sisa"  # ensembles that are retrained exactly, each against the others
    found = {
        "accuracy": [accuracies(s, own, gone) for s in after[-1]],
        "memory": among_themselves(after[-1], own, asked, gone)
        if exact
        else [memories(s, others, own, asked, gone) for s in after[-1]],
        "retrained": {
            "accuracy": [accuracies(o, own, gone) for o in others],
            "memory": among_themselves(after[-1] if exact else others, own, asked, gone),
        },
    }
    text = json.dumps({"label": label, "size": size, "steps": steps, "end": found, "provenance": provenance()})
    write_text(places.results / f"adaptive-{label}.json", text + "\n")


# ---------------------------------------------------------------- what is missing


def make_other(places: Places, job: tuple[str, str]) -> None:
    """A cell of the other orders or of the adaptive stream."""
    kind, label = job
    (make_orders if kind == "orders" else make_adaptive)(places, label)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(TASKS), default="digits")
    parser.add_argument("--label", action="append", choices=list(METHODS), help="repeatable; all by default")
    parser.add_argument("--executor", choices=["local", "ray"], default="local", help="where runs go")
    parser.add_argument("--workers", type=int, help="1 by default, with --executor ray what the cluster has room for")
    parser.add_argument("--address", help="of the Ray cluster, as of `ebbing bench run`")
    parser.add_argument("--cpus-per-run", type=float, help="that Ray keeps for each; 1 by default")
    parser.add_argument("--store", type=Path, default=Path("runs/stream"))
    parser.add_argument("--results", type=Path, default=Path("results/stream"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    workers = executor_named(
        options.executor,
        workers=options.workers or (1 if options.executor == "local" else None),
        address=options.address,
        cpus_per_run=options.cpus_per_run,
    )
    task = TASKS[options.task]
    places = Places(task, options.store / task.name, options.results / task.name)
    shared = [places.store, places.results]
    labels = options.label or list(METHODS)
    jobs = [(step, i) for step in places.steps for i in range(N)]
    missing = [(step, i) for step, i in jobs if not (places.store / f"retrained-{step}-{i}.npz").exists()]
    for job, _ in compute(reference_job, places, missing, workers=workers, folders=shared):
        print("retrained", *job, flush=True)
    make_reference(places)
    cells = [(label, seed) for label in labels for seed in range(N)]
    missing_cells = [cell for cell in cells if not walk_path(places, cell, "json").exists()]
    for cell, _ in compute(walk_through, places, missing_cells, workers=workers, folders=shared):
        print(*cell, flush=True)
        if cell[0] != "sisa":
            make_cell(places, cell)
    for cell in cells:
        make_cell(places, cell)
    if task.checked is not None:
        return
    others = [(kind, label) for label in labels if label != "sisa" for kind in ("adaptive", "orders")]
    others += [("adaptive", label) for label in labels if label == "sisa"]
    others = [job for job in others if not (places.results / f"{job[0]}-{job[1]}.json").exists()]
    for other, _ in compute(make_other, places, others, workers=workers, folders=shared):
        print(*other, flush=True)


if __name__ == "__main__":
    main()
