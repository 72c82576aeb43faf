"""Ranking by chance: the control of every other ranking."""

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
class Random(Ranking):
    """score_i drawn uniformly from [0, 1) by the seed: the same decay on units chosen by chance."""

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """Nothing is read."""
        generator = torch.Generator().manual_seed(seed)
        return {g.name: torch.rand(g.size, dtype=torch.float64, generator=generator) for g in units}

    def reads(self, request: ForgetRequest) -> int:
        """None."""
        return 0
