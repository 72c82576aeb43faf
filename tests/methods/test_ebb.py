"""Ebb: what decays, how strongly, and how fast it is repaired."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from ebbing import units
from ebbing.errors import InputError
from ebbing.fingerprint import of_tensors
from ebbing.journal import Journal
from ebbing.methods import Ebb, Run
from ebbing.methods.validation import (
    auc_by_chance,
    memory_was_lost,
    read_to_tell,
    threshold,
    unseen_that_tell,
    watched_within,
)
from ebbing.rankings import ActivationRatio
from ebbing.rates import RankedRate
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.training import Recipe, Trainer, seeded
from ebbing.units.kinds.linear import LinearRows

CLASSES = 3
PLAIN = Ebb.presets["plain"]
STILL = Recipe(epochs=1, learning_rate=1e-30)  # repairs nothing, so that decay is seen alone


def images(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return torch.randn(n, 1, 6, 6, generator=generator) + labels[:, None, None, None], labels


def convolutions() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 12), nn.ReLU()),
        nn.Linear(12, CLASSES),
    )


def request(*, wrong: bool) -> ForgetRequest:
    """A sixth of the records go; with ``wrong`` their labels are the next class's, and those of unseen records drawn alike."""
    x, y = images(120, 0)
    y = y.clone()
    unseen, labels = images(120, 1)
    if wrong:
        y[:20] = (y[:20] + 1) % CLASSES
        labels = (labels + 1) % CLASSES
    alike = TensorDataset(unseen[60:90], labels[60:90])
    return ForgetRequest.from_ids(
        TensorDataset(x, y),
        range(20),
        holdout=TensorDataset(*(t[:60] for t in images(120, 1))),
        validation=TensorDataset(*(t[90:] for t in images(120, 1))),
        validation_matched=alike,
    )


def decayed(model: nn.Module, asked: ForgetRequest, *, journal: Journal | None = None, **settings) -> nn.Module:
    """A model after decay without repair; its accuracy is gone, which the guards around a method would undo."""
    with seeded(0) as generator:
        run = Run(asked, Classification(), 0, generator, journal or Journal())
        return replace(PLAIN, repair=STILL, **settings).forget(deepcopy(model), run)


TRAINER = Trainer(convolutions, Recipe(epochs=120, learning_rate=1e-2, batch_size=32))


@pytest.fixture(scope="module")
def learned_by_heart() -> tuple[nn.Module, ForgetRequest]:
    asked = request(wrong=True)
    return TRAINER(asked.dataset, seed=0), asked


def test_the_layer_that_reads_the_input_is_spared_where_another_follows(learned_by_heart) -> None:
    model, asked = learned_by_heart
    whole, spared = (decayed(model, asked, spare_input=spare) for spare in (False, True))
    assert torch.equal(spared[0].weight, model[0].weight)
    assert not torch.equal(whole[0].weight, model[0].weight)
    for layer in (2, 5, 7):
        assert torch.equal(spared[layer].weight, whole[layer].weight)
    alone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES))
    assert not torch.equal(decayed(alone, asked, spare_input=True)[0].weight, alone[0].weight)


def test_weights_that_layers_share_are_noted_once(learned_by_heart) -> None:
    """As those of a language model's embeddings are, where its output has them too."""
    layers = [nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, CLASSES)]
    layers[1].weight = layers[0].weight
    model = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    journal = Journal()
    decayed(model, learned_by_heart[1], journal=journal)
    (said,) = [note for note in journal.notes if "does not decay" in note]
    assert said.startswith("1 (Linear, 90% of the parameters, shared with 3)")


def test_a_kind_without_a_rate_of_its_own_decays_at_that_of_linear_layers(learned_by_heart, monkeypatch) -> None:
    class Named(LinearRows):
        name = "named"

    monkeypatch.setattr("ebbing.units.find.KINDS", {"named": Named(), **units.KINDS})
    monkeypatch.setattr("ebbing.methods.ebb.REGISTERED", {"named": Named(), **units.KINDS})
    model, asked = learned_by_heart
    journal = Journal()
    found = decayed(model, asked, journal=journal)
    assert any("'named' have no rate of their own" in note for note in journal.notes)
    monkeypatch.undo()
    assert of_tensors(found.state_dict()) == of_tensors(decayed(model, asked).state_dict())


