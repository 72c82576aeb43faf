"""Who is memorised: self-influence of every record, cross-validated over models trained on random parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import TensorDataset

from ebbing.batches import iterate
from ebbing.errors import InputError
from ebbing.pool import Workers, compute
from ebbing.store import ModelStore, train_or_load
from ebbing.task import evaluation_mode, margin
from ebbing.training import Trainer

FIRST_SEED = 5000


@dataclass(frozen=True)
class Memorisation:
    """Mean margin of a record by models trained with it, less that by models trained without it.

    After the memorisation scores of Feldman and Zhang, arXiv 2008.03703, with margins in place of hits.

    Attributes:
        trainer: makes the models.
        data: the records, trained on by random parts.
        store: where models are kept.
        models: how many, >= 2; each record must be in some and not in others.
        share: of the records that each model is trained on.
        seed: of the parts.
    """

    trainer: Trainer
    data: TensorDataset
    store: ModelStore
    models: int = 48
    share: float = 0.7
    seed: int = 0

    def part(self, number: int) -> torch.Tensor:
        """(n,) bool, the records that model ``number`` is trained on."""
        generator = np.random.default_rng([self.seed, number])
        return torch.from_numpy(generator.random(len(self.data)) < self.share)

    def margins(self, number: int) -> np.ndarray:
        """(n,) margins of all records by one model, which is trained if it is not stored."""
        part = TensorDataset(*(tensor[self.part(number)] for tensor in self.data.tensors))
        model = train_or_load(self.trainer, part, seed=FIRST_SEED + number, store=self.store).model
        task = self.trainer.task
        with evaluation_mode(model):
            found = [margin(task.forward(model, batch)) for batch in iterate(self.data, batch_size=task.together(512))]
        return torch.cat(found).numpy()

    def scores(self, *, workers: Workers) -> np.ndarray:
        """(n,) scores in log-odds; large where a record is known only by who has seen it."""
        numbers = list(range(self.models))
        found = dict(compute(_margins, self, numbers, workers=workers, folders=[self.store.directory]))
        return scores_of(np.stack([found[i] for i in numbers]), np.stack([self.part(i).numpy() for i in numbers]))


def scores_of(margins: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(n,) mean margin where a model was trained with the record, less that where it was not.

    Args:
        margins: (models, n).
        inside: (models, n) bool.

    Raises:
        InputError: if a record is in all models or in none.

    Example:
        >>> scores_of(np.array([[3.0, 1.0], [1.0, 5.0]]), np.array([[True, False], [False, True]])).tolist()
        [2.0, 4.0]
    """
    lonely = int((inside.all(axis=0) | ~inside.any(axis=0)).sum())
    if lonely:
        raise InputError(
            f"each record must be in some models and not in others, but {lonely} of {inside.shape[1]} are in all of the "
            f"{len(inside)} models or in none. Train more."
        )
    seen = np.where(inside, margins, 0).sum(0) / inside.sum(0)
    not_seen = np.where(inside, 0, margins).sum(0) / (~inside).sum(0)
    scores: np.ndarray = seen - not_seen
    return scores


def _margins(work: Memorisation, number: int) -> np.ndarray:
    """Of a worker."""
    return work.margins(number)
