"""What a membership attack is, and the figures every attack reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ebbing.errors import InputError

if TYPE_CHECKING:
    from ebbing.observations import Observations, Signals

MIN_RECORDS = 20  # below this on either side an AUC says nothing: its null sd is about .09
MIN_NON_MEMBERS_FOR_TPR = 100  # below this not one false positive fits into 1 %


@dataclass(frozen=True)
class AttackResult:
    """What one attack found in one model; a figure without evidence is None.

    Attributes:
        auc: chance that a random member scores above a random non-member, ties counted half, in [0, 1].
            Signed: 0.5 is no leakage, and a value below 0.5 is leakage as much as one above.
        low: lower end of the 95 % bootstrap interval of ``auc``, in [0, 1].
        high: upper end of the same interval.
        tpr_at_1pct_fpr: share of members found while at most 1 % of the non-members are taken for members,
            in [0, 1]. Without signal it is not 0.01 but, on average over m non-members, (k + 1) / (m + 1)
            with k = floor(m / 100): 0.020 at m = 100, 0.011 at m = 1,000.
        accuracy: share of records told apart on balanced classes, in [0, 1], from attacks that classify.
        reason: why figures are missing, where all of them are.
    """

    auc: float | None
    low: float | None
    high: float | None
    tpr_at_1pct_fpr: float | None
    accuracy: float | None = None
    reason: str | None = None

    @classmethod
    def missing(cls, reason: str) -> AttackResult:
        """A result with no figure at all, and the reason for that."""
        return cls(auc=None, low=None, high=None, tpr_at_1pct_fpr=None, reason=reason)


class Attack(ABC):
    """Tell forgotten records from unseen ones, by how a model answers on them.

    Members are the forget set. Non-members are ``Observations.matched``, unseen examples drawn as the forget
    set was: against any other unseen data an attack sees the difference of the draw, not the memory.

    A subclass gives ``name`` and ``scores``; one that does more than threshold a score overrides ``judge``.

    Attributes:
        name: how reports and the command line call the attack.
    """

    name: ClassVar[str]

    @abstractmethod
    def scores(self, signals: Signals) -> np.ndarray:
        """Membership scores, higher for what the attack takes for a member.

        Args:
            signals: outputs of the models on one split, arrays of shape (n_models, n_examples) that cannot be written to.

        Returns:
            (n_models, n_examples) scores. Only their order within a row matters to a threshold attack.
        """

    def run(self, observations: Observations, *, seed: int = 0, intervals: bool = True) -> list[AttackResult]:
        """Attack every observed model.

        Args:
            observations: what the models answer on the forget set and on the matched unseen examples.
            seed: of every random draw. Each model is judged with the same draws, so that its result does not
                depend on which other models are judged beside it.
            intervals: whether to bootstrap ``low`` and ``high``; they are None otherwise. Without them the
                attack is cheap enough for many retrained models.

        Returns:
            One result per model. Every figure is None, with the reason, where the matched examples are
            missing, where there are fewer than 20 members or non-members, and for a model with NaN scores.

        Raises:
            InputError: if `scores` does not give one number for each model and record, or `judge` no `AttackResult`.
        """
        if observations.matched is None:
            reason = (
                "no matched non-members: an attack needs unseen examples drawn as the forget set was, "
                "and the request has none"
            )
            return [AttackResult.missing(reason)] * observations.n_models
        n_members, n_non_members = observations.forget.n_examples, observations.matched.n_examples
        if min(n_members, n_non_members) < MIN_RECORDS:
            reason = (
                f"too few records: an attack needs at least {MIN_RECORDS} members and {MIN_RECORDS} matched "
                f"non-members, and the request has {n_members} and {n_non_members}"
            )
            return [AttackResult.missing(reason)] * observations.n_models
        member_rows, non_member_rows = self._scored(observations.forget), self._scored(observations.matched)
        return [
            AttackResult.missing(f"the {self.name} scores of this model contain NaN")
            if np.isnan(members).any() or np.isnan(non_members).any()
            else self._judged(members, non_members, seed=seed, intervals=intervals)
            for members, non_members in zip(member_rows, non_member_rows, strict=True)
        ]

    def _scored(self, signals: Signals) -> np.ndarray:
        """The scores, once they are known to be one number for each model and record."""
        scores, wanted = np.asarray(self.scores(signals.read_only())), (signals.n_models, signals.n_examples)
        if scores.shape != wanted:
            raise InputError(
                f"`scores` of {type(self).__name__} must give a score for each model and record, an array of shape {wanted}, "
                f"but gives one of shape {scores.shape}."
            )
        if scores.dtype.kind not in "biuf":
            raise InputError(
                f"`scores` of {type(self).__name__} must give real numbers, but gives {scores.dtype} values."
            )
        return scores

    def _judged(self, members: np.ndarray, non_members: np.ndarray, *, seed: int, intervals: bool) -> AttackResult:
        """The figures of one model, once they are known to be a result."""
        result = self.judge(members, non_members, seed=seed, intervals=intervals)
        if not isinstance(result, AttackResult):
            raise InputError(
                f"`judge` of {type(self).__name__} must give an AttackResult, but gives {type(result).__name__}."
            )
        return result

    def judge(self, members: np.ndarray, non_members: np.ndarray, *, seed: int, intervals: bool) -> AttackResult:
        """The figures of one model, here from thresholds on the score.

        Args:
            members: (n,) scores of the members of one model, n >= 20, without NaN.
            non_members: (m,) scores of the non-members, m >= 20, without NaN.
            seed: of every random draw.
            intervals: whether to give ``low`` and ``high``.

        Returns:
            The result; ``tpr_at_1pct_fpr`` is None below 100 non-members.
        """
        low, high = bootstrap_auc_interval(members, non_members, seed=seed) if intervals else (None, None)
        enough = len(non_members) >= MIN_NON_MEMBERS_FOR_TPR
        tpr = tpr_at_fpr(members, non_members) if enough else None
        return AttackResult(auc=auc(members, non_members), low=low, high=high, tpr_at_1pct_fpr=tpr)


def auc(member_scores: np.ndarray, non_member_scores: np.ndarray) -> float:
    """Area under the ROC curve: P(member > non-member) + P(member = non-member) / 2.

    The Mann-Whitney statistic over n * m, by sorting in O((n + m) log m), exact up to the last division.

    Args:
        member_scores: (n,) scores of the members, higher for what is taken for a member.
        non_member_scores: (m,) scores of the non-members.

    Returns:
        The area, in [0, 1]; 0.5 where the scores carry no order.

    Raises:
        ValueError: if a side is not one-dimensional, is empty, or contains NaN.
    """
    members, non_members = _checked(member_scores, non_member_scores)
    below, up_to = places(members, np.sort(non_members))
    return (int(below.sum()) + int(up_to.sum())) / (2 * len(members) * len(non_members))


def tpr_at_fpr(member_scores: np.ndarray, non_member_scores: np.ndarray, fpr: float = 0.01) -> float:
    """Largest true positive rate that a threshold reaches at no more than a given false positive rate.

    A record is called a member where its score lies strictly above the threshold, so that tied records
    stand or fall together. Empirical rates, without interpolation. With m non-members the rate in use is the
    largest k / m <= ``fpr``, 0 where m < 1 / ``fpr``. Why low rates: Carlini et al., arXiv 2112.03570.

    Args:
        member_scores: (n,) scores of the members, higher for what is taken for a member.
        non_member_scores: (m,) scores of the non-members.
        fpr: allowed share of non-members above the threshold, in [0, 1].

    Returns:
        The share of members above the best threshold, in [0, 1].

    Raises:
        ValueError: if a side is not one-dimensional, is empty or contains NaN, or ``fpr`` is out of range.
    """
    members, non_members = _checked(member_scores, non_member_scores)
    if not 0 <= fpr <= 1:
        raise ValueError(f"`fpr` must lie in [0, 1], but is {fpr}. It is a share of the non-members.")
    m = len(non_members)
    # Compares k / m with fpr itself: floor(fpr * m) would lose one where the product rounds down.
    allowed = int(np.searchsorted(np.arange(m + 1) / m, fpr, side="right")) - 1
    if allowed == m:
        return 1.0
    threshold = np.sort(non_members)[m - 1 - allowed]  # any lower one lets more than `allowed` through
    return float(np.mean(members > threshold))


def bootstrap_auc_interval(
    member_scores: np.ndarray,
    non_member_scores: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 500,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the AUC, over the draw of the records.

    Members and non-members are resampled separately, each with replacement and at their own size. The scores
    stay as they are: the spread over training seeds is not in the interval. O(resamples * (n + m)).

    Args:
        member_scores: (n,) scores of the members, higher for what is taken for a member.
        non_member_scores: (m,) scores of the non-members.
        seed: of the resampling.
        resamples: number of bootstrap samples, >= 1.
        level: nominal coverage, in (0, 1).

    Returns:
        The lower and upper end, both in [0, 1]. They coincide where members and non-members do not overlap.

    Raises:
        ValueError: if a side is not one-dimensional, is empty or contains NaN, or a setting is out of range.
    """
    members, non_members = _checked(member_scores, non_member_scores)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"`resamples` must be at least 1 and `level` lie in (0, 1), but they are {resamples} and {level}."
        )
    n, m = len(members), len(non_members)
    below, up_to = places(np.sort(members), np.sort(non_members))
    rng = np.random.default_rng(seed)
    areas = np.empty(resamples)
    for i in range(resamples):
        counts = np.bincount(rng.integers(m, size=m), minlength=m)  # (m,) how often each is drawn
        running = np.concatenate(([0], np.cumsum(counts)))  # (m + 1,) drawn among the first j
        wins = running[below] + running[up_to]  # (n,) twice the drawn non-members each member beats
        areas[i] = wins[rng.integers(n, size=n)].sum() / (2 * n * m)
    low, high = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def places(members: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where members fall among non-members, (n,) counts each.

    Args:
        members: (n,) scores.
        ordered: (m,) scores of the non-members, ascending.

    Returns:
        How many non-members score below each member, and how many score below it or the same.
    """
    return np.searchsorted(ordered, members, side="left"), np.searchsorted(ordered, members, side="right")


def _checked(member_scores: np.ndarray, non_member_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as arrays, once they are known to be ones that can be ordered."""
    sides = {"member_scores": np.asarray(member_scores), "non_member_scores": np.asarray(non_member_scores)}
    problems = []
    for name, values in sides.items():
        if values.ndim != 1 or values.size == 0:
            problems.append(f"`{name}` must be one-dimensional and not empty, but has shape {values.shape}")
        elif np.isnan(values).any():
            problems.append(f"`{name}` must not contain NaN, but {int(np.isnan(values).sum())} values are")
    if problems:
        raise ValueError("; ".join(problems) + ". Pass the scores of one model at a time.")
    return sides["member_scores"], sides["non_member_scores"]
