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

from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.rankings import Activation, ActivationRatio, FisherRatio, Index, Inverse, Random, Taylor, TopK, ranks
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


def test_activation_ratio_can_read_some_of_the_retain_set(net, request_) -> None:
    few = ActivationRatio(retain_records=3)
    evenly_spaced = [KEEP[0], KEEP[(len(KEEP) - 1) // 2], KEEP[-1]]
    on_retain = net.activities(stacked(request_, evenly_spaced)[0])
    on_forget = net.activities(stacked(request_, FORGET)[0])
    for name, found in scores(few, net, request_).items():
        top = on_forget[name].detach().double().abs().mean((0, 2))
        bottom = on_retain[name].detach().double().abs().mean((0, 2))
        torch.testing.assert_close(found, top / (bottom + 1e-5), atol=1e-6, rtol=1e-5)
    assert few.reads(request_) == len(FORGET) + 3
    with pytest.raises(InputError, match="at least 1"):
        ActivationRatio(retain_records=0)


def squared_gate_gradients(net: Net, request: ForgetRequest, ids: list[int]) -> dict[str, Tensor]:
    """Mean over examples, one by one, of (dL/dg)^2 at g = 1 of a gate parameter g on each unit, by autograd."""
    found = {name: torch.zeros(n, dtype=torch.float64) for name, n in (("conv", 3), ("hidden", 5), ("head", 3))}
    for i in ids:
        x, y = stacked(request, [i])
        g = {name: torch.ones(len(s), requires_grad=True) for name, s in found.items()}
        value = functional.conv2d(x, net.conv.weight, net.conv.bias) * g["conv"][:, None, None]
        value = net.hidden(net.activation(value.clone()).flatten(1)) * g["hidden"]
        value = net.head(net.activation(value.clone())) * g["head"]
        functional.cross_entropy(value, y).backward()
        for name in found:
            found[name] += g[name].grad.double() ** 2 / len(ids)
    net.zero_grad()
    return found


def test_taylor_is_the_squared_change_of_each_examples_own_loss(net, request_) -> None:
    found, wanted = scores(Taylor(), net, request_), squared_gate_gradients(net, request_, FORGET)
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], atol=1e-9, rtol=1e-4)
        assert bool((found[name] > 0).any())


def test_fisher_ratio_is_that_of_forget_over_retain(net, request_) -> None:
    found = scores(FisherRatio(), net, request_)
    on_forget, on_retain = (squared_gate_gradients(net, request_, ids) for ids in (FORGET, KEEP))
    for name, values in found.items():
        bottom = on_retain[name] + 1e-3 * on_retain[name].mean()
        torch.testing.assert_close(values, on_forget[name] / bottom, atol=1e-9, rtol=1e-3)
        assert bool((values > 0).any())


def test_fisher_ratio_reads_as_many_retained_records_as_it_may(net, request_) -> None:
    """Evenly spaced ones, of 34."""
    found = scores(FisherRatio(retain_records=5), net, request_)
    some = [KEEP[i] for i in (0, 8, 16, 24, 33)]
    assert len(evenly(request_.retain, 5)) == 5
    on_forget, on_retain = (squared_gate_gradients(net, request_, ids) for ids in (FORGET, some))
    for name, values in found.items():
        bottom = on_retain[name] + 1e-3 * on_retain[name].mean()
        torch.testing.assert_close(values, on_forget[name] / bottom, atol=1e-9, rtol=1e-3)
    everything = scores(FisherRatio(), net, request_)
    assert not torch.allclose(found["hidden"], everything["hidden"], rtol=1e-2)


def softmax_regression(*, scale: float) -> tuple[nn.Sequential, ForgetRequest]:
    """A model z = ``scale`` * x that is right about everything, by margins that grow with ``scale``.

    The last record is to be forgotten. Its loss hangs on unit 0 more than on unit 1, but so does that of the others.
    """
    net = nn.Sequential(nn.Linear(3, 3)).double()
    with torch.no_grad():
        net[0].weight.copy_(scale * torch.eye(3))
        net[0].bias.zero_()
    x = torch.tensor([[1.0, 0.1, 0.2], [0.9, 0.1, 0.15], [0.2, 0.1, 1.0], [0.3, 0.25, 1.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 2, 2])
    return net, ForgetRequest.from_ids(TensorDataset(x, y), [3], holdout=TensorDataset(x + 0.05, y))


def each_fisher(request: ForgetRequest, *, scale: float) -> Tensor:
    """(4, 3) squared dL/dg_i = z_i (p_i - [i = y]) of each record."""
    x, y = request.dataset.tensors
    z = scale * x
    return (z * (z.softmax(dim=1) - functional.one_hot(y, 3))) ** 2


@pytest.mark.parametrize("scale", [1.0, 12.0])
def test_fisher_ratio_of_softmax_regression_has_a_closed_form(scale) -> None:
    net, request = softmax_regression(scale=scale)
    f = each_fisher(request, scale=scale)
    retain = f[:3].mean(dim=0)
    units = find_units(net, task=TASK, batch=request.dataset.tensors)
    (found,) = FisherRatio().scores(net, units, request, task=TASK, seed=0).values()
    torch.testing.assert_close(found, f[3] / (retain + 1e-3 * retain.mean()), atol=0.0, rtol=1e-9)


def test_fisher_ratio_still_counts_the_retain_set_where_the_model_is_sure() -> None:
    """With the fixed guard of `ActivationRatio` the order would be that of `Taylor`."""
    net, request = softmax_regression(scale=12.0)
    f = each_fisher(request, scale=12.0)
    units = find_units(net, task=TASK, batch=request.dataset.tensors)
    (found,) = FisherRatio().scores(net, units, request, task=TASK, seed=0).values()
    assert ranks(found).tolist() == [2, 1, 0]
    assert ranks(f[3] / (f[:3].mean(dim=0) + 1e-5)).tolist() == ranks(f[3]).tolist() == [1, 2, 0]


def test_units_that_nothing_depends_on_score_zero_and_not_nan() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    _, request = softmax_regression(scale=1.0)
    units = find_units(net, task=TASK, batch=request.dataset.tensors)
    with torch.no_grad():
        net[0].bias[1] = -100.0  # never passes the ReLU
        net[2].weight[:, [0, 2, 3]] = 0.0  # and the others are not read
    found = FisherRatio().scores(net, units, request, task=TASK, seed=0)
    assert found["0"].tolist() == [0.0] * 4
    assert bool(torch.isfinite(found["2"]).all())
    assert bool((found["2"] > 0).all())


@pytest.mark.parametrize("by", [Activation(), FisherRatio(), Random(), TopK(k=2)], ids=lambda by: type(by).__name__)
def test_inverse_turns_the_order_of_another_ranking_round(net, request_, by) -> None:
    forward, backward = scores(by, net, request_, seed=3), scores(Inverse(by=by), net, request_, seed=3)
    for name, values in backward.items():
        n = len(values)
        assert ranks(values).tolist() == (n - 1 - ranks(forward[name])).tolist()  # ties too
        assert ranks(values).tolist() != ranks(forward[name]).tolist()
    again = scores(Inverse(by=Inverse(by=by)), net, request_, seed=3)
    assert all(torch.equal(again[name], forward[name]) for name in forward)


def test_inverse_is_of_the_papers_ranking_unless_told() -> None:
    assert Inverse() == Inverse(by=Activation())


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
    with pytest.raises(InputError, match="`retain_records` must be at least 1, but is 0"):
        FisherRatio(retain_records=0)
