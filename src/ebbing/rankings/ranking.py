"""What a ranking is: who forgets first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import scipy
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.parallel import batches_of_share, read_in_parts, total
from ebbing.request import ForgetRequest
from ebbing.task import Task, cross_entropy, evaluation_mode
from ebbing.units import UnitGroup, by_unit, reading

Scores = dict[str, Tensor]


class Ranking(ABC):
    """Scores the units of each group: higher = forget faster.

    Contract: finite scores (n,) for every group; the same seed gives the same scores; weights, hooks and mode of the
    model are as they were; only the forget and retain sets are read.
    """

    @abstractmethod
    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """(n,) scores by group name."""

    def reads(self, request: ForgetRequest) -> int:
        """Examples that `scores` runs through the model, for what a method costs; those of the forget set by default."""
        return len(request.forget)


def ranks(scores: Tensor) -> Tensor:
    """(n,) float64 descending ranks in [0, n - 1]: 0 for the highest score; ties share their mean rank.

    Example:
        >>> ranks(torch.tensor([5.0, 1.0, 5.0, 9.0]))
        tensor([1.5000, 3.0000, 1.5000, 0.0000], dtype=torch.float64)
    """
    return torch.from_numpy(scipy.stats.rankdata(-scores.detach().cpu().double().numpy(), method="average") - 1.0)


def mean_statistic(
    model: nn.Module,
    units: Sequence[UnitGroup],
    dataset: Dataset[Any],
    *,
    task: Task,
    statistic: str,
    batch_size: int = 512,
) -> Scores:
    """(n,) mean over examples and positions, padding left out, of a function of each unit's activity, in one pass.

    Args:
        model: used in evaluation mode.
        units: the groups to read.
        dataset: read once, in order.
        task: runs the batches.
        statistic: "mean" (signed), "abs-mean" or "rms" (the root of the mean square).
        batch_size: examples per pass.

    Returns:
        Sums in float64, so that the order of batches hardly matters.
    """
    sums = {g.name: torch.zeros(g.size, dtype=torch.float64) for g in units}
    counts = {name: torch.zeros(1, dtype=torch.float64) for name in sums}
    mask: Tensor | None = None
    left_out = False

    def read(group: UnitGroup, output: Tensor) -> None:
        if left_out:
            return
        activity = by_unit(output, group)  # (examples, n, positions)
        values = activity.abs() if statistic == "abs-mean" else activity**2 if statistic == "rms" else activity
        counted = None if mask is None else _counted(mask, values)
        if counted is not None:
            values = values.masked_fill(~counted, 0)
        sums[group.name] += values.double().sum(dim=(0, 2)).cpu()
        counts[group.name] += activity.shape[0] * activity.shape[2] if counted is None else int(counted.sum())

    with read_in_parts(model), reading(model, units, read), evaluation_mode(model):
        for batch, counted in batches_of_share(dataset, batch_size=task.together(batch_size), reader=model):
            mask, left_out = task.positions(batch), not counted
            task.forward(model, batch)
    means = {name: torch.div(*total([summed, counts[name]])) for name, summed in sums.items()}
    return {name: m.sqrt() for name, m in means.items()} if statistic == "rms" else means


def _counted(mask: Tensor, values: Tensor) -> Tensor | None:
    """What of (examples, n, positions) values is no padding, as (examples, 1, positions) bool; None if they have no such axes.

    Args:
        mask: (examples, length) bool. A unit of several features has them one after the other, each at every position; and a
            model may have examples and positions in one axis.
        values: activity by unit.
    """
    examples, length = mask.shape
    mask = mask.to(values.device)
    if values.shape[0] == examples and values.shape[2] > 1 and values.shape[2] % length == 0:
        return mask.repeat(1, values.shape[2] // length).unsqueeze(1)
    if values.shape[0] == examples * length and length > 1:
        return mask.reshape(-1, 1, 1).expand(-1, 1, values.shape[2])
    return None


def mean_squared_gate_gradient(
    model: nn.Module, units: Sequence[UnitGroup], dataset: Dataset[Any], *, task: Task, batch_size: int = 256
) -> Scores:
    """(n,) mean over examples of (dL/dg_i)^2 at g = 1, where g_i multiplies the activity of unit i, in one pass.

    dL/dg_i = sum over positions of a_i * dL/da_i, and L is the cross entropy of one example in nats with its own label.
    This is the diagonal of the empirical Fisher information of the gates.

    Args:
        model: used in evaluation mode; no gradient is left on its parameters.
        units: the groups to read.
        dataset: read once, in order.
        task: runs the batches.
        batch_size: examples per pass forward and backward.

    Returns:
        Sums in float64, so that the order of batches hardly matters.
    """
    sums = {g.name: torch.zeros(g.size, dtype=torch.float64) for g in units}
    seen: dict[str, Tensor] = {}

    def read(group: UnitGroup, output: Tensor) -> None:
        seen[group.name] = output

    n = torch.zeros(1, dtype=torch.float64)
    with read_in_parts(model), reading(model, units, read), evaluation_mode(model):
        for batch, counted in batches_of_share(dataset, batch_size=task.together(batch_size), reader=model):
            with torch.enable_grad():
                outputs = task.forward(model, batch)
                # summed, so that each example's gradient is its own
                gradients = torch.autograd.grad(cross_entropy(outputs).sum(), [seen[g.name] for g in units])
            if counted:
                for group, gradient in zip(units, gradients, strict=True):
                    change = by_unit(seen[group.name] * gradient, group).sum(dim=2)  # (examples, n)
                    sums[group.name] += change.detach().double().square().sum(dim=0).cpu()
                n += len(outputs.targets)
    return {name: torch.div(*total([summed, n])) for name, summed in sums.items()}
