"""U-LiRA: a likelihood ratio for each record, in two games.

*Efficacy*: was this model unlearned, or retrained? *Privacy*: did this unlearned model once train on this record, or never?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ebbing.errors import InputError
from ebbing.measures.margin_gap import MIN_SD, check_min_sd, checked_margins, chunks, moments

FOLDS = 10


@dataclass(frozen=True)
class LikelihoodRatioAttack:
    """What a likelihood-ratio attack finds, over every pair of a judged model and a record; .5 is no leakage.

    Attributes:
        game: "efficacy" or "privacy".
        balanced_accuracy: mean of the shares told right on both sides where a ratio above 1 is called positive (a ratio of
            1 counts half), in [0, 1].
        auc: chance that a positive pair has a higher ratio than a negative one, ties counted half, in [0, 1].
        tpr_at_1pct_fpr: share of positive pairs found while at most 1 % of the negative ones are taken for positive, in
            [0, 1]; None below 100 negative pairs.
        tpr_at_01pct_fpr: the same at .1 %; None below 1,000.
        per_example_auc: (n,) AUC of each record by itself, in [0, 1]. From few models it is coarse.
        n_positive: pairs of a model and a record on the positive side.
        n_negative: on the negative side.
    """

    game: Literal["efficacy", "privacy"]
    balanced_accuracy: float
    auc: float
    tpr_at_1pct_fpr: float | None
    tpr_at_01pct_fpr: float | None
    per_example_auc: np.ndarray
    n_positive: int
    n_negative: int


def u_lira_efficacy(
    unlearned: np.ndarray, retrained: np.ndarray, *, folds: int = FOLDS, min_sd: float = MIN_SD
) -> LikelihoodRatioAttack:
    """The efficacy game: one model is drawn from the unlearned or the retrained ones, and the attack says from which.

    For each record, with phi the judged model's margin,

        ratio = log N(phi; mu_U, s_U) - log N(phi; mu_O, s_O)

    with means and standard deviations (over N - 1) of shadow models. A judged model is never among its shadow models: both
    sides are cut into the same number of folds (model i into fold i modulo folds), and a fold of both is judged by the
    models outside of it. To leave one model out of its own side alone would give that side fewer shadow models and so
    smaller ratios: retrained models against retrained ones would then have an AUC **below** .5 (.489 with 8 models each,
    Gaussian margins). Per-example AUCs compare models of the same fold.

    The source also draws the negative side from models that unlearned other records and never trained on this one, over many
    requests: pass their margins on the same records as ``retrained``, and it is that game. It uses 64 to 256 models.

    Args:
        unlearned: (N_U, n) margins on the forgotten records, N_U >= 3; the positive side.
        retrained: (N_O, n) margins on the same records, N_O >= 3. The counts may differ.
        folds: at least 2; no more than the fewer models are used, and 3 where those are 3.
        min_sd: in log-odds, > 0; smaller standard deviations are raised to it.

    Returns:
        The figures, over (N_U + N_O) * n ratios. In expectation the AUC and the balanced accuracy of retrained models
        against others of them are .5, whatever the counts.

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or a setting is out of range.

    Source: Hayes et al., arXiv 2403.01218, algorithm 1. Public code feeds it whether the label was predicted, 0 or 1, in place
    of margins: a record that is always predicted then tells nothing, however far its margins lie apart.
    """
    unlearned, retrained = checked_margins(
        {"unlearned": unlearned, "retrained": retrained}, {"unlearned": 3, "retrained": 3}, measure="U-LiRA (efficacy)"
    )
    check_min_sd(min_sd)
    _check_folds(folds)
    fewest = min(len(unlearned), len(retrained))
    folds = min(folds if fewest > 3 else 3, fewest)  # two must stay outside: of 3 models, no 2 may be in a fold
    # Single precision from here on: rounding keeps the order, and sorting what may be millions takes half the time.
    positive, negative = np.empty(unlearned.shape, np.float32), np.empty(retrained.shape, np.float32)
    each = np.empty(unlearned.shape[1])
    for part in chunks(unlearned, retrained):
        u, o = unlearned[:, part].astype(np.float64), retrained[:, part].astype(np.float64)
        won, pairs = np.zeros(u.shape[1]), 0
        for of_u, of_o in zip(_left_out(u, folds, min_sd=min_sd), _left_out(o, folds, min_sd=min_sd), strict=True):
            of_positive, of_negative = (_ratio(x, of_u, of_o) for x in (u[of_u.fold], o[of_o.fold]))
            won += _wins(of_positive, of_negative)
            pairs += len(of_positive) * len(of_negative)
            positive[of_u.fold, part], negative[of_o.fold, part] = of_positive, of_negative
        each[part] = won / pairs
    return _figures("efficacy", positive, negative, each)


def u_lira_privacy(
    *,
    forget: np.ndarray,
    matched: np.ndarray,
    retrained_forget: np.ndarray,
    retrained_matched: np.ndarray,
    folds: int = FOLDS,
    min_sd: float = MIN_SD,
) -> LikelihoodRatioAttack:
    """The privacy game: one unlearned model and a record, which it was made to forget or has never seen.

    Positive are the unlearned models' margins on the forgotten records, negative **the same models'** on unseen records drawn
    alike; the retrained models, which saw neither, say how a record is answered by who never saw it. With mu_O and s_O of the
    retrained models on the record,

        z = (phi - mu_O) / s_O,    ratio = log N(z; a, b) - log N(z; c, d)

    a and b are mean and standard deviation of z on forgotten records, c and d on unseen ones, of shadow models: the **other**
    unlearned models on the **other** records (both kinds of records are cut into folds, record i into fold i modulo folds).
    What changed for all records alike, such as a temperature, moves both and cancels; where half of the records are over-
    and half under-forgotten, b > d tells them.

    In the source a record has a forgotten distribution of its own, from many requests over random halves of the data; one
    request has no models that forgot the unseen records, so that (a, b) is shared by all records here, and only (mu_O, s_O)
    is the record's own. With models of many requests at hand, see `u_lira_efficacy`.

    Args:
        forget: (N_U, n_f) unlearned models' margins on the forgotten records, N_U >= 2, n_f >= 4.
        matched: (N_U, n_m) the same models' margins on unseen records drawn as the forget set was, n_m >= 4.
        retrained_forget: (N_O, n_f) retrained models' margins on the forgotten records, N_O >= 2.
        retrained_matched: (N_O, n_m) the same retrained models' margins on the unseen records.
        folds: of records, at least 2; no more than half of the fewer records are used.
        min_sd: in log-odds, > 0; a smaller s_O is raised to it (and b or d to 1e-3).

    Returns:
        The figures, over N_U * (n_f + n_m) ratios; ``per_example_auc`` is (n_f,), each forgotten record against the unseen
        ones of its fold in the same model. Retrained models as the judged have .5 on average, the AUC over all a little less
        where there is little of everything (.494 with 4 models and 100 records of each kind).

    Raises:
        InputError: if the arrays do not fit together, are too few or not finite, or a setting is out of range.

    Source: Hayes et al., arXiv 2403.01218, with what is said above changed.
    """
    measure = "U-LiRA (privacy)"
    forget, retrained_forget = checked_margins(
        {"forget": forget, "retrained_forget": retrained_forget}, {"forget": 2, "retrained_forget": 2}, measure=measure
    )
    matched, retrained_matched = checked_margins(
        {"matched": matched, "retrained_matched": retrained_matched},
        {"matched": 2, "retrained_matched": 2},
        measure=measure,
    )
    check_min_sd(min_sd)
    _check_folds(folds)
    n_f, n_m = forget.shape[1], matched.shape[1]
    if len(forget) != len(matched) or len(retrained_forget) != len(retrained_matched) or min(n_f, n_m) < 4:
        raise InputError(
            f"{measure} cannot be computed: `forget` and `matched` must show the same models, `retrained_forget` and "
            "`retrained_matched` likewise, each on at least 4 records, but the shapes are "
            f"{forget.shape}, {matched.shape}, {retrained_forget.shape} and {retrained_matched.shape}. Observe the same "
            "models on both kinds of records."
        )
    folds = min(folds, n_f // 2, n_m // 2)
    z_f, z_m = (
        _standardised(unlearned, retrained, min_sd=min_sd)
        for unlearned, retrained in ((forget, retrained_forget), (matched, retrained_matched))
    )
    of_f, of_m = np.arange(n_f) % folds, np.arange(n_m) % folds
    mean_f, sd_f = _of_others(z_f, of_f, folds)  # (N_U, folds)
    mean_m, sd_m = _of_others(z_m, of_m, folds)
    positive, negative = np.empty(z_f.shape, np.float32), np.empty(z_m.shape, np.float32)
    each = np.empty(n_f)
    for fold in range(folds):
        worlds = tuple(x[:, fold, None] for x in (mean_f, sd_f, mean_m, sd_m))
        here_f, here_m = of_f == fold, of_m == fold
        positive[:, here_f], negative[:, here_m] = (
            _log_ratio(z[:, w], *worlds) for z, w in ((z_f, here_f), (z_m, here_m))
        )
        # For each model the unseen records of the fold are the models of `_wins`.
        wins = [_wins(p[None], q[:, None]) for p, q in zip(positive[:, here_f], negative[:, here_m], strict=True)]
        each[here_f] = np.mean(wins, axis=0) / here_m.sum()
    return _figures("privacy", positive, negative, each)


@dataclass(frozen=True)
class _Fold:
    """Models judged, and the moments of those outside: means and standard deviations (n,)."""

    fold: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def _left_out(margins: np.ndarray, folds: int, *, min_sd: float) -> Iterator[_Fold]:
    """The folds of (N, n) margins in float64."""
    centre = margins.mean(axis=0)  # taken out first, so that the differences of sums keep their digits
    rest = margins - centre
    total, squares = rest.sum(axis=0), np.einsum("ij,ij->j", rest, rest)
    for number in range(folds):
        fold = np.arange(number, len(margins), folds)
        part, outside = rest[fold], len(margins) - len(fold)
        mean = (total - part.sum(axis=0)) / outside
        spread = squares - np.einsum("ij,ij->j", part, part) - outside * mean**2
        sd = np.sqrt(np.maximum(spread, 0.0) / (outside - 1))
        yield _Fold(fold, centre + mean, np.maximum(sd, min_sd))


def _ratio(phi: np.ndarray, u: _Fold, o: _Fold) -> np.ndarray:
    return _log_ratio(phi, u.mean, u.sd, o.mean, o.sd)


def _log_ratio(
    x: np.ndarray, mean: np.ndarray, sd: np.ndarray, other_mean: np.ndarray, other_sd: np.ndarray
) -> np.ndarray:
    """Log N(x; mean, sd) - log N(x; other_mean, other_sd)."""
    first, second = (x - mean) / sd, (x - other_mean) / other_sd
    ratio: np.ndarray = np.log(other_sd / sd) + 0.5 * (second - first) * (second + first)
    return ratio


def _wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """(n,) how many pairs of (P, n) positive and (Q, n) negative scores have the positive one above; ties count half."""
    kind = np.min_scalar_type(len(positive) * len(negative))  # the smallest that can count them sums fastest
    above, ties = (
        compare(positive[:, None], negative).view(np.uint8).sum(axis=(0, 1), dtype=kind)
        for compare in (np.greater, np.equal)
    )
    won: np.ndarray = above + 0.5 * ties
    return won


def _standardised(unlearned: np.ndarray, retrained: np.ndarray, *, min_sd: float) -> np.ndarray:
    """(N_U, n) z of the unlearned models' margins by the retrained ones'."""
    mean, sd = moments(retrained, min_sd=min_sd)
    z: np.ndarray = (unlearned - mean) / sd
    return z


def _of_others(z: np.ndarray, of: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, folds) mean and standard deviation of the z of all other models on all records of other folds.

    Args:
        z: (N, n).
        of: (n,) fold of each record.
        folds: how many there are, each with a record.
    """
    centre = z.mean()  # taken out first, as in `_left_out`
    z = z - centre
    members = (of == np.arange(folds)[:, None]).astype(np.float64)  # (folds, n)
    outside = (len(z) - 1) * (len(of) - members.sum(axis=1))

    def others(values: np.ndarray) -> np.ndarray:
        rest = values.sum(axis=1, keepdims=True) - values @ members.T  # (N, folds), of each model
        summed: np.ndarray = rest.sum(axis=0) - rest
        return summed

    mean = others(z) / outside
    variance = np.maximum(others(z * z) - outside * mean**2, 0.0) / (outside - 1)
    return centre + mean, np.maximum(np.sqrt(variance), MIN_SD)


