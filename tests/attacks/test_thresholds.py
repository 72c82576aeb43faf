"""The core figures against independent references, and each threshold attack's score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ebbing.attacks import (
    ConfidenceThreshold,
    EntropyThreshold,
    LossThreshold,
    ModifiedEntropyThreshold,
    auc,
    bootstrap_auc_interval,
    tpr_at_fpr,
)
from ebbing.observations import Observations, Signals

# Few distinct values, so that most examples are full of ties; and any finite value.
tied = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)
untied = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=40)
sides = st.tuples(tied, tied) | st.tuples(untied, untied)


def signals(margin: np.ndarray) -> Signals:
    """Two-class predictions with the given margins."""
    p = 1 / (1 + np.exp(-margin))
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    # With two classes both terms of the modified entropy are -(1 - p_y) log p_y.
    return Signals(margin, np.maximum(p, 1 - p), entropy, -2 * (1 - p) * np.log(p), margin > 0)


def observations(members: np.ndarray, non_members: np.ndarray) -> Observations:
    forget, matched = signals(members), signals(non_members)
    return Observations(forget=forget, retain=forget, holdout=matched, matched=matched)


@given(sides)
def test_auc_equals_scikit_learn(pair: tuple[list[float], list[float]]) -> None:
    members, non_members = map(np.array, pair)
    labels = np.repeat([1, 0], [len(members), len(non_members)])
    assert auc(members, non_members) == pytest.approx(
        roc_auc_score(labels, np.concatenate((members, non_members))), abs=1e-12
    )


@given(sides)
def test_auc_mirrors_exactly(pair: tuple[list[float], list[float]]) -> None:
    members, non_members = map(np.array, pair)
    assert auc(members, non_members) + auc(-members, -non_members) == pytest.approx(1, abs=1e-15)


def test_auc_by_hand() -> None:
    # Pairs: 3 beats 1 and 2 and ties with 3 (2.5); 2 beats 1 and ties with 2 (1.5); of 6.
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 2.0, 3.0])) == 4 / 6
    assert auc(np.ones(5), np.ones(7)) == 0.5
    assert auc(np.array([2.0, np.inf]), np.array([1.0, -np.inf])) == 1.0


@given(sides, st.integers(0, 40), st.integers(1, 40))
def test_tpr_at_fpr_equals_brute_force(pair: tuple[list[float], list[float]], numerator: int, denominator: int) -> None:
    members, non_members = map(np.array, pair)
    fpr = min(numerator / denominator, 1.0)
    thresholds = np.concatenate(([-np.inf], members, non_members))
    best = max(np.mean(members > t) for t in thresholds if np.mean(non_members > t) <= fpr)
    assert tpr_at_fpr(members, non_members, fpr) == best


def test_tpr_at_fpr_by_hand() -> None:
    non_members = np.arange(100.0)  # one may score above the threshold: it is 98
    assert tpr_at_fpr(np.array([98.0, 98.5, 99.0, 200.0]), non_members) == 0.75
    assert tpr_at_fpr(np.array([98.5, 99.0, 99.5, 200.0]), non_members[:99]) == 1.0  # top is 98, none allowed
    tied_top = np.concatenate((np.zeros(98), [1.0, 1.0]))  # letting one of the tied two through lets both
    assert tpr_at_fpr(np.array([1.0, 2.0]), tied_top) == 0.5
    assert tpr_at_fpr(np.array([1.0, 2.0]), tied_top, 0.02) == 1.0
    assert tpr_at_fpr(np.array([-5.0]), np.zeros(3), 1.0) == 1.0


@pytest.mark.parametrize(("m", "floor"), [(100, 2 / 101), (1000, 11 / 1001)])
def test_tpr_at_fpr_without_signal_is_the_documented_floor(m: int, floor: float) -> None:
    rng = np.random.default_rng(m)
    rates = [tpr_at_fpr(rng.normal(size=200), rng.normal(size=m)) for _ in range(1000)]
    assert np.mean(rates) == pytest.approx(floor, abs=4 * np.std(rates) / np.sqrt(1000))


def test_the_allowed_rate_survives_rounding() -> None:
    # 0.29 * 100 is 28.999999999999996 in floating point: 29 of 100 must still be allowed.
    assert tpr_at_fpr(np.array([70.5]), np.arange(100.0), 0.29) == 1.0
    assert tpr_at_fpr(np.array([70.0]), np.arange(100.0), 0.29) == 0.0


def test_bootstrap_equals_a_plain_loop_over_the_same_draws() -> None:
    rng = np.random.default_rng(0)
    members, non_members = rng.integers(0, 9, 30).astype(float), rng.integers(0, 9, 45).astype(float)
    draws = np.random.default_rng(7)
    areas = []
    for _ in range(200):
        drawn = np.sort(non_members)[draws.integers(45, size=45)]
        areas.append(auc(np.sort(members)[draws.integers(30, size=30)], drawn))
    assert bootstrap_auc_interval(members, non_members, seed=7, resamples=200) == pytest.approx(
        tuple(np.quantile(areas, [0.025, 0.975])), abs=1e-12
    )


def test_bootstrap_spread_is_that_of_the_auc_under_the_null() -> None:
    # Without signal and ties the variance of the AUC is (n + m + 1) / (12 n m).
    rng = np.random.default_rng(1)
    n, m = 400, 600
    widths = [
        np.diff(bootstrap_auc_interval(rng.normal(size=n), rng.normal(size=m), seed=seed))[0] for seed in range(10)
    ]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt((n + m + 1) / (12 * n * m)), rel=0.05)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_auc_interval(rng.normal(size=60), rng.normal(size=80), seed=seed, resamples=200)
        covered += low <= 0.5 <= high
    assert 178 <= covered <= 200  # 95 % of 200 is 190; four binomial sd below it


@pytest.mark.parametrize("bad", [np.array([]), np.zeros((2, 2)), np.array([0.0, np.nan])])
@pytest.mark.parametrize("figure", [auc, tpr_at_fpr, bootstrap_auc_interval])
def test_scores_that_cannot_be_ordered_are_refused(figure, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="`member_scores` must"):
        figure(bad, np.zeros(3))
    with pytest.raises(ValueError, match="`non_member_scores` must"):
        figure(np.zeros(3), bad)
    with pytest.raises(ValueError, match=r"`member_scores` must .*; `non_member_scores` must"):
        figure(bad, bad)


def test_settings_out_of_range_are_refused() -> None:
    values = np.zeros(3)
    with pytest.raises(ValueError, match="`fpr` must lie in"):
        tpr_at_fpr(values, values, 1.5)
    with pytest.raises(ValueError, match="`resamples` must be at least 1"):
        bootstrap_auc_interval(values, values, resamples=0)
    with pytest.raises(ValueError, match="`level` lie in"):
        bootstrap_auc_interval(values, values, level=1.0)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_loss_threshold_gives_what_the_loss_itself_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = observations(rng.normal(1, 3, (2, 30)), rng.normal(0, 3, (2, 40)))
    results = LossThreshold().run(seen, intervals=False)
    assert seen.matched is not None
    for row, result in enumerate(results):
        assert result.auc == auc(-seen.forget.loss[row], -seen.matched.loss[row])


def test_loss_threshold_still_orders_records_whose_loss_is_zero() -> None:
    members, non_members = np.linspace(900, 999, 40)[None], np.linspace(800, 899, 40)[None]
    plain = Signals(members, members, members, members, members > 0)
    unseen = Signals(non_members, non_members, non_members, non_members, non_members > 0)
    assert not plain.loss.any()  # every loss rounds to 0
    assert LossThreshold().run(Observations(plain, plain, unseen, unseen))[0].auc == 1.0


def test_a_sure_and_wrong_record_is_a_member_to_the_entropy_but_not_to_the_modified_entropy() -> None:
    sure_and_wrong, unsure = np.full((1, 30), -6.0), np.zeros((1, 30))
    seen = observations(sure_and_wrong, unsure)
    expected = {
        LossThreshold(): 0.0,
        ConfidenceThreshold(): 1.0,
        EntropyThreshold(): 1.0,
        ModifiedEntropyThreshold(): 0.0,
    }
    for attack, area in expected.items():
        assert attack.run(seen)[0].auc == area
