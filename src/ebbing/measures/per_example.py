"""Figures that do not average over records: whom an unlearning method serves worst.

Where half of the records are over- and half under-forgotten, a mean over them looks like success; and forgetting some records
may lay others open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from ebbing.errors import InputError
from ebbing.measures.margin_gap import MIN_SD, check_min_sd, checked_margins, chunks, moments


def per_example_auc(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    """AUC of each record by itself: P(phi_U > phi_O) + P(phi_U = phi_O) / 2 over pairs of unlearned and retrained models.

    Signed: above .5 the record is still answered more surely than retrained models answer it, below .5 less surely, and both
    give it away. Under equality its standard deviation is sqrt((N_U + N_O + 1) / (12 N_U N_O)): .10 with 16 models each.

    Args:
        unlearned: (N_U, n) margins, N_U >= 1.
        retrained: (N_O, n) margins of the same records, N_O >= 2.

    Returns:
        (n,) areas in [0, 1].

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite.
    """
    unlearned, retrained = checked_margins(
        {"unlearned": unlearned, "retrained": retrained},
        {"unlearned": 1, "retrained": 2},
        measure="The AUC per example",
    )
    n_u, n_o = len(unlearned), len(retrained)
    areas = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        ranks = scipy.stats.rankdata(np.concatenate((unlearned[:, part], retrained[:, part])), axis=0)
        areas[part] = (ranks[:n_u].sum(axis=0) - n_u * (n_u + 1) / 2) / (n_u * n_o)
    return areas


def worst_decile_auc(areas: np.ndarray, *, signed: bool = False) -> float:
    """Mean AUC of the tenth of the records that are given away most, rounded up to whole records.

    **Its floor is not .5**: the worst tenth of anything is above its mean. With `per_example_auc` of Gaussian margins retrained
    models against others have .71 with 16 models on each side, .65 with 32, .58 with 100; read it beside theirs (`floor_of`).

    Args:
        areas: (n,) AUCs per record, in [0, 1], n >= 1.
        signed: whether only areas above .5 count as giving away, as for an attack that learned its direction
            (``per_example_auc`` of `LikelihoodRatioAttack`). Otherwise the farther of AUC and 1 - AUC counts.

    Returns:
        In [.5, 1], or with ``signed`` in [0, 1].

    Raises:
        InputError: if there is no area, or one lies outside [0, 1].
    """
    values = np.asarray(areas, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"`areas` must be AUCs in [0, 1] of shape (n,) with n >= 1, but have shape {values.shape} and "
            f"{int((~((values >= 0) & (values <= 1))).sum())} of them outside or NaN. Pass what `per_example_auc` gives."
        )
    given_away = values if signed else np.maximum(values, 1 - values)
    worst = math.ceil(len(values) / 10)
    return float(np.partition(given_away, len(values) - worst)[len(values) - worst :].mean())


@dataclass(frozen=True)
class RiskierShare:
    """Which retained records show more of their membership than before.

    Attributes:
        share: of the retained records that unlearned models make riskier, in [0, 1].
        retrained: the same share with retrained models in place of the unlearned ones: what removing the forget set does by
            itself.
        level: the share to be expected where nothing changed.
        riskier: (n,) which records those of ``share`` are.
    """

    share: float
    retrained: float
    level: float
    riskier: np.ndarray


def share_riskier(
    unlearned: np.ndarray,
    original: np.ndarray,
    retrained: np.ndarray,
    *,
    level: float = 0.05,
    min_sd: float = MIN_SD,
) -> RiskierShare:
    """Share of the retained records whose membership shows more after unlearning, beyond what models vary.

    All three kinds of models trained on a retained record. Its evidence of membership is its margin, as in attacks by the
    loss. A record is riskier if

        mean phi_U - mean phi_A > t(1 - level, N_O - 1) * s_O * sqrt(1 / N_U + 1 / N_A)

    with U unlearned models, A originals, s_O the standard deviation (over N_O - 1) of its margin over retrained models, which
    says how far it varies from training to training, and t the quantile of Student's distribution. For originals in place of
    the unlearned models a share ``level`` is riskier. Unlearned models that were all made from one original vary less, and A
    should then be that one. For retrained models N_O stands for N_U.

    A model that became surer of everything makes every record riskier by this figure. Where only what sets a record off
    from unseen ones should count, pass log-odds of `rmia` scores in place of margins.

    Args:
        unlearned: (N_U, n) margins on retained records, N_U >= 1, or any evidence that is higher for members.
        original: (N_A, n) the originals' on the same records, N_A >= 1.
        retrained: (N_O, n) the retrained models', N_O >= 3.
        level: in (0, .5].
        min_sd: in units of the evidence, > 0; a smaller s_O is raised to it.

    Returns:
        The shares, and which records.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or a setting is out of range.

    That retained records may be laid open: Hayes et al., arXiv 2403.01218. The definition is ebbing's own.
    """
    unlearned, original, retrained = checked_margins(
        {"unlearned": unlearned, "original": original, "retrained": retrained},
        {"unlearned": 1, "original": 1, "retrained": 3},
        measure="The share made riskier",
    )
    check_min_sd(min_sd)
    if not 0 < level <= 0.5:
        raise InputError(f"`level` must lie in (0, 0.5], but is {level}. 0.05 is usual.")
    quantile = float(scipy.stats.t.ppf(1 - level, len(retrained) - 1))
    before = original.mean(axis=0, dtype=np.float64)
    mean, sd = moments(retrained, min_sd=min_sd)

    def riskier(after: np.ndarray, n_models: int) -> np.ndarray:
        reach = quantile * sd * math.sqrt(1 / n_models + 1 / len(original))
        found: np.ndarray = after - before > reach
        return found

    by_unlearning = riskier(unlearned.mean(axis=0, dtype=np.float64), len(unlearned))
    by_retraining = riskier(mean, len(retrained))
    return RiskierShare(float(by_unlearning.mean()), float(by_retraining.mean()), level, by_unlearning)
