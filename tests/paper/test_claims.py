"""Claims are answered from the files: what holds, what fails, and what passes when nothing was done at all."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ebbing.paper.claims import Claim, claims

CAUGHT = "Over-forgetting: retain accuracy went from 99.0% to 60.0%."


def cell(variant: str, seed: int, *, m: float = 0.1, auc: float = 0.5, **more: Any) -> dict[str, Any]:
    """A finished cell; the history is one turn whose lowest retained accuracy is .97."""
    history = [
        {
            "turn": 1,
            "bout": bout,
            "epoch": 1,
            "accuracy": {"forget": forget, "retain": more.get("lowest", 0.97)},
            "validation_auc": auc,
        }
        for bout, forget in (("learning", 0.9), ("unlearning", 0.2), ("gates off", more.get("forget", 0.2)))
    ]
    accuracy = {"forget": 0.5, "retain": 0.99, "holdout": more.get("holdout", 0.97)}
    return {
        "problem": {
            "dataset": "mnist",
            "split": more.get("split", "random:0.1"),
            "network": more.get("network", "paper-cnn"),
        },
        "variant": variant,
        "seed": seed,
        "original": {"accuracy": accuracy},
        "unlearned": {
            "accuracy": accuracy,
            "loss_auc": auc,
            "memory": {"m": m},
            "history": history,
            "notes": more.get("notes", []),
            "cost": {"examples_ratio": more.get("cost", 0.5)},
        },
    }


def answered(problem: dict[str, list[dict[str, Any]]], word: str) -> Claim:
    (found,) = [claim for claim in claims({"problem": problem}) if word in claim.claim]
    return found


def test_a_test_that_the_untouched_model_passes_is_said_to_show_nothing() -> None:
    passes = {"do-nothing": [cell("do-nothing", 0)], "paper": [cell("paper", 0, auc=0.52)]}
    found = answered(passes, "attack on the loss")
    assert found.answer == "holds: the untouched model passes as well, so that it shows nothing"
    assert found.measured == "AUC paper 0.520; untouched 0.500"
    told = {"do-nothing": [cell("do-nothing", 0, auc=0.95)], "paper": [cell("paper", 0, auc=0.52)]}
    assert answered(told, "attack on the loss").answer == "holds"
    fails = {
        "do-nothing": [cell("do-nothing", 0, auc=0.95)],
        "paper": [cell("paper", 0, auc=0.52), cell("paper", 1, auc=0.7)],
    }
    assert answered(fails, "attack on the loss").answer == "fails"
    below = {"do-nothing": [cell("do-nothing", 0, auc=0.95)], "paper": [cell("paper", 0, auc=0.38)]}
    assert answered(below, "attack on the loss").answer == "fails"  # below .4 tells members apart as well


def test_the_baseline_and_the_lowest_retained_accuracy_are_the_worst_of_all() -> None:
    problem = {"vfr": [cell("vfr", 0), cell("vfr", 1, holdout=0.949, lowest=0.94)]}
    assert answered(problem, "before").answer == "fails"
    found = answered(problem, "throughout")
    assert found.answer == "fails"
    assert found.measured.endswith("vfr 95.5 (94.0 to 97.0)")
    assert answered({"vfr": [cell("vfr", 0)]}, "throughout").answer == "holds"


@pytest.mark.parametrize(
    ("mine", "theirs", "answer"),
    [
        ([0.5, 0.6, 0.4], [2.0, 2.2, 1.9], "holds"),
        ([2.0, 2.2, 1.9], [0.5, 0.6, 0.4], "fails"),
        ([0.5, 2.0, 1.0], [1.0, 1.1, 1.2], "cannot be told"),
        ([0.5], [2.0], "cannot be told from one original"),
        ([-0.5, -0.6, -0.4], [2.0, 2.2, 1.9], "holds"),  # either side of 0 counts alike
    ],
)
def test_rates_are_compared_in_pairs_where_there_is_memory(mine: list[float], theirs: list[float], answer: str) -> None:
    split = "mislabelled:0.05"
    problem = {
        "vfr": [cell("vfr", i, m=m, split=split) for i, m in enumerate(mine)],
        "ffr-same-decay": [cell("ffr-same-decay", i, m=m, split=split) for i, m in enumerate(theirs)],
    }
    assert answered(problem, "same total decay").answer == answer
    elsewhere = deepcopy(problem)
    for several in elsewhere.values():
        for one in several:
            one["problem"]["split"] = "random:0.1"
    assert not [c for c in claims({"problem": elsewhere}) if "total decay" in c.claim]
    other_seeds = {**problem, "ffr-same-decay": [one | {"seed": 9} for one in problem["ffr-same-decay"]]}
    assert not [c for c in claims({"problem": other_seeds}) if "total decay" in c.claim]


def test_a_failure_that_was_asked_for_must_be_recognised() -> None:
    def runs(*notes: str) -> dict[str, list[dict[str, Any]]]:
        name = "provoked-over-forgetting"
        return {name: [cell(name, seed, notes=["Something.", note]) for seed, note in enumerate(notes)]}

    seen = answered(runs(CAUGHT, CAUGHT), "over-forgetting")
    assert seen.measured == f"recognised in 2 of 2 runs, first: {CAUGHT}"
    assert seen.answer == "holds"
    some = answered(runs("Nothing.", CAUGHT, "Nothing."), "over-forgetting")
    assert some.answer == "happens, in 1 of 3 runs"
    missed = answered(runs("Nothing."), "over-forgetting")
    assert (missed.measured, missed.answer) == ("was asked for, and recognised in 0 of 1 runs", "fails")


def test_cost_and_turns() -> None:
    problem = {"vfr": [cell("vfr", 0, cost=1.2)], "paper": [cell("paper", 0, cost=0.4)]}
    assert answered(problem, "costs less").answer == "fails"
    assert answered(problem, "costs less").measured == "examples processed, % of one retraining: paper 40; vfr 120"
    assert answered(problem, "until the attack").measured == "1.0 turns, in 1 of 1 runs of VFR and FFR within 5 turns"
    never = {"vfr": [cell("vfr", 0, auc=0.8)]}
    assert answered(never, "until the attack").measured == "never, in 0 of 1 runs of VFR and FFR within 5 turns"


def test_gates_that_are_taken_off_give_the_memory_back() -> None:
    def without_gates(*, before: float, after: float) -> Claim:
        run = cell("published-code", 0, network="authors-cnn", forget=after)
        run["original"] = {"accuracy": run["original"]["accuracy"] | {"forget": before}}
        return answered({"published-code": [run]}, "gates forget")

    back = without_gates(before=0.95, after=0.9)
    assert back.answer == "fails"
    assert back.measured == "forget accuracy 95.0 % before, 20.0 % with the gates, 90.0 % when they are taken off"
    assert without_gates(before=0.95, after=0.2).answer == "holds"
    assert without_gates(before=0.21, after=0.2).answer == "cannot be told: its gates hide nothing"


def test_of_nothing_nothing_is_said() -> None:
    assert claims({}) == []
