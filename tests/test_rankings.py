"""Rankings against computations of their own, and ranks against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from ebbing.errors import InputError
from ebbing.rankings import Activation, ActivationRatio, Index, Random, Taylor, TopK, ranks
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.units import find_units

TASK = Classification()
FORGET = [1, 4, 5, 11, 17, 30]
KEEP = [i for i in range(40) if i not in FORGET]


class Net(nn.Module):
    """A convolution, a linear layer in between and the logits, each with its activity within reach."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.hidden, self.head = nn.Conv2d(1, 3, 3), nn.Linear(12, 5), nn.Linear(5, 3)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.hidden(self.activation(self.conv(x)).flatten(1))))

    def activities(self, x: Tensor) -> dict[str, Tensor]:
        """(examples, n, positions) pre-activations by layer, by hand."""
        conv = functional.conv2d(x, self.conv.weight, self.conv.bias)
        hidden = self.activation(conv.clone()).flatten(1) @ self.hidden.weight.T + self.hidden.bias
        head = self.activation(hidden.clone()) @ self.head.weight.T + self.head.bias
        return {"conv": conv.flatten(2), "hidden": hidden[:, :, None], "head": head[:, :, None]}


class Records(Dataset):
    """Not held as tensors."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


ACTIVATIONS = {"relu": nn.ReLU(), "gelu": nn.GELU(), "relu in place": nn.ReLU(inplace=True)}


@pytest.fixture(params=[TensorDataset, Records], ids=["tensors", "records"])
def request_(request) -> ForgetRequest:
    generator = torch.Generator().manual_seed(0)
    data = request.param(torch.randn(40, 1, 4, 4, generator=generator), torch.arange(40) % 3)
    unseen = request.param(torch.randn(40, 1, 4, 4, generator=generator), torch.arange(40) % 3)
    return ForgetRequest.from_ids(data, FORGET, holdout=unseen)


def seeded_net(activation: nn.Module) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Net(activation).eval()


@pytest.fixture(params=ACTIVATIONS)
def net(request) -> Net:
    return seeded_net(ACTIVATIONS[request.param])


def stacked(request: ForgetRequest, ids: list[int]) -> tuple[Tensor, Tensor]:
    x, y = zip(*(request.dataset[i] for i in ids), strict=True)
    return torch.stack(x), torch.stack(y)


def scores(ranking, net: Net, request: ForgetRequest, *, seed: int = 0) -> dict[str, Tensor]:
    units = find_units(net, task=TASK, batch=stacked(request, KEEP))
    assert [u.name for u in units] == ["conv", "hidden", "head"]
    return ranking.scores(net, units, request, task=TASK, seed=seed)


@pytest.mark.parametrize("statistic", ["mean", "abs-mean", "rms"])
def test_activation_is_the_mean_over_the_forget_set(net, request_, statistic) -> None:
    found = scores(Activation(statistic=statistic), net, request_)
    for name, activity in net.activities(stacked(request_, FORGET)[0]).items():
        a = activity.detach().double().numpy()
        wanted = {"mean": a.mean((0, 2)), "abs-mean": np.abs(a).mean((0, 2)), "rms": (a**2).mean((0, 2)) ** 0.5}
        np.testing.assert_allclose(found[name].numpy(), wanted[statistic], atol=1e-6)


def test_the_batches_do_not_matter(net) -> None:
    """More records than go into one batch, of which the last is smaller."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(700, 1, 4, 4, generator=generator)
    request = ForgetRequest.from_ids(
        TensorDataset(x, torch.arange(700) % 3), range(650), holdout=TensorDataset(x + 1, torch.arange(700) % 3)
    )
    units = find_units(net, task=TASK, batch=(x[:9], torch.zeros(9).long()))
    found = Activation().scores(net, units, request, task=TASK, seed=0)
    for name, activity in net.activities(x[:650]).items():
        np.testing.assert_allclose(found[name].numpy(), activity.detach().double().mean((0, 2)).numpy(), atol=1e-6)


def test_activation_ratio_is_forget_over_retain(net, request_) -> None:
    found = scores(ActivationRatio(), net, request_)
    on_forget, on_retain = (net.activities(stacked(request_, ids)[0]) for ids in (FORGET, KEEP))
    for name in found:
        top = on_forget[name].detach().double().abs().mean((0, 2))
        bottom = on_retain[name].detach().double().abs().mean((0, 2))
        torch.testing.assert_close(found[name], top / (bottom + 1e-5), atol=1e-6, rtol=1e-5)


