"""RMIA: how a model's answer on a record compares with what it makes of a population, offline."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from ebbing.errors import InputError
from ebbing.measures.margin_gap import checked_margins


def rmia(
    target: np.ndarray,
    retrained: np.ndarray,
    *,
    population: np.ndarray,
    retrained_population: np.ndarray,
    a: float = 0.3,
    gamma: float = 1.0,
) -> np.ndarray:
    """Offline RMIA: membership scores of records, from models that never saw them.

    With p the probability of the label, 1 / (1 + exp(-margin)), and p_out that of models without the record,

        p(x) = ((1 + a) * mean p_out(x) + (1 - a)) / 2,    ratio(x) = p_target(x) / p(x)
        score(x) = share of the population z with ratio(x) / ratio(z) > gamma

    (1 + a) * mean p_out + (1 - a) stands for mean p_out + mean p_in: a model that trained on a record is taken to answer it
    with a * p_out + 1 - a. Every judged model is compared with its own population, so that what changed for all records
    alike moves all ratios. Scores of forgotten and of matched unseen records give an AUC (`ebbing.attacks.auc`); read it
    beside that of retrained models left out. O((n + m) log m) for each model.

    Args:
        target: (N_T, n) judged models' margins on the records in question.
        retrained: (N_O, n) margins of models that never saw these records, N_O >= 1.
        population: (N_T, m) judged models' margins on other records that they never saw. Use no record twice: as x and z.
        retrained_population: (N_O, m) margins of the same retrained models on these.
        a: in [0, 1]; the source takes .3 for CIFAR-10. 1 is a plain ratio of probabilities, 0 trusts p_out least.
        gamma: > 0; how much larger a ratio must be. The source takes 2, its code 1.

    Returns:
        (N_T, n) scores in [0, 1], higher for a member; multiples of 1 / m.

    Raises:
        InputError: if the arrays do not fit together or are not finite, or a setting is out of range.

    Source: Zarifzadeh et al., arXiv 2312.03262.
    """
    target, retrained = checked_margins(
        {"target": target, "retrained": retrained}, {"target": 1, "retrained": 1}, measure="RMIA"
    )
    population, retrained_population = checked_margins(
        {"population": population, "retrained_population": retrained_population},
        {"population": 1, "retrained_population": 1},
        measure="RMIA",
    )
    if len(target) != len(population) or len(retrained) != len(retrained_population):
        raise InputError(
            "RMIA cannot be computed: `target` and `population` must show the same models, and `retrained` and "
            f"`retrained_population` likewise, but the shapes are {target.shape} and {population.shape}, "
            f"{retrained.shape} and {retrained_population.shape}. Observe the same models on the records and on the population."
        )
    if not 0 <= a <= 1 or not (gamma > 0 and math.isfinite(gamma)):
        raise InputError(
            f"`a` must lie in [0, 1] and `gamma` be positive and finite, but they are {a} and {gamma}. 0.3 and 1 are usual."
        )
    expected, expected_of_z = (_expected(margins, a=a) for margins in (retrained, retrained_population))
    scores = np.empty(target.shape)
    for model, (of_x, of_z) in enumerate(zip(target, population, strict=True)):
        bars = np.sort(_probability(of_z) / expected_of_z) * gamma
        scores[model] = np.searchsorted(bars, _probability(of_x) / expected)  # how many bars are strictly below
    scores /= population.shape[1]
    return scores


def _probability(margins: np.ndarray) -> np.ndarray:
    """Probability of the label, in float64: in single precision it would be 1 from a margin of 17 on."""
    p: np.ndarray = scipy.special.expit(margins.astype(np.float64))
    return p


def _expected(margins: Sequence[np.ndarray] | np.ndarray, *, a: float) -> np.ndarray:
    """(n,) p(x) from (N, n) margins of models that never saw x."""
    mean: np.ndarray = sum((_probability(row) for row in margins), start=np.zeros(1)) / len(margins)
    return ((1 + a) * mean + (1 - a)) / 2
