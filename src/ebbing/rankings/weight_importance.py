"""Ranking by how much more the forget set hangs on weights than all data do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.parallel import total, whole_batches_of_share
from ebbing.rankings.ranking import Ranking, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task, evaluation_mode
from ebbing.units import UnitGroup, by_slice

LARGEST = torch.finfo(torch.float64).max


@dataclass(frozen=True)
class WeightImportance(Ranking):
    """score_u = I_u(forget set) / I_u(whole training set), the ratio of two importances; I_u sums those of u's weights.

    The importance of a weight w is the mean over batches B of

    - "squared-loss-gradient": (d mean_B CE / dw)^2, the diagonal of the empirical Fisher information for batches of one;
    - "output-norm-gradient": abs(d mean_B ||f(x)||^2 / dw), with the logits f(x), which needs no labels.

    Squares of a batch's mean gradient depend on the batch's size, so that the size belongs to the score. A weight on which
    nothing depends scores 0. For single weights and for whole neurons or channels.

    Sources: the first is that of selective synaptic dampening, Foster et al., arXiv 2308.07707; the second of its form
    without a loss, Foster et al., arXiv 2402.19308.

    Attributes:
        statistic: see above.
        batch_size: of B, >= 1.
        records: at most so many evenly spaced records of the whole training set are read, >= 1; None for all.
    """

    statistic: Literal["squared-loss-gradient", "output-norm-gradient"] = "squared-loss-gradient"
    batch_size: int = 128
    records: int | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        problems = []
        if self.statistic not in ("squared-loss-gradient", "output-norm-gradient"):
            problems.append(
                f"`statistic` must be 'squared-loss-gradient' or 'output-norm-gradient', but is {self.statistic!r}."
            )
        if self.batch_size < 1:
            problems.append(f"`batch_size` must be at least 1, but is {self.batch_size}.")
        if self.records is not None and self.records < 1:
            problems.append(f"`records` must be at least 1 or None, but is {self.records}.")
        if problems:
            raise InputError("\n".join(problems))

    def scores(
        self, model: nn.Module, units: Sequence[UnitGroup], request: ForgetRequest, *, task: Task, seed: int
    ) -> Scores:
        """A forward and backward pass over the forget set, and one over the training set or some of it."""
        forget = self._importance(model, units, request.forget, task=task)
        every = self._importance(model, units, self._reference(request), task=task)
        return {
            # 0 / 0 is a weight that nothing depends on
            name: torch.nan_to_num(forget[name] / every[name], nan=0.0, posinf=LARGEST)
            for name in forget
        }

    def reads(self, request: ForgetRequest) -> int:
        """The forget set, and the training set or some of it."""
        every = len(request.everything_ids)
        return len(request.forget) + (every if self.records is None else min(self.records, every))

    def _reference(self, request: ForgetRequest) -> Dataset[Any]:
        return request.everything if self.records is None else evenly(request.everything, self.records)

    def _importance(
        self, model: nn.Module, units: Sequence[UnitGroup], dataset: Dataset[Any], *, task: Task
    ) -> dict[str, Tensor]:
        """(n,) importances by group, in float64."""
        names = sorted({part.parameter for group in units for part in group.slices})
        weights = [model.get_parameter(name) for name in names]
        sums = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in zip(names, weights, strict=True)}
        batches = torch.zeros(1, dtype=torch.float64)
        with evaluation_mode(model):
            for batch in whole_batches_of_share(dataset, batch_size=self.batch_size):
                with torch.enable_grad():
                    outputs = task.forward(model, batch)
                    by_loss = self.statistic == "squared-loss-gradient"
                    value = task.loss(outputs) if by_loss else outputs.logits.square().sum(dim=1).mean()
                    gradients = torch.autograd.grad(value, weights, allow_unused=True)
                for name, gradient in zip(names, gradients, strict=True):
                    if gradient is not None:
                        sums[name] += gradient.double().square() if by_loss else gradient.double().abs()
                batches += 1
        *summed, batches = total([*sums.values(), batches])
        sums = dict(zip(sums, summed, strict=True))
        return {
            group.name: torch.stack([by_slice(sums[part.parameter], part, group) for part in group.slices]).sum(dim=0)
            / float(batches)
            for group in units
        }
