"""Rates: from who forgets first to decay times tau, one per unit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ebbing.errors import InputError
from ebbing.rankings import Activation, ActivationRatio, Index, Ranking, WeightImportance, ranks

__all__ = ["DampeningRate", "FixedRate", "LinearRate", "RankedRate", "Rate", "TopRate"]

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


@dataclass(frozen=True)
class DampeningRate(Rate):
    """tau_i = 1 / ln(s_i / dampening) where s_i > selection and s_i > dampening, else inf: exp(-1 / tau_i) = dampening / s_i.

    With a ranking by a ratio of importances and the exponential curve that is selective synaptic dampening after one
    unlearning epoch: what matters to the forget set more than ``selection`` times as much as to all data is multiplied by
    min(dampening / s_i, 1). Source: Foster et al., arXiv 2308.07707, where they are called alpha and lambda.

    Attributes:
        ranking: a ratio of importances.
        selection: the ratio above which a unit decays, >= 0.
        dampening: the smaller, the more decays, > 0 and finite.
    """

    ranking: Ranking = field(default_factory=WeightImportance)
    selection: float = 10.0
    dampening: float = 1.0

    def __post_init__(self) -> None:
        """Check both numbers."""
        if not self.selection >= 0:
            raise InputError(f"`selection` must be >= 0, but is {self.selection}.")
        if not 0 < self.dampening < float("inf"):
            raise InputError(f"`dampening` must be > 0 and finite, but is {self.dampening}.")

    def tau(self, scores: Scores) -> Scores:
        """By the ratio itself, not by its rank."""
        found = {}
        for name, s in scores.items():
            ratio = s.double()
            age = (ratio.clamp(min=self.dampening) / self.dampening).log()
            found[name] = torch.where((ratio > self.selection) & (age > 0), 1.0 / age, float("inf"))
        return found


@dataclass(frozen=True)
class TopRate(Rate):
    """tau = 0 for the top share of the units, inf for the rest: what is chosen is reset at once, all else is spared.

    Units that tie at the edge are spared. Source: selective pruning, Pochinkov and Schoots, arXiv 2403.01267.

    Attributes:
        ranking: who is reset.
        share: of the units, in [0, 1].
        across: whether the share is of all groups' units together, by score, in place of each group's own.
    """

    ranking: Ranking = field(default_factory=ActivationRatio)
    share: float = 0.03
    across: bool = False

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 <= self.share <= 1:
            raise InputError(f"`share` must lie in [0, 1], but is {self.share}.")

    def tau(self, scores: Scores) -> Scores:
        """By rank: 0 or inf."""
        if self.across:
            names, sizes = list(scores), [len(s) for s in scores.values()]
            together = self._chosen(torch.cat([s.double() for s in scores.values()]))
            return dict(zip(names, torch.split(together, sizes), strict=True))
        return {name: self._chosen(s) for name, s in scores.items()}

    def _chosen(self, scores: Tensor) -> Tensor:
        """(n,) 0 or inf."""
        last = int(self.share * len(scores) + 1e-9)  # .03 of 100 is 3, whatever its binary digits
        return torch.where(_last_rank(scores) < last, 0.0, float("inf")).double()


def _last_rank(scores: Tensor) -> Tensor:
    """(n,) how many units score at least as high as each, itself not counted: the rank of the last of those that tie."""
    order = scores.sort().values
    return len(scores) - 1 - torch.searchsorted(order, scores.contiguous(), right=False)
