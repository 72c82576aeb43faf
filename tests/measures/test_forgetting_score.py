"""The challenge's forgetting score: by hand, against its published code, its floor, and rule by rule."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ebbing.errors import InputError
from ebbing.measures import floor_of, forgetting_epsilon, forgetting_quality, forgetting_score

# What metric.py of github.com/google-deepmind/unlearning_evaluation at ffae0ff gives for `known`, run without its assertion
# (which stops on an array of more than one threshold) and on the CPU: with both kinds of rules, and with the first alone
PUBLISHED_BOTH = [1.0985589, 2.1972067, 1.9458873, 1.6094059, 2.3025692, 2.3025692, 2.4848933, 2.4848933]
PUBLISHED_SINGLE = [1.0985589, 1.9458873, 1.9458873, 1.6094059, 1.9458873, 1.7917328, 1.7917328, 1.3862743]
PUBLISHED_SCORE = 0.1015625

PAIRS = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 3)).flatmap(
    lambda s: st.tuples(*(arrays(np.float64, (count, s[2]), elements=st.integers(-4, 4).map(float)) for count in s[:2]))
)


def known() -> tuple[np.ndarray, np.ndarray]:
    """(16, 8) margins of two kinds of models on a grid of .05, by whole numbers alone."""
    x = np.arange(128).reshape(16, 8)
    u, o = (((x * x * 31 + x * 7919 + salt * 104729) % 10007) % 21 for salt in (8, 9))
    narrow = np.where(np.arange(8) < 4, u, u // 2)
    return (narrow + np.arange(8) // 2 * 3) * 0.05, o * 0.05


def rule_by_rule(unlearned, retrained, *, delta, intervals):
    """Every threshold at a margin, below and above all, and every pair of them, for one record."""
    cuts = [-np.inf, *sorted({*unlearned, *retrained}), np.inf]
    higher = np.median(unlearned) >= np.median(retrained)
    one, other = (unlearned, retrained) if higher else (retrained, unlearned)
    rules = [(one, other, lambda x, t=t: x >= t) for t in cuts]
    if intervals:
        ranges = np.ptp(unlearned), np.ptp(retrained)
        inner = ranges[0] < ranges[1] or (ranges[0] == ranges[1] and not higher)
        sides = (unlearned, retrained) if inner else (retrained, unlearned)
        rules += [(*sides, lambda x, s=s, t=t: (s <= x) & (x < t)) for s in cuts for t in cuts if s < t]
    largest = 0.0
    for positive, negative, rule in rules:
        fnr, fpr = 1 - np.mean(rule(positive)), np.mean(rule(negative))
        if fnr == fpr == 0:
            return np.inf
        if fnr > 0 and fpr > 0:
            for p, q in ((fpr, fnr), (fnr, fpr)):
                if 1 - delta - p > 0:
                    largest = max(largest, math.log((1 - delta - p) / q))
    return largest


def test_an_epsilon_computed_by_hand():
    # Medians 2.5 and .5. From 1.5 on FPR = FNR = 1/4; from .5 on 1/4 are missed and 1/2 are false, from 2.5 on the reverse.
    unlearned, retrained = np.array([[0.0], [2.0], [3.0], [4.0]]), np.array([[-1.0], [0.5], [0.6], [2.5]])
    assert forgetting_epsilon(unlearned, retrained) == pytest.approx([math.log((0.75 - 1e-5) / 0.25)])  # 1.0986
    assert forgetting_epsilon(unlearned, retrained, delta=0.25) == pytest.approx([math.log(2)])
    assert forgetting_quality(unlearned, retrained) == 0.25  # 2^-floor(2.197)


def test_what_is_told_apart_without_a_mistake_is_infinite_and_scores_nothing():
    assert forgetting_epsilon(np.array([[3.0], [4.0]]), np.array([[1.0], [2.0]])).tolist() == [np.inf]
    assert forgetting_quality(np.array([[3.0], [4.0]]), np.array([[1.0], [2.0]])) == 0.0


def test_models_that_all_say_the_same_are_not_told_apart():
    assert forgetting_epsilon(np.zeros((3, 2)), np.zeros((4, 2)), intervals=True).tolist() == [0.0, 0.0]
    assert forgetting_quality(np.zeros((3, 2)), np.zeros((4, 2))) == 1.0


def test_published_code_gives_the_same():
    # its rates are in single precision
    assert forgetting_epsilon(*known()) == pytest.approx(PUBLISHED_SINGLE, abs=1e-6)
    assert forgetting_epsilon(*known(), intervals=True) == pytest.approx(PUBLISHED_BOTH, abs=1e-6)
    assert forgetting_quality(*known(), intervals=True) == PUBLISHED_SCORE


@settings(max_examples=100)
@given(PAIRS, st.sampled_from([0.0, 1e-5, 0.2]), st.booleans())
def test_the_table_of_counts_gives_what_rules_give_one_by_one(pair, delta, intervals):
    found = forgetting_epsilon(*pair, delta=delta, intervals=intervals)
    wanted = [rule_by_rule(u, o, delta=delta, intervals=intervals) for u, o in zip(pair[0].T, pair[1].T, strict=True)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@given(PAIRS)
def test_more_rules_never_lower_epsilon_and_only_the_order_of_margins_matters(pair):
    single, both = (forgetting_epsilon(*pair, intervals=intervals) for intervals in (False, True))
    assert (both >= single).all()
    assert (single >= 0).all()
    stretched = [3 * x + 1 for x in pair]
    np.testing.assert_array_equal(forgetting_epsilon(*stretched, intervals=True), both)


@pytest.mark.parametrize(("models", "single", "both"), [(16, 0.32, 0.13), (32, 0.33, 0.10), (100, 0.35, 0.07)])
def test_retrained_models_do_not_score_one(models, single, both):
    first, second = np.random.default_rng(models).normal(size=(2, models, 2_000))
    assert forgetting_quality(first, second) == pytest.approx(single, abs=0.02)
    assert forgetting_quality(first, second, intervals=True) == pytest.approx(both, abs=0.01)


def test_normalised_by_what_retraining_gets_retraining_scores_one():
    generator = np.random.default_rng(0)
    models, judged = generator.normal(size=(64, 1_000)), generator.normal(size=(32, 1_000))
    theirs = floor_of(forgetting_quality, models, n_unlearned=32, seed=0, repeats=3).mean
    same = {"retain_accuracy": (0.9, 0.9), "test_accuracy": (0.8, 0.8), "retrained_forgetting": theirs}
    assert forgetting_score(judged, models[:32], **same).normalised == pytest.approx(1, abs=0.1)
    nothing = forgetting_score(judged + 5, models[:32], **same)
    assert nothing.normalised < 0.05


def test_a_final_score_computed_by_hand():
    unlearned, retrained = np.array([[0.0], [2.0], [3.0], [4.0]]), np.array([[-1.0], [0.5], [0.6], [2.5]])  # H = 1/4
    found = forgetting_score(
        unlearned, retrained, retain_accuracy=(0.9, 1.0), test_accuracy=(0.72, 0.9), retrained_forgetting=0.36
    )
    assert (found.forgetting, found.final, found.normalised) == pytest.approx((0.25, 0.18, 0.5))
    without = forgetting_score(unlearned, retrained, retain_accuracy=(0.9, 1.0), test_accuracy=(0.72, 0.9))
    assert without.final == pytest.approx(0.18)
    assert math.isnan(without.normalised)


def test_one_margin_of_all_unlearned_models_passes_a_threshold_but_no_interval():
    retrained = np.random.default_rng(1).normal(size=(32, 500))
    peaked = np.full((32, 500), 0.0) + np.median(retrained, axis=0)
    assert forgetting_quality(peaked, retrained) > 0.3
    assert forgetting_quality(peaked, retrained, intervals=True) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retain_accuracy": (90, 1.0)}, r"must be fractions in \[0, 1\].*\(90, 1.0\).*Divide per cent"),
        ({"test_accuracy": (0.5, 0.0)}, "the retrained models' above 0"),
        ({"retrained_forgetting": 0.0}, r"`retrained_forgetting` must lie in \(0, 1\], but is 0.0.*leave it out"),
    ],
)
def test_figures_out_of_range_are_refused_with_a_way_out(change, message):
    with pytest.raises(InputError, match=message):
        forgetting_score(
            np.zeros((2, 1)),
            np.zeros((2, 1)),
            **({"retain_accuracy": (1.0, 1.0), "test_accuracy": (1.0, 1.0)} | change),
        )


def test_too_few_models_and_other_deltas_are_refused():
    with pytest.raises(InputError, match="The forgetting score cannot be computed: `unlearned` must hold at least 2"):
        forgetting_quality(np.zeros((1, 3)), np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"`delta` must lie in \[0, 1\), but is 1.0"):
        forgetting_epsilon(np.zeros((2, 3)), np.zeros((4, 3)), delta=1.0)
