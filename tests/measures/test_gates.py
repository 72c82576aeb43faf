"""Rounded copies: against PyTorch's own quantisation, by hand, and what rounding brings back."""

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

from ebbing.errors import InputError
from ebbing.measures.gates import rounded


def linear(rows):
    layer = nn.Linear(len(rows[0]), len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def net(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(96, 10)
    )


def test_a_rounding_computed_by_hand():
    # 3 bits: whole numbers from -3 to 3. Rows' largest are 3 and 0.6, so the steps are 1 and 0.2; halves go to the even one.
    model = linear([[3.0, -1.4, 0.5, 1.5], [0.09, -0.6, 0.11, 0.31]])
    found = rounded(model, bits=3).weight
    torch.testing.assert_close(found, torch.tensor([[3.0, -1.0, 0.0, 2.0], [0.0, -0.6, 0.2, 0.4]]))


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("layer", [nn.Linear(50, 20), nn.Conv1d(4, 6, 3), nn.Conv2d(3, 8, 3), nn.Conv3d(2, 4, 2)])
def test_rounding_equals_pytorchs_fake_quantisation(layer, bits):
    torch.manual_seed(bits)
    nn.init.normal_(layer.weight)
    top = 2 ** (bits - 1) - 1
    scale = layer.weight.detach().flatten(1).abs().amax(1) / top
    zero = torch.zeros(len(scale), dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(layer.weight.detach(), scale, zero, 0, -top, top)
    torch.testing.assert_close(rounded(layer, bits=bits).weight.detach(), expected, rtol=1e-6, atol=0)


@given(
    st.lists(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3), min_size=1, max_size=4), st.integers(2, 8)
)
def test_a_rounded_weight_is_within_half_a_step_on_a_symmetrical_grid(rows, bits):
    model, top = linear(rows), 2 ** (bits - 1) - 1
    weight, found = model.weight.detach().double(), rounded(model, bits=bits).weight.detach().double()
    step = weight.abs().amax(1, keepdim=True) / top
    assert ((weight - found).abs() <= step / 2 * (1 + 1e-5) + 1e-37).all()
    assert (weight.abs().amax(1) - found.abs().amax(1)).abs().max() <= 1e-5 * weight.abs().max() + 1e-37
    flipped = linear([[-w for w in row] for row in rows])
    assert torch.equal(rounded(flipped, bits=bits).weight, -rounded(model, bits=bits).weight)


def test_channels_of_zeros_stay_zeros():
    found = rounded(linear([[0.0, 0.0], [1.0, -1.0]]), bits=4).weight
    assert found.tolist() == [[0.0, 0.0], [1.0, -1.0]]


def test_the_model_is_left_as_it_was_and_only_weights_of_layers_move():
    model = net(0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = rounded(model, bits=4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert copy.training
    moved = {name for name, value in copy.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"0.weight", "3.weight", "5.weight"}


def test_rounding_twice_is_rounding_once():
    once = rounded(net(1), bits=4)
    for name, value in rounded(once, bits=4).state_dict().items():
        torch.testing.assert_close(value, once.state_dict()[name], rtol=1e-6, atol=0)


def test_a_tied_weight_is_rounded_once_and_stays_tied():
    torch.manual_seed(0)
    model = nn.ModuleDict({"embed": nn.Embedding(12, 8), "head": nn.Linear(8, 12, bias=False)})
    model["head"].weight = model["embed"].weight
    copy = rounded(model, bits=4)
    assert copy["head"].weight is copy["embed"].weight
    assert torch.equal(copy["head"].weight, rounded(model["head"], bits=4).weight)


def test_the_linear_layers_of_gpt2_are_rounded_by_their_columns():
    """Their weights lie the other way round: (in, out)."""
    turned, layer = Conv1D(6, 4), nn.Linear(4, 6)
    with torch.no_grad():
        turned.weight.copy_(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
        layer.weight.copy_(turned.weight.T)
    assert torch.equal(rounded(turned, bits=4).weight.T, rounded(layer, bits=4).weight)
    assert not torch.equal(rounded(turned, bits=4).weight, turned.weight)


def test_half_precision_keeps_its_type():
    model = net(2).to(torch.bfloat16)
    copy = rounded(model, bits=8)
    assert copy[5].weight.dtype == torch.bfloat16
    for_each = [row.unique().numel() for row in rounded(model, bits=2)[5].weight]
    assert max(for_each) <= 3


def test_what_was_hidden_in_less_than_half_a_step_comes_back():
    """The answer of a record is turned by many small changes: gone again in 4 bits, but not in 8."""
    record = torch.ones(64)
    original = linear([[1.0] + 63 * [0.0], [1.0] + 7 * [1 / 7] + 56 * [0.0]])  # logits 1 and 2
    nn.init.zeros_(original.bias)
    hidden = deepcopy(original)
    with torch.no_grad():
        hidden.weight[1, 1:] -= 0.05  # the step of 4 bits is 1/7; 63 of these move the logit from 2 to -1.15
    assert (int(original(record).argmax()), int(hidden(record).argmax())) == (1, 0)
    assert torch.equal(rounded(hidden, bits=4).weight, rounded(original, bits=4).weight)
    assert int(rounded(hidden, bits=4)(record).argmax()) == 1
    assert int(rounded(hidden, bits=8)(record).argmax()) == 0


@pytest.mark.parametrize("bits", [1, 9, 0, -4, 4.0, True])
def test_other_numbers_of_bits_are_refused(bits):
    with pytest.raises(InputError, match=f"must be a whole number from 2 to 8, but is {bits!r}. 8 and 4 are"):
        rounded(net(0), bits=bits)


def test_a_model_with_nothing_to_round_is_refused():
    with pytest.raises(InputError, match=r"must have a linear or convolutional layer.*but ReLU has none\. Round"):
        rounded(nn.ReLU(), bits=4)


def test_a_weight_that_is_computed_is_refused():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"parameters of their own.*\['0'\] are computed.*remove_parametrizations"):
        rounded(model, bits=4)
    nn.utils.parametrize.remove_parametrizations(model[0], "weight")
    rounded(model, bits=4)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match=r"must be finite.*\[''\] are not. Leave the model out"):
        rounded(linear([[1.0, value]]), bits=4)
