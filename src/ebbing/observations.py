"""One pass of many models over a request: everything the attacks and measures need, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from torch import nn

from ebbing.batches import evenly, iterate
from ebbing.errors import InputError
from ebbing.request import ForgetRequest
from ebbing.task import Task, confidence, correct, entropy, evaluation_mode, margin, modified_entropy

SPLITS = ("forget", "retain", "holdout", "matched")
RETAIN_SAMPLE = 10_000


@dataclass(frozen=True)
class Signals:
    """Per-example outputs of several models on one split, each array of shape (n_models, n_examples).

    Attributes:
        margin: logit of the label minus logsumexp of the other logits, in (-inf, inf).
        confidence: largest predicted probability, in [1 / classes, 1].
        entropy: of the predicted distribution, in nats, >= 0.
        modified_entropy: -(1 - p_y) log p_y - sum over j != y of p_j log(1 - p_j), >= 0
            (Song and Mittal, arXiv 2003.10595).
        correct: whether the largest logit is the label's.
    """

    margin: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    modified_entropy: np.ndarray
    correct: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        """Cross entropy in nats, log(1 + exp(-margin)): the margin is the log-odds of the label."""
        loss: np.ndarray = np.logaddexp(0.0, -self.margin)
        return loss

    @property
    def accuracy(self) -> np.ndarray:
        """(n_models,) fraction of examples predicted as labelled."""
        rates: np.ndarray = self.correct.mean(axis=1)
        return rates

    @property
    def n_models(self) -> int:
        """Number of models (rows)."""
        return int(self.margin.shape[0])

    @property
    def n_examples(self) -> int:
        """Number of examples (columns)."""
        return int(self.margin.shape[1])

    def __getitem__(self, models: slice | list[int]) -> Signals:
        """The rows of some of the models."""
        return Signals(**{f.name: getattr(self, f.name)[models] for f in fields(self)})


@dataclass(frozen=True)
class Observations:
    """The signals of the same models on every split of a request; ``matched`` is None where it is missing."""

    forget: Signals
    retain: Signals
    holdout: Signals
    matched: Signals | None

    def __getitem__(self, models: slice | list[int]) -> Observations:
        """The rows of some of the models, on every split."""
        return Observations(
            self.forget[models],
            self.retain[models],
            self.holdout[models],
            None if self.matched is None else self.matched[models],
        )

    @property
    def n_models(self) -> int:
        """Number of models observed."""
        return self.forget.n_models


def _signals(model: nn.Module, dataset: object, *, task: Task, batch_size: int) -> list[np.ndarray]:
    """The five signals of one model on one data set, each (n_examples,)."""
    rows: list[list[np.ndarray]] = [[] for _ in fields(Signals)]
    for batch in iterate(dataset, batch_size=batch_size):  # type: ignore[arg-type]
        outputs = task.forward(model, batch)
        for row, function in zip(rows, _FUNCTIONS, strict=True):
            row.append(function(outputs).cpu().numpy())
    return [np.concatenate(row) for row in rows]


_FUNCTIONS = (margin, confidence, entropy, modified_entropy, correct)


def observe(models: Sequence[nn.Module], request: ForgetRequest, *, task: Task, batch_size: int = 1024) -> Observations:
    """Run every model over every split of a request.

    Args:
        models: at least one; they are used in evaluation mode and left as they were.
        request: its ``forget``, ``retain``, ``holdout`` and ``matched`` splits are read; of ``retain`` at most 10,000
            records, evenly spaced.
        task: turns batches into outputs.
        batch_size: examples per forward pass.

    Returns:
        Observations with one row per model, in the order given.

    Raises:
        InputError: if there is no model, or a model returns values that are not finite.
    """
    if not len(models):
        raise InputError("at least one model is needed to observe, but none was given.")
    gathered: dict[str, Signals | None] = {}
    per_model: list[dict[str, list[np.ndarray]]] = []
    for number, model in enumerate(models):
        row = {}
        with evaluation_mode(model):
            for split in SPLITS:
                dataset = evenly(request.retain, RETAIN_SAMPLE) if split == "retain" else getattr(request, split)
                if dataset is not None:
                    row[split] = _signals(model, dataset, task=task, batch_size=batch_size)
                    if not np.isfinite(row[split][0]).all():
                        raise InputError(
                            f"every model must give finite outputs, but model {number} gives NaN or infinite margins on "
                            f"{split}. Leave it out, or check the data and the training that made it."
                        )
        per_model.append(row)
    for split in SPLITS:
        if split in per_model[0]:
            columns = zip(*(row[split] for row in per_model), strict=True)
            gathered[split] = Signals(*(np.stack(column) for column in columns))
        else:
            gathered[split] = None
    return Observations(**gathered)  # type: ignore[arg-type]
