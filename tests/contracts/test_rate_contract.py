"""Every rate keeps the contract, and the check sees one that does not."""

from dataclasses import dataclass, field
from inspect import isabstract, isclass

import pytest
import torch

import ebbing.rates
from ebbing.rankings import Activation, ranks
from ebbing.rates import FixedRate, LinearRate, RankedRate, Rate
from ebbing.testing import ContractError, check_rate

NAMES = getattr(ebbing.rates, "__all__", None) or vars(ebbing.rates)
MEMBERS = [getattr(ebbing.rates, name) for name in NAMES]
RATES = [c for c in MEMBERS if isclass(c) and issubclass(c, Rate) and not isabstract(c)]


@pytest.mark.parametrize("rate", RATES, ids=lambda c: c.__name__)
def test_it_keeps_the_contract(rate: type[Rate]) -> None:
    check_rate(rate())


@pytest.mark.parametrize(
    "rate",
    [
        FixedRate(0.0),
        FixedRate(float("inf")),
        RankedRate(fastest=1.0, slowest=1.0),
        LinearRate(scale=0.1, silenced=0),
        LinearRate(silenced=4),
    ],
    ids=repr,
)
def test_so_do_the_edges_of_the_settings(rate: Rate) -> None:
    check_rate(rate)


def test_all_are_here() -> None:
    assert {FixedRate, RankedRate, LinearRate} <= set(RATES)


# ------------------------------------------------- controls: each breaks one promise, and the check must say which


@dataclass(frozen=True)
class Broken(Rate):
    ranking: Activation = field(default_factory=Activation)

    def tau(self, scores):
        return {name: ranks(s) for name, s in scores.items()}


class Negative(Broken):
    def tau(self, scores):
        return {name: ranks(s) - 1 for name, s in scores.items()}


class Upside(Broken):
    def tau(self, scores):
        return {name: ranks(-s) for name, s in scores.items()}


class BreaksTies(Broken):
    def tau(self, scores):
        return {name: (-s).argsort(stable=True).argsort().double() for name, s in scores.items()}


class DividesByZero(Broken):
    """0 / 0 for a single unit."""

    def tau(self, scores):
        return {name: ranks(s) / (len(s) - 1) for name, s in scores.items()}


class LosesAGroup(Broken):
    def tau(self, scores):
        return {name: ranks(s) for name, s in scores.items() if len(s) > 1}


class Sorts(Broken):
    def tau(self, scores):
        for s in scores.values():
            s.copy_(s.sort().values)
        return super().tau(scores)


class Draws(Broken):
    def tau(self, scores):
        return {name: ranks(s) + torch.rand(1) for name, s in scores.items()}


class Counts(Broken):
    calls = [0]  # noqa: RUF012

    def tau(self, scores):
        self.calls[0] += 1
        return {name: ranks(s) + self.calls[0] for name, s in scores.items()}


@dataclass(frozen=True)
class HasNoRanking(Rate):
    ranking: None = None

    def tau(self, scores):
        return {name: ranks(s) for name, s in scores.items()}


CONTROLS = {
    Negative: r"in \[0, inf\]",
    Upside: "decay more slowly",
    BreaksTies: "units that tie",
    DividesByZero: r"in \[0, inf\]",
    LosesAGroup: "a decay time per unit",
    Sorts: "must not change the scores",
    Draws: "global random state of torch",
    Counts: "second call differs",
    HasNoRanking: "must have a `ranking`",
}


def test_the_base_of_the_controls_keeps_the_contract() -> None:
    check_rate(Broken())


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.__name__)
def test_a_broken_rate_is_rejected(broken: type[Rate]) -> None:
    with pytest.raises(ContractError, match=CONTROLS[broken]):
        check_rate(broken())