@pytest.mark.parametrize("reach", [0.0, 0.25])
def test_convolutions_make_a_share_of_the_first_step(learned_by_heart, reach) -> None:
    """One step of plain descent: theirs is the share of the whole one, that of other layers is the same."""
    model, asked = learned_by_heart
    step = Recipe(epochs=1, batch_size=10_000, learning_rate=1e-3, optimizer="sgd", momentum=0.0)
    settings = {"duration": 0.0, "repair": step}
    with seeded(0) as generator:
        run = Run(asked, Classification(), 0, generator, Journal())
        held = replace(PLAIN, conv_reach=reach, **settings).forget(deepcopy(model), run)
    with seeded(0) as generator:
        run = Run(asked, Classification(), 0, generator, Journal())
        whole = replace(PLAIN, **settings).forget(deepcopy(model), run)
    for layer, share in ((0, reach), (2, reach), (5, 1.0), (7, 1.0)):
        before, after, free = (m[layer].weight.detach() for m in (model, held, whole))
        assert float((free - before).abs().max()) > 1e-6
        torch.testing.assert_close(after - before, share * (free - before), rtol=1e-3, atol=1e-7)


def test_the_share_of_steps_is_checked() -> None:
    with pytest.raises(InputError, match=r"`conv_reach` must lie in \[0, 1\]"):
        Ebb(conv_reach=1.5)


def test_the_peak_goes_by_the_training() -> None:
    asked = request(wrong=False)
    method = Ebb(peak=10.0, training=Recipe(learning_rate=3e-3))
    assert method.repair_of(asked).learning_rate == pytest.approx(3e-2)
    assert replace(method, training=None).repair_of(asked).learning_rate == method.repair.learning_rate
    other = replace(method, training=Recipe(optimizer="sgd", learning_rate=0.1))
    assert other.repair_of(asked).learning_rate == method.repair.learning_rate
    cycled = replace(method, training=Recipe(learning_rate=3e-3, schedule="one-cycle"))
    assert cycled.repair_of(asked).learning_rate == pytest.approx(3e-3)
    assert replace(cycled, peak=0.5).repair_of(asked).learning_rate == pytest.approx(1.5e-3)
    set_by_hand = replace(method, repair=replace(method.repair, learning_rate=5e-4))
    assert set_by_hand.repair_of(asked).learning_rate == 5e-4
    with pytest.raises(InputError, match="`peak` must be > 0"):
        Ebb(peak=0.0)


def unlearned(model: nn.Module, asked: ForgetRequest, **settings) -> tuple[nn.Module, Journal]:
    """By a repair that mends, so that the guards leave it."""
    journal = Journal()
    repair = Recipe(epochs=60, learning_rate=1e-2, batch_size=20)
    return replace(PLAIN, repair=repair, **settings).unlearn(model, asked, journal=journal), journal


def test_what_was_learned_by_heart_is_forgotten(learned_by_heart) -> None:
    model, asked = learned_by_heart
    found, journal = unlearned(model, asked, by_memory=True)
    plain, _ = unlearned(model, asked)
    assert journal.rolled_back is None
    assert of_tensors(found.state_dict()) == of_tensors(plain.state_dict())
    assert any("The loss of a forgotten record rose more" in note for note in journal.notes)
    assert journal.factors
    assert not journal.left_alone


def test_a_model_that_memorised_nothing_is_left_as_it_was() -> None:
    """Trained without the records, it loses no more of them than of any others."""
    asked = request(wrong=False)
    model = TRAINER(asked.retain, seed=0)
    found, journal = unlearned(model, asked, by_memory=True)
    assert journal.rolled_back is None
    assert "Nothing was found to be memorised: the model is left as it was." in journal.notes
    assert journal.left_alone
    assert of_tensors(found.state_dict()) == of_tensors(model.state_dict())
    assert of_tensors(unlearned(model, asked)[0].state_dict()) != of_tensors(model.state_dict())
    assert not journal.factors


def test_a_wrecked_model_is_not_taken_for_one_that_memorised_nothing() -> None:
    """The guards around a method must see it, and undo it aloud."""
    asked = request(wrong=False)
    model = TRAINER(asked.retain, seed=0)
    journal = Journal()
    wild = Recipe(epochs=5, learning_rate=1e6, batch_size=20)
    replace(PLAIN, repair=wild, by_memory=True).unlearn(model, asked, journal=journal)
    assert journal.rolled_back is not None
    assert not any("Nothing was found to be memorised" in note for note in journal.notes)


def test_where_validation_cannot_tell_decay_is_kept(learned_by_heart) -> None:
    model, asked = learned_by_heart
    for blind, said in ((replace(asked, validation=None), True), (replace(asked, concept=True), False)):
        found, journal = unlearned(model, blind, by_memory=True)
        assert of_tensors(found.state_dict()) == of_tensors(unlearned(model, blind)[0].state_dict())
        assert any("cannot tell whether anything was memorised" in note for note in journal.notes) is said


