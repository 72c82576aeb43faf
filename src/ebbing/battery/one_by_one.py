"""Measures of one model at a time: each judged model against all retrained ones, and each of these against the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ebbing.attacks.attack import auc, bootstrap_auc_interval
from ebbing.battery.measurement import Cast, Estimate, Material, Measurement, gathered
from ebbing.measures import (
    Floor,
    activation_distance,
    bootstrap_over_examples,
    calibration_gap,
    expected_calibration_error,
    jensen_shannon,
    rmia,
    share_riskier,
    standardised_margin_gap,
    tug_of_war,
)
from ebbing.observations import Observations

JUDGED_SPLITS = ("forget", "retain", "holdout")
PARTNERS = 8  # retrained models that a model's predictions are compared with, evenly spaced
LEFT_OUT = 16  # retrained models that a floor is taken over, evenly spaced
RESAMPLES = 500

Figure = Callable[[Cast, "int | None"], Estimate]


@dataclass(frozen=True)
class OneByOne:
    """A measure of one model.

    Attributes:
        name: of the measure.
        split: it is taken on.
        protocol: what it is.
        figure: ``(cast, seed)`` to the figure of one model; without a seed no interval is taken.
        logits: whether it needs the logits.
        confidence: whether it needs the confidence.
        matched: whether it needs unseen records drawn as the forget set was.
    """

    name: str
    split: str | None
    protocol: str
    figure: Figure
    logits: bool = False
    confidence: bool = False
    matched: bool = False

    def lacking(self, *models: Observations) -> str | None:
        """Why it cannot be taken; None where it can."""
        if self.matched and any(seen.matched is None for seen in models):
            return "no unseen records drawn as the forget set was"
        if self.logits and any(getattr(seen, self.split or "forget").logits is None for seen in models):
            return "the logits are not at hand: only margins were given, or there are more than 20 million of a model"
        if self.confidence and any(np.isnan(seen.holdout.confidence).any() for seen in models):
            return "only margins are known, not the confidence"
        return None

    def measure(self, material: Material, floor: Floor) -> Measurement:
        """The figure of each judged model, beside the floor."""
        several = material.judged.n_models
        seed = material.seed if several == 1 else None
        each = [
            self.figure(Cast(material.judged[[i]], material.retrained, material.originals), seed)
            for i in range(several)
        ]
        return gathered(self.name, self.split, self.protocol, each, floor)

    def floor(self, retrained: Observations, originals: Observations) -> Floor:
        """Retrained models, each left out against the others."""
        n = retrained.n_models
        values = []
        for i in evenly(n, LEFT_OUT):
            others = retrained[[j for j in range(n) if j != i]]
            values.append(self.figure(Cast(retrained[[i]], others, originals), None).value)
        return Floor(float(np.mean(values)), min(values), max(values), 1, n - 1)


def evenly(n: int, at_most: int) -> list[int]:
    """Positions of at most so many of n, evenly spaced."""
    chosen: list[int] = np.unique(np.linspace(0, n - 1, min(n, at_most)).round().astype(int)).tolist()
    return chosen


def _over_records(values: np.ndarray, seed: int | None) -> Estimate:
    """The mean of a figure over the records, and its interval where there is a seed."""
    if seed is None:
        return Estimate(float(values.mean()), p95=float(np.quantile(values, 0.95)))
    found = bootstrap_over_examples(values, seed=seed, resamples=RESAMPLES)
    return Estimate(found.mean, found.mean_low, found.mean_high, found.p95)


def _of_pairs(
    cast: Cast, seed: int | None, *, split: str, pair: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Estimate:
    """The mean over some retrained models of a figure of two models' logits, record by record."""
    own, others = getattr(cast.judged, split).logits, getattr(cast.reference, split).logits
    values = np.mean([pair(own[0], others[j]) for j in evenly(len(others), PARTNERS)], axis=0)
    return _over_records(values, seed)


