"""Prediction agreement: by hand, its ties, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score

from ebbing.errors import InputError
from ebbing.measures.agreement import prediction_agreement

LOGITS = arrays(np.float32, (7, 3), elements=st.integers(-3, 3).map(float))  # whole numbers, so that many tie


def test_an_agreement_computed_by_hand():
    first = np.array([[2.0, 1, 0], [0, 5, 1], [1, 0, 9], [3, 2, 1]])
    second = np.array([[9.0, 0, 8], [0, 1, 2], [0, 0, 1], [1, 2, 3]])
    assert prediction_agreement(first, second) == 0.5


def test_of_tied_logits_the_lowest_class_counts():
    tied = np.array([[1.0, 1.0, 0.0]])
    assert prediction_agreement(tied, np.array([[1.0, 0.0, 0.0]])) == 1.0
    assert prediction_agreement(tied, np.array([[0.0, 1.0, 0.0]])) == 0.0


@given(LOGITS, LOGITS)
def test_agreement_is_a_fraction_symmetric_and_scikit_learns(first, second):
    found = prediction_agreement(first, second)
    assert found == prediction_agreement(second, first)
    assert found == accuracy_score(first.argmax(1), second.argmax(1))
    assert prediction_agreement(first, 3 * first + 1) == 1.0


def test_unrelated_models_agree_by_chance_alone():
    first, second = np.random.default_rng(0).normal(size=(2, 4_000, 10))
    assert prediction_agreement(first, second) == pytest.approx(0.1, abs=0.02)  # four standard errors


def test_other_shapes_are_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"must have one shape.*\(2, 3\) and \(2, 4\)\. Pass one model's row"):
        prediction_agreement(np.zeros((2, 3)), np.zeros((2, 4)))
