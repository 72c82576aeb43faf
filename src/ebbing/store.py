"""Trained models stored by content: what was trained once is found again, and never taken for another."""

from __future__ import annotations

import json
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_file
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__, fingerprint
from ebbing.batches import size
from ebbing.checkpoints import tensors_of
from ebbing.errors import InputError
from ebbing.files import write_whole
from ebbing.journal import Journal
from ebbing.parallel import agreed, wait, writes
from ebbing.pool import Workers, compute
from ebbing.training import OwnTrainer, Trainer, train_together

log = logging.getLogger(__name__)

AnyTrainer = Callable[..., nn.Module]


@dataclass(frozen=True)
class Entry:
    """An entry of a store: its key, and the facts about it; None where the file cannot be read."""

    key: str
    facts: dict[str, str] | None


@dataclass(frozen=True)
class ModelStore:
    """Weights by key, one safetensors file each, written whole or not at all.

    Attributes:
        directory: made on the first write.
    """

    directory: Path

    def path(self, key: str) -> Path:
        """Where the entry of a key lies."""
        return self.directory / f"{key}.safetensors"

    def put(self, key: str, model: nn.Module, facts: dict[str, str]) -> None:
        """Write a model and facts about it, replacing the entry in one step; a digest of the weights goes with them."""
        tensors = tensors_of(model)
        known = facts | {"content": fingerprint.of_tensors(tensors)}
        if writes():
            write_whole(self.path(key), lambda name: save_file(tensors, name, metadata=known))
        wait()

    def facts(self, key: str) -> dict[str, str] | None:
        """The facts about an entry; None where there is no readable one."""
        try:
            with safe_open(self.path(key), framework="pt") as file:
                return dict(file.metadata() or {})
        except (SafetensorError, OSError):
            return None

    def get(self, key: str, fresh: Callable[[], nn.Module]) -> tuple[nn.Module, dict[str, str]] | None:
        """The model of a key loaded into ``fresh()`` and its facts; None where there is no readable entry.

        An entry whose weights are not those that were written is as if it were not there, and a warning says so.
        """
        facts = self.facts(key)
        if facts is None:
            return None
        try:
            model = fresh()
            load_model(model, self.path(key))
        except (SafetensorError, RuntimeError, OSError):
            return None  # unreadable or of another structure: as if it were not there, and written anew
        if facts.pop("content", None) != fingerprint.of_tensors(tensors_of(model)):
            log.warning("%s: its weights are not those that were written; it is made again.", self.path(key))
            return None
        model.eval()
        return model, facts

    def entries(self) -> list[Entry]:
        """What is there, oldest first; whether each is sound is not looked at."""
        found = [(path.stat().st_mtime, path.stem) for path in self.directory.glob("[!.]*.safetensors")]
        return [Entry(key, self.facts(key)) for _, key in sorted(found)]

    def is_sound(self, key: str) -> bool:
        """Whether the weights of an entry are, bit for bit, those that were written."""
        facts = self.facts(key)
        try:
            return facts is not None and facts.get("content") == fingerprint.of_tensors(load_file(self.path(key)))
        except (SafetensorError, OSError):
            return False

    def remove(self, key: str) -> None:
        """Take an entry away."""
        self.path(key).unlink(missing_ok=True)


def training_key(
    trainer: AnyTrainer, dataset: Dataset[Any], *, seed: int, threads: int | None = None, named: str | None = None
) -> str:
    """The content key of a training: whatever may change a bit of the result is in it.

    Hash of the model's structure, code and initial state at the seed, task, recipe, device, data, seed, number of threads
    and versions of ebbing and torch. For an `OwnTrainer`, name and source of the training function's module in place of
    task and recipe; for any other callable, its qualified name in place of the first four.

    Args:
        trainer: what trains.
        dataset: on what.
        seed: of the training.
        threads: of the process that trains; by default those of this one.
        named: fingerprint of the data, where it is known: to find it may mean to read all of them.
    """
    if isinstance(trainer, (Trainer, OwnTrainer)):
        initial = trainer.initial(seed=seed)
        who: list[Any] = [
            fingerprint.of_model(initial),
            sorted({line for module in initial.modules() for line in fingerprint.source_of(type(module))}),
            trainer.device,
        ]
        if isinstance(trainer, Trainer):
            who += [fingerprint.as_plain(trainer.task), fingerprint.source_of(type(trainer.task))]
            who.append(fingerprint.as_plain(trainer.recipe))
        else:
            who += [fingerprint.as_plain(trainer.function), fingerprint.module_source_of(trainer.function)]
    else:
        who = [fingerprint.as_plain(trainer)]
    threads = torch.get_num_threads() if threads is None else threads
    named = fingerprint.of_dataset(dataset) if named is None else named
    beside = ["together"] if isinstance(trainer, Trainer) and trainer.together > 1 else []
    return fingerprint.of_settings([*who, named, seed, threads, torch.__version__, __version__, *beside])


