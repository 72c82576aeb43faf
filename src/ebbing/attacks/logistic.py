"""Logistic regression on the loss, cross-validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ebbing.attacks.attack import MIN_NON_MEMBERS_FOR_TPR, Attack, AttackResult, auc, places, tpr_at_fpr

if TYPE_CHECKING:
    from ebbing.observations import Signals


@dataclass(frozen=True)
class _Fold:
    """The held-out records of one split: their scores, and their positions among the balanced records."""

    members: np.ndarray
    non_members: np.ndarray
    member_index: np.ndarray
    non_member_index: np.ndarray
    accuracy: float


@dataclass(frozen=True)
class LossLogistic(Attack):
    """Logistic regression on the loss, over stratified shuffle splits, as the NeurIPS 2023 challenge ran it.

    The classes are balanced by subsampling the larger side by the seed. Each split fits on 90 % of the
    records and is judged on the other 10 %. The loss is standardised by the training part first (the starting
    kit does not), so that the regulariser, C = 1, does not blind the attack to small losses. ``auc`` and
    ``accuracy`` are means over the splits.

    The attacker learns the direction: **a signal that a threshold shows below 0.5 is shown above 0.5 here.**
    A value below 0.5 is chance. Under the null the standard deviation of ``accuracy`` is about 0.5 / sqrt(n)
    at n records per class (simulated: 0.072 at 50, 0.051 at 100, 0.023 at 500, 0.011 at 2,000), and that of
    ``auc`` 1.3 times that: neither is as steady as the AUC of a threshold, 0.41 / sqrt(n).

    Source: github.com/unlearning-challenge/starting-kit. Published there on CIFAR-10: 0.579 original,
    0.512 fine-tuned, 0.502 retrained.

    Attributes:
        splits: number of shuffle splits, >= 1.
        held_out: share of the records held out in each split, in (0, 1).
        resamples: bootstrap samples of the interval, >= 1.

    Raises:
        ValueError: if a setting is out of range.
    """

    name: ClassVar[str] = "loss-logistic"

    splits: int = 10
    held_out: float = 0.1
    resamples: int = 500

    def __post_init__(self) -> None:
        if self.splits < 1 or self.resamples < 1 or not 0 < self.held_out < 1:
            raise ValueError(
                "`splits` and `resamples` must be at least 1 and `held_out` lie in (0, 1), but they are "
                f"{self.splits}, {self.resamples} and {self.held_out}."
            )

    def scores(self, signals: Signals) -> np.ndarray:
        """(n_models, n_examples) negated losses in nats, <= 0: the one feature of the regression."""
        with np.errstate(invalid="ignore"):  # a diverged model has NaN margins; `run` reports it
            return -signals.loss

    def judge(self, members: np.ndarray, non_members: np.ndarray, *, seed: int, intervals: bool) -> AttackResult:
        """The figures of one model, from records held out of the fit.

        The interval is the percentile bootstrap over records of the mean AUC itself: each resample draws
        members and non-members with replacement, and a record counts, in every split that holds it out, as
        often as it was drawn. The fits stay as they are, so their own spread is not in the interval: under
        the null, where the direction of the fits is chance, it covers 0.5 in about 87 of 100 draws
        (simulated).

        Args:
            members: (n,) negated losses of the members of one model, without NaN.
            non_members: (m,) negated losses of the non-members, without NaN.
            seed: of the subsampling, the splits and the bootstrap.
            intervals: whether to give ``low`` and ``high``.

        Returns:
            The result. ``tpr_at_1pct_fpr`` is the mean over the splits, and None where a split holds out
            fewer than 100 non-members. Everything is None, with the reason, where a loss is infinite.
        """
        if not (np.isfinite(members).all() and np.isfinite(non_members).all()):
            return AttackResult.missing("the loss of this model is infinite on some record: no regression fits")
        rng = np.random.default_rng(seed)
        n = min(len(members), len(non_members))
        folds = self._folds(_subsample(members, n, rng), _subsample(non_members, n, rng), rng)
        low, high = self._interval(folds, n, rng) if intervals else (None, None)
        enough = min(len(fold.non_members) for fold in folds) >= MIN_NON_MEMBERS_FOR_TPR
        return AttackResult(
            auc=float(np.mean([auc(fold.members, fold.non_members) for fold in folds])),
            low=low,
            high=high,
            tpr_at_1pct_fpr=float(np.mean([tpr_at_fpr(fold.members, fold.non_members) for fold in folds]))
            if enough
            else None,
            accuracy=float(np.mean([fold.accuracy for fold in folds])),
        )

    def _folds(self, members: np.ndarray, non_members: np.ndarray, rng: np.random.Generator) -> list[_Fold]:
        """Fit and hold out; both sides of length n, members first in the joint numbering."""
        # here, because importing scikit-learn takes a second
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedShuffleSplit

        n = len(members)
        feature = np.concatenate((members, non_members))[:, None]  # (2n, 1)
        label = np.repeat([1, 0], n)
        splitter = StratifiedShuffleSplit(self.splits, test_size=self.held_out, random_state=int(rng.integers(2**31)))
        folds = []
        for train, test in splitter.split(feature, label):
            centre, spread = feature[train].mean(), feature[train].std()
            scaled = (feature - centre) / (spread if spread > 0 else 1.0)
            fitted = LogisticRegression().fit(scaled[train], label[train])
            decision = fitted.decision_function(scaled[test])
            member = label[test] == 1
            folds.append(
                _Fold(
                    members=decision[member],
                    non_members=decision[~member],
                    member_index=test[member],
                    non_member_index=test[~member] - n,
                    accuracy=float(fitted.score(scaled[test], label[test])),
                )
            )
        return folds

    def _interval(self, folds: list[_Fold], n: int, rng: np.random.Generator) -> tuple[float, float]:
        """95 % percentile interval of the mean AUC over the folds, by resampling records."""
        orders = [np.argsort(fold.non_members, kind="stable") for fold in folds]
        spots = [places(fold.members, fold.non_members[order]) for fold, order in zip(folds, orders, strict=True)]
        areas = []
        for _ in range(self.resamples):
            member_counts = np.bincount(rng.integers(n, size=n), minlength=n)  # (n,) how often each is drawn
            non_member_counts = np.bincount(rng.integers(n, size=n), minlength=n)
            won, pairs = 0.0, 0
            for fold, order, (below, up_to) in zip(folds, orders, spots, strict=True):
                a = member_counts[fold.member_index]
                running = np.concatenate(([0], np.cumsum(non_member_counts[fold.non_member_index[order]])))
                won += float(a @ (running[below] + running[up_to])) / 2
                pairs += int(a.sum() * running[-1])
            # Sums before the ratio: in a small fold a resample may hold no member at all. The folds have
            # equally many pairs, so with every record drawn once this is the mean AUC over the folds.
            if pairs > 0:
                areas.append(won / pairs)
        low, high = np.quantile(areas, [0.025, 0.975])
        return float(low), float(high)


def _subsample(values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """N of the values, all of them where there are no more."""
    return values if len(values) == n else rng.choice(values, size=n, replace=False)
