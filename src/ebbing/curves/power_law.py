"""A curve with a long tail."""

from dataclasses import dataclass

from torch import Tensor

from ebbing.curves.curve import ForgettingCurve
from ebbing.errors import InputError


@dataclass(frozen=True)
class PowerLaw(ForgettingCurve):
    """phi(t) = (1 + t / tau)^-b, Wickelgren's curve: fast at first, then slower than any exponential.

    Attributes:
        exponent: b > 0.

    Example:
        >>> import torch
        >>> PowerLaw(exponent=1.0).factor(3.0, torch.tensor([1.0]))
        tensor([0.2500])
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        """Check the exponent."""
        if not self.exponent > 0:
            raise InputError(f"`exponent` must be > 0, but is {self.exponent}.")

    def left(self, age: Tensor) -> Tensor:
        """(1 + age)^-b."""
        return (1 + age) ** -self.exponent