@dataclass(frozen=True)
class Trained:
    """A trained model and what it took: ``seconds`` of wall time, None where it is not known; its key where it is stored."""

    model: nn.Module
    seconds: float | None
    reused: bool
    key: str | None = None


def train_or_load(
    trainer: AnyTrainer,
    dataset: Dataset[Any],
    *,
    seed: int,
    store: ModelStore | None,
    journal: Journal | None = None,
    named: str | None = None,
) -> Trained:
    """The model of a trainer, data set (``named``, see `training_key`) and seed: from the store, else trained and stored."""
    if not isinstance(trainer, (Trainer, OwnTrainer)):  # its models can be made, but not loaded again
        start = time.perf_counter()
        model = trainer(dataset, seed=seed)
        return Trained(model, time.perf_counter() - start, reused=False)
    if store is not None and named is None:
        named = fingerprint.of_dataset(dataset)
    key = training_key(trainer, dataset, seed=seed, named=named) if store is not None else None
    found = store.get(key, lambda: trainer.initial(seed=seed)) if store is not None and key is not None else None
    agreed(found is None, what="whether a model is in the store, which must lie where all processes can read it,")
    if found is not None and "seconds" in found[1]:
        return Trained(found[0], float(found[1]["seconds"]), reused=True, key=key)
    start = time.perf_counter()
    model = trainer(dataset, seed=seed, journal=journal)
    seconds = time.perf_counter() - start
    if store is not None and key is not None:
        told = _told(trainer, dataset) | {"data": str(named)}
        store.put(key, model, {"seconds": repr(seconds), "seed": str(seed)} | told)
    return Trained(model, seconds, reused=False, key=key)


def _told(trainer: Trainer | OwnTrainer, dataset: Dataset[Any]) -> dict[str, str]:
    """Facts for whoever lists a store."""
    how = trainer.recipe if isinstance(trainer, Trainer) else trainer.function
    return {
        "role": "trained",
        "network": str(fingerprint.as_plain(trainer.build)),
        "trained by": json.dumps(fingerprint.as_plain(how)),
        "records": str(size(dataset)),
        "ebbing": __version__,
        "torch": torch.__version__,
    }


def train_many(
    trainer: AnyTrainer,
    dataset: Dataset[Any],
    seeds: Sequence[int],
    *,
    store: ModelStore | None,
    workers: Workers | None,
    journal: Journal | None = None,
) -> Iterator[tuple[int, Trained]]:
    """``(seed, model)`` for each seed, as they are there: those of the store first, then the others as they are trained.

    Args:
        trainer: what trains.
        dataset: on what.
        seeds: of the trainings.
        store: where they are found and kept.
        workers: processes of one thread each, or an executor, see `ebbing.pool.compute`; None trains here, one after the other.
        journal: counts the examples.

    Raises:
        InputError: if there are workers but no store, or the trainer's models cannot be stored, or they are to be trained
            together and cannot be.
    """
    named = None if store is None else fingerprint.of_dataset(dataset)
    if isinstance(trainer, Trainer) and trainer.together > 1:
        if workers is not None:
            raise InputError(
                f"models are trained either together in one program (`together` of the trainer, {trainer.together}) or by "
                "`workers`, but both are asked for. Leave one out."
            )
        yield from _by_groups(trainer, dataset, seeds, store=store, named=named, journal=journal)
        return
    if workers is None:
        for seed in seeds:
            yield seed, train_or_load(trainer, dataset, seed=seed, store=store, journal=journal, named=named)
        return
    if store is None or not isinstance(trainer, (Trainer, OwnTrainer)):
        raise InputError(
            "`workers` need a directory to keep models in and a Trainer or OwnTrainer. Give both, or no workers."
        )
    keys = {seed: training_key(trainer, dataset, seed=seed, threads=1, named=named) for seed in seeds}
    missing = []
    for seed in seeds:
        found = _stored(store, keys[seed], trainer)
        if found is None:
            missing.append(seed)
        else:
            yield seed, found
    work = (trainer, dataset, store, named)
    for seed, _ in compute(_train_one, work, missing, workers=workers, folders=[store.directory]):
        found = _stored(store, keys[seed], trainer)
        if found is None:
            raise InputError(
                f"{store.path(keys[seed])} was written, but cannot be read. Is the disk sound, and is there room?"
            )
        if journal is not None and isinstance(trainer, Trainer):
            journal.advance(trainer.recipe.examples(size(dataset)))
        yield seed, replace(found, reused=False)


