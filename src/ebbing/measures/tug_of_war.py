"""Tug of war: one figure for forgetting, retaining and generalising."""

from __future__ import annotations

from collections.abc import Mapping


def tug_of_war(accuracy: Mapping[str, float], retrained: Mapping[str, float]) -> float:
    """ToW = product over forget, retain and holdout of (1 - abs(acc - acc of the retrained models)), in [0, 1].

    1 is what the retrained models have on average. Source: Zhao et al., arXiv 2406.01257.

    Args:
        accuracy: fractions by split.
        retrained: the retrained models' mean fractions by split.
    """
    product = 1.0
    for split in ("forget", "retain", "holdout"):
        product *= 1.0 - abs(accuracy[split] - retrained[split])
    return product


def share_removed(m_unlearned: float, m_original: float) -> float:
    """1 - M_unlearned / M_original: 0 where nothing was removed, 1 where all was, above 1 where too much.

    Only to be read where the original's M lies outside its band; NaN where it is 0.
    """
    return 1.0 - m_unlearned / m_original if m_original else float("nan")
