"""The figures that are taken of several models at once, each of some judged models against some retrained ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ebbing.battery.measurement import Cast
from ebbing.battery.one_by_one import JUDGED_SPLITS
from ebbing.measures import (
    LikelihoodRatioAttack,
    forgetting_score,
    klom_gaussian,
    per_example_auc,
    u_lira_efficacy,
    u_lira_privacy,
    worst_decile_auc,
)

RESAMPLES = 40  # of the records, in each draw of models

Records = np.ndarray | slice


@dataclass(frozen=True)
class Sample:
    """A figure of some models against others.

    Attributes:
        value: the figure.
        resampled: the same over resampled records; empty where that was not asked for.
        p95: 95th percentile over the records, for figures that are a mean over them.
    """

    value: float
    resampled: np.ndarray = field(default_factory=lambda: np.empty(0))
    p95: float | None = None


@dataclass(frozen=True)
class Joint:
    """Figures that are taken of several models at once.

    Attributes:
        protocols: what they are, by key: the measure's name, or ``name/split``.
        figures: ``(cast, generator)`` to the figures by key; without a generator nothing is resampled.
        matched: whether unseen records drawn as the forget set was are needed.
    """

    protocols: Mapping[str, str]
    figures: Callable[[Cast, np.random.Generator | None], Mapping[str, Sample]]
    matched: bool = False


def resampled_means(values: np.ndarray, generator: np.random.Generator | None, *, times: int = RESAMPLES) -> np.ndarray:
    """(times,) means of resampled records; none without a generator."""
    if generator is None:
        return np.empty(0)
    n = len(values)
    return np.array([values[generator.integers(n, size=n)].mean() for _ in range(times)])


def _klom_gaussian(cast: Cast, generator: np.random.Generator | None) -> dict[str, Sample]:
    found = {}
    for split in JUDGED_SPLITS:
        values = klom_gaussian(getattr(cast.judged, split).margin, getattr(cast.reference, split).margin)
        drawn = resampled_means(values, generator)
        found[f"klom-gaussian/{split}"] = Sample(float(values.mean()), drawn, float(np.quantile(values, 0.95)))
    return found


def _u_lira_efficacy(cast: Cast, generator: np.random.Generator | None) -> dict[str, Sample]:
    unlearned, retrained = cast.judged.forget.margin, cast.reference.forget.margin

    def attack(records: Records) -> LikelihoodRatioAttack:
        return u_lira_efficacy(unlearned[:, records], retrained[:, records])

    return _attacked(attack, unlearned.shape[1], generator)


def _u_lira_privacy(cast: Cast, generator: np.random.Generator | None) -> dict[str, Sample]:
    if cast.judged.matched is None or cast.reference.matched is None:
        return {}
    forget, matched = cast.judged.forget.margin, cast.judged.matched.margin
    retrained_forget, retrained_matched = cast.reference.forget.margin, cast.reference.matched.margin
    n_m = matched.shape[1]

    def attack(records: Records) -> LikelihoodRatioAttack:
        again = generator is not None and not isinstance(records, slice)
        others: Records = np.asarray(generator.integers(n_m, size=n_m)) if again and generator else slice(None)
        return u_lira_privacy(
            forget=forget[:, records],
            matched=matched[:, others],
            retrained_forget=retrained_forget[:, records],
            retrained_matched=retrained_matched[:, others],
        )

    return _attacked(attack, forget.shape[1], generator)


def _attacked(
    attack: Callable[[Records], LikelihoodRatioAttack], n: int, generator: np.random.Generator | None
) -> dict[str, Sample]:
    """The figures of an attack, and of the same on resampled records; those without evidence are left out."""
    found = attack(slice(None))
    again = [] if generator is None else [attack(generator.integers(n, size=n)) for _ in range(RESAMPLES)]
    samples = {}
    for word, (_, read) in RATES.items():
        value = read(found)
        if value is not None:
            drawn = [read(one) for one in again]
            samples[f"u-lira/{found.game}{word}"] = Sample(value, np.array(drawn, dtype=np.float64))
    return samples


def _forgetting_score(cast: Cast, generator: np.random.Generator | None) -> dict[str, Sample]:
    unlearned, retrained = cast.judged.forget.margin, cast.reference.forget.margin
    kinds = (cast.judged, cast.reference)
    retain, test = ([float(getattr(m, split).accuracy.mean()) for m in kinds] for split in ("retain", "holdout"))

    def score(records: Records) -> float:
        return forgetting_score(
            unlearned[:, records],
            retrained[:, records],
            retain_accuracy=(retain[0], retain[1]),
            test_accuracy=(test[0], test[1]),
        ).final

    return {"forgetting-score": _resampled(score, unlearned.shape[1], generator)}


def _worst_decile(cast: Cast, generator: np.random.Generator | None) -> dict[str, Sample]:
    areas = per_example_auc(cast.judged.forget.margin, cast.reference.forget.margin)
    return {"worst-decile": _resampled(lambda records: worst_decile_auc(areas[records]), len(areas), generator)}


def _resampled(figure: Callable[[Records], float], n: int, generator: np.random.Generator | None) -> Sample:
    """A figure of all records, and of resampled ones."""
    drawn = [] if generator is None else [figure(generator.integers(n, size=n)) for _ in range(RESAMPLES)]
    return Sample(figure(slice(None)), np.array(drawn, dtype=np.float64))


RATES: Mapping[str, tuple[str, Callable[[LikelihoodRatioAttack], float | None]]] = {
    "": ("AUC", lambda found: found.auc),
    "-accuracy": ("balanced accuracy", lambda found: found.balanced_accuracy),
    "-tpr-1": ("true positive rate at 1 % false positives", lambda found: found.tpr_at_1pct_fpr),
    "-tpr-01": ("true positive rate at .1 % false positives", lambda found: found.tpr_at_01pct_fpr),
}
EFFICACY = "U-LiRA, efficacy game (this method's model, or a retrained one?), forgotten records"
PRIVACY = "U-LiRA, privacy game (forgotten, or never seen?), forgotten against unseen records drawn alike"
GAUSSIAN = (
    "KL divergence in nats of Gaussians fitted to the margins over models, from retrained models'; mean over records"
)
SCORE = (
    "Forgetting score of the NeurIPS 2023 challenge (thresholds on the margin): forgetting quality times the ratios of retain "
    "and holdout accuracy"
)
WORST = (
    "AUC of each forgotten record over models, this method's against retrained ones: mean of the tenth given away most"
)

JOINT: tuple[Joint, ...] = (
    Joint({f"klom-gaussian/{split}": GAUSSIAN for split in JUDGED_SPLITS}, _klom_gaussian),
    Joint({f"u-lira/efficacy{word}": f"{EFFICACY}: {told}" for word, (told, _) in RATES.items()}, _u_lira_efficacy),
    Joint(
        {f"u-lira/privacy{word}": f"{PRIVACY}: {told}" for word, (told, _) in RATES.items()},
        _u_lira_privacy,
        matched=True,
    ),
    Joint({"forgetting-score": SCORE}, _forgetting_score),
    Joint({"worst-decile": WORST}, _worst_decile),
)
