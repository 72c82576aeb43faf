"""Figures of a stream against closed forms, slower ways to the same, and series where the answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ebbing.errors import InputError
from ebbing.measures import (
    cumulative_cost,
    distance,
    order_sensitivity,
    re_emergence,
    re_emergence_bands,
    utility_drift,
)

numbers = st.floats(-5, 5)
NAN = float("nan")


@given(hnp.arrays(float, st.integers(2, 25), elements=numbers), st.data())
def test_drift_is_the_slope_of_a_line_through_what_was_measured(lost: np.ndarray, data: st.DataObject) -> None:
    missing = data.draw(hnp.arrays(bool, len(lost)))
    known = np.flatnonzero(~missing)
    found = utility_drift(np.where(missing, NAN, lost))
    if len(known) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(np.polyfit(known, lost[known], 1)[0], abs=1e-9)


@given(hnp.arrays(float, st.tuples(st.integers(1, 7), st.integers(1, 5)), elements=numbers), st.data())
def test_re_emergence_is_the_most_that_a_later_step_is_above_the_first(memory: np.ndarray, data: st.DataObject) -> None:
    memory = np.where(data.draw(hnp.arrays(bool, memory.shape)), NAN, memory)
    for found, column in zip(re_emergence(memory), memory.T, strict=True):
        known = column[np.isfinite(column)]
        if len(known) < 2:
            assert math.isnan(found)
        else:
            assert found == max(later - known[0] for later in known[1:])


def test_what_sinks_has_not_come_back_and_models_are_taken_one_by_one() -> None:
    sinking = np.array([[2.0, NAN], [1.5, 3.0], [1.0, 4.5]])
    assert re_emergence(sinking).tolist() == [-0.5, 1.5]
    assert re_emergence(np.array([[-9.0, 2.0], [0.5, 3.0]]), least=0.0).tolist() == [0.5, 1.0]
    assert re_emergence(np.stack([sinking, -sinking])).tolist() == [[-0.5, 1.5], [1.0, -1.5]]
    with pytest.raises(InputError, match=r"\(\.\.\., steps, requests\), but has \(3,\)"):
        re_emergence(np.zeros(3))


def test_bands_hold_what_chance_gives_and_not_what_comes_back() -> None:
    """Joint level .9 over ten requests: of new series about one in ten has a figure above; of those raised by 8 sd all."""
    generator, outside = np.random.default_rng(0), []
    for _ in range(400):
        bands = re_emergence_bands(generator.normal(size=(5, 10)), level=0.9)
        fresh = generator.normal(size=10)
        outside.append(any(value not in band for value, band in zip(fresh, bands, strict=True)))
        assert all(60.0 not in band for band in bands)
    assert 0.06 <= np.mean(outside) <= 0.14
    bands = re_emergence_bands(np.array([[1.0, NAN], [2.0, NAN], [1.5, NAN]]), level=0.9)
    assert bands[1] is None
    assert -100 in bands[0]


def test_two_retrained_models_are_two_over_the_root_of_pi_apart() -> None:
    margins = np.random.default_rng(0).normal(3, 2, size=(4, 20_000))
    spread = np.full(20_000, 2.0)
    assert order_sensitivity(margins, spread=spread) == pytest.approx(2 / math.sqrt(math.pi), abs=0.02)
    assert order_sensitivity(np.stack([margins[0]] * 3), spread=spread) == 0
    assert distance(margins[0], margins[0], spread=spread) == 0
    assert distance(margins[0], margins[0] + 1, spread=spread) == pytest.approx(0.5)
    with pytest.raises(InputError, match="at least two orders are needed to compare, but there are 1"):
        order_sensitivity(margins[:1], spread=spread)


def test_what_asks_for_nothing_new_adds_nothing_to_the_cost() -> None:
    spent, retraining = np.array([0, 30, 0, 10]), np.array([0, 100, 0, 100])
    np.testing.assert_allclose(cumulative_cost(spent, retraining), [NAN, 0.3, 0.3, 0.2])
    everything = cumulative_cost(retraining, retraining)
    np.testing.assert_allclose(everything[1:], 1)


def test_what_does_not_fit_together_is_refused_and_not_stretched() -> None:
    one, two = np.ones(3), np.zeros((3, 1))
    with pytest.raises(InputError, match=r"`one`, `other`, `spread` must be of one shape .* \(3,\), \(3, 1\), \(3,\)"):
        distance(one, two, spread=one)
    for spread in (np.zeros(3), np.full(3, NAN), np.array([1.0, -1.0, 1.0])):
        with pytest.raises(InputError, match="a standard deviation above 0"):
            distance(one, one, spread=spread)
    with pytest.raises(InputError, match="of one shape"):
        order_sensitivity(one, spread=one)
    with pytest.raises(InputError, match=r"`spent`, `retraining` must be of one shape .* \(1,\), \(3,\)"):
        cumulative_cost(np.ones(1), one)
    with pytest.raises(InputError, match=r"`lost` must have the shape \(steps,\).* \(2, 3\)"):
        utility_drift(np.ones((2, 3)))
    for level in (0.0, 1.0, 97, NAN):
        with pytest.raises(InputError, match="`level` must lie between 0 and 1"):
            re_emergence_bands(np.array([[1.0], [2.0]]), level=level)


def test_a_stream_that_has_not_begun_has_no_re_emergence() -> None:
    assert np.isnan(re_emergence(np.zeros((2, 0, 3)))).tolist() == [[True] * 3] * 2
