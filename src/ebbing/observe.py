"""One pass of many models over a request: everything the attacks and measures need, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

from ebbing.batches import iterate
from ebbing.request import ForgetRequest
from ebbing.task import Task, evaluation_mode

SPLITS = ("forget", "retain", "holdout", "matched")


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
        return np.logaddexp(0.0, -self.margin)

    @property
    def accuracy(self) -> np.ndarray:
        """(n_models,) fraction of examples predicted as labelled."""
        return self.correct.mean(axis=1)

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
