"""Models stored by content, and the bank of retrained models that every judgement stands on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__, fingerprint
from ebbing.errors import InputError
from ebbing.files import write_whole
from ebbing.journal import Journal
from ebbing.request import ForgetRequest
from ebbing.training import OwnTrainer, Trainer

AnyTrainer = Callable[..., nn.Module]


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
        """Write a model and facts about it, replacing the entry in one step."""
        write_whole(self.path(key), lambda name: save_model(model, name, metadata=facts))

    def facts(self, key: str) -> dict[str, str] | None:
        """The facts about an entry; None where there is no readable one."""
        try:
            with safe_open(self.path(key), framework="pt") as file:
                return dict(file.metadata() or {})
        except (SafetensorError, OSError):
            return None

    def get(self, key: str, fresh: Callable[[], nn.Module]) -> tuple[nn.Module, dict[str, str]] | None:
        """The model of a key loaded into ``fresh()`` and its facts; None where there is no readable entry."""
        facts = self.facts(key)
        if facts is None:
            return None
        try:
            model = fresh()
            load_model(model, self.path(key))
        except (SafetensorError, RuntimeError, OSError):
            return None  # unreadable or of another structure: as if it were not there, and written anew
        model.eval()
        return model, facts


def training_key(trainer: AnyTrainer, dataset: Dataset[Any], *, seed: int) -> str:
    """The content key of a training: whatever may change a bit of the result is in it.

    Hash of the model's structure, code and initial state at the seed, task, recipe, device, data, seed, number of threads
    and versions of ebbing and torch. For an `OwnTrainer`, name and source of the training function's module in place of
    task and recipe; for any other callable, its qualified name in place of the first four.
    """
    if isinstance(trainer, (Trainer, OwnTrainer)):
        initial = trainer.initial(seed=seed)
        who: list[Any] = [
            fingerprint.of_model(initial),
            sorted({line for module in initial.modules() for line in fingerprint.source_of(type(module))}),
            trainer.device,
        ]
        if isinstance(trainer, Trainer):
            who += [fingerprint.as_plain(trainer.task), fingerprint.as_plain(trainer.recipe)]
        else:
            who += [fingerprint.as_plain(trainer.function), fingerprint.module_source_of(trainer.function)]
    else:
        who = [fingerprint.as_plain(trainer)]
    return fingerprint.of_settings(
        [*who, fingerprint.of_dataset(dataset), seed, torch.get_num_threads(), torch.__version__, __version__]
    )


@dataclass(frozen=True)
class Trained:
    """A trained model and what it took: ``seconds`` of wall time, None where it is not known."""

    model: nn.Module
    seconds: float | None
    reused: bool


def train_or_load(
    trainer: AnyTrainer,
    dataset: Dataset[Any],
    *,
    seed: int,
    store: ModelStore | None,
    journal: Journal | None = None,
) -> Trained:
    """The model of a trainer, data set and seed: from the store where it is there, else trained and stored."""
    if not isinstance(trainer, (Trainer, OwnTrainer)):  # its models can be made, but not loaded again
        start = time.perf_counter()
        model = trainer(dataset, seed=seed)
        return Trained(model, time.perf_counter() - start, reused=False)
    key = training_key(trainer, dataset, seed=seed) if store is not None else ""
    found = store.get(key, lambda: trainer.initial(seed=seed)) if store is not None else None
    if found is not None and "seconds" in found[1]:
        return Trained(found[0], float(found[1]["seconds"]), reused=True)
    start = time.perf_counter()
    model = trainer(dataset, seed=seed, journal=journal)
    seconds = time.perf_counter() - start
    if store is not None:
        store.put(key, model, {"seconds": repr(seconds), "seed": str(seed)})
    return Trained(model, seconds, reused=False)


@dataclass
class OracleBank(Sequence[nn.Module]):
    """Models retrained without the forget set, with different seeds: a sequence of modules.

    Attributes:
        trainer: a `Trainer`, an `OwnTrainer`, or any callable ``(dataset, *, seed) -> model``; None where all are given.
        request: its retain set is what they are trained on.
        directory: where models are kept by content and found again; only those of a `Trainer` or `OwnTrainer` can be.
            None keeps them in memory.
        first_seed: seed of the first model; the i-th has ``first_seed + i``. Keep it apart from the original's.
        given: models retrained elsewhere, before those that are trained here.
    """

    trainer: AnyTrainer | None
    request: ForgetRequest
    directory: str | Path | None = None
    first_seed: int = 1000
    given: Sequence[nn.Module] = ()
    _trained: list[Trained] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Refuse a directory for a trainer whose models could not be loaded again."""
        if self.directory is not None and not isinstance(self.trainer, (Trainer, OwnTrainer, type(None))):
            raise InputError(
                "a bank with a directory needs an ebbing.Trainer or OwnTrainer, which can build the model that weights are "
                f"loaded into, but the trainer is {self.trainer!r}. Leave the directory out, or wrap it in an OwnTrainer."
            )
        self._trained = [Trained(model, None, reused=True) for model in self.given]

    def train(
        self,
        n: int,
        *,
        journal: Journal | None = None,
        on_model: Callable[[int, Trained], None] | None = None,
    ) -> OracleBank:
        """Train until there are ``n`` models; those that exist are reused. Each is stored as it is finished.

        Args:
            n: models wanted, those given included, >= 1.
            journal: counts the examples.
            on_model: called with the number of models so far and the newest.

        Returns:
            The bank itself.
        """
        if n < 1:
            raise InputError(f"`n` must be at least 1 retrained model, but is {n}.")
        store = None if self.directory is None else ModelStore(Path(self.directory))
        while len(self._trained) < n:
            if self.trainer is None:
                raise InputError(
                    f"{n} retrained models need a trainer, but only {len(self.given)} were given and no trainer."
                )
            seed = self.first_seed + len(self._trained) - len(self.given)
            data = self.request.for_training("retain")
            trained = train_or_load(self.trainer, data, seed=seed, store=store, journal=journal)
            self._trained.append(trained)
            if on_model is not None:
                on_model(len(self._trained), trained)
        return self

    def stored_seconds(self, n: int) -> list[float]:
        """Wall time of those of the first ``n`` models that are in the directory already, in seconds; none is loaded."""
        if self.directory is None or self.trainer is None or not n:
            return []
        store, data = ModelStore(Path(self.directory)), self.request.for_training("retain")
        keys = [training_key(self.trainer, data, seed=self.first_seed + i) for i in range(n)]
        facts = [store.facts(key) for key in keys]
        return [float(f["seconds"]) for f in facts if f is not None and "seconds" in f]

    @property
    def seconds(self) -> list[float]:
        """Wall time that each model took when it was trained, in seconds."""
        return [t.seconds for t in self._trained if t.seconds is not None]

    @property
    def median_seconds(self) -> float | None:
        """Median wall time of one retraining; None before any."""
        return statistics.median(self.seconds) if self.seconds else None

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    @overload
    def __getitem__(self, index: slice) -> list[nn.Module]: ...
    def __getitem__(self, index: int | slice) -> nn.Module | list[nn.Module]:
        """One model, or a list of some."""
        if isinstance(index, slice):
            return [t.model for t in self._trained[index]]
        return self._trained[index].model

    def __len__(self) -> int:
        """How many models there are."""
        return len(self._trained)

    def __iter__(self) -> Iterator[nn.Module]:
        """The models in the order of their seeds."""
        return (t.model for t in self._trained)
