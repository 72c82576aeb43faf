"""Ranking by how much more the loss on the forget set hangs on a unit than the loss on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.rankings.ranking import Ranking, Scores, mean_squared_gate_gradient
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup

GUARD = 1e-3  # of a group's mean
FLOOR = 1e-30  # for a group on which the retain set does not depend at all


@dataclass(frozen=True)
class FisherRatio(Ranking):
    """score_i = F_i(forget) / (F_i(retain) + eps), the ratio of two importances of unit i.

    F_i = mean over examples of (dL/dg_i)^2 at g = 1, where g_i multiplies the output of unit i: the diagonal of the
    empirical Fisher information of the gates. F_i(forget) is the score of `Taylor`, which cannot tell a unit that
    everything needs from one that the forget set alone needs; a unit that matters alike for both scores about 1.

    eps is 1e-3 of the mean of F(retain) over the group's units. It is relative because F shrinks with the squared loss
    gradients of a well trained model, under any absolute number, and then the retain set would no longer count.

    The idea of decaying parameters by their Fisher information is that of Golatkar et al., "Eternal Sunshine of the
    Spotless Net", arXiv 1911.04933; selecting them by the ratio of their importance to the forget set and to the rest is
    that of Foster et al., arXiv 2308.07707. Here it is taken by unit, and the retain set stands where the latter have
    the whole training set.

    Attributes:
        retain_records: at most so many evenly spaced records of the retain set are read, >= 1.
    """

    retain_records: int = 2000

    def __post_init__(self) -> None:
        """Check the number of records."""
        if self.retain_records < 1:
            raise InputError(f"`retain_records` must be at least 1, but is {self.retain_records}.")

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """A forward and backward pass over the forget set, and one over some of the retain set."""
        forget = mean_squared_gate_gradient(model, units, request.forget, task=task)
        some = evenly(request.retain, self.retain_records)
        retain = mean_squared_gate_gradient(model, units, some, task=task)
        return {name: forget[name] / (retain[name] + GUARD * retain[name].mean() + FLOOR) for name in forget}

    def reads(self, request: ForgetRequest) -> int:
        """The forget set and some of the retain set."""
        return len(request.forget) + min(self.retain_records, len(request.retain))
