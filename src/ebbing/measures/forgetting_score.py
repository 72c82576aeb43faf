"""The forgetting score of the NeurIPS 2023 unlearning challenge, beside what retrained models get for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ebbing.errors import InputError
from ebbing.measures.margin_gap import checked_margins, chunks

DELTA = 1e-5


@dataclass(frozen=True)
class ForgettingScore:
    """The challenge's score of an unlearning method.

    Attributes:
        forgetting: H = mean of 2^-floor(2 eps) over the forgotten records, in [0, 1].
        final: H * RA_U / RA_O * TA_U / TA_O, >= 0: the challenge's figure.
        normalised: ``final`` divided by the retrained models' own H; 1 is what retraining gets. NaN without it.
    """

    forgetting: float
    final: float
    normalised: float


def forgetting_score(
    unlearned: np.ndarray,
    retrained: np.ndarray,
    *,
    retain_accuracy: tuple[float, float],
    test_accuracy: tuple[float, float],
    retrained_forgetting: float = math.nan,
    intervals: bool = False,
) -> ForgettingScore:
    """Forgetting quality times utility: final = H * RA_U / RA_O * TA_U / TA_O.

    **Retrained models do not get H = 1** against others of them: the largest of many estimated eps is above 0 by chance, and
    H is .32 with 16 models on each side, .33 with 32, .35 with 100 (Gaussian margins; .13, .10 and .07 with ``intervals``).
    So pass theirs, with the same counts:

        floor_of(forgetting_quality, more_retrained, n_unlearned=len(unlearned), seed=0).mean

    Args:
        unlearned: (N_U, n) margins on the forgotten records, N_U >= 2.
        retrained: (N_O, n) margins on the same records, N_O >= 2. The challenge had 512 of each.
        retain_accuracy: mean accuracy on the retained records (RA) of the unlearned and of the retrained models.
        test_accuracy: likewise on test records (TA).
        retrained_forgetting: `forgetting_quality` of retrained models against others, in (0, 1].
        intervals: see `forgetting_epsilon`.

    Returns:
        H, the final and the normalised score.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or a figure is out of range.

    Source: Triantafillou et al., arXiv 2406.09073.
    """
    figures = (*retain_accuracy, *test_accuracy)
    if not all(0 <= x <= 1 for x in figures) or not retain_accuracy[1] or not test_accuracy[1]:
        raise InputError(
            "accuracies must be fractions in [0, 1], and the retrained models' above 0, but (unlearned, retrained) are "
            f"{retain_accuracy} and {test_accuracy}. Divide per cent by 100."
        )
    if not (math.isnan(retrained_forgetting) or 0 < retrained_forgetting <= 1):
        raise InputError(
            f"`retrained_forgetting` must lie in (0, 1], but is {retrained_forgetting}. It is what `forgetting_quality` gives "
            "for retrained models against others; leave it out where there are too few."
        )
    quality = forgetting_quality(unlearned, retrained, intervals=intervals)
    final = quality * retain_accuracy[0] / retain_accuracy[1] * test_accuracy[0] / test_accuracy[1]
    return ForgettingScore(quality, final, final / retrained_forgetting)


def forgetting_quality(unlearned: np.ndarray, retrained: np.ndarray, *, intervals: bool = False) -> float:
    """H = mean over the records of 2^-floor(2 eps), in [0, 1]; 1 only where no eps reaches .5.

    Args:
        unlearned: (N_U, n) margins on the forgotten records, N_U >= 2.
        retrained: (N_O, n) margins on the same records, N_O >= 2.
        intervals: see `forgetting_epsilon`.

    Raises:
        InputError: as `forgetting_epsilon`.
    """
    epsilon = forgetting_epsilon(unlearned, retrained, intervals=intervals)
    return float(np.exp2(-np.floor(2 * epsilon)).mean())


def forgetting_epsilon(
    unlearned: np.ndarray, retrained: np.ndarray, *, delta: float = DELTA, intervals: bool = False
) -> np.ndarray:
    """Eps of each record: how well the best threshold on its margin tells unlearned from retrained models.

        eps = max over thresholds of max(ln((1 - delta - FPR) / FNR), ln((1 - delta - FNR) / FPR), 0)

    A model is called positive where its margin is at or above the threshold; positive are the models whose median margin is
    larger (the unlearned ones where both are equal). Thresholds with one rate of 0 tell of too few models, and are left out;
    where both are 0 the models are told apart without a mistake, and eps is infinite. All thresholds that differ are tried,
    between any two margins; models with the same margin stand or fall together.

    With ``intervals`` the rules "between two margins", for the models with the smaller range of margins (at the same range
    the ones with the smaller median), are tried as well: unlearned models that all give one margin inside the retrained
    models' range pass for forgetting otherwise. The challenge's code has both kinds, on a grid of .01 in a window of +-2; it
    needs a GPU, and stops at an assertion on more than one threshold.

    Args:
        unlearned: (N_U, n) margins on the forgotten records, N_U >= 2.
        retrained: (N_O, n) margins on the same records, N_O >= 2.
        delta: in [0, 1).
        intervals: takes as long again for each of the N_U + N_O margins.

    Returns:
        (n,) eps, in [0, ln(max(N_U, N_O))] or infinite. They depend on the counts: compare only figures of the same ones.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or ``delta`` is out of range.

    Source: Triantafillou et al., arXiv 2406.09073; github.com/google-deepmind/unlearning_evaluation.
    """
    unlearned, retrained = checked_margins(
        {"unlearned": unlearned, "retrained": retrained},
        {"unlearned": 2, "retrained": 2},
        measure="The forgetting score",
    )
    if not 0 <= delta < 1:
        raise InputError(f"`delta` must lie in [0, 1), but is {delta}. The challenge has {DELTA}.")
    table = _epsilons(len(unlearned), len(retrained), delta=delta)
    epsilon = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        epsilon[part] = _largest(unlearned[:, part], retrained[:, part], table, intervals=intervals)
    return epsilon


def _epsilons(n_unlearned: int, n_retrained: int, *, delta: float) -> np.ndarray:
    """(N_U + 1, N_O + 1) eps by how many of either are on the wrong side; the formula does not mind which is positive."""
    one, other = np.arange(n_unlearned + 1)[:, None] / n_unlearned, np.arange(n_retrained + 1)[None] / n_retrained
    with np.errstate(divide="ignore", invalid="ignore"):
        ways = [np.log(np.maximum(1 - delta - p, 0.0)) - np.log(q) for p, q in ((one, other), (other, one))]
    table: np.ndarray = np.maximum(np.maximum(*ways), 0.0)
    table[0], table[:, 0] = 0.0, 0.0
    table[0, 0] = np.inf
    return table


def _largest(unlearned: np.ndarray, retrained: np.ndarray, table: np.ndarray, *, intervals: bool) -> np.ndarray:
    """(n,) largest eps of a rule, from the margins of the same n records."""
    margins = np.concatenate((unlearned, retrained))
    order = np.argsort(margins, axis=0, kind="stable")
    ascending = np.take_along_axis(margins, order, axis=0)
    n_u, n_o = len(unlearned), len(retrained)
    # (N + 1, n): of the k smallest margins, how many are of which models, and whether a threshold fits there
    below_u = np.zeros((n_u + n_o + 1, margins.shape[1]), dtype=np.intp)
    np.cumsum(order < n_u, axis=0, out=below_u[1:])
    below_o = np.arange(n_u + n_o + 1)[:, None] - below_u
    fits = np.ones(below_u.shape, dtype=bool)
    fits[1:-1] = ascending[1:] > ascending[:-1]

    higher = np.median(unlearned, axis=0) >= np.median(retrained, axis=0)  # whether unlearned models are positive
    wrong_u, wrong_o = np.where(higher, below_u, n_u - below_u), np.where(higher, n_o - below_o, below_o)
    largest: np.ndarray = np.where(fits, table[wrong_u, wrong_o], 0.0).max(axis=0)
    if intervals:
        ranges = np.ptp(unlearned, axis=0), np.ptp(retrained, axis=0)
        inner = (ranges[0] < ranges[1]) | ((ranges[0] == ranges[1]) & ~higher)  # whether unlearned models are between
        for k in range(n_u + n_o):
            between_u, between_o = below_u[k + 1 :] - below_u[k], below_o[k + 1 :] - below_o[k]
            wrong_u, wrong_o = np.where(inner, n_u - between_u, between_u), np.where(inner, between_o, n_o - between_o)
            found = np.where(fits[k] & fits[k + 1 :], table[wrong_u, wrong_o], 0.0).max(axis=0)
            np.maximum(largest, found, out=largest)
    return largest