def _agree(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    same: np.ndarray = first.argmax(axis=1) == second.argmax(axis=1)
    return same


def _margin_gap(cast: Cast, seed: int | None, *, split: str) -> Estimate:
    own, others = getattr(cast.judged, split).margin, getattr(cast.reference, split).margin
    return _over_records(standardised_margin_gap(own, others), seed)


def _riskier(cast: Cast, seed: int | None) -> Estimate:
    """By what sets a retained record off from unseen ones: a model that became surer of everything gives away no more."""
    evidence = (
        models.retain.margin - models.holdout.margin.mean(axis=1, keepdims=True)
        for models in (cast.judged, cast.originals, cast.reference)
    )
    estimate = _over_records(share_riskier(*evidence).riskier.astype(np.float64), seed)
    return replace(estimate, p95=None)


def _rmia(cast: Cast, seed: int | None) -> Estimate:
    """AUC of the scores of forgotten against matched unseen records, with the holdout as the population.

    Matched records that were drawn from the holdout are compared with themselves too: one of its m, which tells for neither.
    """
    own, retrained = cast.judged, cast.reference

    def scores(split: str) -> np.ndarray:
        """(n,) of the judged model."""
        return np.asarray(
            rmia(
                getattr(own, split).margin,
                getattr(retrained, split).margin,
                population=own.holdout.margin,
                retrained_population=retrained.holdout.margin,
            )[0]
        )

    members, others = scores("forget"), scores("matched")
    if seed is None:
        return Estimate(auc(members, others))
    return Estimate(auc(members, others), *bootstrap_auc_interval(members, others, seed=seed, resamples=RESAMPLES))


def accuracies(models: Observations) -> dict[str, float]:
    """Mean accuracy of models by split."""
    return {split: float(getattr(models, split).accuracy.mean()) for split in JUDGED_SPLITS}


def shifted(judged: Observations, retrained: Observations, *, seed: int) -> dict[str, np.ndarray]:
    """(RESAMPLES,) differences of accuracy to the retrained mean, by split, over resampled records."""
    generator = np.random.default_rng(seed)
    draws = {}
    for split in JUDGED_SPLITS:
        difference = getattr(judged, split).correct[0] - getattr(retrained, split).correct.mean(axis=0)
        n = len(difference)
        draws[split] = np.array([difference[generator.integers(n, size=n)].mean() for _ in range(RESAMPLES)])
    return draws


def interval(value: float, draws: np.ndarray) -> Estimate:
    """A figure and the ends of the middle 95 % of its resampled values."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _tow(cast: Cast, seed: int | None) -> Estimate:
    judged, retrained = cast.judged, cast.reference
    value = tug_of_war(accuracies(judged), accuracies(retrained))
    if seed is None:
        return Estimate(value)
    draws = shifted(judged, retrained, seed=seed)
    return interval(value, np.prod([1 - np.abs(draws[split]) for split in JUDGED_SPLITS], axis=0))


def _ece_gap(cast: Cast, seed: int | None) -> Estimate:
    judged, retrained = cast.judged, cast.reference
    rows = evenly(retrained.n_models, PARTNERS)
    sure = np.stack([judged.holdout.confidence[0], *retrained.holdout.confidence[rows]])  # (1 + partners, n)
    right = np.stack([judged.holdout.correct[0], *retrained.holdout.correct[rows]])
    sure = np.clip(sure, 0.0, 1.0)  # rounding alone leaves the range

    def gap(records: np.ndarray | slice) -> float:
        errors = [expected_calibration_error(s[records], r[records]) for s, r in zip(sure, right, strict=True)]
        return calibration_gap(errors[0], errors[1:])

    value = gap(slice(None))
    if seed is None:
        return Estimate(value)
    generator, n = np.random.default_rng(seed), sure.shape[1]
    return interval(value, np.array([gap(generator.integers(n, size=n)) for _ in range(RESAMPLES // 5)]))


def _per_split(name: str, protocol: str, pair: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[OneByOne]:
    return [OneByOne(name, s, protocol, partial(_of_pairs, split=s, pair=pair), logits=True) for s in JUDGED_SPLITS]


def _l1(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return activation_distance(first, second, norm="l1")


QUICK = (
    OneByOne(
        "tow",
        None,
        "Tug of war: product over forget, retain and holdout of 1 minus the gap of accuracy; 1 is none",
        _tow,
    ),
    *_per_split("agreement", "Share of records predicted as by a retrained model, mean over them", _agree),
    *_per_split(
        "js", "Jensen-Shannon divergence of predictions to a retrained model's, bits, mean over records", jensen_shannon
    ),
    *_per_split(
        "activation-distance", "L1 distance of predicted probabilities to a retrained model's, mean over records", _l1
    ),
    *(
        OneByOne(
            "margin-gap",
            split,
            "Distance of the margin to the retrained mean, in their standard deviations, mean over records",
            partial(_margin_gap, split=split),
        )
        for split in JUDGED_SPLITS
    ),
    OneByOne(
        "ece-gap",
        "holdout",
        "Calibration error (15 bins of equal width) minus that of retrained models",
        _ece_gap,
        confidence=True,
    ),
    OneByOne(
        "riskier",
        None,
        "Share of the retained records that stand out from unseen ones more than before, by the margin less the model's mean "
        "margin on the holdout, beyond what retrained models vary; .05 by chance",
        _riskier,
    ),
)
STANDARD = (
    OneByOne(
        "rmia",
        None,
        "AUC of offline RMIA (a = .3, gamma = 1), forgotten against unseen records drawn alike; .5 is chance",
        _rmia,
        matched=True,
    ),
)
