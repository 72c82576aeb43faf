"""Training in mixed precision: bfloat16 where torch's autocast takes it, single precision for all that is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.task import Classification, Outputs, Task


@dataclass(frozen=True)
class MixedPrecision(Task):
    """Another task, trained under `torch.autocast` to bfloat16.

    A model in training mode runs its products of matrices and convolutions in bfloat16; weights, gradients of weights, steps
    and losses stay in single precision, and so does all that is read in evaluation mode: rankings, statistics, observations,
    margins. Originals, retrained models and what a method trains are then trained alike, and judged as ever. It is
    meant for large products of matrices on GPUs with units for bfloat16.

    Attributes:
        task: what a batch means.

    Example:
        >>> import ebbing as eb
        >>> from ebbing.models import digits_mlp
        >>> trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=1.0), eb.MixedPrecision())
    """

    task: Task = field(default_factory=Classification)

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """As the task does it, in mixed precision where the model is in training mode."""
        if not model.training:
            return self.task.forward(model, batch)
        first = next(model.parameters(), None)
        with torch.autocast("cpu" if first is None else first.device.type, dtype=torch.bfloat16):
            return self.task.forward(model, batch)

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """Those of the task."""
        return self.task.targets(dataset)

    def together(self, most: int) -> int:
        """As many as the task says."""
        return self.task.together(most)

    def constant_answer(self, dataset: Dataset[Any]) -> float:
        """That of the task."""
        return self.task.constant_answer(dataset)

    def positions(self, batch: Any) -> Tensor | None:
        """Those of the task."""
        return self.task.positions(batch)

    def loss(self, outputs: Outputs) -> Tensor:
        """That of the task, in single precision."""
        return self.task.loss(outputs)

    def counted(self, outputs: Outputs) -> float:
        """What the task counts."""
        return self.task.counted(outputs)
