"""Floors by holding retrained models out, and intervals over records."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.measures import bootstrap_over_examples, floor_of, klom, standardised_margin_gap
from ebbing.measures.floors import divisions


def retrained(models: int, records: int = 1_000) -> np.ndarray:
    return np.random.default_rng(models).normal(size=(models, records))


def test_a_floor_computed_by_hand():
    # Of two models each is judged by the other: |1 - 4| = 3 whichever is drawn.
    found = floor_of(lambda u, o: np.abs(u - o), np.array([[1.0], [4.0]]), n_unlearned=1, seed=0)
    assert (found.mean, found.low, found.high) == (3.0, 3.0, 3.0)
    assert (found.n_unlearned, found.n_retrained) == (1, 1)


@pytest.mark.parametrize(("models", "known", "within"), [(16, 3.8, 0.15), (32, 1.64, 0.07), (64, 0.62, 0.03)])
def test_the_floor_of_klom_is_the_known_one(models, known, within):
    found = floor_of(klom, retrained(2 * models), n_unlearned=models, seed=0, repeats=5)
    assert found.mean == pytest.approx(known, abs=within)
    assert found.low <= found.mean <= found.high


def test_floors_depend_on_both_counts():
    models = retrained(17)
    assert floor_of(standardised_margin_gap, models, n_unlearned=1, seed=0).mean == pytest.approx(0.86, abs=0.04)
    assert floor_of(standardised_margin_gap, models, n_unlearned=8, seed=0).mean < 0.5


@settings(max_examples=50)
@given(st.integers(2, 12), st.data())
def test_every_division_uses_each_model_once(n, data):
    n_judged = data.draw(st.integers(1, n - 1))
    drawn = list(divisions(n, n_judged=n_judged, seed=3, repeats=4))
    assert len(drawn) == 4
    for judged, rest in drawn:
        assert len(judged) == n_judged
        assert sorted([*judged, *rest]) == list(range(n))
        assert (np.diff(judged) > 0).all()


def test_the_seed_says_which_models_are_drawn():
    models = retrained(8)
    first, again, other = (floor_of(klom, models, n_unlearned=4, seed=seed, repeats=3) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("counts", [{"n_unlearned": 0}, {"n_unlearned": 4}, {"n_unlearned": 1, "repeats": 0}])
def test_nothing_to_hold_out_is_refused_with_a_way_out(counts):
    with pytest.raises(InputError, match=r"of 4 retrained models at least 1 and at most 3.*Train more, or judge fewer"):
        floor_of(klom, retrained(4), seed=0, **counts)


def test_the_interval_of_a_mean_is_that_of_the_normal():
    values = np.random.default_rng(0).normal(2, 1, size=2_000)
    found = bootstrap_over_examples(values, seed=0)
    assert found.mean == pytest.approx(values.mean())
    assert found.p95 == pytest.approx(np.quantile(values, 0.95))
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.mean_high - found.mean == pytest.approx(half, rel=0.15)
    assert found.mean - found.mean_low == pytest.approx(half, rel=0.15)
    assert found.p95_low < found.p95 < found.p95_high


def test_a_constant_has_no_width():
    found = bootstrap_over_examples(np.full(5, 3.0), seed=0, resamples=10)
    assert {found.mean, found.mean_low, found.mean_high, found.p95, found.p95_low, found.p95_high} == {3.0}


@pytest.mark.parametrize(
    ("values", "resamples"), [(np.zeros((2, 2)), 5), (np.zeros(0), 5), (np.array([np.nan, 1.0]), 5), (np.zeros(3), 0)]
)
def test_values_without_a_figure_are_refused_with_a_way_out(values, resamples):
    with pytest.raises(InputError, match=r"`values` must be a finite figure.*without the records it could not judge"):
        bootstrap_over_examples(values, seed=0, resamples=resamples)
