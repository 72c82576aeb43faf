"""The cross-validated regression on the loss, against scikit-learn's own cross-validation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ebbing.attacks import AttackResult, LossLogistic


def judge(members: np.ndarray, non_members: np.ndarray, *, seed: int = 0, intervals: bool = False) -> AttackResult:
    return LossLogistic().judge(members, non_members, seed=seed, intervals=intervals)


def losses(rng: np.random.Generator, n: int, *, margin: float = 1.0) -> np.ndarray:
    """Negated cross entropies of records with normal margins."""
    return -np.logaddexp(0, -rng.normal(margin, 2, n))


@pytest.mark.parametrize("n", [20, 33, 100])
def test_accuracy_and_auc_equal_scikit_learns_cross_validation(n: int) -> None:
    rng = np.random.default_rng(n)
    members, non_members = losses(rng, n, margin=2.5), losses(rng, n)
    result = judge(members, non_members, seed=5)
    splits = StratifiedShuffleSplit(10, test_size=0.1, random_state=int(np.random.default_rng(5).integers(2**31)))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    feature, label = np.concatenate((members, non_members))[:, None], np.repeat([1, 0], n)
    for figure, scoring in ((result.accuracy, "accuracy"), (result.auc, "roc_auc")):
        assert figure == pytest.approx(
            cross_val_score(model, feature, label, cv=splits, scoring=scoring).mean(), abs=1e-12
        )


def test_the_larger_side_is_subsampled_so_that_chance_is_one_half() -> None:
    rng = np.random.default_rng(0)
    result = judge(losses(rng, 60), losses(rng, 3000))
    assert result.accuracy == pytest.approx(0.5, abs=0.2)  # 0.98 if the classes were left unbalanced
    assert judge(losses(rng, 3000), losses(rng, 60)).accuracy == pytest.approx(0.5, abs=0.2)


def test_the_attacker_learns_the_direction() -> None:
    rng = np.random.default_rng(1)
    low, high = losses(rng, 300, margin=-3), losses(rng, 300, margin=3)
    remembered, over_forgotten = judge(high, low), judge(low, high)
    assert remembered.auc > 0.95
    assert over_forgotten.auc > 0.95
    assert over_forgotten.accuracy > 0.85


def test_the_null_spread_of_the_accuracy_is_the_documented_one() -> None:
    values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values.append(judge(losses(rng, 100), losses(rng, 100), seed=seed).accuracy)
    # 0.051; the sd of 150 draws is known to 6 %, and three times that is allowed.
    assert np.std(values) == pytest.approx(0.051, rel=0.18)
    assert np.mean(values) == pytest.approx(0.5, abs=3 * 0.05 / np.sqrt(150))


def test_the_interval_covers_one_half_under_the_null() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        result = judge(losses(rng, 60), losses(rng, 60), seed=seed, intervals=True)
        covered += result.low <= 0.5 <= result.high
    assert covered >= 45  # about 87 % are expected, 52 of 60; close to three binomial sd below it


def test_the_interval_surrounds_the_mean_auc() -> None:
    for n in (20, 25, 150):
        rng = np.random.default_rng(n)
        result = judge(losses(rng, n, margin=2), losses(rng, n), intervals=True)
        assert result.low <= result.auc <= result.high


def test_the_interval_does_not_change_the_figures() -> None:
    rng = np.random.default_rng(3)
    members, non_members = losses(rng, 50), losses(rng, 70)
    with_one, without = (judge(members, non_members, intervals=flag) for flag in (True, False))
    assert without.low is None
    assert without.high is None
    assert (with_one.auc, with_one.accuracy) == (without.auc, without.accuracy)


def test_small_losses_do_not_blind_the_attack() -> None:
    rng = np.random.default_rng(4)
    members, non_members = losses(rng, 200, margin=3), losses(rng, 200, margin=-3)
    assert judge(1e-6 * members, 1e-6 * non_members).accuracy == judge(members, non_members).accuracy


def test_equal_losses_are_chance() -> None:
    result = judge(np.full(40, -0.5), np.full(40, -0.5), intervals=True)
    assert (result.auc, result.low, result.high, result.accuracy) == (0.5, 0.5, 0.5, 0.5)


def test_the_rate_at_one_percent_needs_a_hundred_held_out_non_members() -> None:
    members, non_members = np.linspace(-1, 0, 1000), np.linspace(-3, -2, 2000)
    assert judge(members[:990], non_members).tpr_at_1pct_fpr is None
    assert judge(members, non_members).tpr_at_1pct_fpr == 1.0


def test_an_infinite_loss_is_a_reason_not_an_error() -> None:
    members = np.linspace(-1, 0, 30)
    result = judge(np.where(members < -0.9, -np.inf, members), members, intervals=True)
    assert result.auc is None
    assert result.accuracy is None
    assert "infinite" in result.reason


@pytest.mark.parametrize("setting", [{"splits": 0}, {"resamples": 0}, {"held_out": 0.0}, {"held_out": 1.0}])
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="`splits` and `resamples` must be at least 1"):
        LossLogistic(**setting)
