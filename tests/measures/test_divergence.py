"""Divergence, distance and ZRF against SciPy, closed forms, and the formula that code in use gets wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from torch.nn import functional

from ebbing.errors import InputError
from ebbing.measures.divergence import activation_distance, jensen_shannon, zero_retrain_forgetting

LOGITS = arrays(np.float64, (3, 4), elements=st.floats(-700, 700))


def of(*probabilities):
    """Logits of rows of probabilities; zeros become -inf."""
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities))


def mistaken_zrf(unlearned, random):
    """The form in public code: KL(m || p), and the mean over classes as well as examples, in nats."""
    p, q = (torch.as_tensor(softmax(logits, axis=1)) for logits in (unlearned, random))
    m = (p + q) / 2
    every = (functional.kl_div(p.log(), m, reduction="none") + functional.kl_div(q.log(), m, reduction="none")) / 2
    return 1 - float(every.mean())


def test_a_divergence_computed_by_hand():
    # m = (1/2, 1/2), so JS = 1 - H(3/4, 1/4) = 1 - (2 - 3/4 log2 3)
    found = jensen_shannon(of([3 / 4, 1 / 4]), of([1 / 4, 3 / 4]))
    assert found == pytest.approx([0.75 * np.log2(3) - 1], abs=1e-15)


def test_a_class_without_probability_counts_nothing():
    half = of([1.0, 0.0, 0.0], [0.5, 0.5, 0.0])
    other = of([0.0, 1.0, 0.0], [0.5, 0.0, 0.5])
    assert jensen_shannon(half, other) == pytest.approx([1.0, 0.5], abs=1e-15)


def test_logits_that_overflow_as_exponentials_are_safe():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = jensen_shannon(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([[0.0, 1e4], [2e4, 0.0]]))
    assert found.tolist() == [1.0, 0.0]


@given(LOGITS, LOGITS)
def test_divergence_is_bounded_symmetric_and_zero_for_equals(first, second):
    found = jensen_shannon(first, second)
    assert found.shape == (3,)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, jensen_shannon(second, first), atol=1e-14)
    assert (jensen_shannon(first, first + 1.5) < 1e-12).all()  # a constant added to the logits changes no prediction


@given(arrays(np.float64, (2, 5, 6), elements=st.floats(-30, 30)))
def test_divergence_equals_scipys(pair):
    p, q = softmax(pair, axis=2)
    with np.errstate(invalid="ignore"):  # SciPy takes the root of a rounding error below 0 where both are equal
        expected = np.array([jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)])
    # SciPy takes m of rounded probabilities: near equality its terms of 1e-16 are all that is left
    np.testing.assert_allclose(jensen_shannon(*pair), np.nan_to_num(expected), rtol=1e-9, atol=1e-14)


def test_distances_computed_by_hand():
    first, second = of([0.5, 0.3, 0.2], [1.0, 0.0, 0.0]), of([0.1, 0.3, 0.6], [0.0, 1.0, 0.0])
    assert activation_distance(first, second, norm="l1") == pytest.approx([0.8, 2.0])
    assert activation_distance(first, second, norm="l2") == pytest.approx([np.sqrt(0.32), np.sqrt(2)])


@given(LOGITS, LOGITS)
def test_distances_are_bounded_symmetric_and_ordered(first, second):
    one, two = (activation_distance(first, second, norm=norm) for norm in ("l1", "l2"))
    assert ((two >= 0) & (two <= one + 1e-12) & (one <= 2 + 1e-12) & (two <= np.sqrt(2) + 1e-12)).all()
    np.testing.assert_array_equal(one, activation_distance(second, first, norm="l1"))
    divergence = jensen_shannon(first, second)  # Pinsker, and the bound by the total variation
    assert (one**2 / (8 * np.log(2)) - 1e-12 <= divergence).all()
    assert (divergence <= one / 2 + 1e-12).all()


def test_zrf_by_hand_where_the_mistaken_form_says_more():
    unlearned, random = of([3 / 4, 1 / 4]), of([1 / 4, 3 / 4])
    assert zero_retrain_forgetting(unlearned, random) == pytest.approx(2 - 0.75 * np.log2(3))  # .811
    assert mistaken_zrf(unlearned, random) == pytest.approx(
        1 - np.log(4 / 3) / 4
    )  # .928: ln(4/3) / 2, over two classes


def test_two_unrelated_predictors_are_not_taken_for_alike():
    unlearned, random = np.random.default_rng(0).normal(0, 4, (2, 4_000, 100))
    assert zero_retrain_forgetting(unlearned, random) == pytest.approx(0.070, abs=0.003)  # mean of 4,000, sd .001
    assert mistaken_zrf(unlearned, random) == pytest.approx(0.960, abs=0.003)


def test_zrf_is_one_only_for_the_predictor_itself():
    random = np.random.default_rng(1).normal(0, 0.1, (50, 10))
    assert zero_retrain_forgetting(random, random) == 1.0
    sure = np.eye(10)[np.arange(50) % 10] * 20  # a trained model: it must not pass for a fresh one
    assert zero_retrain_forgetting(sure, random) < 0.5


@pytest.mark.parametrize("function", [jensen_shannon, zero_retrain_forgetting])
@pytest.mark.parametrize(
    ("first", "second"), [((2, 3), (3, 3)), ((6,), (6,)), ((1, 2, 3), (1, 2, 3)), ((0, 3), (0, 3)), ((4, 1), (4, 1))]
)
def test_other_shapes_are_refused_with_a_way_out(function, first, second):
    with pytest.raises(
        InputError, match=r"must have one shape \(n_examples, classes\).*but have \(.*\. Pass one model's row"
    ):
        function(np.zeros(first), np.zeros(second))


@pytest.mark.parametrize("broken", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_rows_that_are_no_distribution_are_refused(broken):
    good = np.zeros((2, 2))
    with pytest.raises(InputError, match=r"must be finite.*1 of 2 rows of the second model.*Leave that model out"):
        jensen_shannon(good, np.array([[0.0, 0.0], broken]))


def test_the_norm_must_be_named():
    with pytest.raises(TypeError, match="norm"):
        activation_distance(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(InputError, match=r"but is 'L2'\. Name the one"):
        activation_distance(np.zeros((1, 2)), np.zeros((1, 2)), norm="L2")
