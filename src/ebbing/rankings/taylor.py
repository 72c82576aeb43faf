"""Ranking by what the loss would change if a unit were silenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebbing.batches import iterate
from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task, cross_entropy, evaluation_mode
from ebbing.units import UnitGroup, by_unit, reading


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
        sums = {g.name: torch.zeros(g.size, dtype=torch.float64) for g in units}
        seen: dict[str, Tensor] = {}

        def read(group: UnitGroup, output: Tensor) -> None:
            seen[group.name] = output

        n = 0
        with reading(model, units, read), evaluation_mode(model):
            for batch in iterate(request.forget, batch_size=256):
                with torch.enable_grad():
                    outputs = task.forward(model, batch)
                    # summed, so that each example's gradient is its own
                    gradients = torch.autograd.grad(cross_entropy(outputs).sum(), [seen[g.name] for g in units])
                for group, gradient in zip(units, gradients, strict=True):
                    change = by_unit(seen[group.name] * gradient, group).sum(dim=2)  # (examples, n)
                    sums[group.name] += change.detach().double().square().sum(dim=0).cpu()
                n += len(outputs.targets)
        return {name: total / n for name, total in sums.items()}
