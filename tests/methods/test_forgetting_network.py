"""The paper's method against the sequence of its steps by hand, its stop rule, and its three ways to fail."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from ebbing.data import digits
from ebbing.data.selection import select
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.journal import Journal
from ebbing.methods import ForgettingNetwork, RandomUnits
from ebbing.methods.forgetting_network import name_failures
from ebbing.models import digits_mlp
from ebbing.rankings import Random
from ebbing.rates import FixedRate, LinearRate, RankedRate
from ebbing.request import ForgetRequest
from ebbing.task import Classification, accuracy
from ebbing.training import Recipe, Trainer, fit, seeded, stream
from ebbing.units import find_units, gated

TASK = Classification()
BRIEF = Recipe(epochs=1, batch_size=50)


@pytest.fixture(scope="module")
def wrong_labels() -> tuple[nn.Module, ForgetRequest]:
    """A network that has learned 5 % wrong labels by heart, and the request to forget them."""
    request = select("mislabelled:0.05", digits(), seed=0)
    recipe = Recipe(epochs=40, batch_size=64, learning_rate=2e-3)
    return Trainer(digits_mlp, recipe)(request.dataset, seed=0), request


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, ForgetRequest]:
    """Two hundred digits without validation data, and a network that has begun to learn them."""
    data = TensorDataset(*(t[:200] for t in digits().train.tensors))
    request = ForgetRequest.from_ids(data, range(20, 45), holdout=digits().test)
    return Trainer(digits_mlp, replace(BRIEF, epochs=3))(data, seed=0), request


def run(
    method: ForgettingNetwork, problem: tuple[nn.Module, ForgetRequest], *, seed: int = 0
) -> tuple[nn.Module, Journal]:
    journal = Journal()
    model, request = problem
    return method.unlearn(model, request, seed=seed, journal=journal), journal


def learn(model: nn.Module, request: ForgetRequest, generator: torch.Generator, *, epochs: float = 1) -> None:
    fit(model, request.retain, replace(BRIEF, epochs=epochs), task=TASK, generator=generator)


# ---------------------------------------------------------------- the steps by hand


def test_permanent_decay_is_the_steps_by_hand(small) -> None:
    """Two turns: train on the retain set, rank by the mean pre-activation on the forget set, scale each neuron."""
    model, request = small
    method = ForgettingNetwork(rate=RankedRate(fastest=3.0, slowest=60.0), turns=2, learning=BRIEF, unlearning_epochs=4)
    found, journal = run(method, small, seed=3)

    wanted = deepcopy(model)
    x = torch.stack([image for image, _ in request.forget]).flatten(1)
    with seeded(stream(3, "unlearning")) as generator:
        for _ in range(2):
            learn(wanted, request, generator)
            with torch.no_grad():
                layers, value, activities = [wanted.fc1, wanted.fc2, wanted.fc3], x, []
                for layer in layers:
                    activities.append(value @ layer.weight.T + layer.bias)
                    value = activities[-1].relu()
                for layer, activity in zip(layers, activities, strict=True):
                    rank = stats.rankdata(-activity.mean(dim=0).numpy()) - 1
                    tau = 3.0 * 20.0 ** (rank / (len(rank) - 1))
                    factor = torch.exp(torch.tensor(-4 / tau)).float()
                    layer.weight.mul_(factor[:, None])
                    layer.bias.mul_(factor)
    for name, parameter in found.named_parameters():
        torch.testing.assert_close(parameter, wanted.get_parameter(name), atol=1e-6, rtol=0)
    assert journal.rolled_back is None
    assert not torch.equal(found.fc1.weight, model.fc1.weight)


def test_gates_that_are_dropped_leave_the_learning_bouts_alone(small) -> None:
    """What a gate that is never baked erases: nothing."""
    model, request = small
    method = ForgettingNetwork(rate=FixedRate(0.01), turns=3, learning=BRIEF, permanent=False)
    found, journal = run(method, small, seed=3)
    wanted = deepcopy(model)
    with seeded(stream(3, "unlearning")) as generator:
        for _ in range(3):
            learn(wanted, request, generator)
    assert of_model(found) == of_model(wanted)
    inside = [h["accuracy"]["retain"] for h in journal.history if h["bout"] == "unlearning"]
    after = [h["accuracy"]["retain"] for h in journal.history if h["bout"] == "learning"]
    assert max(inside) < 0.3 < min(after)  # the gates acted while they were there


def test_training_in_the_unlearning_bout_feels_the_gate(small) -> None:
    model, request = small
    method = ForgettingNetwork(
        rate=FixedRate(2.0), turns=1, learning=BRIEF, unlearning_epochs=2, unlearning_trains="retain", permanent=False
    )
    found, _ = run(method, small, seed=3)
    wanted = deepcopy(model)
    units = find_units(model, task=TASK, batch=(request.dataset.tensors[0][:9], torch.zeros(9).long()), layers="linear")
    with seeded(stream(3, "unlearning")) as generator:
        learn(wanted, request, generator)
        for t in (1, 2):
            factors = {u.name: torch.full((u.size,), -t / 2.0, dtype=torch.float64).exp() for u in units}
            with gated(wanted, units, factors):
                learn(wanted, request, generator)
    assert of_model(found) == of_model(wanted)


def test_only_the_layers_named_decay(small) -> None:
    model, _ = small
    idle = Recipe(epochs=0.01, batch_size=50, optimizer="sgd", learning_rate=1e-30, momentum=0.0)
    method = ForgettingNetwork(rate=FixedRate(4.0), layers=("fc2",), turns=1, learning=idle, unlearning_epochs=2)
    found, _ = run(method, small)
    for name, parameter in found.named_parameters():
        factor = torch.tensor(-2 / 4, dtype=torch.float64).exp().float() if name.startswith("fc2") else 1.0
        torch.testing.assert_close(parameter, factor * model.get_parameter(name), atol=1e-7, rtol=0)


class CountsTraining(Classification):
    """Counts what goes through the loss; evaluation does not."""

    def loss(self, outputs):
        object.__setattr__(self, "seen", getattr(self, "seen", 0) + len(outputs.targets))
        return super().loss(outputs)


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        (ForgettingNetwork(turns=2, learning=BRIEF), {"retain": 2}),
        (ForgettingNetwork(turns=1, learning=BRIEF, learning_trains="all"), {"all": 1}),
        (
            ForgettingNetwork(turns=2, learning=BRIEF, unlearning_epochs=3, unlearning_trains="forget"),
            {"retain": 2, "forget": 6},
        ),
        (ForgettingNetwork(turns=1, learning=BRIEF, unlearning_trains="all"), {"retain": 1, "all": 4}),
        # iteration e of a bout trains e epochs: 1 + 2 and 1 + 2 + 3 + 4
        (replace(ForgettingNetwork.presets["published-code"], turns=2), {"all": 2 * (3 + 10)}),
    ],
    ids=["nothing", "learning on all", "forget", "all", "published code"],
)
def test_each_bout_trains_on_what_it_says_for_as_long_as_it_says(small, method, passes) -> None:
    model, request = small
    task = CountsTraining()
    method.unlearn(model, request, task=task, seed=0)
    sizes = {"forget": 25, "retain": 175, "all": 200}
    expected = sum(sizes[name] * n for name, n in passes.items())
    assert task.seen == expected
    assert method.expected_examples(request) == expected


def test_ranks_in_the_batch_are_of_its_own_mean_pre_activations(small) -> None:
    """The published code's gates: tau_i is the rank, so that the first neuron of every batch is silent."""
    model, request = small
    method = ForgettingNetwork.presets["published-code"]
    x, y = (t[:16] for t in request.dataset.tensors)
    (unit,) = find_units(model, task=TASK, batch=(x, y), layers=["fc2"])
    outputs: list[Tensor] = []
    with gated(model, [unit], method._ranked_by_batch(3)):
        handle = model.fc2.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        model(x)
        handle.remove()
    with torch.no_grad():
        raw = model.fc2(model.relu1(model.fc1(model.flatten(x))))
    rank = torch.from_numpy(stats.rankdata(-raw.mean(dim=0).numpy()) - 1)
    torch.testing.assert_close(outputs[0], raw * torch.exp(-3 / rank).float(), atol=1e-6, rtol=1e-5)
    assert bool((outputs[0][:, rank.argmin()] == 0).all())


