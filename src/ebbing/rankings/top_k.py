"""A ranking of two classes: the top K, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from ebbing.errors import InputError
from ebbing.rankings.activation import Activation
from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup


@dataclass(frozen=True)
class TopK(Ranking):
    """score_i = 1 for the K units of a group that score highest by another ranking, 0 for the rest.

    With `RankedRate` that gives two decay times. Where a group has no more than K units all of them score 1. Among units
    that tie at the edge the first ones are taken.

    Attributes:
        k: units per group, >= 1.
        by: the ranking that chooses them.
    """

    k: int = 10
    by: Ranking = field(default_factory=Activation)

    def __post_init__(self) -> None:
        """Check K."""
        if self.k < 1:
            raise InputError(f"`k` must be at least 1 unit, but is {self.k}.")

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """What the other ranking reads."""
        found = self.by.scores(model, units, request, task=task, seed=seed)
        chosen = {}
        for name, values in found.items():
            chosen[name] = torch.zeros(len(values), dtype=torch.float64)
            chosen[name][values.argsort(descending=True, stable=True)[: self.k]] = 1.0
        return chosen

    def reads(self, request: ForgetRequest) -> int:
        """Those of the other ranking."""
        return self.by.reads(request)