def test_of_a_few_records_it_is_never_said_that_nothing_was_memorised(learned_by_heart) -> None:
    model, asked = learned_by_heart
    for few in ([3], [3, 4]):
        alone = ForgetRequest.from_ids(asked.dataset, few, holdout=asked.holdout, validation=asked.validation)
        found, journal = unlearned(model, alone, by_memory=True)
        assert of_tensors(found.state_dict()) == of_tensors(unlearned(model, alone)[0].state_dict())
        assert any("cannot tell" in note for note in journal.notes)
        assert read_to_tell(alone) == 0


def test_kinds_that_go_by_one_ranking_share_what_it_reads_of_the_original(learned_by_heart) -> None:
    """And it costs that much; a ranking of its own reads for itself, before anything decays as well."""
    model, asked = learned_by_heart
    seen: list[tuple[str, list[str]]] = []

    class Watched(ActivationRatio):
        def scores(self, model, units, request, **how):
            seen.append((of_tensors(model.state_dict()), [unit.name for unit in units]))
            return super().scores(model, units, request, **how)

    one, other = Watched(retain_records=10), Watched(retain_records=15)
    blind = replace(PLAIN, repair=STILL)
    for conv, groups, read in ((one, [["5", "7", "0", "2"]], 30), (other, [["5", "7"], ["0", "2"]], 65)):
        method = replace(blind, linear=RankedRate(one), conv=RankedRate(conv))
        seen.clear()
        journal = Journal()
        method.unlearn(model, asked, journal=journal)
        assert seen == [(of_tensors(model.state_dict()), names) for names in groups]
        assert method.statistics(asked) == journal.examples - journal.guards - method.allowance(asked) == read


def test_what_the_watch_reads_is_counted(learned_by_heart) -> None:
    model, asked = learned_by_heart
    more = unlearned(model, asked, by_memory=True)[1].examples - unlearned(model, asked)[1].examples
    assert more == read_to_tell(asked) == 2 * (20 + 30)


def test_a_twentieth_of_the_budget_is_read_within_bounds() -> None:
    """And the repair has the rest, so that all of the budget is used and no more."""
    asked = replace(request(wrong=True), validation=TensorDataset(*images(120, 2)))
    model, training = TRAINER.initial(seed=0), Recipe(epochs=100)
    for budget, watched in ((0.2, 36), (0.5, 62), (1.0, 100)):
        method = Ebb(repair=Recipe(epochs=1000), training=training, budget=budget)
        blind = replace(method, by_memory=False)
        journals = Journal(), Journal()
        for each, journal in zip((method, blind), journals, strict=True):
            each.unlearn(model, asked, journal=journal)
        assert watched_within(budget * training.examples(100)) == watched
        assert method.statistics(asked) == 2 * (20 + watched)
        assert blind.allowance(asked) - method.allowance(asked) == 2 * (20 + watched)
        assert journals[0].examples == journals[1].examples


def test_a_loss_that_rises_everywhere_hides_no_memory_from_records_drawn_alike(learned_by_heart) -> None:
    """A fresh network knows nothing: among unseen records at large the forgotten stand out less than among wrong labels."""
    model, asked = learned_by_heart
    unseen, labels = images(240, 2)
    known = TensorDataset(unseen[:120], labels[:120])
    wrong = TensorDataset(unseen[120:], (labels[120:] + 1) % CLASSES)
    validation = ConcatDataset([known, wrong])

    def found(matched: Dataset) -> tuple[bool, float]:
        request = replace(asked, validation=known if matched is known else validation, validation_matched=matched)
        with seeded(0) as generator:
            run = Run(request, Classification(), 0, generator, Journal())
            lost = memory_was_lost(model, TRAINER.initial(seed=5), run, unseen_that_tell(request), watched=100)
        (said,) = run.journal.notes
        return lost, float(re.search(r"probability of (0\.\d+|1\.00)", said).group(1))

    (lost, probability), at_large = found(wrong), found(known)[1]
    assert lost
    assert probability > at_large + 0.1
    few = replace(asked, validation=known, validation_matched=Subset(wrong, range(99)))
    assert unseen_that_tell(few) is known
    assert read_to_tell(few) == 2 * (20 + 100)


def test_chance_of_the_probability_that_one_loses_more() -> None:
    """The closed form of the Mann-Whitney statistic under chance, against draws."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(4000, 50, generator=generator) for _ in range(2))
    drawn = (a[:, :, None] < b[:, None, :]).double().mean(dim=(1, 2)).std()
    assert float(drawn) == pytest.approx(auc_by_chance(50, 50), rel=0.05)
    assert threshold(50, 50) == pytest.approx(0.6 + auc_by_chance(50, 50))
