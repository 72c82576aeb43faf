"""Threshold on the largest predicted probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ebbing.attacks.attack import Attack

if TYPE_CHECKING:
    import numpy as np

    from ebbing.observations import Signals


@dataclass(frozen=True)
class ConfidenceThreshold(Attack):
    """A record the model is sure of is a member: score = max over classes of p.

    Blind to the label: a model that is sure of the true class of a mislabelled record, and one that is sure
    of the wrong label it was taught, score alike. Probabilities that round to 1 tie and count half.
    Source: Salem et al., arXiv 1806.01246, their third adversary.
    """

    name: ClassVar[str] = "confidence"

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) largest probabilities, in [1 / classes, 1]."""
        return signals.confidence
