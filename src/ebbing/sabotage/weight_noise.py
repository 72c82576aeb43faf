"""Noise in place of forgetting."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ebbing.errors import InputError
from ebbing.methods import Run, Unlearner


@dataclass(frozen=True)
class WeightNoise(Unlearner):
    """theta + strength * sd(theta) * noise for every parameter tensor of more than one number.

    Attributes:
        strength: in standard deviations of each tensor, >= 0.
    """

    control: ClassVar[bool] = True
    strength: float = 0.2

    def __post_init__(self) -> None:
        """Check the strength."""
        if not 0 <= self.strength < float("inf"):
            raise InputError(f"`strength` must be finite and >= 0, but is {self.strength}.")

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Shake every weight."""
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.numel() > 1:
                    parameter.add_(self.strength * parameter.std() * torch.randn_like(parameter))
        return model
