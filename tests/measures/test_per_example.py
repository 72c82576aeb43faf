"""Worst records, and records laid open by forgetting others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu

from ebbing.errors import InputError
from ebbing.measures import per_example_auc, share_riskier, u_lira_efficacy, worst_decile_auc

PAIRS = st.tuples(st.integers(1, 6), st.integers(2, 6), st.integers(1, 4)).flatmap(
    lambda s: st.tuples(*(arrays(np.float64, (count, s[2]), elements=st.integers(-4, 4).map(float)) for count in s[:2]))
)


# ---------------------------------------------------------------- the AUC of each record


def test_areas_computed_by_hand():
    unlearned, retrained = np.array([[3.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 1.0], [2.0, -1.0]])
    assert per_example_auc(unlearned, retrained) == pytest.approx([(3 + 1.5) / 6, (0.5 + 0 + 1) / 3])


@given(PAIRS)
def test_areas_are_scipys_and_turn_round_with_the_sides(pair):
    found = per_example_auc(*pair)
    wanted = mannwhitneyu(*pair, axis=0, method="asymptotic").statistic / (len(pair[0]) * len(pair[1]))
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    if len(pair[0]) > 1:
        np.testing.assert_allclose(per_example_auc(pair[1], pair[0]), 1 - found, atol=1e-12)


def test_areas_vary_under_equality_as_said():
    first, second = np.random.default_rng(0).normal(size=(2, 16, 20_000))
    found = per_example_auc(first, second)
    assert found.mean() == pytest.approx(0.5, abs=0.005)
    assert found.std() == pytest.approx(np.sqrt(33 / (12 * 256)), rel=0.03)  # .104


# ---------------------------------------------------------------- the worst tenth


def test_a_worst_decile_computed_by_hand():
    areas = np.array([0.1, *[0.5] * 8, 0.7, *[0.6] * 2])  # 12 records: the two worst are .1, which is .9, and .7
    assert worst_decile_auc(areas) == pytest.approx(0.8)
    assert worst_decile_auc(areas, signed=True) == pytest.approx(0.65)  # .7 and .6
    assert worst_decile_auc(np.array([0.25])) == 0.75


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)))
def test_the_worst_tenth_is_no_better_than_all_and_no_worse_than_the_worst(areas):
    worst = worst_decile_auc(areas)
    distance = np.maximum(areas, 1 - areas)
    assert distance.mean() - 1e-12 <= worst <= distance.max() + 1e-12
    assert worst == pytest.approx(worst_decile_auc(1 - areas), abs=1e-12)
    assert worst_decile_auc(areas, signed=True) <= worst + 1e-12


@pytest.mark.parametrize(("models", "floor"), [(16, 0.71), (32, 0.65), (100, 0.58)])
def test_retrained_models_have_a_worst_tenth_too(models, floor):
    first, second = np.random.default_rng(models).normal(size=(2, models, 4_000))
    assert worst_decile_auc(per_example_auc(first, second)) == pytest.approx(floor, abs=0.01)


def test_a_tenth_that_is_remembered_is_seen_where_the_mean_is_not():
    generator = np.random.default_rng(1)
    unlearned, retrained = generator.normal(size=(2, 32, 500))
    unlearned[:, :50] += 3
    unlearned[:, 50:100] -= 3
    areas = per_example_auc(unlearned, retrained)
    assert areas.mean() == pytest.approx(0.5, abs=0.02)
    assert worst_decile_auc(areas) > 0.97
    by_ratio = u_lira_efficacy(unlearned, retrained).per_example_auc
    assert worst_decile_auc(by_ratio, signed=True) > 0.97


@pytest.mark.parametrize("areas", [np.zeros((2, 2)), np.zeros(0), np.array([0.5, np.nan]), np.array([1.2])])
def test_what_is_no_area_is_refused_with_a_way_out(areas):
    with pytest.raises(InputError, match=r"`areas` must be AUCs in \[0, 1\].*Pass what `per_example_auc` gives"):
        worst_decile_auc(areas)


# ---------------------------------------------------------------- retained records made riskier


def test_a_share_computed_by_hand():
    # Retrained models: mean 1, deviation 1 (over 2), so that t(.95, 2) = 2.92 and the reach 2.92 * sqrt(1 + 1) = 4.13.
    retrained = np.repeat([[0.0], [1.0], [2.0]], 4, axis=1)
    original = np.zeros((1, 4))
    found = share_riskier(np.array([[4.2, 4.1, -9.0, 99.0]]), original, retrained)
    assert found.riskier.tolist() == [True, False, False, True]
    assert (found.share, found.level) == (0.5, 0.05)
    assert found.retrained == 0.0  # 1 against 2.92 * sqrt(1/3 + 1) = 3.37
    assert share_riskier(np.array([[4.2, 4.1, -9.0, 99.0]]), original - 3, retrained).retrained == 1.0  # 4


@pytest.mark.parametrize(("n_u", "n_a", "n_o", "level"), [(1, 1, 8, 0.05), (8, 8, 16, 0.05), (4, 2, 5, 0.1)])
def test_where_nothing_changed_the_share_is_the_level(n_u, n_a, n_o, level):
    generator = np.random.default_rng(n_u)
    means = generator.normal(3, 2, 20_000)
    models = (means + generator.normal(size=(n, 20_000)) for n in (n_u, n_a, n_o))
    found = share_riskier(*models, level=level)
    assert found.share == pytest.approx(level, abs=0.007)  # four standard errors
    assert found.retrained == pytest.approx(level, abs=0.007)


def test_records_laid_open_are_found_though_as_many_are_better_hidden():
    generator = np.random.default_rng(2)
    unlearned, original, retrained = generator.normal(size=(3, 16, 1_000))
    unlearned[:, :100] += 2
    unlearned[:, 100:200] -= 2
    found = share_riskier(unlearned, original, retrained)
    assert found.riskier[:100].mean() > 0.95
    assert not found.riskier[100:200].any()
    assert found.share == pytest.approx(0.1 + 0.05 * 0.8, abs=0.03)
    assert found.retrained == pytest.approx(0.05, abs=0.03)


@given(st.integers(0, 10**6), st.sampled_from([0.25, 2.0, 8.0]))
def test_the_unit_of_the_evidence_does_not_matter(seed, scale):
    arrays_of = [np.random.default_rng(seed + i).normal(size=(4, 20)) for i in range(3)]
    first, second = share_riskier(*arrays_of), share_riskier(*(scale * x for x in arrays_of))
    assert first.riskier.tolist() == second.riskier.tolist()
    assert first.share == first.riskier.mean()


@pytest.mark.parametrize(
    ("n_o", "settings", "message"),
    [
        (2, {}, "The share made riskier cannot be computed: `retrained` must hold at least 3 models"),
        (3, {"level": 0.0}, r"`level` must lie in \(0, 0.5\], but is 0.0. 0.05 is usual"),
        (3, {"level": 0.6}, "`level` must lie"),
        (3, {"min_sd": -1.0}, "`min_sd` must be positive"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_way_out(n_o, settings, message):
    with pytest.raises(InputError, match=message):
        share_riskier(np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((n_o, 2)), **settings)
