"""Forgetting curves: closed forms, and what holds for any time and decay time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebbing.curves import Exponential, ForgettingCurve, PowerLaw, Step
from ebbing.errors import InputError

CURVES = [Exponential(), PowerLaw(), PowerLaw(exponent=0.3), PowerLaw(exponent=4.0), Step()]
times = st.floats(0.0, 1e12)
positive_times = st.floats(1e-12, 1e12)
decay_times = st.floats(0.0, float("inf"))
any_curve = st.sampled_from(CURVES)


def factor(curve: ForgettingCurve, t: float, tau: float) -> float:
    return float(curve.factor(t, torch.tensor([tau], dtype=torch.float64)))


@given(t=st.floats(0.0, 1e3), tau=st.floats(1e-3, 1e6), b=st.floats(0.01, 10.0))
def test_the_closed_forms(t: float, tau: float, b: float) -> None:
    assert factor(Exponential(), t, tau) == pytest.approx(math.exp(-t / tau), rel=1e-12)
    assert factor(PowerLaw(exponent=b), t, tau) == pytest.approx((1 + t / tau) ** -b, rel=1e-9)
    assert factor(Step(), t, tau) == (1.0 if t / tau < 1 else 0.0)


@given(curve=any_curve, earlier=times, later=times, tau=decay_times)
def test_never_rising_in_time_and_in_the_unit_interval(curve, earlier, later, tau) -> None:
    earlier, later = sorted((earlier, later))
    assert 1 >= factor(curve, earlier, tau) >= factor(curve, later, tau) >= 0


@given(curve=any_curve, t=times, shorter=decay_times, longer=decay_times)
def test_a_longer_decay_time_never_leaves_less(curve, t, shorter, longer) -> None:
    shorter, longer = sorted((shorter, longer))
    assert factor(curve, t, shorter) <= factor(curve, t, longer)


@given(curve=any_curve, t=positive_times, tau=decay_times)
def test_the_ends(curve, t, tau) -> None:
    assert factor(curve, 0, tau) == 1.0
    assert factor(curve, t, 0.0) == 0.0
    assert factor(curve, t, math.inf) == 1.0


@given(curve=any_curve, t=st.floats(0.0, 1e3), tau=st.floats(1e-3, 1e3), scale=st.sampled_from([0.25, 2.0, 64.0]))
def test_only_the_ratio_counts(curve, t, tau, scale) -> None:
    assert factor(curve, scale * t, scale * tau) == factor(curve, t, tau)


@given(curve=any_curve, taus=st.lists(decay_times, max_size=6), t=times)
def test_units_do_not_see_each_other(curve, taus, t) -> None:
    together = curve.factor(t, torch.tensor(taus, dtype=torch.float64))
    assert together.tolist() == [factor(curve, t, tau) for tau in taus]


@pytest.mark.parametrize("curve", CURVES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_number_format_is_kept_and_the_argument_unchanged(curve, dtype) -> None:
    tau = torch.tensor([0.0, 0.5, 2.0, math.inf], dtype=dtype)
    asked = tau.clone()
    for t in (0, 1, 2.5):
        assert curve.factor(t, tau).dtype == dtype
    assert torch.equal(tau, asked)


@pytest.mark.parametrize("curve", CURVES, ids=repr)
@pytest.mark.parametrize("t", [-1e-9, -1, math.inf, math.nan])
def test_impossible_times_are_refused(curve, t) -> None:
    with pytest.raises(InputError, match="`t` must be finite and >= 0"):
        curve.factor(t, torch.ones(2))


@pytest.mark.parametrize("curve", CURVES, ids=repr)
@pytest.mark.parametrize("tau", [-1e-9, -math.inf, math.nan])
@pytest.mark.parametrize("t", [0, 1.0])
def test_impossible_decay_times_are_refused(curve, tau, t) -> None:
    with pytest.raises(InputError, match="`tau` must be >= 0 for every unit"):
        curve.factor(t, torch.tensor([1.0, tau]))


@pytest.mark.parametrize("exponent", [0.0, -1.0, math.nan])
def test_a_power_law_needs_a_positive_exponent(exponent) -> None:
    with pytest.raises(InputError, match="`exponent` must be > 0"):
        PowerLaw(exponent=exponent)


def test_the_power_law_has_the_longer_tail() -> None:
    """The same half-life, then: a quarter is left of the exponential, more of the power law."""
    half = math.log(2)
    assert factor(Exponential(), half, 1.0) == pytest.approx(0.5)
    assert factor(PowerLaw(), 1.0, 1.0) == pytest.approx(0.5)
    for k in np.arange(2, 10):
        assert factor(PowerLaw(), float(k), 1.0) > factor(Exponential(), k * half, 1.0)
