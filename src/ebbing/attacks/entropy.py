"""Threshold on the entropy of the prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ebbing.attacks.attack import Attack

if TYPE_CHECKING:
    import numpy as np

    from ebbing.observations import Signals


@dataclass(frozen=True)
class EntropyThreshold(Attack):
    """A record with a peaked prediction is a member: score = -H, H = -sum over j of p_j log p_j, in nats.

    Blind to the label, as the confidence is. Source: Salem et al., arXiv 1806.01246, their third adversary.
    """

    name: ClassVar[str] = "entropy"

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) negated entropies in nats, in [-log(classes), 0]."""
        return -signals.entropy
