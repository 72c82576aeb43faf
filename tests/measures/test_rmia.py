"""Offline RMIA: by hand, against published code and pair by pair, and what it tells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from ebbing.attacks import auc
from ebbing.errors import InputError
from ebbing.measures import rmia

# What run_rmia of github.com/privacytrustlab/ml_privacy_meter at e384af8 (modules/mia/attacks/rmia.py) gives for `known`
PUBLISHED = {
    0.3: [0.68, 0.56, 0.4, 0.28, 0.12, 0.92, 0.76, 0.48],
    1.0: [0.56, 0.52, 0.4, 0.28, 0.12, 0.88, 0.76, 0.48],
    0.0: [0.72, 0.6, 0.4, 0.28, 0.12, 0.92, 0.72, 0.48],
}


def known(models: int, records: int, salt: int) -> np.ndarray:
    """(models, records) margins by whole numbers alone, so that they are the same everywhere."""
    x = np.arange(models * records).reshape(models, records)
    return ((x * x * 31 + x * 7919 + salt * 104729) % 10007) / 10007 * 8 - 4


def pair_by_pair(target, retrained, population, retrained_population, *, a, gamma):
    """Every record beside every one of the population."""
    expected, of_z = (((1 + a) * expit(x).mean(axis=0) + 1 - a) / 2 for x in (retrained, retrained_population))
    ratio, ratio_z = expit(target) / expected, expit(population) / of_z
    return (ratio[:, :, None] / ratio_z[:, None, :] > gamma).mean(axis=2)


def test_scores_computed_by_hand():
    # a = .2: p(x) = (1.2 * .5 + .8) / 2 = .7 for both records, and likewise for the population of three.
    half = np.zeros((2, 2))  # margin 0 is a probability of one half
    target, population = logit([[0.9, 0.35]]), logit([[0.2, 0.5, 0.8]])
    found = rmia(target, half, population=population, retrained_population=np.zeros((2, 3)), a=0.2)
    assert found == pytest.approx(np.array([[1.0, 1 / 3]]))
    # p_out = .3 makes p(x) = (.36 + .8) / 2 = .58: ratios .9 / .58 = 1.55 and .6 against .29, .71 and 1.14; gamma 2
    low = np.full((2, 2), logit(0.3))
    found = rmia(target, low, population=population, retrained_population=np.zeros((2, 3)), a=0.2, gamma=2.0)
    assert found == pytest.approx(np.array([[2 / 3, 1 / 3]]))


@pytest.mark.parametrize("a", PUBLISHED)
def test_published_code_gives_the_same_scores(a):
    found = rmia(known(1, 8, 4), known(6, 8, 5), population=known(1, 25, 6), retrained_population=known(6, 25, 7), a=a)
    assert found[0] == pytest.approx(PUBLISHED[a], abs=1e-12)


@settings(max_examples=50)
@given(
    st.integers(0, 10**6), st.floats(0, 1), st.sampled_from([0.5, 1.0, 1.3, 2.0]), st.integers(1, 4), st.integers(1, 30)
)
def test_sorting_gives_what_pairs_give(seed, a, gamma, models, m):
    generator = np.random.default_rng(seed)
    x, out, z, out_z = (generator.normal(1, 3, shape) for shape in ((models, 9), (5, 9), (models, m), (5, m)))
    found = rmia(x, out, population=z, retrained_population=out_z, a=a, gamma=gamma)
    np.testing.assert_allclose(found, pair_by_pair(x, out, z, out_z, a=a, gamma=gamma), atol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.1, 5))
def test_a_larger_margin_never_lowers_the_score_and_a_larger_gamma_never_raises_it(seed, more):
    generator = np.random.default_rng(seed)
    x, out, z, out_z = (generator.normal(1, 3, (4, n)) for n in (9, 9, 20, 20))
    scores = rmia(x, out, population=z, retrained_population=out_z)
    assert (rmia(x + more, out, population=z, retrained_population=out_z) >= scores).all()
    assert (rmia(x, out, population=z, retrained_population=out_z, gamma=1 + more) <= scores).all()


def test_a_record_as_sure_as_the_whole_population_is_no_member():
    # Strictly more than gamma: equal ratios do not count.
    same = np.full((1, 4), 1.25)
    assert rmia(same, same, population=same, retrained_population=same).tolist() == [[0.0] * 4]


def test_margins_that_round_to_certainty_in_single_precision_are_told_apart():
    sure, surer = np.array([[20.0]], np.float32), np.array([[25.0]], np.float32)
    retrained = np.zeros((2, 1), np.float32)
    assert rmia(surer, retrained, population=sure, retrained_population=retrained).tolist() == [[1.0]]
    assert rmia(sure, retrained, population=surer, retrained_population=retrained).tolist() == [[0.0]]


def test_an_original_is_told_and_retrained_models_are_not():
    generator = np.random.default_rng(0)
    difficulty = generator.normal(1, 2, 1_200)  # 400 forgotten, 400 matched, 400 of the population
    models = difficulty + generator.normal(0, 0.7, (20, 1_200))
    original = difficulty + generator.normal(0, 0.7, 1_200) + np.repeat([2.5, 0, 0], 400)

    def area(judged):
        scores = rmia(
            judged[None, :800], models[1:, :800], population=judged[None, 800:], retrained_population=models[1:, 800:]
        )[0]
        return auc(scores[:400], scores[400:])

    assert area(original) > 0.85
    assert area(models[0]) == pytest.approx(0.5, abs=0.06)  # three standard deviations
    assert area(original) > auc(original[:400], original[400:800]) + 0.05  # what the loss alone sees


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"population": np.zeros((3, 5))},
            r"must show the same models.*\(2, 4\) and \(3, 5\).*Observe the same models",
        ),
        ({"retrained_population": np.zeros((3, 5))}, "must show the same models"),
        ({"retrained": np.zeros((4, 3))}, "RMIA cannot be computed: all must show the same examples"),
        ({"target": np.full((2, 4), np.nan)}, "`target` must be finite"),
        ({"a": 1.5}, r"`a` must lie in \[0, 1\].*0.3 and 1 are usual"),
        ({"gamma": 0.0}, "`gamma` be positive"),
        ({"gamma": np.inf}, "`gamma` be positive"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_out(change, message):
    given_all = {
        "target": np.zeros((2, 4)),
        "retrained": np.zeros((4, 4)),
        "population": np.zeros((2, 5)),
        "retrained_population": np.zeros((4, 5)),
    } | change
    with pytest.raises(InputError, match=message):
        rmia(given_all.pop("target"), given_all.pop("retrained"), **given_all)