def test_random_units_are_the_same_network_with_ranks_by_chance(small) -> None:
    model, request = small
    network = ForgettingNetwork(rate=RankedRate(fastest=3.0, slowest=60.0), turns=2, learning=BRIEF)
    found = RandomUnits(network=network).unlearn(model, request, seed=4)
    wanted = replace(network, rate=replace(network.rate, ranking=Random())).unlearn(model, request, seed=4)
    assert of_model(found) == of_model(wanted)
    assert of_model(found) != of_model(network.unlearn(model, request, seed=4))
    with pytest.raises(InputError, match="FixedRate treats all units alike"):
        RandomUnits(network=ForgettingNetwork.presets["ffr"])


# ---------------------------------------------------------------- history and the stop rule


def test_the_history_has_every_epoch_of_every_bout(small) -> None:
    _, journal = run(ForgettingNetwork(turns=2, learning=BRIEF, unlearning_epochs=3, rate=FixedRate(50.0)), small)
    steps = [(h["turn"], h["bout"], h["epoch"]) for h in journal.history]
    assert steps == [
        (turn, bout, epoch)
        for turn in (1, 2)
        for bout, epoch in [("learning", 0), *[("unlearning", e) for e in (1, 2, 3)]]
    ]
    assert all(h["validation_auc"] is None for h in journal.history)  # there is no validation data to look at
    assert all(0 <= h["accuracy"][s] <= 1 for h in journal.history for s in ("forget", "retain"))


