"""Threshold on the modified entropy, which knows the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ebbing.attacks.attack import Attack

if TYPE_CHECKING:
    import numpy as np

    from ebbing.observations import Signals


@dataclass(frozen=True)
class ModifiedEntropyThreshold(Attack):
    """A record predicted as labelled, and surely so, is a member: score = -M.

    M = -(1 - p_y) log p_y - sum over j != y of p_j log(1 - p_j), in nats: 0 for a sure and right prediction,
    without bound for a sure and wrong one, which the entropy would take for a member as well. One threshold
    for all classes; the source fits one per class on shadow models.
    Source: Song and Mittal, arXiv 2003.10595.
    """

    name: ClassVar[str] = "modified-entropy"

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) negated modified entropies in nats, in (-inf, 0]."""
        return -signals.modified_entropy
