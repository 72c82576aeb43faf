"""Bands: how far a held-out retrained model lies from the others, by chance alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy


@dataclass(frozen=True)
class Band:
    """Where a figure of one more retrained model is expected; a side that is not judged is infinite.

    Attributes:
        low: lower end, in the units of the figure.
        high: upper end.
        mean: mean of the retrained models' figures.
    """

    low: float
    high: float
    mean: float

    def __contains__(self, value: float) -> bool:
        """Whether a value lies inside, ends included; NaN does not."""
        return self.low <= value <= self.high


def prediction_band(values: np.ndarray, *, level: float, side: str = "both") -> Band:
    """The t prediction interval for one more draw of what ``values`` were drawn from.

    mean +- t(q, N - 1) * sd * sqrt(1 + 1/N) with sd over N - 1, and q = level for one side, (1 + level) / 2 for both.

    Args:
        values: (N,) figures of retrained models, each left out once; N >= 2.
        level: probability that one more figure lies inside, in (0, 1).
        side: "both", "high" (only an upper end) or "low" (only a lower end).

    Returns:
        The band.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"a band needs at least 2 values, but there are {n}.")
    q = (1 + level) / 2 if side == "both" else level
    mean = float(values.mean())
    reach = float(scipy.stats.t.ppf(q, n - 1)) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return Band(-math.inf if side == "high" else mean - reach, math.inf if side == "low" else mean + reach, mean)


def upper_band(values: np.ndarray, *, level: float) -> Band:
    """The upper end for one more draw of a positive figure: exp of the t prediction interval of the logarithms.

    Distances such as W and T are bounded below by 0 and skewed to the right (skewness .1 to 1.4 over retrained
    models of the digits): an interval that is symmetrical around their mean is left too often.

    Args:
        values: (N,) figures of retrained models, > 0; N >= 2. Zeros count as 1e-12.
        level: probability that one more figure lies below.
    """
    band = prediction_band(np.log(np.maximum(values, 1e-12)), level=level, side="high")
    return Band(-math.inf, math.exp(band.high), float(values.mean()))


def mean_interval(values: np.ndarray, *, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and t confidence interval of the mean of (N,) values; the ends are NaN for N = 1."""
    n = len(values)
    mean = float(values.mean())
    if n < 2:
        return mean, math.nan, math.nan
    reach = float(scipy.stats.t.ppf((1 + level) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean, mean - reach, mean + reach
