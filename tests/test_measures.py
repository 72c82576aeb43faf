"""Memory, drift and utility by hand, and bands against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ebbing.measures import (
    Reference,
    bootstrap_memory,
    figures,
    left_out,
    mean_interval,
    prediction_band,
    share_removed,
    tug_of_war,
    upper_band,
)
from ebbing.observations import Observations, Signals


def signals(margin: np.ndarray) -> Signals:
    """Signals whose margins are given, (n_models, n_examples); only margin and correctness are read here."""
    margin = np.atleast_2d(np.asarray(margin, dtype=np.float64))
    none = np.full_like(margin, np.nan)
    return Signals(margin, none, none, none, margin > 0)


def seen(forget, retain, holdout, matched) -> Observations:
    return Observations(
        signals(forget), signals(retain), signals(holdout), None if matched is None else signals(matched)
    )


def gaussian(seed: int, *, models: int = 8, forget_shift=0.0, sizes=(30, 50, 60, 40)) -> Observations:
    """Each example has a mean margin of its own, the same for every seed, and each model varies around it."""
    means = [np.random.default_rng(100 + i).normal(1.0, 2.0, size=n) for i, n in enumerate(sizes)]
    rng = np.random.default_rng(seed)
    parts = [mean + rng.normal(size=(models, len(mean))) for mean in means]
    parts[0] = parts[0] + forget_shift
    return seen(*parts)


# ---------------------------------------------------------------- memory and drift


def test_by_hand() -> None:
    """Three retrained models with mean 0, 2, 4, ... and standard deviation 1 everywhere; the map is 2x + 1."""
    spread = np.array([[-1.0], [0.0], [1.0]])
    holdout, matched, forget, retain = (
        np.array([0.0, 2, 4, 6]),
        np.array([1.0, 3.0]),
        np.array([5.0, 7, 9]),
        np.array([2.0]),
    )
    reference = Reference(seen(*(m + spread for m in (forget, retain, holdout, matched))))
    # before the map, the judged model has (mean - 1) / 2, and 1.5 more on the forget set
    judged = seen((forget - 1) / 2 + np.array([1.0, 1.5, 2.0]), (retain - 1) / 2, (holdout - 1) / 2, (matched - 1) / 2)
    found = figures(judged, reference)
    np.testing.assert_allclose(found.z_forget, [2.0, 3.0, 4.0], atol=1e-12)
    np.testing.assert_allclose(found.z_matched, [0.0, 0.0], atol=1e-12)
    assert found.m == pytest.approx(3.0)
    assert found.w == pytest.approx(3.0)
    # drift is of the margins as they are: |(m - 1) / 2 + b - m|
    assert found.drift["forget"] == pytest.approx(np.mean(np.abs(-(forget + 1) / 2 + [1.0, 1.5, 2.0])))
    assert found.drift["retain"] == pytest.approx(1.5)
    assert found.drift["holdout"] == pytest.approx(np.mean((holdout + 1) / 2))
    assert found.holdout_accuracy == 0.75  # margins -.5, .5, 1.5, 2.5


def test_a_model_that_differs_by_an_affine_map_alone_has_no_memory() -> None:
    reference = Reference(gaussian(0))
    means = [getattr(reference.observations, s).margin.mean(axis=0) for s in ("forget", "retain", "holdout", "matched")]
    found = figures(seen(*(3 * m - 2 for m in means)), reference)
    assert found.m == pytest.approx(0.0, abs=1e-9)
    assert found.w == pytest.approx(0.0, abs=1e-9)
    assert found.drift["forget"] > 0.5


@given(slope=st.floats(0.05, 20) | st.floats(-20, -0.05), offset=st.floats(-50, 50))
def test_memory_does_not_change_under_an_affine_map_of_the_judged_margins(slope: float, offset: float) -> None:
    reference, judged = Reference(gaussian(0)), gaussian(1, models=1, forget_shift=0.7)
    parts = [getattr(judged, s).margin for s in ("forget", "retain", "holdout", "matched")]
    found, moved = figures(judged, reference), figures(seen(*(slope * p + offset for p in parts)), reference)
    assert moved.m == pytest.approx(found.m, abs=1e-6)
    assert moved.w == pytest.approx(found.w, abs=1e-6)
    np.testing.assert_allclose(moved.z_forget, found.z_forget, atol=1e-6)


def test_the_map_never_looks_at_the_forget_set() -> None:
    reference = Reference(gaussian(0))
    same = figures(gaussian(1, models=1), reference)
    shifted = figures(gaussian(1, models=1, forget_shift=100.0), reference)
    np.testing.assert_array_equal(same.z_matched, shifted.z_matched)
    assert shifted.drift["holdout"] == same.drift["holdout"]


def test_a_constant_model_has_its_offset_mapped() -> None:
    found = figures(
        seen(np.full(30, 3.0), np.full(50, 3.0), np.full(60, 3.0), np.full(40, 3.0)), Reference(gaussian(0))
    )
    assert math.isfinite(found.m)
    assert math.isfinite(found.w)


def test_half_remembered_and_half_over_forgotten_cancels_in_m_but_not_in_w() -> None:
    reference = Reference(gaussian(0))
    halves = np.where(np.arange(30) % 2 == 0, 4.0, -4.0)
    mixed, plain = (
        figures(gaussian(1, models=1, forget_shift=halves), reference),
        figures(gaussian(1, models=1), reference),
    )
    assert abs(mixed.m - plain.m) < 0.7  # the standard deviations differ from record to record
    assert abs(mixed.m) < 1
    assert mixed.w > 2.5
    assert plain.w < 1


@given(shift=st.floats(-5, 5))
def test_w_is_at_least_m_and_m_moves_with_a_common_shift(shift: float) -> None:
    reference = Reference(gaussian(0))
    sd = reference.moments("forget")[1]
    plain, found = (figures(gaussian(1, models=1, forget_shift=by * sd), reference) for by in (0.0, shift))
    one = figures(gaussian(1, models=1, forget_shift=sd), reference)
    slope = one.m - plain.m  # of the global map: near 1, as these models differ by noise alone
    assert 0.7 < slope < 1.1
    assert found.m - plain.m == pytest.approx(slope * shift, abs=1e-9)
    assert found.w >= abs(found.m) - 1e-9


def test_w_is_scipys_distance() -> None:
    found = figures(gaussian(1, models=1, forget_shift=1.0), Reference(gaussian(0)))
    assert found.w == pytest.approx(stats.wasserstein_distance(found.z_forget, found.z_matched))
    assert found.m == pytest.approx(found.z_forget.mean() - found.z_matched.mean())


def test_for_a_concept_unseen_examples_are_no_yardstick() -> None:
    observations, judged = gaussian(0), gaussian(1, models=1, forget_shift=2.0)
    found = figures(judged, Reference(observations, concept=True))
    assert found.z_matched is None
    assert found.m == pytest.approx(found.z_forget.mean())
    assert found.w == pytest.approx(np.abs(found.z_forget).mean())
    other = seen(judged.forget.margin, judged.retain.margin, judged.holdout.margin, judged.matched.margin + 50)
    assert figures(other, Reference(observations, concept=True)).m == found.m


def test_without_matched_examples_memory_is_missing_and_drift_is_not() -> None:
    plain = gaussian(0)
    bare = Observations(plain.forget, plain.retain, plain.holdout, None)
    judged = gaussian(1, models=1)
    found = figures(Observations(judged.forget, judged.retain, judged.holdout, None), Reference(bare))
    assert math.isnan(found.m)
    assert math.isnan(found.w)
    assert all(math.isfinite(t) for t in found.drift.values())
    assert np.isnan(bootstrap_memory(found, seed=0)).all()


def test_only_one_model_is_judged_at_a_time() -> None:
    with pytest.raises(ValueError, match="one model is judged at a time, but there are 2"):
        figures(gaussian(1, models=2), Reference(gaussian(0)))


def test_a_record_on_which_retrained_models_agree_does_not_rule_the_average() -> None:
    observations = gaussian(0)
    observations.forget.margin[:, 3] = 5.0  # the same in every model
    mean, sd = Reference(observations).moments("forget")
    raw = observations.forget.margin.std(axis=0, ddof=1)
    assert mean[3] == 5.0
    assert sd[3] == pytest.approx(0.1 * np.median(raw))
    np.testing.assert_allclose(np.delete(sd, 3), np.delete(raw, 3))
    assert np.isfinite(figures(gaussian(1, models=1), Reference(observations)).z_forget).all()


def test_retrained_models_that_all_agree_give_finite_figures() -> None:
    one = gaussian(0, models=1)
    assert np.isfinite(figures(one, Reference(one[[0, 0, 0]])).m)


def test_each_retrained_model_is_left_out_of_its_own_reference() -> None:
    observations = gaussian(0, models=5)
    found = left_out(Reference(observations))
    assert len(found) == 5
    for i, one in enumerate(found):
        rest = [j for j in range(5) if j != i]
        wanted = figures(observations[[i]], Reference(observations[rest]))
        assert (one.m, one.w) == pytest.approx((wanted.m, wanted.w), rel=1e-9)
        assert one.drift == pytest.approx(wanted.drift, rel=1e-9)


@st.composite
def margins_of_several(draw) -> np.ndarray:
    """(N, n) margins in single precision: constants, spreads far under their offset, and one model far from all others."""
    n_models, n = draw(st.integers(3, 24)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = rng.choice([0.0, 1e-3, 1.0, 30.0], size=n) * draw(st.sampled_from([1.0, 1e-6, 1e6]))
    margins = draw(st.sampled_from([0.0, 7.3, -1e4, 1e7])) + spread * rng.normal(size=(n_models, n))
    alone = draw(st.sampled_from([0.0, 1.0, 1e3, 1e9]))
    margins[rng.integers(n_models)] += alone * rng.choice([0.0, -1.0, 1.0], size=n)
    return margins.astype(np.float32)


@given(margins=margins_of_several())
def test_moments_without_a_model_are_those_of_the_others(margins: np.ndarray) -> None:
    """Held against the others themselves, summed anew for each model left out."""
    reference = Reference(Observations.from_margins(forget=margins, retain=margins, holdout=margins))
    for i in range(len(margins)):
        others = np.delete(margins, i, axis=0).astype(np.float64)
        sd = others.std(axis=0, ddof=1)
        mean, found = reference.without(i).moments("forget")
        np.testing.assert_allclose(mean, others.mean(axis=0), rtol=1e-12, atol=1e-12 * np.abs(others).max())
        np.testing.assert_allclose(found, np.maximum(sd, max(0.1 * np.median(sd), 1e-12)), rtol=1e-9)


# ---------------------------------------------------------------- bands


@given(
    values=st.lists(st.floats(-100, 100), min_size=2, max_size=30),
    level=st.floats(0.5, 0.999),
    side=st.sampled_from(["both", "high", "low"]),
)
def test_the_band_is_the_t_prediction_interval(values, level, side) -> None:
    found, n = prediction_band(np.array(values), level=level, side=side), len(values)
    scale = np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    tail = (1 - level) / 2 if side == "both" else 1 - level
    reach = stats.t.isf(tail, n - 1) * scale
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.low == (-math.inf if side == "high" else pytest.approx(np.mean(values) - reach, rel=1e-6, abs=1e-6))
    assert found.high == (math.inf if side == "low" else pytest.approx(np.mean(values) + reach, rel=1e-6, abs=1e-6))
    assert found.mean in found


@pytest.mark.parametrize("n", [4, 16])
def test_an_upper_band_of_a_skewed_figure_is_left_as_often_as_the_level_says(n: int) -> None:
    """Of log-normal figures; a symmetrical interval at the same level is left more often."""
    draws = np.random.default_rng(0).lognormal(-1.5, 0.5, size=(20_000, n + 1))
    level, inside = 0.99, {"log": 0, "plain": 0}
    for row in draws:
        inside["log"] += row[-1] in upper_band(row[:-1], level=level)
        inside["plain"] += row[-1] in prediction_band(row[:-1], level=level, side="high")
    assert inside["log"] / len(draws) == pytest.approx(level, abs=0.003)
    assert n == 4 or inside["plain"] / len(draws) < level - 0.01


def test_an_upper_band_takes_zeros() -> None:
    assert 0.0 in upper_band(np.zeros(4), level=0.9)
    assert upper_band(np.array([1.0, 2.0, 3.0]), level=0.9).mean == 2.0


@pytest.mark.parametrize("n", [4, 16])
@pytest.mark.parametrize(("side", "level"), [("both", 0.9), ("high", 0.9), ("low", 0.95)])
def test_one_more_draw_lies_inside_as_often_as_the_level_says(n, side, level) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(3.0, 2.0, size=(4000, n + 1))
    hits = [one[-1] in prediction_band(one[:-1], level=level, side=side) for one in draws]
    assert np.mean(hits) == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 4000))


def test_a_band_contains_its_ends_and_not_what_is_missing() -> None:
    found = prediction_band(np.array([1.0, 2.0, 4.0]), level=0.9)
    assert found.low in found
    assert found.high in found
    assert np.nextafter(found.high, np.inf) not in found
    assert math.nan not in found
    assert math.inf not in found


@pytest.mark.parametrize("values", [[], [1.0]])
def test_a_band_needs_two_values(values) -> None:
    with pytest.raises(ValueError, match="at least 2 values"):
        prediction_band(np.array(values), level=0.9)


def test_mean_interval_is_scipys() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    mean, low, high = mean_interval(values, level=0.9)
    assert mean == 3.75
    wanted = stats.t.interval(0.9, 3, loc=3.75, scale=stats.sem(values))
    assert (low, high) == pytest.approx(wanted)
    mean, low, high = mean_interval(np.array([2.0]))
    assert mean == 2.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_the_bootstrap_of_memory_is_the_standard_error_of_a_difference() -> None:
    found = figures(
        gaussian(1, models=1, forget_shift=1.0, sizes=(200, 50, 60, 300)),
        Reference(gaussian(0, sizes=(200, 50, 60, 300))),
    )
    low, high = bootstrap_memory(found, seed=0, resamples=4000)
    error = math.sqrt(found.z_forget.var() / 200 + found.z_matched.var() / 300)
    assert low == pytest.approx(found.m - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(found.m + 1.96 * error, abs=0.15 * error)
    assert bootstrap_memory(found, seed=0) == bootstrap_memory(found, seed=0)
    assert bootstrap_memory(found, seed=0) != bootstrap_memory(found, seed=1)


# ---------------------------------------------------------------- tug of war, share removed


def test_tug_of_war_by_hand() -> None:
    retrained = {"forget": 0.8, "retain": 0.9, "holdout": 0.85}
    assert tug_of_war(retrained, retrained) == 1.0
    accuracy = {"forget": 0.9, "retain": 0.85, "holdout": 0.85}
    assert tug_of_war(accuracy, retrained) == pytest.approx(0.9 * 0.95)


@given(*[st.floats(0, 1)] * 6)
def test_tug_of_war_lies_in_the_unit_interval_and_does_not_care_who_is_better(a, b, c, d, e, f) -> None:
    one, other = {"forget": a, "retain": b, "holdout": c}, {"forget": d, "retain": e, "holdout": f}
    assert 0 <= tug_of_war(one, other) <= 1
    assert tug_of_war(one, other) == tug_of_war(other, one)


def test_share_removed() -> None:
    assert share_removed(0.0, 2.0) == 1.0
    assert share_removed(2.0, 2.0) == 0.0
    assert share_removed(-1.0, 2.0) == 1.5
    assert share_removed(0.5, -1.0) == 1.5
    assert math.isnan(share_removed(1.0, 0.0))
