"""Ranking by place in the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup


@dataclass(frozen=True)
class Index(Ranking):
    """score_i = -i: unit 0 forgets first. The index order of the paper's authors' public code; arbitrary by nature."""

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """Nothing is read."""
        return {g.name: -torch.arange(g.size, dtype=torch.float64) for g in units}

    def reads(self, request: ForgetRequest) -> int:
        """None."""
        return 0
