"""Fine-tuning of the last layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.last_layers import last_layers, only
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run


@dataclass(frozen=True)
class CFk(Repairing):
    """CF-k, catastrophic forgetting: the last k layers are trained on D_r from where they are, all others are frozen.

    Source: Goel et al., arXiv 2201.06640.

    Attributes:
        layers: k >= 1; `Linear` and convolutional layers are counted, a normalisation belongs to the layer before it.
        repair: see `Repairing`.
        budget: likewise.
        training: likewise.
    """

    reads_forget: ClassVar[bool] = False
    layers: int = 1

    def __post_init__(self) -> None:
        """Check k."""
        super().__post_init__()
        if self.layers < 1:
            raise InputError(f"`layers` must be at least 1, but is {self.layers}.")

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train the last layers."""
        with only(model, last_layers(model, run, count=self.layers)) as resting:
            return self.mend(model, run, resting=resting)
