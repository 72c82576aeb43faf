"""Calibration: whether a model is right as often as it is sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebbing.errors import InputError


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> float:
    """ECE = sum over bins of n_bin / n * abs(accuracy in the bin - mean confidence in the bin).

    Bins have equal width, ((b - 1) / bins, b / bins] for b = 1 to ``bins``: the right edge is included, and 0 falls into
    the first. Empty bins count nothing. **Its floor is not 0**: with few examples in a bin their accuracy differs from a
    perfect confidence by chance, so figures are only to be compared at the same n and the same bins.
    Source: Guo et al., arXiv 1706.04599.

    Args:
        confidence: (n_examples,) largest predicted probability.
        correct: (n_examples,) whether the predicted class is the label, bool or 0 and 1.
        bins: number of bins, >= 1.

    Returns:
        In [0, 1].

    Raises:
        InputError: if the shapes differ or are others, or a value or ``bins`` is out of range.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct)
    if sure.ndim != 1 or sure.shape != right.shape or not len(sure):
        raise InputError(
            "`confidence` and `correct` must have one shape (n_examples,) with n_examples >= 1, but have "
            f"{sure.shape} and {right.shape}. Pass one model's row at a time."
        )
    if not ((sure >= 0) & (sure <= 1)).all():  # NaN compares as false
        raise InputError(
            f"`confidence` must lie in [0, 1], but contains {_some(sure[~((sure >= 0) & (sure <= 1))])}. Pass probabilities, "
            "not logits; where only margins are known there is no confidence."
        )
    if not np.isin(right, (0, 1)).all():
        raise InputError(
            f"`correct` must hold only 0 and 1, but contains {_some(right[~np.isin(right, (0, 1))])}. Compare predictions "
            "with labels first."
        )
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise InputError(f"`bins` must be a whole number >= 1, but is {bins!r}. 15 is usual.")
    edges = np.arange(1, bins + 1) / bins
    where = np.searchsorted(edges, sure, side="left")  # (n,) the first bin whose right edge is not below
    surplus = np.bincount(where, weights=right - sure, minlength=bins)  # (bins,) n_bin * (accuracy - confidence)
    return float(np.abs(surplus).sum() / len(sure))


def calibration_gap(judged: float, retrained: Sequence[float] | np.ndarray) -> float:
    """Signed gap of calibration errors: that of the judged model minus the retrained models' mean.

    > 0 where the judged model is calibrated worse than retrained ones. To be read against how far a retrained model that
    was left out lies from the others, see `ebbing.measures.prediction_band`.

    Args:
        judged: the judged model's error, from `expected_calibration_error`.
        retrained: (N,) those of retrained models on the same examples with the same bins, N >= 1.

    Returns:
        In [-1, 1].

    Raises:
        InputError: if there is no retrained model, or an error lies outside [0, 1].
    """
    others = np.asarray(retrained, dtype=np.float64)
    if others.ndim != 1 or not len(others):
        raise InputError(
            f"`retrained` must be calibration errors of shape (N,) with N >= 1, but has shape {others.shape}. Without "
            "retrained models there is nothing to compare with."
        )
    errors = np.append(others, judged)
    if not ((errors >= 0) & (errors <= 1)).all():
        raise InputError(
            f"calibration errors must lie in [0, 1], but contain {_some(errors[~((errors >= 0) & (errors <= 1))])}. Pass what "
            "`expected_calibration_error` gave, not per cent."
        )
    return float(judged - others.mean())


def _some(values: np.ndarray) -> list[float]:
    """The first few of some values, for a message."""
    found: list[float] = values[:3].tolist()
    return found
