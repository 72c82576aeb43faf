"""The network and the gates of the authors' public code: on the same weights and inputs they give the same numbers.

``published_code.json`` holds what the classes in github.com/amartyahatua/ForgettingNN computed, and for each variant the
commit and the file it came from. `Net` of that file ran as it stands, but that an identity stood in for its dropout (it
makes new dropout layers in every pass, which act in evaluation mode too): with ``type`` "unlearning" ("learning" for t = 0),
``turn`` 1, ``epoch`` (in classification.py ``forget_strength``) t, loaded with `weights`, in float64 and evaluation mode, on
`images(24)`. Written down are the ten log-probabilities of the first image; mean and norm of all 24 x 10; mean and norm of
the 24 x 128 numbers that fc2 reads; norms of the gradients of the mean loss for the labels 0, 1, ..., 9, 0, ...; and what
`Rank` makes of small matrices.

The random variant draws units by Python's generator in every pass; "drawn" are those of the seed 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from ebbing.curves import Exponential
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.methods import ForgettingNetwork
from ebbing.methods.unlearner import Run
from ebbing.models import authors_cnn
from ebbing.rankings import Activation, Index
from ebbing.rates import FixedRate, LinearRate, Rate
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.units import UnitGroup, find_units, gated

THEIRS = json.loads((Path(__file__).parent / "published_code.json").read_text())
TASK = Classification()
N = 24
CLOSE = {"atol": 1e-6, "rtol": 1e-6}  # their factors are float32 whatever the network is
PRESET = replace(ForgettingNetwork.presets["published-code"], unlearning_trains="nothing")


def hashed(n: int, salt: int) -> Tensor:
    """(n,) float64 in [-0.5, 0.5), by whole numbers alone, so that they are the same everywhere."""
    x = torch.arange(n, dtype=torch.int64) + (salt << 24)
    for _ in range(2):
        x = ((x >> 16) ^ x) * 0x45D9F3B & 0xFFFFFFFF
    return ((x >> 16) ^ x).double() / 2**32 - 0.5


def weights() -> dict[str, Tensor]:
    """Uniform with variance 2 / fan-in, biases in [-.25, .25): salts 2, 3 for conv1, 4, 5 for conv2 and so on."""
    shapes = {"conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3), "fc1": (128, 9216), "fc2": (10, 128)}
    found = {}
    for layer, (name, shape) in enumerate(shapes.items(), start=1):
        n = torch.Size(shape).numel()
        found[f"{name}.weight"] = (hashed(n, 2 * layer) * (24 / (n // shape[0])) ** 0.5).reshape(shape)
        found[f"{name}.bias"] = hashed(shape[0], 2 * layer + 1) * 0.5
    return found


def images(n: int, *, salt: int = 0) -> Tensor:
    """(n, 1, 28, 28) of 7 x 7 blocks in [-2, 2)."""
    return 4 * hashed(n * 49, salt).reshape(n, 1, 7, 7).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    """The images are the forget set, so that they pass as one batch; seven others are retained, and five unseen."""
    x = torch.cat([images(N), images(7, salt=1)])
    unseen = TensorDataset(images(5, salt=20), torch.arange(5))
    return ForgetRequest.from_ids(TensorDataset(x, torch.arange(N + 7) % 10), range(N), holdout=unseen)


@pytest.fixture
def net() -> nn.Module:
    model = authors_cnn()
    model.load_state_dict(weights())
    return model.double().eval()


@pytest.fixture
def units(net) -> list[UnitGroup]:
    groups = find_units(net, task=TASK, batch=(images(N), torch.arange(N) % 10), layers="linear")
    assert [g.name for g in groups] == ["fc1", "fc2"]
    return groups


@dataclass(frozen=True)
class DrawnAtOne(LinearRate):
    """Their random variant: ranks, but tau = 1 for drawn units of fc1; the top 30 on fc2, as in the same file."""

    drawn: tuple[int, ...] = ()

    def tau(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        found = super().tau(scores)
        if "fc1" in found:
            found["fc1"][list(self.drawn)] = 1.0
        return found | LinearRate(silenced=30).tau({n: s for n, s in scores.items() if n == "fc2"})


OURS = {
    "activation": PRESET,
    "index": replace(PRESET, rate=LinearRate(Index()), rank_in_batch=False),
    "top-30": replace(PRESET, rate=LinearRate(silenced=30)),
    "random": replace(PRESET, rate=DrawnAtOne(drawn=tuple(THEIRS["variants"]["random"]["drawn"]))),
    "fixed": replace(PRESET, rate=FixedRate(30.0), rank_in_batch=False, layers="fc2"),
}


def agree(found: dict[str, list[float]], theirs: dict[str, list[float]], **tolerance: float) -> bool:
    assert found.keys() == theirs.keys()
    return all(np.allclose(found[k], theirs[k], **(tolerance or CLOSE)) for k in theirs)


def numbers(logits: Tensor, hidden: Tensor) -> dict[str, list[float]]:
    """What is written down of a pass."""
    p = logits.log_softmax(dim=1)
    both = {"all": p, "hidden": hidden}
    return {"first": p[0].tolist(), **{k: [v.mean().item(), v.norm().item()] for k, v in both.items()}}


def watched(net: nn.Module, passes: list[dict[str, list[float]]]) -> None:
    """Note the numbers of every pass of the images."""
    read: list[Tensor] = []
    net.fc2.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0].detach()))

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if len(output) == N:
            passes.append(numbers(output.detach(), read[-1]))

    net.register_forward_hook(note)


@pytest.mark.parametrize("variant", OURS)
def test_an_unlearning_bout_goes_through_the_same_networks(net, request_, variant) -> None:
    """Measured at t = 1, 2, 3, 4 with the gates on, and once more with the gates off, on one batch each time."""
    method, theirs = OURS[variant], THEIRS["variants"][variant]["t"]
    batch = (images(N), torch.arange(N) % 10)
    groups = find_units(net, task=TASK, batch=batch, layers=method.layers)
    passes: list[dict[str, list[float]]] = []
    watched(net, passes)
    run = Run(request_, TASK, 0, torch.Generator(), Journal())
    method._unlearn(net, groups, run, turn=1)
    assert len(passes) == 5
    for t, found in enumerate(passes[:4], start=1):
        assert agree(found, theirs[str(t)]), (t, found, theirs[str(t)])
    assert agree(passes[4], THEIRS["variants"]["learning"]["t"]["0"])


def test_in_float32_too(net, units) -> None:
    """As their scripts run it; the tolerance is that of float32 sums over 9,216 inputs."""
    passes: list[dict[str, list[float]]] = []
    net.float()
    watched(net, passes)
    with torch.no_grad():
        for t in (1, 2, 3, 4):
            with gated(net, units, PRESET._ranked_by_batch(t)):
                net(images(N).float())
            assert agree(passes[-1], THEIRS["variants"]["activation"]["t"][str(t)], atol=1e-4, rtol=1e-5)


def test_gradients_through_the_gates_are_theirs(net, units) -> None:
    """Ranks and factors are constants to both."""
    theirs = THEIRS["gradients"]
    with gated(net, units, OURS[theirs["of"]]._ranked_by_batch(theirs["t"])):
        functional.cross_entropy(net(images(N)), torch.arange(N) % 10).backward()
    assert {n for n, _ in net.named_parameters()} == theirs["norms"].keys()
    for name, parameter in net.named_parameters():
        assert parameter.grad.norm().item() == pytest.approx(theirs["norms"][name], rel=1e-6), name


def test_ranks_in_a_batch_are_theirs() -> None:
    means = {"layer": hashed(60, 99).reshape(6, 10).float().mean(dim=0)}
    theirs = THEIRS["ranks"]
    assert LinearRate().tau(means)["layer"].tolist() == theirs["all"]
    for k in (1, 4):
        assert LinearRate(silenced=k).tau(means)["layer"].tolist() == theirs[f"top {k}"]


def test_only_ties_are_ranked_otherwise() -> None:
    """They put the later of two equal units first; here both have the mean of the two ranks."""
    assert THEIRS["ranks"]["ties"] == [2, 3, 1, 0]
    assert LinearRate().tau({"layer": torch.tensor([2.0, 1.0, 2.0, 3.0])})["layer"].tolist() == [1.5, 3.0, 1.5, 0.0]


def test_an_order_that_ranks_in_the_batch_would_pass_over_is_refused() -> None:
    """The index order needs ranks taken once: with those of the batch it would silently be that of activation."""
    with pytest.raises(
        InputError, match=r"rate.ranking must be Activation\(.*\) with rank_in_batch.* but is Index\(\)"
    ):
        replace(PRESET, rate=LinearRate(Index()))
    assert replace(PRESET, rate=FixedRate(30.0)).rank_in_batch  # has no order to lose


# ------------------------------------------------- controls: each is another rule, and must not give their numbers

Factors = Callable[[UnitGroup, Tensor], Tensor]


def other(*, t: int = 2, read: Callable[[Tensor], Tensor] = lambda a: a, rate: Rate | None = None) -> Factors:
    """Their rule, but for another t, ranks of something else, or another rate."""

    def factors(group: UnitGroup, activity: Tensor) -> Tensor:
        score = read(activity).mean(dim=(0, 2))
        return Exponential().factor(t, (rate or LinearRate()).tau({group.name: score})[group.name])

    return factors


class FromOne(LinearRate):
    def tau(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        return {n: r + 1 for n, r in super().tau(scores).items()}


WRONG = {
    "t one later": other(t=3),
    "t one earlier": other(t=1),
    "absolute activation": other(read=torch.abs),
    "ranks behind the relu": other(read=torch.relu),
    "least active first": other(read=torch.neg),
    "ranks of half the batch": other(read=lambda a: a[: N // 2]),
    "ranks from 1": other(rate=FromOne()),
    "half the time": other(rate=LinearRate(scale=2.0)),
}


def under(net: nn.Module, units: list[UnitGroup], factors) -> dict[str, list[float]]:
    passes: list[dict[str, list[float]]] = []
    watched(net, passes)
    with gated(net, units, factors), torch.no_grad():
        net(images(N))
    return passes[-1]


def test_the_rule_of_the_controls_is_theirs(net, units) -> None:
    assert agree(under(net, units, other()), THEIRS["variants"]["activation"]["t"]["2"])


@pytest.mark.parametrize("wrong", WRONG)
def test_another_rule_gives_other_numbers(net, units, wrong) -> None:
    assert not agree(under(net, units, WRONG[wrong]), THEIRS["variants"]["activation"]["t"]["2"], atol=1e-2, rtol=0)


def test_so_do_ranks_over_a_set_and_not_the_batch(net, units, request_) -> None:
    """The paper's rule ranks over the forget set; here that is seven other records."""
    swapped = ForgetRequest.from_ids(request_.dataset, range(N, N + 7), holdout=request_.holdout)
    tau = LinearRate().tau(Activation().scores(net, units, swapped, task=TASK, seed=0))
    factors = {name: Exponential().factor(2, t) for name, t in tau.items()}
    assert not agree(under(net, units, factors), THEIRS["variants"]["activation"]["t"]["2"], atol=1e-2, rtol=0)


def test_so_does_a_gate_on_the_hidden_layer_alone(net, units) -> None:
    found = under(net, units[:1], other())
    theirs = THEIRS["variants"]["activation"]["t"]["2"]
    assert agree({"hidden": found["hidden"]}, {"hidden": theirs["hidden"]})
    assert not agree(found, theirs, atol=1e-2, rtol=0)
