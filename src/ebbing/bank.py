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
from ebbing.training import Trainer

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

    def get(self, key: str, fresh: Callable[[], nn.Module]) -> tuple[nn.Module, dict[str, str]] | None:
        """The model of a key loaded into ``fresh()`` and its facts; None where there is no readable entry."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                facts = dict(file.metadata() or {})
            model = fresh()
            load_model(model, path)
        except (SafetensorError, RuntimeError, OSError):
            return None  # unreadable or of another structure: as if it were not there, and written anew
        model.eval()
        return model, facts


def training_key(trainer: AnyTrainer, dataset: Dataset[Any], *, seed: int) -> str:
    """The content key of a training: whatever may change a bit of the result is in it.

    Hash of the model's structure, code and initial state at the seed, task, recipe, device, data, seed, number of threads
    and versions of ebbing and torch; for a trainer that is no `Trainer`, of its qualified name in place of the first four.
    """
    if isinstance(trainer, Trainer):
        initial = trainer.initial(seed=seed)
        who: list[Any] = [
            fingerprint.of_model(initial),
            sorted({line for module in initial.modules() for line in fingerprint.source_of(type(module))}),
            fingerprint.as_plain(trainer.task),
            fingerprint.as_plain(trainer.recipe),
            trainer.device,
        ]
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
    if not isinstance(trainer, Trainer):  # its models can be made, but not loaded again
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
        trainer: a `Trainer`, or any callable ``(dataset, *, seed) -> model``.
        request: its retain set is what they are trained on.
        directory: where models are kept by content and found again; only a `Trainer`'s can be. None keeps them in
            memory.
        first_seed: seed of the first model; the i-th has ``first_seed + i``. Keep it apart from the original's.
    """

    trainer: AnyTrainer
    request: ForgetRequest
    directory: str | Path | None = None
    first_seed: int = 1000
    _trained: list[Trained] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Refuse a directory for a trainer whose models could not be loaded again."""
        if self.directory is not None and not isinstance(self.trainer, Trainer):
            raise InputError(
                "a bank with a directory needs an ebbing.Trainer, which can build the model that weights are loaded "
                f"into, but the trainer is {self.trainer!r}. Leave the directory out, or wrap the builder in a Trainer."
            )

    def train(
        self,
        n: int,
        *,
        journal: Journal | None = None,
        on_model: Callable[[int, Trained], None] | None = None,
    ) -> OracleBank:
        """Train until there are ``n`` models; those that exist are reused. Each is stored as it is finished.

        Args:
            n: models wanted, >= 1.
            journal: counts the examples.
            on_model: called with the number of models so far and the newest.

        Returns:
            The bank itself.
        """
        if n < 1:
            raise InputError(f"`n` must be at least 1 retrained model, but is {n}.")
        store = None if self.directory is None else ModelStore(Path(self.directory))
        while len(self._trained) < n:
            seed = self.first_seed + len(self._trained)
            trained = train_or_load(self.trainer, self.request.retain, seed=seed, store=store, journal=journal)
            self._trained.append(trained)
            if on_model is not None:
                on_model(len(self._trained), trained)
        return self

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