def test_the_stop_rule_ends_a_run_when_unseen_data_looks_alike(wrong_labels) -> None:
    method = ForgettingNetwork(turns=8, stop_within=0.25)
    _, journal = run(method, wrong_labels)
    ends = [h for h in journal.history if h["epoch"] == method.unlearning_epochs]
    assert len(ends) < 8
    aucs = [h["validation_auc"] for h in ends]
    assert abs(aucs[-1] - 0.5) <= 0.25
    assert all(abs(a - 0.5) > 0.25 for a in aucs[:-1])
    _, journal = run(replace(method, turns=len(ends) + 1, stop_within=None), wrong_labels)
    assert journal.history[-1]["turn"] == len(ends) + 1


def test_a_stop_rule_without_validation_data_is_refused(small) -> None:
    for preset in ("paper", "ffr"):
        with pytest.raises(InputError, match="stop rule needs `validation`"):
            run(ForgettingNetwork.presets[preset], small)


# ---------------------------------------------------------------- failures, each provoked


def named(journal: Journal) -> set[str]:
    return {note.split(":")[0] for note in journal.notes}


def test_over_forgetting_is_met_and_named(wrong_labels) -> None:
    """Decay so fast that one short learning bout per turn cannot repair it."""
    method = ForgettingNetwork(rate=RankedRate(fastest=0.05, slowest=20.0), turns=1, learning=BRIEF)
    _, journal = run(method, wrong_labels)
    assert "Over-forgetting" in named(journal)
    assert "retain accuracy went from 99." in " ".join(journal.notes) or "from 100.0%" in " ".join(journal.notes)


def test_under_forgetting_is_met_and_named(wrong_labels) -> None:
    """Decay so slow that nothing happens, and next to no learning: the wrong labels stay known by heart."""
    method = ForgettingNetwork(rate=FixedRate(1e6), turns=2, learning=replace(BRIEF, epochs=0.01))
    _, journal = run(method, wrong_labels)
    assert named(journal) == {"Under-forgetting"}
    assert "after 2 turns" in journal.notes[0]


def test_oscillation_is_met_and_named(wrong_labels) -> None:
    """New units by chance in each turn: whether a run ends in an alternation is chance as well, for about 1 seed in 4."""
    method = ForgettingNetwork(
        rate=RankedRate(ranking=Random(), fastest=0.5, slowest=30.0),
        turns=6,
        learning=Recipe(epochs=4, batch_size=64, learning_rate=2e-3),
        unlearning_epochs=2,
    )
    for seed in range(1, 41):
        _, journal = run(method, wrong_labels, seed=seed)
        ends = [h["accuracy"]["retain"] for h in journal.history if h["epoch"] == 2][-4:]
        steps = [b - a for a, b in pairwise(ends)]
        alternates = all(abs(s) > 0.05 for s in steps) and steps[0] * steps[1] < 0 > steps[1] * steps[2]
        assert any("Oscillation: retain accuracy" in note for note in journal.notes) == alternates
        if alternates:
            return
    pytest.fail("no seed in 40 alternated")


def test_a_run_that_goes_well_names_nothing(small) -> None:
    method = ForgettingNetwork(rate=FixedRate(1e6), turns=2, learning=BRIEF)
    _, journal = run(method, small)
    assert journal.notes == []
    assert journal.rolled_back is None


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (ForgettingNetwork(learning=Recipe(epochs=2, optimizer="sgd", learning_rate=1e30)), "the loss is (nan|inf)"),
        (ForgettingNetwork(rate=FixedRate(0.0), turns=1, learning=BRIEF), r"retain accuracy fell from \d+\.\d% to"),
    ],
    ids=["diverged", "below the floor"],
)
def test_a_ruined_run_is_rolled_back_and_says_so(small, method, why) -> None:
    model, _ = small
    found, journal = run(method, small)
    assert of_model(found) == of_model(model)
    assert found is not model
    assert journal.rolled_back is not None
    assert re.match(why, journal.rolled_back)
    assert journal.notes[-1] == f"Rolled back: {journal.rolled_back}. The result is the original model."


