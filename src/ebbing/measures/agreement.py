"""How often two models predict the same class."""

from __future__ import annotations

import numpy as np

from ebbing.measures.divergence import logits_of_two


def prediction_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Fraction of examples on which two models give the same class the largest logit.

    Of tied logits the class with the lowest index counts, for both models. Two retrained models agree on less than all
    examples: read it beside their agreement with each other.

    Args:
        first: (n_examples, classes) logits of one model.
        second: likewise, of the other model.

    Returns:
        In [0, 1].

    Raises:
        InputError: if the shapes differ or are others, or a row holds NaN or +inf, or nothing but -inf.
    """
    one, other = logits_of_two(first, second)
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())
