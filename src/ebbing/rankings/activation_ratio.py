"""Ranking by how much more a unit responds to the forget set than to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebbing.rankings.ranking import Ranking, Scores, mean_statistic
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup

EPSILON = 1e-5


@dataclass(frozen=True)
class ActivationRatio(Ranking):
    """score_i = mean abs a_i over the forget set / (mean abs a_i over the retain set + 1e-5).

    A unit that is active for everything scores about 1. Source: Pochinkov and Schoots, arXiv 2403.01267.
    """

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """One pass over the forget set and one over the retain set."""
        forget = mean_statistic(model, units, request.forget, task=task, statistic="abs-mean")
        retain = mean_statistic(model, units, request.retain, task=task, statistic="abs-mean")
        return {name: forget[name] / (retain[name] + EPSILON) for name in forget}

    def reads(self, request: ForgetRequest) -> int:
        """The forget set and the retain set."""
        return len(request.forget) + len(request.retain)
