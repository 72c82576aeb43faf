"""Memory and drift: two reasons to differ from retrained models that must not be mixed.

Per example z = (margin of the judged model - mean of the retrained models) / their standard deviation. Drift is how
large z is anywhere. Memory is how much larger it is on the forgotten records than on unseen ones drawn alike, after the
global difference between the models has been taken out. Both are ebbing's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import scipy

from ebbing.observations import Observations

if TYPE_CHECKING:
    from ebbing.measures.hidden import Hidden

SD_FLOOR = 0.1
CANCELLED = 1e-3  # share of the sum of squares: what little is left of one without a model is summed anew


@dataclass(frozen=True)
class _Sums:
    """Of (N, n) margins the mean, by how much it was rounded, and the sum of the squared distances to it, each (n,)."""

    mean: np.ndarray
    rounding: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, margins: np.ndarray) -> _Sums:
        rest = margins.astype(np.float64)
        mean = rest.mean(axis=0)
        rest -= mean
        rounding = rest.mean(axis=0)  # without it, far from 0, the distance of one model would lack digits
        return cls(mean, rounding, np.square(rest, out=rest).sum(axis=0))


@dataclass(frozen=True)
class Reference:
    """Margins of retrained models, as what every other model is measured by.

    Attributes:
        observations: of N >= 3 retrained models.
        concept: whether whole classes were forgotten; unseen examples of them are then to be forgotten as well.
    """

    observations: Observations
    concept: bool = False

    _sums: dict[str, _Sums] = field(default_factory=dict, init=False, repr=False, compare=False)

    def without(self, index: int) -> Others:
        """The reference with one model left out."""
        return Others(self, index)

    def moments(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(n_examples,) mean and standard deviation (over N - 1) of the margins on a split.

        A standard deviation under a tenth of the split's median is raised to it: with few models some come out near
        zero by chance, and one example would rule the average.
        """
        sums = self.sums(split)
        return sums.mean, _deviation(sums.squares, self.observations.n_models)

    def sums(self, split: str) -> _Sums:
        """What the moments on a split are made of; taken once."""
        if split not in self._sums:
            self._sums[split] = _Sums.of(getattr(self.observations, split).margin)
        return self._sums[split]


