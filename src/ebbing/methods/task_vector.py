"""Negation of a task vector."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class TaskVector(Unlearner):
    """Task arithmetic: theta <- theta_0 - alpha * (theta_f - theta_0), theta_f the original trained further on D_f.

    Source: Ilharco et al., arXiv 2212.04089.

    Attributes:
        strength: alpha, >= 0.
        learning: the training on the forget set that gives theta_f.
    """

    strength: float = 1.0
    learning: Recipe = field(default_factory=lambda: Recipe(epochs=3, batch_size=64, learning_rate=1e-4))

    def __post_init__(self) -> None:
        """Check the strength."""
        if not 0 <= self.strength < float("inf"):
            raise InputError(f"`strength` must be finite and >= 0, but is {self.strength}.")

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the training on the forget set."""
        return self.learning.examples(len(request.forget))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Learn more of it, and go the other way."""
        taught = deepcopy(model)
        data = run.request.for_training("forget")
        fit(taught, data, self.learning, task=run.task, generator=run.generator, journal=run.journal)
        with torch.no_grad():
            for own, other in zip(model.parameters(), taught.parameters(), strict=True):
                own.sub_(other - own, alpha=self.strength)
        return model
