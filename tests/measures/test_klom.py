"""KLoM: by hand, its floors, the edge that public code drops, and the closed form of the Gaussian one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr

from ebbing.errors import InputError
from ebbing.measures import klom, klom_gaussian

# What klom_from_margins of github.com/easydub/EasyDUB-code at 5de3c4c gives for `known`, digits as printed
PUBLISHED = [0.59481108, 1.17151131, 1.92126667, 3.7884668, 2.94119585, 2.90794173]

PAIRS = st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4)).flatmap(
    lambda s: st.tuples(
        *(arrays(np.float64, (count, s[2]), elements=st.integers(-60, 60).map(lambda k: k / 4)) for count in s[:2])
    )
)


def known(salt: int) -> np.ndarray:
    """(40, 6) margins by whole numbers alone, so that they are the same everywhere."""
    x = np.arange(240).reshape(40, 6)
    return ((x * x * 31 + x * 7919 + salt * 104729) % 10007) / 10007 * 8 - 4


def by_numpy(unlearned, retrained, *, below=np.inf):
    """One record at a time, by NumPy's own histogram, which counts the upper end; of the margins below its share of it."""
    found = []
    for u, o in zip(unlearned.T, retrained.T, strict=True):
        ends = min(u.min(), o.min()), max(u.max(), o.max())
        p, q = (np.histogram(x[x < below * ends[1]], bins=20, range=ends)[0] for x in (u, o))
        found.append(rel_entr(p / p.sum(), np.maximum(q / q.sum(), 1e-5)).sum())
    return np.array(found)


