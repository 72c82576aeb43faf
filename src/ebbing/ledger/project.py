"""The user's own network, data and training, as processing needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from ebbing.batches import size
from ebbing.errors import InputError
from ebbing.inspection import Inspection, inspect
from ebbing.ledger.chain import marked
from ebbing.ledger.folders import Folders
from ebbing.ledger.manifest import ENSEMBLE, FOLDER, ONE
from ebbing.ledger.planning import Subjects
from ebbing.ledger.shards import Shards
from ebbing.methods import SISA, FineTune, Unlearner
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Task
from ebbing.training import OwnTrainer, Trainer
from ebbing.unseen import Overlap, split_unseen


@dataclass(frozen=True)
class FromScratch(Unlearner):
    """A model trained without the records by the user's own training, in the place of the current one.

    Attributes:
        trainer: trains it.
    """

    trainer: Trainer | OwnTrainer
    reads_forget: ClassVar[bool] = False

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over."""
        return self.trainer(run.request.for_training("retain"), seed=run.seed, journal=run.journal)


@dataclass
class Project:
    """What is processed, and how.

    Attributes:
        build: makes a fresh network.
        dataset: the full training set.
        holdout: unseen data.
        matched: unseen data like the records to forget; None takes it from ``holdout``.
        keys: one for each record of ``dataset``; None takes positions.
        subjects: from a subject to keys; None where there is no map.
        task: turns batches into outputs.
        trainer: makes retrained references, and models from scratch; None where nothing can be trained.
        method: forgets.
        gone_method: forgets records that it may not read.
        device: where models run.
        validation_share: of ``holdout`` that methods may look at.
        overlap: what becomes of unseen records that were trained on.
        seed: splits ``holdout``.
        folders: where the model is a folder of the transformers library, as its versions then are. None for any other model.
        shards: where the model is an ensemble trained in shards; `SISA` is then the only method. None for any other model.

    Raises:
        InputError: if ``gone_method`` reads what is to be forgotten, there are not as many keys as records, or methods and
            model do not go together.
    """

    build: Callable[[], nn.Module]
    dataset: Dataset[Any]
    holdout: Dataset[Any]
    matched: Dataset[Any] | None = None
    keys: Sequence[str] | None = None
    subjects: Subjects | None = None
    task: Task = field(default_factory=Classification)
    trainer: Trainer | OwnTrainer | None = None
    method: Unlearner | None = None
    gone_method: Unlearner = field(default_factory=FineTune)
    device: str = "cpu"
    validation_share: float = 0.2
    overlap: Overlap = "refuse"
    seed: int = 0
    shards: Shards | None = None
    folders: Folders | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without reading the data."""
        if self.gone_method.reads_forget:
            raise InputError(
                f"`gone_method` must never read the records to forget, but {type(self.gone_method).__name__} does. Choose one "
                "that only reads what stays, such as fine-tune, cfk, euk or prune-reinit."
            )
        if self.shards is not None and not all(isinstance(m, SISA) for m in (self.method, self.gone_method)):
            raise InputError(
                "an ensemble in shards must be made to forget by SISA, which keeps it exact, but `method` and `gone_method` "
                f"are {type(self.method).__name__} and {type(self.gone_method).__name__}. Set both to sisa."
            )
        if self.keys is not None and len(self.keys) != size(self.dataset):
            raise InputError(
                f"`keys` must be one for each record of the data set, but are {len(self.keys)} for {size(self.dataset)}."
            )

    @property
    def kind(self) -> str:
        """What the versions are, in the words of `ebbing.ledger.manifest`."""
        return ENSEMBLE if self.shards is not None else ONE if self.folders is None else FOLDER

    @cached_property
    def names(self) -> list[str]:
        """(n,) the key of each record: its position where there are no keys."""
        return [str(i) for i in range(size(self.dataset))] if self.keys is None else list(self.keys)

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Positions by key."""
        found: dict[str, list[int]] = {}
        for position, key in enumerate(self.names):
            found.setdefault(key, []).append(position)
        return found

    @cached_property
    def inspected(self) -> Inspection:
        """The content of every record, read once."""
        return inspect(self.dataset)

    def marks(self, salt: str) -> dict[str, list[int]]:
        """Positions by the salted hash of their key."""
        return {marked(salt, "record", key): positions for key, positions in self.places.items()}

    def contents(self, salt: str, keys: Sequence[str]) -> dict[str, str]:
        """Salted hashes of the inputs of the records with each key, by spaces; nothing for data taken at their word."""
        digests = self.inspected.digests
        if digests is None:
            return {}
        return {
            key: " ".join(sorted({marked(salt, "content", digests[i].hex()) for i in self.places[key]})) for key in keys
        }

    def request(self, forget: Sequence[int], gone: Sequence[int], *, description: str) -> ForgetRequest:
        """What goes and what stays, of positions; ``forget`` may be empty where the records are gone at the source."""
        generator = np.random.default_rng(self.seed)
        validation, holdout = split_unseen(self.holdout, share=self.validation_share, generator=generator)
        known = validation if size(validation) else None
        if not forget:
            stays = np.setdiff1d(np.arange(size(self.dataset)), np.asarray(gone, dtype=np.int64))
            if not len(stays):
                raise InputError("some records must stay, but all are to be forgotten. Train a new model.")
            nothing = torch.zeros(0, dtype=torch.int64)
            retain = torch.from_numpy(stays)
            return ForgetRequest(self.dataset, nothing, retain, holdout, known, kind="erasure", description=description)
        validation_matched: Dataset[Any] | None = None
        matched: Dataset[Any] | None = None
        if self.matched is not None:
            validation_matched, matched = split_unseen(self.matched, share=self.validation_share, generator=generator)
            validation_matched = validation_matched if size(validation_matched) else None
        return ForgetRequest.from_ids(
            self.dataset,
            forget,
            holdout=holdout,
            validation=known,
            matched=matched,
            validation_matched=validation_matched,
            exclude=gone,
            task=self.task,
            kind="erasure",
            description=description,
            overlap=self.overlap,
            inspected=self.inspected,
        )

    def part(self, positions: Sequence[int]) -> Subset[Any]:
        """Some records of the data set."""
        return Subset(self.dataset, list(positions))
