"""Rates: from who forgets first to decay times tau, one per unit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebbing.errors import InputError
from ebbing.rankings import Activation, Index, Ranking, ranks

__all__ = ["FixedRate", "LinearRate", "RankedRate", "Rate"]

Scores = dict[str, Tensor]


class Rate(ABC):
    """Decay times from scores."""

    ranking: Ranking

    @abstractmethod
    def tau(self, scores: Scores) -> Scores:
        """(n,) decay times in unlearning epochs by group name, in [0, inf]."""


@dataclass(frozen=True)
class FixedRate(Rate):
    """FFR: tau for all units. Scores are only read for how many units there are.

    Attributes:
        decay_time: tau in unlearning epochs, in [0, inf].
        ranking: the cheapest there is, as it does not matter.
    """

    decay_time: float = 2.0
    ranking: Ranking = field(default_factory=Index)

    def __post_init__(self) -> None:
        """Check tau."""
        if not self.decay_time >= 0:
            raise InputError(f"`decay_time` must be >= 0 unlearning epochs, but is {self.decay_time}.")

    def tau(self, scores: Scores) -> Scores:
        """The same number for every unit."""
        return {name: torch.full((len(s),), self.decay_time, dtype=torch.float64) for name, s in scores.items()}


@dataclass(frozen=True)
class RankedRate(Rate):
    """VFR: tau_i = fastest * (slowest / fastest)^(rank_i / (n - 1)), geometric from the first rank to the last.

    A group of one unit has tau = fastest.

    Attributes:
        ranking: who forgets first.
        fastest: tau of rank 0 in unlearning epochs, > 0 and finite.
        slowest: tau of rank n - 1, >= fastest and finite.
    """

    ranking: Ranking = field(default_factory=Activation)
    fastest: float = 2.0
    slowest: float = 200.0

    def __post_init__(self) -> None:
        """Check the ends."""
        if not 0 < self.fastest <= self.slowest < float("inf"):
            raise InputError(
                f"0 < fastest <= slowest < inf must hold, but fastest is {self.fastest} and slowest {self.slowest}."
            )

    def tau(self, scores: Scores) -> Scores:
        """Geometric in the rank."""
        ratio = self.slowest / self.fastest
        return {
            name: self.fastest * ratio ** (ranks(s) / (len(s) - 1))
            if len(s) > 1
            else torch.tensor([self.fastest], dtype=torch.float64)
            for name, s in scores.items()
        }


@dataclass(frozen=True)
class LinearRate(Rate):
    """VFR as in the paper's authors' public code: tau_i = scale * rank_i, so that rank 0 is silenced at once.

    Attributes:
        ranking: who forgets first.
        scale: unlearning epochs per rank, > 0 and finite.
        silenced: how many of the first ranks have tau = 0 (that code's top-K variant); 1 changes nothing.
    """

    ranking: Ranking = field(default_factory=Activation)
    scale: float = 1.0
    silenced: int = 1

    def __post_init__(self) -> None:
        """Check scale and count."""
        if not 0 < self.scale < float("inf"):
            raise InputError(f"`scale` must be > 0 and finite, but is {self.scale}.")
        if self.silenced < 0:
            raise InputError(f"`silenced` must be >= 0, but is {self.silenced}.")

    def tau(self, scores: Scores) -> Scores:
        """Linear in the rank."""
        found = {}
        for name, s in scores.items():
            rank = ranks(s)
            found[name] = torch.where(rank < self.silenced, 0.0, self.scale * rank)
        return found
