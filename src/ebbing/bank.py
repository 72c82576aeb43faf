"""The bank of retrained models, which every judgement stands on."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import overload

from torch import nn

from ebbing import fingerprint
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.pool import Workers
from ebbing.request import ForgetRequest
from ebbing.store import AnyTrainer, ModelStore, Trained, kept, train_many
from ebbing.training import OwnTrainer, Trainer


@dataclass(frozen=True)
class _Member:
    """A model of a bank: how it is had, and the wall time of its training; None where that is not known."""

    model: Callable[[], nn.Module]
    seconds: float | None = None


@dataclass
class OracleBank(Sequence[nn.Module]):
    """Models retrained without the forget set, with different seeds: a sequence of modules.

    A bank with a directory holds no model in memory: each is read from its file whenever it is asked for, and is another
    object every time.

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
    _members: list[_Member] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Refuse a directory for a trainer whose models could not be loaded again."""
        if self.directory is not None and not isinstance(self.trainer, (Trainer, OwnTrainer, type(None))):
            raise InputError(
                "a bank with a directory needs an ebbing.Trainer or OwnTrainer, which can build the model that weights are "
                f"loaded into, but the trainer is {self.trainer!r}. Leave the directory out, or wrap it in an OwnTrainer."
            )
        self._members = [_Member(partial(_itself, model)) for model in self.given]

    def train(
        self,
        n: int,
        *,
        workers: Workers | None = None,
        journal: Journal | None = None,
        on_model: Callable[[int, Trained], None] | None = None,
    ) -> OracleBank:
        """Train until there are ``n`` models; those that exist are reused. Each is stored as it is finished.

        Args:
            n: models wanted, those given included, >= 1.
            workers: processes of one thread each, or an executor such as `RayExecutor`; None trains here, one after the other.
                They need a directory.
            journal: counts the examples.
            on_model: called with the number of models so far and the newest.

        Returns:
            The bank itself.
        """
        if n < 1:
            raise InputError(f"`n` must be at least 1 retrained model, but is {n}.")
        if len(self._members) >= n:
            return self
        if self.trainer is None:
            raise InputError(
                f"{n} retrained models need a trainer, but only {len(self.given)} were given and no trainer."
            )
        first = self.first_seed + len(self._members) - len(self.given)
        seeds = [first + i for i in range(n - len(self._members))]
        found: dict[int, _Member] = {}
        digests: dict[str, int] = {}
        try:
            for seed, trained in train_many(
                self.trainer,
                self.request.for_training("retain"),
                seeds,
                store=self.store,
                workers=workers,
                journal=journal,
            ):
                first_with = digests.setdefault(fingerprint.of_tensors(trained.model.state_dict()), seed)
                if first_with != seed:  # the audit refuses them too; here the others are not trained in vain
                    raise InputError(
                        f"retrained models must differ by their seeds, but that of seed {seed} has the same weights as that of "
                        f"seed {first_with}. Does the training function use its seed?"
                    )
                found[seed] = self._member(trained)
                if on_model is not None:
                    on_model(len(self._members) + len(found), trained)
        finally:  # in the order of their seeds, also where it was interrupted
            for seed in seeds:
                if seed not in found:
                    break
                self._members.append(found[seed])
        return self

    def _member(self, trained: Trained) -> _Member:
        """What is kept of a model: where it lies, if it was stored, else itself."""
        if trained.key is None:
            return _Member(partial(_itself, trained.model), trained.seconds)
        return _Member(partial(self._read, trained.key), trained.seconds)

    def _read(self, key: str) -> nn.Module:
        """A model from the directory."""
        store, trainer = self.store, self.trainer
        if store is None or not isinstance(trainer, (Trainer, OwnTrainer)):
            raise ValueError("only models that this bank stored are read.")
        found = store.get(key, lambda: trainer.initial(seed=0))
        if found is None:
            raise InputError(
                f"a bank reads its models where they were stored, but {str(store.path(key))!r} is gone or damaged. Train "
                "again: what is there is reused."
            )
        return found[0]

    def originals(self, n: int, *, first_seed: int = 0, workers: Workers | None = None) -> list[nn.Module]:
        """``n`` models trained on everything by the same trainer, with seeds from ``first_seed``: stored and reused alike.

        An original and what a method makes of it with the same seed are a pair; see `ebbing.study.Study.pairs`.
        """
        if self.trainer is None:
            raise InputError(f"{n} originals need a trainer, but the bank has none.")
        seeds = range(first_seed, first_seed + n)
        data = self.request.for_training("everything")
        found = dict(train_many(self.trainer, data, seeds, store=self.store, workers=workers))
        return [found[seed].model for seed in seeds]

    @property
    def store(self) -> ModelStore | None:
        """Where models are kept; None in memory."""
        return None if self.directory is None else ModelStore(Path(self.directory))

    def stored_seconds(self, n: int, *, workers: Workers | None = None) -> list[float]:
        """Wall time of those of the first ``n`` models that are in the directory already, in seconds; none is loaded.

        Args:
            n: models wanted.
            workers: as `train` will be given them: a model of another number of threads is another model.
        """
        if self.store is None or self.trainer is None or not n:
            return []
        seeds = range(self.first_seed, self.first_seed + n)
        threads = None if workers is None else 1
        return kept(self.trainer, self.request.for_training("retain"), seeds, store=self.store, threads=threads)

    @property
    def seconds(self) -> list[float]:
        """Wall time that each model took when it was trained, in seconds."""
        return [member.seconds for member in self._members if member.seconds is not None]

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
            return [member.model() for member in self._members[index]]
        return self._members[index].model()

    def __len__(self) -> int:
        """How many models there are."""
        return len(self._members)

    def __iter__(self) -> Iterator[nn.Module]:
        """The models in the order of their seeds."""
        return (member.model() for member in self._members)


def _itself(model: nn.Module) -> nn.Module:
    return model
