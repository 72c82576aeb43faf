"""Ranking by how much more a unit responds to the forget set than to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.rankings.ranking import Ranking, Scores, mean_statistic
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup

EPSILON = 1e-5


@dataclass(frozen=True)
class ActivationRatio(Ranking):
    """score_i = mean abs a_i over the forget set / (mean abs a_i over the retain set + 1e-5).

    A unit that is active for everything scores about 1. Source: Pochinkov and Schoots, arXiv 2403.01267.

    Attributes:
        retain_records: at most so many evenly spaced records of the retain set are read, >= 1; None for all, as the source
            does. A mean over a thousand records is known to a few percent, and the retain set need not be read again.
    """

    retain_records: int | None = None

    def __post_init__(self) -> None:
        """Check the number of records."""
        if self.retain_records is not None and self.retain_records < 1:
            raise InputError(f"`retain_records` must be at least 1, or None for all, but is {self.retain_records}.")

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """One pass over the forget set and one over the retain set, or some of it."""
        some = request.retain if self.retain_records is None else evenly(request.retain, self.retain_records)
        forget = mean_statistic(model, units, request.forget, task=task, statistic="abs-mean")
        retain = mean_statistic(model, units, some, task=task, statistic="abs-mean")
        return {name: forget[name] / (retain[name] + EPSILON) for name in forget}

    def reads(self, request: ForgetRequest) -> int:
        """The forget set and the retain set, or some of it."""
        n = len(request.retain)
        return len(request.forget) + (n if self.retain_records is None else min(self.retain_records, n))
