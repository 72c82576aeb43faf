"""What a forgetting curve is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ebbing.errors import InputError


class ForgettingCurve(ABC):
    """How much of a unit is left after a time: phi(t; tau), absolute, from the start of the bout.

    Contract: factor(0, any) = 1; factor(t > 0, 0) = 0; factor(t, inf) = 1; in [0, 1]; never rising in t.
    """

    def factor(self, t: float, tau: Tensor) -> Tensor:
        """(n,) what is left of units with decay times ``tau`` after time ``t``.

        Args:
            t: unlearning epochs since the start of the bout, finite, >= 0.
            tau: (n,) decay times in unlearning epochs, in [0, inf].

        Raises:
            InputError: if ``t`` or any ``tau`` is negative or NaN, or ``t`` is infinite.
        """
        if not 0 <= t < float("inf"):
            raise InputError(f"`t` must be finite and >= 0, but is {t}.")
        if not bool((tau >= 0).all()):
            raise InputError(f"`tau` must be >= 0 for every unit, but its smallest value is {float(tau.min())}.")
        if t == 0:
            return torch.ones_like(tau)
        # a tensor over a tensor is rounded once, so that t = tau has age 1; tau = 0 gives inf, tau = inf gives 0
        return self.left(torch.full_like(tau, t) / tau)

    @abstractmethod
    def left(self, age: Tensor) -> Tensor:
        """(n,) what is left at age t / tau in [0, inf]: 1 at 0, 0 at inf, never rising."""
