"""The decay law and its family: each member against an implementation of its own, written without the law."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from ebbing.curves import Exponential, PowerLaw, Step
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.law import DecayLaw
from ebbing.rankings import WeightImportance
from ebbing.rates import DampeningRate, FixedRate, TopRate
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.training import seeded
from ebbing.units import find_units, fresh_anchor, single_weights, weights_of

TASK = Classification()
N, FORGET, CLASSES = 60, 12, 3


def vectors(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 5, generator=generator), torch.arange(N) % CLASSES


DATA = TensorDataset(*vectors())
REQUEST = ForgetRequest.from_ids(DATA, range(FORGET), holdout=TensorDataset(*vectors(seed=1)))
EXACT = {"rtol": 1e-13, "atol": 0.0}  # in double precision, which has 16 digits


def in_double_precision() -> ForgetRequest:
    """The same records, so that two orders of adding differ by no more than `EXACT` allows."""
    x, y = DATA.tensors
    return ForgetRequest.from_ids(TensorDataset(x.double(), y), range(FORGET), holdout=REQUEST.holdout)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, CLASSES)).eval()


def batches(x: Tensor, y: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def dampened(model: nn.Module, value, *, power: int, size: int, alpha: float, lam: float) -> dict[str, Tensor]:
    """What selective synaptic dampening leaves of every parameter, as its paper writes it (arXiv 2308.07707)."""
    x, y = DATA.tensors[0].double(), DATA.tensors[1]

    def importance(parts) -> dict[str, Tensor]:
        total = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
        for part in parts:
            model.zero_grad()
            value(model, *part).backward()
            for n, p in model.named_parameters():
                total[n] += p.grad.abs() ** power / len(parts)
        return total

    every, forget = importance(batches(x, y, size)), importance(batches(x[:FORGET], y[:FORGET], size))
    left = {}
    for n, p in model.named_parameters():
        chosen = forget[n] > alpha * every[n]
        left[n] = torch.where(chosen, p * torch.clamp(lam * every[n] / forget[n], max=1.0), p).detach()
    model.zero_grad()
    return left


@pytest.mark.parametrize(("alpha", "lam"), [(2.0, 1.0), (1.0, 0.3), (0.2, 0.5), (1.0, 3.0)])
@pytest.mark.parametrize("size", [1, 12])
def test_selective_synaptic_dampening(alpha: float, lam: float, size: int) -> None:
    model = network().double()
    wanted = dampened(
        model, lambda m, x, y: functional.cross_entropy(m(x), y), power=2, size=size, alpha=alpha, lam=lam
    )
    start = {n: p.clone() for n, p in model.named_parameters()}
    law = DecayLaw(DampeningRate(WeightImportance(batch_size=size), selection=alpha, dampening=lam))
    law.apply(model, single_weights(model), in_double_precision(), task=TASK, seed=0)
    for n, p in model.named_parameters():
        torch.testing.assert_close(p, wanted[n], **EXACT)
        assert torch.equal(p != start[n], wanted[n] != start[n])
    assert any(not torch.equal(p, start[n]) for n, p in model.named_parameters())


def test_its_form_without_a_loss_reads_no_labels() -> None:
    model = network().double()
    wanted = dampened(model, lambda m, x, y: m(x).square().sum(dim=1).mean(), power=1, size=1, alpha=1.1, lam=0.7)
    ranking = WeightImportance(statistic="output-norm-gradient", batch_size=1)
    law, twin = DecayLaw(DampeningRate(ranking, selection=1.1, dampening=0.7)), deepcopy(model)
    law.apply(model, single_weights(model), in_double_precision(), task=TASK, seed=0)
    for n, p in model.named_parameters():
        torch.testing.assert_close(p, wanted[n], **EXACT)
    x, y = DATA.tensors
    other = ForgetRequest.from_ids(TensorDataset(x.double(), (y + 1) % CLASSES), range(FORGET), holdout=REQUEST.holdout)
    law.apply(twin, single_weights(twin), other, task=TASK, seed=0)
    assert of_model(twin) == of_model(model)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_selective_pruning(across: bool, share: float) -> None:
    """Activities by hand, rows set to zero (arXiv 2403.01267)."""
    model, (x, _) = network(), DATA.tensors
    pruned = deepcopy(model)
    with torch.no_grad():
        first = x @ pruned[0].weight.T + pruned[0].bias
        second = functional.gelu(first) @ pruned[2].weight.T + pruned[2].bias
        ratio = {
            (layer, unit): float(activity[:FORGET, unit].abs().mean() / (activity[FORGET:, unit].abs().mean() + 1e-5))
            for layer, activity in ((0, first), (2, second))
            for unit in range(activity.shape[1])
        }
        for group in [[*ratio]] if across else [[k for k in ratio if k[0] == layer] for layer in (0, 2)]:
            for layer, unit in sorted(group, key=lambda key: -ratio[key])[: int(share * len(group))]:
                pruned[layer].weight[unit] = 0.0
                pruned[layer].bias[unit] = 0.0
    hidden = find_units(model, task=TASK, batch=DATA[:8], layers=["0", "2"])
    law = DecayLaw(TopRate(share=share, across=across))
    law.apply(model, hidden, REQUEST, task=TASK, seed=0)
    assert of_model(model) == of_model(pruned)


@pytest.mark.parametrize("curve", [Exponential(), PowerLaw(), Step()])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_reset_of_the_last_k_layers(k: int, curve) -> None:
    """EU-k before its repair: the last layers anew, bit for bit, and the others untouched."""
    model = network()
    groups = find_units(model, task=TASK, batch=DATA[:8])
    wanted = deepcopy(model)
    with seeded(11):
        for layer in [wanted[0], wanted[2], wanted[4]][-k:]:
            layer.reset_parameters()
    anchor = fresh_anchor(model, groups[-k:], seed=11)
    DecayLaw(FixedRate(0.0), curve).apply(model, groups[-k:], REQUEST, task=TASK, seed=0, anchor=anchor)
    assert of_model(model) == of_model(wanted)


@given(tau=st.floats(0.15, 1e3))
@settings(max_examples=30)
def test_a_fixed_rate_on_the_logits_is_temperature_and_changes_no_prediction(tau: float) -> None:
    model, x = network().double(), DATA.tensors[0].double()
    with torch.no_grad():
        before = model(x)
    asked = in_double_precision()
    output = find_units(model, task=TASK, batch=asked.dataset[:8])[-1:]
    law = DecayLaw(FixedRate(tau))
    phi = law.apply(model, output, asked, task=TASK, seed=0)[output[0].name]
    with torch.no_grad():
        after = model(x)
    assert float(phi[0]) == pytest.approx(math.exp(-1 / tau), rel=1e-12)
    torch.testing.assert_close(after, float(phi[0]) * before, atol=1e-13 * float(phi[0]), rtol=1e-12)
    assert torch.equal(after.argmax(dim=1), before.argmax(dim=1))


def test_an_earlier_checkpoint_is_an_anchor_too() -> None:
    model, earlier = network(), network()
    with torch.no_grad():
        for p in earlier.parameters():
            p.add_(1.0)
    groups = find_units(model, task=TASK, batch=DATA[:8])
    start = weights_of(model, groups)
    law = DecayLaw(FixedRate(2.0), duration=3.0)
    anchor = {name: p.double() for name, p in earlier.named_parameters()}  # as whoever kept it has it
    law.apply(model, groups, REQUEST, task=TASK, seed=0, anchor=anchor)
    phi = torch.tensor(-1.5).exp()
    for name, value in start.items():
        torch.testing.assert_close(model.get_parameter(name), value + (1 - phi), rtol=1e-5, atol=1e-6)


def test_no_time_is_no_decay_and_a_time_below_zero_is_refused() -> None:
    model, twin = network(), network()
    DecayLaw(FixedRate(0.0), duration=0.0).apply(model, single_weights(model), REQUEST, task=TASK, seed=0)
    assert of_model(model) == of_model(twin)
    with pytest.raises(InputError, match="`duration` must be finite and >= 0"):
        DecayLaw(duration=-1.0)