# ---------------------------------------------------------------- naming, from histories made up


def history(retain: list[float], auc: list[float | None], *, epochs: int = 2) -> list[dict]:
    """One unlearning bout per value; only its last epoch has it, the others would name any failure."""
    records = []
    for turn, (r, a) in enumerate(zip(retain, auc, strict=True), start=1):
        for epoch in range(epochs + 1):
            last = epoch == epochs
            records.append(
                {
                    "turn": turn,
                    "bout": "unlearning" if epoch else "learning",
                    "epoch": epoch,
                    "accuracy": {"forget": 0.5, "retain": r if last else 0.0},
                    "validation_auc": a if last or a is None else 1.0,
                }
            )
    return records


GOOD = [0.95] * 5
EVEN: list[float | None] = [0.52] * 5


@pytest.mark.parametrize(
    ("retain", "auc", "failures"),
    [
        (GOOD, EVEN, []),
        ([*GOOD[:4], 0.861], EVEN, []),
        ([*GOOD[:4], 0.859], EVEN, ["Over-forgetting: retain accuracy went from 96.0% to 85.9%."]),
        ([0.3, *GOOD[1:]], EVEN, []),  # what was repaired is no failure
        (GOOD, [0.6] * 5, []),
        (
            GOOD,
            [0.61] * 5,
            ["Under-forgetting: after 5 turns the loss still tells the forget set from unseen data (AUC 0.61)."],
        ),
        (GOOD, [0.2] * 5, []),
        (GOOD, [None] * 5, []),
        (
            [0.9, 0.96, 0.9, 0.96, 0.9],
            EVEN,
            ["Oscillation: retain accuracy does not settle over the turns (0.96, 0.90, 0.96, 0.90)."],
        ),
        ([0.9, 0.96, 0.92, 0.96, 0.9], EVEN, []),  # two of the swings are small
        ([0.5, 0.6, 0.7, 0.8, 0.95], EVEN, []),  # large steps in one direction
        ([0.5, 0.9, 0.95, 0.96, 0.95], EVEN, []),
        (
            GOOD,
            [0.6, 0.5, 0.6, 0.5, 0.59],
            ["Oscillation: the validation AUC does not settle over the turns (0.50, 0.60, 0.50, 0.59)."],
        ),
        ([0.8, 0.95, 0.8], [0.5] * 3, ["Over-forgetting: retain accuracy went from 96.0% to 80.0%."]),  # too few turns
    ],
)
def test_failures_are_named_by_the_ends_of_the_turns(retain, auc, failures) -> None:
    assert name_failures(history(retain, auc), retain_before=0.96) == failures


def test_all_failures_of_a_run_are_named() -> None:
    found = name_failures(history([0.9, 0.7, 0.9, 0.7], [0.9, 0.7, 0.9, 0.7]), retain_before=0.96)
    assert [f.split(":")[0] for f in found] == ["Over-forgetting", "Under-forgetting", "Oscillation", "Oscillation"]


# ---------------------------------------------------------------- settings


def test_all_problems_of_the_settings_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        ForgettingNetwork(
            turns=0,
            unlearning_epochs=0,
            learning_trains="forget",
            unlearning_trains="some",
            stop_within=0.7,
            rank_in_batch=True,
        )
    message = str(caught.value)
    for field in ("turns", "unlearning_epochs", "learning_trains", "unlearning_trains", "stop_within", "permanent"):
        assert f"{field} must" in message


def test_the_presets_are_what_they_are_called() -> None:
    presets = ForgettingNetwork.presets
    assert set(presets) == {"paper", "ffr", "published-code"}
    assert presets["paper"] == ForgettingNetwork(stop_within=0.1)
    assert presets["ffr"].rate == FixedRate(2.0)
    published = presets["published-code"]
    assert isinstance(published.rate, LinearRate)
    assert (published.permanent, published.nested, published.rank_in_batch) == (False, True, True)
    with pytest.raises(TypeError):
        presets["mine"] = published  # type: ignore[index]


def test_what_is_judged_is_the_model_without_its_gates(small) -> None:
    """Gates so strong that the gated model is ruined, and a model that is returned without them."""
    method = ForgettingNetwork(rate=FixedRate(0.05), turns=1, learning=BRIEF, permanent=False)
    found, journal = run(method, small)
    request = small[1]
    last = journal.history[-1]
    assert last["bout"] == "gates off"
    assert last["accuracy"]["retain"] == accuracy(found, request.retain, task=Classification())
    assert "Over-forgetting" not in named(journal)
