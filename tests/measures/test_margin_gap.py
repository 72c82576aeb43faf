"""The standardised margin gap: by hand, against NumPy, its floor, and single models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ebbing.errors import InputError
from ebbing.measures import Reference, figures, standardised_margin_gap
from ebbing.observations import Observations

PAIRS = st.tuples(st.integers(1, 6), st.integers(2, 6), st.integers(1, 4)).flatmap(
    lambda s: st.tuples(*(arrays(np.float64, (count, s[2]), elements=st.floats(-50, 50)) for count in s[:2]))
)


def test_a_gap_computed_by_hand():
    unlearned = np.array([[2.0, -1.0], [4.0, -1.0]])  # means 3, -1
    retrained = np.array([[-2.0, 1.0], [0.0, 1.0], [2.0, 4.0]])  # means 0, 2; sd 2, sqrt(3)
    assert standardised_margin_gap(unlearned, retrained) == pytest.approx([1.5, np.sqrt(3)])


def test_a_single_model_has_the_drift_of_the_judge():
    generator = np.random.default_rng(0)
    retrained = {name: generator.normal(size=(8, 30)) for name in ("forget", "retain", "holdout")}
    judged = {name: generator.normal(1, 1, size=(1, 30)) for name in retrained}
    found = figures(Observations.from_margins(**judged), Reference(Observations.from_margins(**retrained)))
    for name, drift in found.drift.items():
        assert standardised_margin_gap(judged[name], retrained[name]).mean() == pytest.approx(drift, rel=0.02)


@given(PAIRS)
def test_the_gap_equals_numpys_moments(pair):
    unlearned, retrained = pair
    sd = np.maximum(retrained.std(axis=0, ddof=1), 1e-3)
    wanted = np.abs(unlearned.mean(axis=0) - retrained.mean(axis=0)) / sd
    np.testing.assert_allclose(standardised_margin_gap(unlearned, retrained), wanted, rtol=1e-9, atol=1e-9)


@given(PAIRS, st.floats(-20, 20))
def test_the_gap_is_positive_and_a_shift_of_both_does_not_matter(pair, shift):
    found = standardised_margin_gap(*pair)
    assert (found >= 0).all()
    moved = standardised_margin_gap(*(x + shift for x in pair))
    np.testing.assert_allclose(moved, found, rtol=1e-6, atol=1e-6)
    assert standardised_margin_gap(pair[1], pair[1]).max() < 1e-9


@pytest.mark.parametrize(("n_u", "n_o", "floor"), [(1, 16, 0.86), (16, 16, 0.294), (32, 32, 0.204)])
def test_its_floor_is_what_the_counts_make_it(n_u, n_o, floor):
    # Two normals over an independent sd: sqrt(2 / pi * (1 / N_U + 1 / N_O)) times E[1 / s] = 1 + 3 / (4 (N_O - 1)) or so
    generator = np.random.default_rng(1)
    found = standardised_margin_gap(generator.normal(size=(n_u, 20_000)), generator.normal(size=(n_o, 20_000))).mean()
    assert found == pytest.approx(floor, abs=0.02)
    assert found == pytest.approx(np.sqrt(2 / np.pi * (1 / n_u + 1 / n_o)) * (1 + 0.75 / (n_o - 1)), rel=0.02)


def test_doing_nothing_is_seen_and_equal_constants_are_no_gap():
    generator = np.random.default_rng(2)
    assert standardised_margin_gap(generator.normal(5, 1, (1, 500)), generator.normal(size=(16, 500))).mean() > 4
    assert standardised_margin_gap(np.full((2, 3), 7.0), np.full((2, 3), 7.0)).tolist() == [0.0] * 3
    assert standardised_margin_gap(np.full((1, 1), 1.0), np.zeros((2, 1)), min_sd=0.5).tolist() == [2.0]


def test_single_precision_is_not_summed_in_single_precision():
    retrained = (np.random.default_rng(3).normal(size=(64, 50)) + 1e4).astype(np.float32)
    wide = retrained.astype(np.float64)
    np.testing.assert_array_equal(
        standardised_margin_gap(retrained[:8], retrained), standardised_margin_gap(wide[:8], wide)
    )


@pytest.mark.parametrize(
    ("unlearned", "retrained", "message"),
    [
        (np.zeros((1, 3)), np.zeros((1, 3)), r"`retrained` must hold at least 2 models, but holds 1"),
        (np.zeros((0, 3)), np.zeros((2, 3)), r"`unlearned` must have the shape.*none of them 0"),
        (
            np.full((1, 3), np.inf),
            np.zeros((2, 3), "U1"),
            r"`unlearned` must be finite.*; `retrained` must hold margins",  # both at once
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_way_out(unlearned, retrained, message):
    with pytest.raises(InputError, match=message):
        standardised_margin_gap(unlearned, retrained)
