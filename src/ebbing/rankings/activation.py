"""Ranking by how strongly a unit responds to the forget set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebbing.errors import InputError
from ebbing.rankings.ranking import Ranking, Scores, mean_statistic
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup

STATISTICS = ("mean", "abs-mean", "rms")


@dataclass(frozen=True)
class Activation(Ranking):
    """score_i = mean over the forget set of the pre-activation of unit i (the paper's ranking).

    Attributes:
        statistic: "mean" (signed: what passes a ReLU counts), "abs-mean" or "rms".
    """

    statistic: str = "mean"

    def __post_init__(self) -> None:
        """Check the statistic."""
        if self.statistic not in STATISTICS:
            raise InputError(f"`statistic` must be one of {', '.join(STATISTICS)}, but is {self.statistic!r}.")

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """One pass over the forget set."""
        return mean_statistic(model, units, request.forget, task=task, statistic=self.statistic)
