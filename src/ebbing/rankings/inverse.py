"""A ranking turned round: the control that a ranking must beat if its order means anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from ebbing.rankings.activation import Activation
from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup


@dataclass(frozen=True)
class Inverse(Ranking):
    """score_i = -(score of unit i by another ranking): who would forget last forgets first.

    With the same decay times on the same number of units, only their order differs from that of the other ranking.

    Attributes:
        by: the ranking that is turned round.
    """

    by: Ranking = field(default_factory=Activation)

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """What the other ranking reads."""
        return {n: -s for n, s in self.by.scores(model, units, request, task=task, seed=seed).items()}

    def reads(self, request: ForgetRequest) -> int:
        """Those of the other ranking."""
        return self.by.reads(request)