def test_taylor_is_the_squared_change_of_each_examples_own_loss(net, request_) -> None:
    """Against a loop over examples: dL/dg at g = 1 of a gate g on each unit, by autograd."""
    found = scores(Taylor(), net, request_)
    wanted = {name: torch.zeros(len(s), dtype=torch.float64) for name, s in found.items()}
    for i in FORGET:
        x, y = stacked(request_, [i])
        g = {name: torch.ones(len(s), requires_grad=True) for name, s in found.items()}
        value = functional.conv2d(x, net.conv.weight, net.conv.bias) * g["conv"][:, None, None]
        value = net.hidden(net.activation(value.clone()).flatten(1)) * g["hidden"]
        value = net.head(net.activation(value.clone())) * g["head"]
        functional.cross_entropy(value, y).backward()
        for name in wanted:
            wanted[name] += g[name].grad.double() ** 2 / len(FORGET)
    net.zero_grad()
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], atol=1e-9, rtol=1e-4)
        assert bool((found[name] > 0).any())


def test_index_and_random_read_nothing() -> None:
    class Unreadable(Dataset):
        def __len__(self) -> int:
            return 40

        def __getitem__(self, i: int) -> None:
            raise AssertionError("read")

    data = TensorDataset(torch.zeros(40, 1, 4, 4), torch.arange(40) % 3)
    request = ForgetRequest(Unreadable(), torch.tensor(FORGET), torch.tensor(KEEP), data)
    net = seeded_net(nn.ReLU())
    units = find_units(net, task=TASK, batch=(torch.randn(9, 1, 4, 4), torch.zeros(9).long()))
    index = Index().scores(net, units, request, task=TASK, seed=0)
    assert ranks(index["hidden"]).tolist() == [0, 1, 2, 3, 4]
    one, again, other = (Random().scores(net, units, request, task=TASK, seed=s) for s in (1, 1, 2))
    assert torch.equal(one["hidden"], again["hidden"])
    assert not torch.equal(one["hidden"], other["hidden"])
    assert bool(((one["head"] >= 0) & (one["head"] < 1)).all())


@pytest.mark.parametrize("k", [1, 3, 5, 9])
def test_top_k_marks_the_k_highest(net, request_, k) -> None:
    by = scores(Activation(), net, request_)
    for name, chosen in scores(TopK(k=k), net, request_).items():
        n = len(chosen)
        assert sorted(chosen.tolist()) == [0.0] * (n - min(k, n)) + [1.0] * min(k, n)
        if k < n:
            assert by[name][chosen == 1].min() >= by[name][chosen == 0].max()


def test_top_k_takes_the_first_of_those_that_tie() -> None:
    class Flat(Index):
        def scores(self, model, units, request, *, task, seed):
            return {"l": torch.tensor([1.0, 2.0, 2.0, 2.0])}

    assert TopK(k=2, by=Flat()).scores(None, [], None, task=TASK, seed=0)["l"].tolist() == [0, 1, 1, 0]


@given(values=st.lists(st.integers(-4, 4) | st.floats(-1e300, 1e300), min_size=1, max_size=30))
def test_ranks_are_scipys_with_ties_at_their_mean(values) -> None:
    found = ranks(torch.tensor(values, dtype=torch.float64)).numpy()
    np.testing.assert_array_equal(found, stats.rankdata([-v for v in values], method="average") - 1)
    n = len(values)
    assert found.sum() == n * (n - 1) / 2
    for i, a in enumerate(values):  # and by hand: those above, plus half of the others that tie
        assert found[i] == sum(b > a for b in values) + (sum(b == a for b in values) - 1) / 2


def test_ranks_read_any_number_format_and_gradients() -> None:
    assert ranks(torch.tensor([1.0, 3.0, 2.0], requires_grad=True)).tolist() == [2, 0, 1]
    assert ranks(torch.tensor([1, 3, 2])).tolist() == [2, 0, 1]
    assert ranks(torch.tensor([0.5], dtype=torch.bfloat16)).tolist() == [0]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="`statistic` must be one of mean, abs-mean, rms"):
        Activation(statistic="median")
    with pytest.raises(InputError, match="`k` must be at least 1"):
        TopK(k=0)
