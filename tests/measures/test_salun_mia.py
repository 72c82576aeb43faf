"""SalUn's attack: what it calls non-members, its ideal, and what it cannot see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from ebbing.errors import InputError
from ebbing.measures.salun_mia import salun_mia


def label_probability(rng, margin, n):
    return expit(rng.normal(margin, 2, n))


def test_a_share_computed_by_hand():
    # Members lie at .9 and .95, the others at .1 and .15: each record is called by the side of .5 that it lies on.
    retain, test = np.array([0.9, 0.95, 0.9, 0.95]), np.array([0.1, 0.15, 0.1, 0.15])
    forget = np.array([0.05, 0.2, 0.92, 0.98])
    assert salun_mia(forget=forget, retain=retain, test=test, seed=0) == 0.5
    assert salun_mia(forget=1 - forget[:1], retain=retain, test=test, seed=0) == 0.0


def test_the_ideal_is_the_retrained_models_value_and_not_one_half():
    rng = np.random.default_rng(0)
    retain, test = label_probability(rng, 7, 600), label_probability(rng, 4, 600)
    unseen = label_probability(rng, 4, 300)  # a retrained model's forget set, easy ones among it
    kept = label_probability(rng, 7, 300)  # the original's: the control that must stay far below
    retrained = salun_mia(forget=unseen, retain=retain, test=test, seed=0)
    original = salun_mia(forget=kept, retain=retain, test=test, seed=0)
    assert original < retrained - 0.15
    assert abs(retrained - 0.5) > 0.05


def test_classes_are_balanced_whatever_their_sizes():
    # Nearly the same feature: unbalanced, the larger class would be called throughout.
    rng = np.random.default_rng(1)
    many, few, forget = (
        label_probability(rng, 1.5, 3_000),
        label_probability(rng, 0.5, 300),
        label_probability(rng, 1, 500),
    )
    for retain, test in ((many, few), (few, many)):
        assert 0.2 < salun_mia(forget=forget, retain=retain, test=test, seed=0) < 0.8


@settings(max_examples=20)
@given(st.integers(0, 100), st.integers(2, 60), st.integers(2, 60), st.integers(1, 30))
def test_the_value_is_a_share_of_the_forget_set_and_repeats(seed, members, others, forgotten):
    rng = np.random.default_rng(seed)
    parts = {"forget": rng.random(forgotten), "retain": rng.random(members), "test": rng.random(others)}
    share = salun_mia(**parts, seed=seed)
    assert 0 <= share <= 1
    assert share * forgotten == pytest.approx(round(share * forgotten))
    assert share == salun_mia(**parts, seed=seed)


def test_no_more_records_are_fitted_to_than_asked_for():
    # Two of each class are left: with seeds the draw, and so the answer, must vary; with all of them it must not.
    rng = np.random.default_rng(2)
    parts = {"forget": rng.random(200), "retain": rng.random(100), "test": rng.random(100)}
    assert len({salun_mia(**parts, seed=seed, at_most=2) for seed in range(8)}) > 1
    assert len({salun_mia(**parts, seed=seed) for seed in range(8)}) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"forget": np.zeros((1, 5))},
            r"`forget` must have shape \(n,\) with n >= 1, but has \(1, 5\). Pass one model's row",
        ),
        ({"test": np.zeros(0)}, r"`test` must have shape"),
        ({"retain": np.array([3.0, -2.0])}, r"`retain` must hold probabilities.*From margins they are"),
        ({"forget": np.array([np.nan])}, "outside or NaN"),
        ({"retain": np.array([0.5])}, "at least 2 records of each class.*leave 1. Pass more"),
        ({"at_most": 1}, "leave 1"),
    ],
)
def test_what_is_no_probability_is_refused_with_a_way_out(change, message):
    parts = {"forget": np.full(5, 0.5), "retain": np.full(5, 0.9), "test": np.full(5, 0.1), "seed": 0}
    with pytest.raises(InputError, match=message):
        salun_mia(**(parts | change))
