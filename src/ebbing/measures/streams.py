"""Figures of a stream of requests, step by step: utility, what becomes of earlier requests, cost. All are ebbing's own."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ebbing.errors import InputError
from ebbing.measures.bands import Band, prediction_band


def utility_drift(lost: np.ndarray) -> float:
    """Slope of what utility falls short of retraining, per request, by least squares; > 0 where it gets worse.

    Args:
        lost: (steps,) accuracy of models retrained at each step less that of the unlearned model; NaN where it was not
            measured.

    Returns:
        NaN with fewer than two steps that were measured.

    Raises:
        InputError: if there is another number of axes than one.

    Example:
        >>> round(utility_drift(np.array([0.01, np.nan, 0.03])), 6)
        0.01
    """
    values = np.asarray(lost, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"`lost` must have the shape (steps,), one series at a time, but has {values.shape}.")
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return float("nan")
    steps = known - known.mean()
    return float((steps * values[known]).sum() / (steps**2).sum())


def re_emergence(memory: np.ndarray, *, least: float = -np.inf) -> np.ndarray:
    """The most any later step raises the memory of a request over what it was when it was processed.

    A record that was over-forgotten, M below 0, and later is where retraining leaves it has been raised too, though nothing
    of it came back: with ``least`` 0 it is not counted.

    Args:
        memory: (..., steps, requests) memory M, see `ebbing.measures.figures`; NaN before a request is processed, and where it
            was not measured. What is counted from is the first step with a figure.
        least: what is counted from is at least this.

    Returns:
        (..., requests); > 0 where a later step brought something back, NaN for a request with no later figure.

    Raises:
        InputError: if there are fewer than two axes.
    """
    values = np.asarray(memory, dtype=np.float64)
    if values.ndim < 2:
        raise InputError(f"`memory` must have the shape (..., steps, requests), but has {values.shape}.")
    steps = values.shape[-2]
    if not steps:
        return np.full((*values.shape[:-2], values.shape[-1]), np.nan)
    known = np.isfinite(values)
    first = known.argmax(axis=-2)[..., None, :]  # (..., 1, requests)
    begun = np.maximum(np.take_along_axis(values, first, axis=-2), least)
    later = known & (np.arange(steps)[:, None] > first)
    most = np.where(later, values, -np.inf).max(axis=-2)
    return np.where(later.any(axis=-2), most - begun.squeeze(-2), np.nan)


def re_emergence_bands(retrained: np.ndarray, *, level: float) -> list[Band | None]:
    """Up to where the re-emergence of each request is expected in one more series of retrained models.

    Args:
        retrained: (N, requests) `re_emergence` of N series of retrained models, one retrained at each step, N >= 2.
        level: that jointly, over all requests, no figure lies above its band, in (0, 1); shared out among them by
            Bonferroni.

    Returns:
        A band for each request; None for one without a later step.

    Raises:
        InputError: if ``level`` is none.
    """
    if not 0 < level < 1:
        raise InputError(f"`level` must lie between 0 and 1, such as 0.97, but is {level}.")
    known = np.isfinite(retrained).all(axis=0)
    each = 1 - (1 - level) / max(1, int(known.sum()))
    return [
        prediction_band(column, level=each, side="high") if is_known else None
        for column, is_known in zip(retrained.T, known, strict=True)
    ]


def distance(one: np.ndarray, other: np.ndarray, *, spread: np.ndarray) -> float:
    """Mean over records of the difference between two models' margins, in standard deviations of retrained models.

    Idempotence is this distance between a model and what repeating a request makes of it: 0 where nothing changed.

    Args:
        one: (n,) margins.
        other: likewise.
        spread: (n,) standard deviations, > 0, see `ebbing.measures.Reference.moments`.

    Raises:
        InputError: if the three are not of one shape, or there are no records, or a deviation is not above 0.
    """
    first, second, deviation = _of_one_shape(one=one, other=other, spread=spread)
    if not (deviation.size and (deviation > 0).all()):
        raise InputError(
            "`spread` must hold a standard deviation above 0 for each of at least one record, but does not."
        )
    return float((np.abs(first - second) / deviation).mean())


def order_sensitivity(margins: np.ndarray, *, spread: np.ndarray) -> float:
    """Mean `distance` between the models that the same requests in different orders end in.

    Two models retrained with different seeds are some 1.1 apart, whatever the order: 2 / sqrt(pi) for normal margins.

    Args:
        margins: (orders, n), at least two orders.
        spread: (n,) standard deviations of retrained models.

    Raises:
        InputError: if there is one order only, or for what `distance` refuses.
    """
    if len(margins) < 2:
        raise InputError(f"at least two orders are needed to compare, but there are {len(margins)}.")
    return float(np.mean([distance(a, b, spread=spread) for a, b in combinations(margins, 2)]))


def cumulative_cost(spent: np.ndarray, retraining: np.ndarray) -> np.ndarray:
    """(steps,) what was spent up to each step, as a share of retraining at each.

    Args:
        spent: (steps,) examples, seconds or the like, >= 0.
        retraining: (steps,) of one retraining at each step; 0 at steps that ask for nothing new.

    Returns:
        NaN as long as no retraining would have been needed.

    Raises:
        InputError: if the two are not of one shape.

    Example:
        >>> cumulative_cost(np.array([2.0, 0.0, 1.0]), np.array([10.0, 0.0, 10.0])).tolist()
        [0.2, 0.2, 0.15]
    """
    used, needed = _of_one_shape(spent=spent, retraining=retraining)
    whole = np.cumsum(needed)
    shares: np.ndarray = np.divide(np.cumsum(used), whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def _of_one_shape(**given: np.ndarray) -> list[np.ndarray]:
    """As float64, refused where numpy would stretch one to another's shape."""
    arrays = [np.asarray(array, dtype=np.float64) for array in given.values()]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        names, shapes = "`, `".join(given), ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"`{names}` must be of one shape with one axis, but have the shapes {shapes}.")
    return arrays
