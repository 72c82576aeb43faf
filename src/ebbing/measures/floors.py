"""Floors: what a measure gives for retrained models among themselves, and intervals over the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ebbing.errors import InputError

AT_ONCE = 1_000_000  # values of bootstrap samples that are held


@dataclass(frozen=True)
class Floor:
    """A measure of retrained models against others of them.

    Attributes:
        mean: over the draws.
        low: smallest value of a draw.
        high: largest value of a draw.
        n_unlearned: models drawn as the judged.
        n_retrained: models left as the reference. To be beside this floor, a judged figure must have these counts.
    """

    mean: float
    low: float
    high: float
    n_unlearned: int
    n_retrained: int


@dataclass(frozen=True)
class ExampleInterval:
    """Mean and 95th percentile over records, each with the ends of its 95 % percentile interval."""

    mean: float
    mean_low: float
    mean_high: float
    p95: float
    p95_low: float
    p95_high: float


def floor_of(
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray | float],
    retrained: np.ndarray,
    *,
    n_unlearned: int,
    seed: int,
    repeats: int = 20,
) -> Floor:
    """What a measure gives where nothing was unlearned wrongly: retrained models take the place of the judged ones.

    In each draw ``n_unlearned`` of the models are the judged, and the rest are the reference. Floors depend on both
    counts: N judged models against N others need 2 N retrained ones. Draws share models, so their range is narrower than
    that over new models.

    Args:
        measure: of (judged, reference) margins, (n_unlearned, n) and (N - n_unlearned, n); of an array the mean is taken.
        retrained: (N, n) margins.
        n_unlearned: how many are judged at once, in [1, N - 1].
        seed: of the draws.
        repeats: number of draws, >= 1.

    Raises:
        InputError: if a count is out of range, or ``measure`` refuses the counts.
    """
    values = [
        float(np.mean(measure(retrained[judged], retrained[rest])))
        for judged, rest in divisions(len(retrained), n_judged=n_unlearned, seed=seed, repeats=repeats)
    ]
    return Floor(float(np.mean(values)), min(values), max(values), n_unlearned, len(retrained) - n_unlearned)


def divisions(n_models: int, *, n_judged: int, seed: int, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of models drawn as the judged, and of the rest, both ascending; for each draw.

    Raises:
        InputError: if there is no rest, nothing is judged, or nothing is drawn.
    """
    if not 1 <= n_judged < n_models or repeats < 1:
        raise InputError(
            f"of {n_models} retrained models at least 1 and at most {n_models - 1} can be held out as the judged, in at "
            f"least 1 draw, but {n_judged} in {repeats} draws are asked for. Train more, or judge fewer at once."
        )
    generator = np.random.default_rng(seed)
    for _ in range(repeats):
        order = generator.permutation(n_models)
        yield np.sort(order[:n_judged]), np.sort(order[n_judged:])


def bootstrap_over_examples(values: np.ndarray, *, seed: int, resamples: int = 500) -> ExampleInterval:
    """Percentile bootstrap over records of the mean and the 95th percentile of a per-example measure.

    The models stay as they are: how far a figure varies between retrained models is the floor's part.

    Args:
        values: (n,) values, finite.
        seed: of the resampling.
        resamples: number of bootstrap samples, >= 1.

    Raises:
        InputError: if there are no values, some are not finite, or nothing is resampled.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or resamples < 1:
        raise InputError(
            f"`values` must be a finite figure for each of at least one record, and `resamples` at least 1, but the shape is "
            f"{values.shape}, {int((~np.isfinite(values)).sum())} are NaN or infinite, and resamples is {resamples}. Pass "
            "what a measure gives, without the records it could not judge."
        )
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, 2))
    at_once = max(1, AT_ONCE // len(values))
    for start in range(0, resamples, at_once):
        rows = drawn[start : start + at_once]
        samples = values[generator.integers(len(values), size=(len(rows), len(values)))]
        rows[:] = np.stack((samples.mean(axis=1), np.quantile(samples, 0.95, axis=1)), axis=1)
    (mean_low, p95_low), (mean_high, p95_high) = np.quantile(drawn, [0.025, 0.975], axis=0)
    return ExampleInterval(
        float(values.mean()),
        float(mean_low),
        float(mean_high),
        float(np.quantile(values, 0.95)),
        float(p95_low),
        float(p95_high),
    )
