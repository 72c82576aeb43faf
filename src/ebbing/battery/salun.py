"""The headline figures of the SalUn papers and of ToW-MIA: three accuracies and one membership attack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy

from ebbing.battery.measurement import Estimate, Measurement, gathered
from ebbing.battery.one_by_one import JUDGED_SPLITS, LEFT_OUT, RESAMPLES, accuracies, evenly, interval, shifted
from ebbing.measures import Floor, average_gap, salun_mia, tug_of_war_mia
from ebbing.observations import Observations

FITTED = 2_000  # records of each class that the attack is fitted to
MIA = (
    "MIA of the SalUn papers: support vector machine (C = 3, RBF) on the label's probability, fitted to retained against "
    "unseen records; share of the forget set called non-member"
)

Accuracies = dict[str, float]
Drawn = dict[str, np.ndarray]
Value = Callable[[Accuracies, Accuracies, float, float], float]
Redrawn = Callable[[Drawn, np.ndarray], np.ndarray]


class SalunFigures:
    """SalUn's attack, the average gap and ToW-MIA, of at most 16 models of each kind: the attack takes a while."""

    def __init__(self, retrained: Observations, *, seed: int) -> None:
        self.retrained, self.seed = retrained[evenly(retrained.n_models, LEFT_OUT)], seed
        self.others = _attacked(self.retrained, seed=seed)  # (at most 16,)
        n = len(self.others)
        self.floors = {"salun-mia": _range(self.others.tolist(), n)}
        for name, (_, value, _) in GAPS.items():
            left_out = []
            for i in range(n):
                rest = [j for j in range(n) if j != i]
                own, against = accuracies(self.retrained[[i]]), accuracies(self.retrained[rest])
                left_out.append(value(own, against, float(self.others[i]), float(self.others[rest].mean())))
            self.floors[name] = _range(left_out, n - 1)

    def measure(self, models: Observations) -> list[Measurement]:
        """The three figures of the judged models."""
        judged = models[evenly(models.n_models, LEFT_OUT)]
        own, mean = _attacked(judged, seed=self.seed), float(self.others.mean())
        called = _resampled(float(own[0]), judged.forget.n_examples, seed=self.seed) if len(own) == 1 else None
        each = [Estimate(float(m)) if called is None else interval(float(m), called) for m in own]
        found = [
            gathered(
                "salun-mia", None, f"{MIA}; its ideal is the retrained models' value", each, self.floors["salun-mia"]
            )
        ]
        for name, (protocol, value, drawn) in GAPS.items():
            each = []
            for i, mia in enumerate(own):
                figure = value(accuracies(judged[[i]]), accuracies(self.retrained), float(mia), mean)
                if called is None:
                    each.append(Estimate(figure))
                    continue
                shifts = shifted(judged, self.retrained, seed=self.seed)
                each.append(interval(figure, drawn(shifts, np.abs(called - mean))))
            found.append(gathered(name, None, protocol, each, self.floors[name]))
        return found


def _range(values: list[float], n_retrained: int) -> Floor:
    return Floor(float(np.mean(values)), min(values), max(values), 1, n_retrained)


def _attacked(models: Observations, *, seed: int) -> np.ndarray:
    """(n_models,) the attack's figure of each."""
    found = []
    for i in range(models.n_models):
        forget, retain, test = (scipy.special.expit(getattr(models, split).margin[i]) for split in JUDGED_SPLITS)
        found.append(salun_mia(forget=forget, retain=retain, test=test, seed=seed, at_most=FITTED))
    return np.array(found)


def _resampled(share: float, n: int, *, seed: int) -> np.ndarray:
    """(RESAMPLES,) shares of resampled records: each is called non-member or not, so that they are binomial."""
    drawn: np.ndarray = np.random.default_rng(seed).binomial(n, share, size=RESAMPLES) / n
    return drawn


def _average_gap(own: Accuracies, others: Accuracies, mia: float, mia_retrained: float) -> float:
    return average_gap(own, others, mia=mia, mia_retrained=mia_retrained, protocol=MIA).value


def _drawn_gap(shifts: Drawn, attack: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = (sum(np.abs(shift) for shift in shifts.values()) + attack) / 4
    return drawn


def _tow_mia(own: Accuracies, others: Accuracies, mia: float, mia_retrained: float) -> float:
    return tug_of_war_mia(own, others, mia=mia, mia_retrained=mia_retrained, protocol=MIA).value


def _drawn_tow(shifts: Drawn, attack: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = (1 - attack) * (1 - np.abs(shifts["retain"])) * (1 - np.abs(shifts["holdout"]))
    return drawn


GAPS: dict[str, tuple[str, Value, Redrawn]] = {
    "average-gap": (
        f"Mean gap of forget, retain and holdout accuracy and of an attack. {MIA}",
        _average_gap,
        _drawn_gap,
    ),
    "tow-mia": (
        f"Tug of war with the gap of an attack in place of the forget accuracy's; 1 is none. {MIA}",
        _tow_mia,
        _drawn_tow,
    ),
}