@dataclass(frozen=True)
class Others:
    """A reference without one of its models: its moments, from sums over all models that are taken once.

    With N margins of mean mu, S the sum of their squared distances to it, and c the distance of the model left out, the others
    have the mean mu - c / (N - 1) and the sum S - c^2 N / (N - 1). So all N models are left out in the time that a reading of
    their margins takes.

    Attributes:
        reference: of all N >= 3 models.
        index: position of the model left out.
    """

    reference: Reference
    index: int

    @property
    def concept(self) -> bool:
        """Whether whole classes were forgotten."""
        return self.reference.concept

    def moments(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(n_examples,) mean and standard deviation (over N - 2) of the others, as `Reference.moments` gives them."""
        margins, sums = getattr(self.reference.observations, split).margin, self.reference.sums(split)
        n = len(margins)
        own = margins[self.index] - sums.mean - sums.rounding
        mean = sums.mean + (sums.rounding - own / (n - 1))
        squares = np.maximum(sums.squares - own**2 * n / (n - 1), 0.0)
        # Where the model left out makes up nearly all of the sum, the difference has lost its digits. On each example that can
        # be so of one model at most, so that summing again does not take more than the first sums did.
        lost = np.flatnonzero(squares < CANCELLED * sums.squares)
        if len(lost):
            rest = np.delete(margins[:, lost], self.index, axis=0).astype(np.float64)
            mean[lost] = rest.mean(axis=0)
            squares[lost] = np.square(rest - mean[lost]).sum(axis=0)
        return mean, _deviation(squares, n - 1)


def _deviation(squares: np.ndarray, n: int) -> np.ndarray:
    """Standard deviations of N margins from their sums of squares, with a floor at a tenth of the median."""
    sd = np.sqrt(squares / (n - 1))
    raised: np.ndarray = np.maximum(sd, max(SD_FLOOR * float(np.median(sd)), 1e-12))
    return raised


@dataclass(frozen=True)
class Figures:
    """Memory, drift and utility of one model.

    Attributes:
        m: memory M, in retrained models' standard deviations; > 0 remembered, < 0 over-forgotten. NaN without
            matched examples.
        w: 1-Wasserstein distance behind M, >= 0; averages cancel, it does not.
        drift: T = mean abs z on forget, retain and holdout, >= 0.
        holdout_accuracy: fraction, in [0, 1].
        z_forget: (n_f,) mapped z of the forgotten records.
        z_matched: (n_m,) mapped z of the matched examples; None without them or for a concept.
        hidden: what the model keeps inside; None where its weights were not at hand.
    """

    m: float
    w: float
    drift: dict[str, float]
    holdout_accuracy: float
    z_forget: np.ndarray
    z_matched: np.ndarray | None
    hidden: Hidden | None = None


def figures(judged: Observations, reference: Reference | Others) -> Figures:
    """The figures of one judged model against retrained ones.

    Memory: the affine map a * margin + b from the judged model's margins to the retrained models' mean, by least squares
    on holdout and matched examples (never on the forget set), takes out a difference of confidence, temperature or
    length of training. With z after the map,

        M = mean z(forget) - mean z(matched),    W = W1(z(forget), z(matched)).

    For a concept there is nothing unseen that should not be forgotten too: M = mean z(forget) and
    W = mean abs z(forget), the map fitted on the holdout alone.

    Args:
        judged: of one model.
        reference: the retrained models; the judged model must not be among them.
    """
    if judged.n_models != 1:
        raise ValueError(f"one model is judged at a time, but there are {judged.n_models}.")
    drift = {}
    for split in ("forget", "retain", "holdout"):
        mean, sd = reference.moments(split)
        drift[split] = float(np.abs((getattr(judged, split).margin[0] - mean) / sd).mean())
    slope, offset = _global_map(judged, reference)

    def mapped(split: str) -> np.ndarray:
        mean, sd = reference.moments(split)
        z: np.ndarray = (slope * getattr(judged, split).margin[0].astype(np.float64) + offset - mean) / sd
        return z

    z_forget = mapped("forget")
    z_matched = None
    if reference.concept:
        m, w = float(z_forget.mean()), float(np.abs(z_forget).mean())
    elif judged.matched is None:
        m = w = float("nan")
    else:
        z_matched = mapped("matched")
        m = float(z_forget.mean() - z_matched.mean())
        w = float(scipy.stats.wasserstein_distance(z_forget, z_matched))
    return Figures(m, w, drift, float(judged.holdout.accuracy[0]), z_forget, z_matched)


def matched_offset(judged: Observations, reference: Reference | Others) -> float:
    """Mean z(matched) - mean z(holdout) of one model after the map: how it answers matched records beyond other unseen ones.

    Far from where retrained models have it, the matched records are not as new to the model as they should be, and M, which is
    counted from them, understates what is remembered. NaN without matched records.
    """
    if judged.matched is None:
        return float("nan")
    slope, offset = _global_map(judged, reference)
    means = []
    for split in ("matched", "holdout"):
        mean, sd = reference.moments(split)
        z = (slope * getattr(judged, split).margin[0].astype(np.float64) + offset - mean) / sd
        means.append(float(z.mean()))
    return means[0] - means[1]


def _global_map(judged: Observations, reference: Reference | Others) -> tuple[float, float]:
    """Slope and offset of the least-squares map from the judged margins to the reference's mean margins."""
    splits = ["holdout"] if reference.concept or judged.matched is None else ["holdout", "matched"]
    x = np.concatenate([getattr(judged, s).margin[0] for s in splits]).astype(np.float64)
    y = np.concatenate([reference.moments(s)[0] for s in splits])
    spread = float(x.var())
    if spread == 0.0:  # a constant model: only its offset can be mapped
        return 0.0, float(y.mean())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread
    return slope, float(y.mean() - slope * x.mean())


def left_out(reference: Reference) -> list[Figures]:
    """The figures of each retrained model against the others: what chance alone gives."""
    observations = reference.observations
    return [figures(observations[[i]], reference.without(i)) for i in range(observations.n_models)]


def bootstrap_memory(found: Figures, *, seed: int, resamples: int = 500) -> tuple[float, float]:
    """95 % percentile interval of M over the records: forgotten and matched ones resampled separately.

    The retrained models and the map are held fixed: how far M varies between retrained models is the band's part.
    """
    if np.isnan(found.m):
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)

    def means(z: np.ndarray) -> np.ndarray:
        counts = generator.multinomial(len(z), np.full(len(z), 1 / len(z)), size=resamples)
        values: np.ndarray = counts @ z / len(z)
        return values

    draws = means(found.z_forget)
    if found.z_matched is not None:
        draws = draws - means(found.z_matched)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
