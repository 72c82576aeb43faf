"""Ranking by how small the weights are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup, by_slice


@dataclass(frozen=True)
class SmallWeights(Ranking):
    """score_u = -sum of abs(w) over the weights w of unit u: what is smallest, and hardly matters to anything, goes first.

    For single weights and for whole neurons or channels. No data are read. It is the criterion of pruning by magnitude, Han et
    al., arXiv 1506.02626.
    """

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """From the weights as they are."""
        found = {}
        for group in units:
            sizes = [by_slice(model.get_parameter(p.parameter).detach().abs().double(), p, group) for p in group.slices]
            found[group.name] = -torch.stack(sizes).sum(dim=0).cpu()
        return found

    def reads(self, request: ForgetRequest) -> int:
        """None."""
        return 0