def _by_groups(
    trainer: Trainer,
    dataset: Dataset[Any],
    seeds: Sequence[int],
    *,
    store: ModelStore | None,
    named: str | None,
    journal: Journal | None,
) -> Iterator[tuple[int, Trained]]:
    """Models trained some at a time in one program; each has its share of the time. A group is stored when it is finished."""
    keys = {} if store is None else {s: training_key(trainer, dataset, seed=s, named=named) for s in seeds}
    missing = []
    for seed in seeds:
        found = None if store is None else _stored(store, keys[seed], trainer)
        if found is None:
            missing.append(seed)
        else:
            yield seed, found
    told = _told(trainer, dataset) | {"data": str(named)}
    for first in range(0, len(missing), trainer.together):
        some = missing[first : first + trainer.together]
        start = time.perf_counter()
        models = train_together(trainer, dataset, seeds=some, journal=journal)
        seconds = (time.perf_counter() - start) / len(some)
        for seed, model in zip(some, models, strict=True):
            if store is not None:
                facts = {"seconds": repr(seconds), "seed": str(seed), "together": str(len(some))}
                store.put(keys[seed], model, facts | told)
        for seed, model in zip(some, models, strict=True):
            yield seed, Trained(model, seconds, reused=False, key=keys.get(seed))


def kept(
    trainer: AnyTrainer, dataset: Dataset[Any], seeds: Sequence[int], *, store: ModelStore, threads: int | None = None
) -> list[float]:
    """Wall time of those trainings whose models are in the store already, in seconds; no model is loaded."""
    named = fingerprint.of_dataset(dataset)  # once: to name data may mean to read all of it
    keys = [training_key(trainer, dataset, seed=seed, threads=threads, named=named) for seed in seeds]
    facts = [store.facts(key) for key in keys]
    return [float(f["seconds"]) for f in facts if f is not None and "seconds" in f]


def time_left(seconds: Sequence[float], left: int, *, workers: int | None = None) -> float | None:
    """Wall time that ``left`` more trainings will take, in seconds: their median, once for each round of the workers.

    Args:
        seconds: of trainings like them.
        left: how many are to come, >= 0.
        workers: how many are trained at once; None for one after the other.

    Returns:
        None where no training is known to tell by.

    Example:
        >>> time_left([2.0, 3.0, 40.0], 5, workers=2)
        9.0
    """
    if not left:
        return 0.0
    return statistics.median(seconds) * math.ceil(left / (workers or 1)) if seconds else None


def _stored(store: ModelStore, key: str, trainer: Trainer | OwnTrainer) -> Trained | None:
    found = store.get(key, lambda: trainer.initial(seed=0))
    if found is None or "seconds" not in found[1]:
        return None
    return Trained(found[0], float(found[1]["seconds"]), reused=True, key=key)


def _train_one(payload: tuple[Trainer | OwnTrainer, Dataset[Any], ModelStore, str | None], seed: int) -> None:
    """What a worker does: train, and leave the model in the store."""
    trainer, dataset, store, named = payload
    train_or_load(trainer, dataset, seed=seed, store=store, named=named)
