"""The check of attacks: what every attack that is exported keeps, and what it says of one that does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from ebbing.attacks import STANDARD, Attack
from ebbing.testing import ContractError, check_attack


@pytest.mark.parametrize("attack", STANDARD, ids=lambda attack: attack.name)
def test_it_keeps_the_contract(attack: Attack) -> None:
    check_attack(attack)


@dataclass(frozen=True)
class Margin(Attack):
    """What those below are built on."""

    name: ClassVar[str] = "margin"

    def scores(self, signals):
        return signals.margin


class Logits(Margin):
    """It needs what is there only where it was asked for."""

    def scores(self, signals):
        return signals.logits[..., 0] - signals.logits[..., 1]


@pytest.mark.parametrize("fine", [Margin, Logits])
def test_the_base_of_the_controls_keeps_the_contract(fine: type[Attack]) -> None:
    check_attack(fine())


class NoName(Attack):
    def scores(self, signals):
        return signals.margin


class OneModel(Margin):
    def scores(self, signals):
        return signals.margin[0]


class LosesRecords(Margin):
    def scores(self, signals):
        return signals.margin[:, :25]


class TurnedOver(Margin):
    def scores(self, signals):
        return signals.margin.T


class GivesNothing(Margin):
    def scores(self, signals):
        return None


class GivesObjects(Margin):
    def scores(self, signals):
        return signals.margin.astype(object)


class NotANumber(Margin):
    def scores(self, signals):
        return signals.margin * np.nan


class BesideOthers(Margin):
    def scores(self, signals):
        return signals.margin - signals.margin.mean(axis=0)


class Unseeded(Margin):
    def scores(self, signals):
        return np.random.default_rng().random(signals.margin.shape)


class DrawsGlobally(Margin):
    def scores(self, signals):
        return np.random.rand(*signals.margin.shape)  # noqa: NPY002


class ChangesWhatItSees(Margin):
    def scores(self, signals):
        signals.margin.sort()
        return signals.margin


class ChangesThemInRun(Margin):
    def run(self, observations, *, seed=0, intervals=True):
        found = super().run(observations, seed=seed, intervals=intervals)
        observations.forget.margin.sort()
        return found


class JudgesByANumber(Margin):
    def judge(self, members, non_members, *, seed, intervals):
        return 0.5


class TakesAThreshold(Margin):
    def __init__(self, threshold=0.5):
        object.__setattr__(self, "threshold", threshold)


CONTROLS = {
    NoName: "must have a `name`",
    OneModel: r"an array of shape \(3, 60\), but gives one of shape \(60,\)",
    LosesRecords: r"an array of shape \(3, 60\), but gives one of shape \(3, 25\)",
    TurnedOver: r"an array of shape \(3, 60\), but gives one of shape \(60, 3\)",
    GivesNothing: r"an array of shape \(3, 60\), but gives one of shape \(\)",
    GivesObjects: "must give real numbers, but gives object values",
    NotANumber: "must give an AUC, but .* contain NaN",
    BesideOthers: "must not depend on the models judged beside it",
    Unseeded: "the same seed",
    DrawsGlobally: "global random state of numpy",
    ChangesWhatItSees: "must not change the observations, but tries to",
    ChangesThemInRun: "must not change the observations, but does",
    JudgesByANumber: "`judge` of JudgesByANumber must give an AttackResult, but gives float",
    TakesAThreshold: "beside its fields",
}


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.__name__)
def test_a_broken_attack_is_rejected(broken: type[Attack]) -> None:
    with pytest.raises(ContractError, match=CONTROLS[broken]):
        check_attack(broken())
