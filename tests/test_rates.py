"""Decay times from scores: closed forms, edges and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.rankings import Activation, Index, Random
from ebbing.rates import DampeningRate, FixedRate, LinearRate, RankedRate, TopRate

numbers = st.floats(-100, 100).map(lambda v: round(v, 1))  # ties are common


def tau(rate, *scores: float) -> list[float]:
    return rate.tau({"layer": torch.tensor(scores, dtype=torch.float64)})["layer"].tolist()


def test_fixed_is_the_same_for_all() -> None:
    assert tau(FixedRate(3.0), 5.0, -1.0, 0.0) == [3.0, 3.0, 3.0]
    assert tau(FixedRate(math.inf), 1.0) == [math.inf]
    assert tau(FixedRate(0.0), 1.0, 2.0) == [0.0, 0.0]


def test_ranked_is_geometric_from_fastest_to_slowest() -> None:
    found = tau(RankedRate(fastest=2.0, slowest=200.0), 0.1, 9.0, 4.0, -3.0, 1.0)
    assert found == pytest.approx([2 * 100**0.75, 2.0, 2 * 100**0.25, 200.0, 2 * 100**0.5])


def test_ranked_is_by_group_and_a_single_unit_is_fastest() -> None:
    found = RankedRate(fastest=2.0, slowest=8.0).tau({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([-50.0])})
    assert found["a"].tolist() == pytest.approx([8.0, 2.0])
    assert found["b"].tolist() == [2.0]


@given(scores=st.lists(numbers, min_size=1, max_size=12), fast=st.floats(0.01, 10), ratio=st.floats(1, 1e4))
def test_ranked_lies_between_its_ends_and_ties_share_the_geometric_mean(scores, fast, ratio) -> None:
    found = np.array(tau(RankedRate(fastest=fast, slowest=fast * ratio), *scores))
    assert np.all((found >= fast * (1 - 1e-9)) & (found <= fast * ratio * (1 + 1e-9)))
    if len(scores) > 1:
        # the mean of the ranks is (n - 1) / 2 however they tie
        assert np.log(found).mean() == pytest.approx(math.log(fast) + 0.5 * math.log(ratio), abs=1e-6)


def test_linear_is_the_rank_and_the_first_ranks_are_silenced() -> None:
    scores = (5.0, 1.0, 3.0, 4.0)
    assert tau(LinearRate(), *scores) == [0.0, 3.0, 2.0, 1.0]
    assert tau(LinearRate(scale=0.5), *scores) == [0.0, 1.5, 1.0, 0.5]
    assert tau(LinearRate(silenced=3), *scores) == [0.0, 3.0, 0.0, 0.0]
    assert tau(LinearRate(silenced=9), *scores) == [0.0] * 4
    assert tau(LinearRate(), 7.0) == [0.0]


@given(scores=st.lists(numbers, min_size=2, max_size=12, unique=True))
def test_one_silenced_rank_changes_nothing_without_ties(scores) -> None:
    assert tau(LinearRate(silenced=1), *scores) == tau(LinearRate(silenced=0), *scores)


@pytest.mark.parametrize("rate", [FixedRate(), RankedRate(), LinearRate()], ids=repr)
def test_only_the_order_of_scores_counts(rate) -> None:
    scores = torch.tensor([0.3, -1.0, 2.0, 0.3, 7.0], dtype=torch.float64)
    assert torch.equal(rate.tau({"l": scores})["l"], rate.tau({"l": 10 * scores.exp() + 3})["l"])


@pytest.mark.parametrize("rate", [FixedRate(), RankedRate(), LinearRate()], ids=repr)
def test_no_groups_give_no_decay_times(rate) -> None:
    assert rate.tau({}) == {}


def test_their_default_rankings() -> None:
    assert FixedRate().ranking == Index()
    assert RankedRate().ranking == LinearRate().ranking == Activation()
    assert RankedRate(ranking=Random()).ranking == Random()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedRate(-1.0), "`decay_time` must be >= 0"),
        (lambda: FixedRate(math.nan), "`decay_time` must be >= 0"),
        (lambda: RankedRate(fastest=0.0), "0 < fastest <= slowest < inf"),
        (lambda: RankedRate(fastest=3.0, slowest=2.0), "fastest is 3.0 and slowest 2.0"),
        (lambda: RankedRate(slowest=math.inf), "0 < fastest <= slowest < inf"),
        (lambda: RankedRate(fastest=math.nan), "0 < fastest <= slowest < inf"),
        (lambda: LinearRate(scale=0.0), "`scale` must be > 0 and finite"),
        (lambda: LinearRate(scale=math.inf), "`scale` must be > 0 and finite"),
        (lambda: LinearRate(silenced=-1), "`silenced` must be >= 0"),
    ],
)
def test_impossible_settings_are_refused(make, message) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_dampening_leaves_the_inverse_of_the_ratio_above_the_threshold() -> None:
    found = tau(DampeningRate(selection=2.0, dampening=0.5), 4.0, 2.0, 0.0, 2.001, 1e300)
    assert np.exp(-1 / np.array(found)) == pytest.approx([0.125, 1.0, 1.0, 0.5 / 2.001, 0.0])
    # what would grow is left as it is
    assert tau(DampeningRate(selection=1.0, dampening=8.0), 4.0, 16.0) == [math.inf, pytest.approx(1 / math.log(2))]


def test_the_top_share_is_reset_and_those_that_tie_at_the_edge_are_spared() -> None:
    zero, never = 0.0, math.inf
    assert tau(TopRate(share=0.5), 1.0, 4.0, 2.0, 3.0) == [never, zero, never, zero]
    assert tau(TopRate(share=0.5), 3.0, 4.0, 3.0, 3.0) == [never, zero, never, never]
    assert tau(TopRate(share=0.03), *range(100)) == [never] * 97 + [zero] * 3
    assert tau(TopRate(share=1.0), 5.0, 5.0) == [zero, zero]
    scores = {"a": torch.tensor([1.0, 9.0]), "b": torch.tensor([8.0, 2.0])}
    found = TopRate(share=0.5, across=True).tau(scores)
    assert [found[n].tolist() for n in "ab"] == [[never, zero], [zero, never]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DampeningRate(selection=-1.0), "`selection` must be >= 0"),
        (lambda: DampeningRate(dampening=0.0), "`dampening` must be > 0"),
        (lambda: TopRate(share=1.5), r"`share` must lie in \[0, 1\]"),
    ],
)
def test_settings_out_of_range_are_refused(make, said) -> None:
    with pytest.raises(InputError, match=said):
        make()
