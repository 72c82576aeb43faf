"""Calibration error: by hand, at the edges of bins, and against a loop over the bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.measures.calibration import calibration_gap, expected_calibration_error

PAIRS = st.lists(
    st.tuples(st.one_of(st.floats(0, 1), st.integers(0, 60).map(lambda i: i / 60)), st.booleans()),
    min_size=1,
    max_size=40,
)


def by_loops(confidence, correct, bins):
    """The sum over bins as it is written."""
    total = 0.0
    for b in range(bins):
        inside = [i for i, c in enumerate(confidence) if (b / bins < c or b == 0) and c <= (b + 1) / bins]
        if inside:
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            mean = sum(float(confidence[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def test_an_error_computed_by_hand():
    # Five bins. (.4, .6]: .5 and .6, one right: .05. (.8, 1]: .9, .9 and 1, two right: abs(2/3 - 2.8/3) = .8/3.
    confidence, correct = np.array([0.5, 0.6, 0.9, 0.9, 1.0]), np.array([1, 0, 1, 0, 1])
    assert expected_calibration_error(confidence, correct, bins=5) == pytest.approx(2 / 5 * 0.05 + 3 / 5 * 0.8 / 3)


def test_the_right_edge_belongs_to_the_bin():
    # With two bins .5 is in the first, together with .1: abs(1 + 0 - .6) / 2; apart they would give (.5 + .1) / 2.
    confidence, correct = np.array([0.5, 0.1]), np.array([True, False])
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.2)
    assert expected_calibration_error(np.array([0.5, 0.6]), correct, bins=2) == pytest.approx((0.5 + 0.6) / 2)


def test_zero_falls_into_the_first_bin_and_one_into_the_last():
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([0, 1])) == 0.0
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([1, 0])) == 1.0


@given(PAIRS, st.integers(1, 20))
def test_the_error_is_a_fraction_and_that_of_the_loops(pairs, bins):
    confidence, correct = (np.array(part) for part in zip(*pairs, strict=True))
    found = expected_calibration_error(confidence, correct, bins=bins)
    assert 0 <= found <= 1
    assert found == pytest.approx(by_loops(confidence, correct, bins), abs=1e-12)
    # Fewer bins can only cancel: with one bin it is the gap of the means, which is the least.
    assert abs(correct.mean() - confidence.mean()) <= found + 1e-12


def test_a_sure_model_is_told_from_a_calibrated_one():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    correct = rng.random(20_000) < confidence
    assert expected_calibration_error(confidence, correct) < 0.02
    assert expected_calibration_error(np.sqrt(confidence), correct) > 0.08  # the control: more sure, no more right


def test_a_calibrated_model_has_no_error_of_zero_on_few_examples():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, (200, 100))
    correct = rng.random((200, 100)) < confidence
    floor = np.mean([expected_calibration_error(c, r) for c, r in zip(confidence, correct, strict=True)])
    assert 0.05 < floor < 0.15


def test_a_gap_computed_by_hand_keeps_its_sign():
    assert calibration_gap(0.05, [0.01, 0.02, 0.03]) == pytest.approx(0.03)
    assert calibration_gap(0.0, np.array([0.01, 0.03])) == pytest.approx(-0.02)


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "message"),
    [
        (
            np.zeros((2, 3)),
            np.zeros((2, 3)),
            15,
            r"must have one shape \(n_examples,\).*\(2, 3\) and \(2, 3\)\. Pass one",
        ),
        (np.zeros(3), np.zeros(2), 15, r"must have one shape.*\(3,\) and \(2,\)"),
        (np.zeros(0), np.zeros(0), 15, "n_examples >= 1"),
        (np.array([0.2, 1.5]), np.ones(2), 15, r"must lie in \[0, 1\], but contains \[1.5\]. Pass probabilities"),
        (np.array([0.2, np.nan]), np.ones(2), 15, r"must lie in \[0, 1\], but contains \[nan\]"),
        (np.array([0.2, 0.3]), np.array([0.0, 0.5]), 15, r"only 0 and 1, but contains \[0.5\]. Compare"),
        (np.array([0.2]), np.ones(1), 0, "must be a whole number >= 1, but is 0. 15 is usual"),
        (np.array([0.2]), np.ones(1), 2.0, "must be a whole number >= 1, but is 2.0"),
    ],
)
def test_what_is_no_confidence_is_refused_with_a_way_out(confidence, correct, bins, message):
    with pytest.raises(InputError, match=message):
        expected_calibration_error(confidence, correct, bins=bins)


@pytest.mark.parametrize(
    ("judged", "retrained", "message"),
    [
        (0.1, [], "N >= 1, but has shape .*Without retrained models"),
        (0.1, 0.2, r"shape \(N,\)"),
        (4.0, [0.1], r"must lie in \[0, 1\], but contain \[4.0\].*not per cent"),
        (0.1, [float("nan")], "nan"),
    ],
)
def test_a_gap_to_nothing_is_refused(judged, retrained, message):
    with pytest.raises(InputError, match=message):
        calibration_gap(judged, retrained)
