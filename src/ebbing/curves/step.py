"""All or nothing."""

from dataclasses import dataclass

from torch import Tensor

from ebbing.curves.curve import ForgettingCurve


@dataclass(frozen=True)
class Step(ForgettingCurve):
    """phi(t) = 1 while t < tau, then 0: a unit is kept or reset.

    Example:
        >>> import torch
        >>> Step().factor(2.0, torch.tensor([1.0, 3.0]))
        tensor([0., 1.])
    """

    def left(self, age: Tensor) -> Tensor:
        """1 where age < 1, else 0."""
        return (age < 1).to(age.dtype)
