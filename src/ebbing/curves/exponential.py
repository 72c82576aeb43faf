"""The paper's forgetting curve."""

from dataclasses import dataclass

from torch import Tensor

from ebbing.curves.curve import ForgettingCurve


@dataclass(frozen=True)
class Exponential(ForgettingCurve):
    """phi(t) = exp(-t / tau), Ebbinghaus' curve. Source: arXiv 2410.22374.

    Example:
        >>> import torch
        >>> Exponential().factor(2.0, torch.tensor([2.0]))
        tensor([0.3679])
    """

    def left(self, age: Tensor) -> Tensor:
        """exp(-age)."""
        return (-age).exp()
