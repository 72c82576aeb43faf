"""Threshold on the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ebbing.attacks.attack import Attack

if TYPE_CHECKING:
    import numpy as np

    from ebbing.observations import Signals


@dataclass(frozen=True)
class LossThreshold(Attack):
    """A record with a small loss is a member: score = -loss.

    Computed from the margin: loss = log(1 + exp(-margin)) falls strictly as the margin rises, so both give
    the same order and the same figures, but the margin does not saturate where the loss of a well-fitted
    record rounds to 0 and ties begin. Source: Yeom et al., arXiv 1709.01604.
    """

    name: ClassVar[str] = "loss"

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) margins, in (-inf, inf), in the order of -loss."""
        return signals.margin
