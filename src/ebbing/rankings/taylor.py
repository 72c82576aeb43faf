"""Ranking by what the loss would change if a unit were silenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ebbing.rankings.ranking import Ranking, Scores, mean_squared_gate_gradient
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup


@dataclass(frozen=True)
class Taylor(Ranking):
    """score_i = mean over the forget set of (sum over positions of a_i * dL/da_i)^2.

    First-order estimate of the squared change of an example's loss when unit i is set to zero; L is the cross entropy of
    one example in nats. Source: Molchanov et al., arXiv 1906.10771.
    """

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """One forward and backward pass over the forget set; no gradient is left on the parameters."""
        return mean_squared_gate_gradient(model, units, request.forget, task=task)