def by_whole_numbers(unlearned, retrained):
    """The same of margins that are whole quarters, in integers, so that no bin is a matter of rounding."""
    found = []
    for u, o in zip(*((4 * x).astype(int).T.tolist() for x in (unlearned, retrained)), strict=True):
        low, high = min(u + o), max(u + o)
        p, q = (
            np.bincount([min((x - low) * 20 // max(high - low, 1), 19) for x in side], minlength=20) / len(side)
            for side in (u, o)
        )
        found.append(rel_entr(p, np.maximum(q, 1e-5)).sum())
    return np.array(found)


def test_a_divergence_computed_by_hand():
    # Bins of width .5 over [0, 10]: p has 3/4 in the first and 1/4 in the last, q has 1/2 and 1/2.
    unlearned, retrained = np.array([[0.0], [0.1], [0.2], [10.0]]), np.array([[0.0], [0.3], [9.9], [10.0]])
    assert klom(unlearned, retrained) == pytest.approx([0.75 * np.log(1.5) + 0.25 * np.log(0.5)], abs=1e-15)


def test_an_empty_bin_of_the_retrained_models_counts_the_floor():
    unlearned, retrained = np.array([[5.0], [5.0]]), np.array([[0.0], [1.0]])
    assert klom(unlearned, retrained) == pytest.approx([np.log(1e5)])  # 11.51, the cap
    assert klom(unlearned, retrained, floor=0.01) == pytest.approx([np.log(100)])


def test_constants_above_every_retrained_margin_are_as_far_as_can_be():
    # Public code drops the top edge: EasyDUB's gives 0 for these, data-unlearning-bench's NaN.
    retrained = known(3)[:8]
    assert klom(np.full((8, 6), 9.0), retrained) == pytest.approx([np.log(1e5)] * 6)
    assert (klom(np.full((8, 6), 4.001), retrained) > 1).all()  # in the last bin beside one retrained model or two


def test_one_constant_for_all_models_is_no_difference():
    assert klom(np.full((3, 2), 7.0), np.full((5, 2), 7.0)).tolist() == [0.0, 0.0]


def test_published_code_differs_by_the_margins_it_drops():
    unlearned, retrained = known(1) + np.arange(6) / 2, known(2)
    assert by_numpy(unlearned, retrained, below=1) == pytest.approx(PUBLISHED, abs=1e-8)
    assert klom(unlearned, retrained) == pytest.approx(by_numpy(unlearned, retrained), abs=1e-12)


@pytest.mark.parametrize(
    ("models", "floor", "within"),
    [(16, 3.8, 0.1), (32, 1.64, 0.05), (64, 0.62, 0.02), (100, 0.34, 0.02), (200, 0.145, 0.01)],
)
def test_retrained_models_against_others_have_the_known_floor(models, floor, within):
    first, second = np.random.default_rng(models).normal(size=(2, models, 4_000))
    assert klom(first, second).mean() == pytest.approx(
        floor, abs=within
    )  # as the floor is given, and four standard errors


def test_the_gaussian_form_has_a_lower_floor_and_still_sees_a_shift():
    first, second = np.random.default_rng(0).normal(size=(2, 32, 4_000))
    assert klom_gaussian(first, second).mean() == pytest.approx(0.067, abs=0.005)
    assert klom_gaussian(first + 3, second).mean() > 4  # 9 / 2 and what the spread adds


def test_the_gaussian_form_by_hand():
    unlearned, retrained = np.array([[1.0], [2.0], [3.0]]), np.array([[-2.0], [0.0], [2.0]])  # means 2, 0; sd 1, 2
    assert klom_gaussian(unlearned, retrained) == pytest.approx([np.log(2) + 5 / 8 - 0.5])
    assert klom_gaussian(np.full((2, 1), 0.3), np.full((2, 1), 0.3)).tolist() == [0.0]
    apart = klom_gaussian(np.full((2, 1), 1.0), np.full((2, 1), 0.0), min_sd=0.1)
    assert apart == pytest.approx([50.0])  # d^2 / (2 min_sd^2)


@given(PAIRS)
def test_klom_equals_bins_in_whole_numbers_and_keeps_its_range(pair):
    found = klom(*pair)
    np.testing.assert_allclose(found, by_whole_numbers(*pair), atol=1e-12)
    assert ((found >= 0) & (found <= np.log(1e5) + 1e-12)).all()
    assert not klom(pair[0], pair[0]).any()


@given(PAIRS, st.floats(-5, 5).map(lambda x: round(x * 4) / 4), st.sampled_from([0.5, 2.0, 4.0]))
def test_neither_a_shift_of_both_nor_a_change_of_scale_matters(pair, shift, scale):
    moved = [x * scale + shift for x in pair]  # quarters, so that nothing is rounded; none reaches the clip of 100
    np.testing.assert_allclose(klom(*moved), klom(*pair), atol=1e-12)


@given(PAIRS)
def test_the_gaussian_form_is_a_divergence(pair):
    assert (klom_gaussian(*pair) >= -1e-9).all()
    np.testing.assert_allclose(klom_gaussian(pair[0], pair[0]), 0, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_many_records_at_once_are_as_each_by_itself(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.normal(size=(2, 300, 700)).astype(np.float32)  # more than one piece
    whole = klom(first, second)
    one = int(generator.integers(700))
    assert whole[one] == klom(first[:, [one]], second[:, [one]])[0]


def test_margins_beyond_the_clip_count_as_the_clip():
    retrained = np.array([[0.0], [100.0]])
    assert klom(np.array([[5000.0], [0.0]]), retrained).tolist() == [0.0]


@pytest.mark.parametrize("function", [klom, klom_gaussian])
@pytest.mark.parametrize(
    ("unlearned", "retrained", "message"),
    [
        (
            np.zeros((1, 3)),
            np.zeros((4, 3)),
            r"`unlearned` must hold at least 2 models, but holds 1.*such as the margin gap",
        ),
        (np.zeros((2, 3)), np.zeros((4, 2)), r"the same examples.*\(2, 3\) in `unlearned` and \(4, 2\) in `retrained`"),
        (np.full((2, 3), np.nan), np.zeros((4, 3)), r"`unlearned` must be finite, but 6 margins are NaN.*Leave these"),
        (np.zeros(3), np.zeros((4, 3)), r"must have the shape \(n_models, n_examples\).*has \(3,\)"),
        (np.ones((2, 3), bool), np.zeros((4, 3)), r"must hold margins.*not bool: pass `Signals.margin`"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_way_out(function, unlearned, retrained, message):
    with pytest.raises(InputError, match=message):
        function(unlearned, retrained)


@pytest.mark.parametrize("setting", [{"bins": 0}, {"clip": 0.0}, {"clip": np.inf}, {"floor": 0.0}, {"floor": 1.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(InputError, match=r"`bins` must be at least 1.*The source has 20, 100 and 1e-5"):
        klom(np.zeros((2, 1)), np.zeros((2, 1)), **setting)


@pytest.mark.parametrize("min_sd", [0.0, -1.0, np.inf, np.nan])
def test_a_spread_to_raise_to_must_be_positive(min_sd):
    with pytest.raises(InputError, match="`min_sd` must be positive and finite"):
        klom_gaussian(np.zeros((2, 1)), np.zeros((2, 1)), min_sd=min_sd)
