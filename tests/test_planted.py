"""What a request may say of marks that were planted before training."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from ebbing.errors import InputError
from ebbing.planted import AddedNoise, SwappedLabels, misfit
from ebbing.request import ForgetRequest

N, SD = 30, 0.5
NOISE = SD * torch.randn(3, 200, generator=torch.Generator().manual_seed(0))


def data(n, *, first=0.0):
    return TensorDataset((first + torch.arange(float(n)))[:, None].expand(n, 200).clone(), torch.arange(n) % 3)


def request(ids, planted, **settings):
    return ForgetRequest.from_ids(data(N), ids, holdout=data(12, first=500.0), planted=planted, **settings)


def test_nothing_is_planted_unless_it_is_said():
    assert request([1, 2], None).planted is None


def test_it_does_not_change_what_a_request_is_called():
    said = request([0, 3, 1], SwappedLabels((0, 1)))
    assert said.planted == SwappedLabels((0, 1))
    assert said.fingerprint == request([0, 3, 1], None).fingerprint


@given(order=st.permutations([4, 9, 2]))
def test_noise_goes_with_the_id_it_was_given_beside(order):
    rows = {4: 0, 9: 1, 2: 2}
    made = request(order, AddedNoise(NOISE[[rows[i] for i in order]], SD))
    assert made.forget_ids.tolist() == [2, 4, 9]
    assert torch.equal(made.planted.noise, NOISE[[2, 0, 1]])


def test_with_keys_an_id_stands_for_all_its_records_in_their_order():
    keys = ["a", "b", "a", *map(str, range(N - 3))]
    made = request(["b", "a"], AddedNoise(NOISE, SD), keys=keys)  # positions 1, 0, 2
    assert torch.equal(made.planted.noise, NOISE[[1, 0, 2]])


@pytest.mark.parametrize("classes", [(1, 1), (1,), (1, 2, 3), (-1, 2), (True, 0), ("a", "b"), (0.5, 1)])
def test_two_classes_are_two(classes):
    with pytest.raises(InputError, match=r"two different whole numbers >= 0.*Pass the two"):
        SwappedLabels(classes)


def test_classes_of_numpy_are_numbers():
    assert SwappedLabels((np.int64(4), np.int64(2))).classes == (4, 2)


def test_swapped_records_have_labels_of_the_two():
    with pytest.raises(InputError, match=r"labels \[2\] are there as well\. Forget the swapped records alone"):
        request([0, 1, 2], SwappedLabels((0, 1)))


@pytest.mark.parametrize(
    ("noise", "sd", "message"),
    [
        (NOISE.long(), SD, "floating-point tensor"),
        (NOISE[:0], SD, "one row for each record"),
        (NOISE[0], SD, r"shape \(n_f, \.\.\.\)"),
        (torch.full((2, 3), float("nan")), SD, "finite"),
        (NOISE, 0.0, "`sd` must be finite and > 0, but is 0.0; it is a deviation"),
        (NOISE, float("inf"), "finite and > 0"),
        (NOISE, SD**2, r"drawn with `sd` = 0\.25, but has a root mean square of 0\.5084"),
        (NOISE.clamp(-0.3, 0.3), SD, "do not clip"),
    ],
)
def test_noise_that_no_score_could_come_from(noise, sd, message):
    with pytest.raises(InputError, match=message):
        AddedNoise(noise, sd)


@pytest.mark.parametrize(
    ("ids", "noise", "message"),
    [
        ([1, 2], NOISE, "one row for each of the 2 forgotten records, in the order of `ids`, but has 3"),
        ([1, 2, 4], NOISE.reshape(3, 20, 10), r"rows have \(20, 10\) and the inputs have \(200,\)"),
    ],
)
def test_noise_fits_the_records(ids, noise, message):
    with pytest.raises(InputError, match=message):
        request(ids, AddedNoise(noise, SD))


def test_records_without_a_tensor_of_inputs_have_no_noise():
    with pytest.raises(InputError, match="the inputs are no tensors"):
        AddedNoise(NOISE, SD).placed(np.arange(3), labels=torch.zeros(3), first={"x": NOISE[0], "labels": 0})


@given(seed=st.integers(0, 1000), sd=st.floats(1e-3, 1e3), n=st.integers(1, 400))
def test_noise_that_was_drawn_so_is_never_refused(seed, sd, n):
    noise = sd * torch.randn(1, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert misfit(noise, sd) is None