def _figures(
    game: Literal["efficacy", "privacy"], positive: np.ndarray, negative: np.ndarray, each: np.ndarray
) -> LikelihoodRatioAttack:
    """The figures over all ratios together."""
    ones, others = np.sort(positive, axis=None), np.sort(negative, axis=None)
    above, below = (_above(side, 0.0) for side in (ones, others))
    return LikelihoodRatioAttack(
        game,
        balanced_accuracy=(1 + above - below) / 2,
        auc=_area(ones, others),
        tpr_at_1pct_fpr=_rate(ones, others, 100),
        tpr_at_01pct_fpr=_rate(ones, others, 1_000),
        per_example_auc=each,
        n_positive=len(ones),
        n_negative=len(others),
    )


def _above(ascending: np.ndarray, threshold: float) -> float:
    """Share of values above a threshold, those equal to it counted half."""
    bar = ascending.dtype.type(threshold)  # of another type, all values would be converted
    below, up_to = np.searchsorted(ascending, bar), np.searchsorted(ascending, bar, side="right")
    return 1 - int(below + up_to) / (2 * len(ascending))


def _area(ones: np.ndarray, others: np.ndarray) -> float:
    """The AUC as `ebbing.attacks.auc` has it, of two ascending arrays, which may be millions long."""
    below = np.searchsorted(others, ones)
    up_to = below
    if (others[np.minimum(below, len(others) - 1)] == ones).any():  # else the second search would find the same
        up_to = np.searchsorted(others, ones, side="right")
    return (int(below.sum()) + int(up_to.sum())) / (2 * len(ones) * len(others))


def _rate(ones: np.ndarray, others: np.ndarray, one_in: int) -> float | None:
    """Share of ones above the lowest threshold with at most a share 1 / ``one_in`` of the others above; both ascending."""
    allowed = len(others) // one_in
    if not allowed:
        return None
    threshold = others[len(others) - 1 - allowed]  # any lower one lets more through
    return 1 - int(np.searchsorted(ones, threshold, side="right")) / len(ones)


def _check_folds(folds: int) -> None:
    """Refuse what leaves nothing out."""
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise InputError(
            f"`folds` must be a whole number >= 2, but is {folds!r}: a model that is among its own shadow models is told by "
            f"them. {FOLDS} is usual."
        )
