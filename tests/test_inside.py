"""Looking inside: readouts and relearning on models whose truth is known."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn
from torch.utils.data import TensorDataset

from architectures import WORDS, built
from ebbing.batches import NamedTensors
from ebbing.fingerprint import of_model
from ebbing.inside import RIDGE, Inside, _mean_over_positions, _Readout, features_of, look_inside, probed_layers
from ebbing.measures import hidden, hidden_left_out, kinship, telling_layers
from ebbing.observations import Observations
from ebbing.request import ForgetRequest
from ebbing.seen import Seen, see
from ebbing.task import Classification
from ebbing.training import Recipe, Trainer

TASK = Classification()
CLASSES, FORGET = 3, 12


def records(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three clouds in 6 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    centres = 2 * torch.eye(6)[:CLASSES]
    return centres[labels] + torch.randn(n, 6, generator=generator), labels


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, CLASSES))


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    """Twelve records with wrong labels, and unseen ones with labels as wrong."""
    inputs, labels = records(120, 0)
    wrong = labels.clone()
    wrong[:FORGET] = (wrong[:FORGET] + 1) % CLASSES
    unseen, truth = records(60, 1)
    like, like_truth = records(30, 2)
    return ForgetRequest.from_ids(
        TensorDataset(inputs, wrong),
        range(FORGET),
        holdout=TensorDataset(unseen, truth),
        matched=TensorDataset(like, (like_truth + 1) % CLASSES),
    )


TRAINER = Trainer(mlp, Recipe(epochs=150, learning_rate=1e-2, batch_size=32))


@pytest.fixture(scope="module")
def seen(request_) -> Inside:
    """Four retrained models, the original, and the original with a new head fitted to the retained records."""
    models = [TRAINER(request_.retain, seed=1000 + i) for i in range(4)] + [TRAINER(request_.dataset, seed=0)]
    layers = probed_layers(models[0], request_, task=TASK)
    assert layers == ["0", "2", "4"]
    return look_inside(models, request_, task=TASK, layers=layers)


def test_the_original_is_told_by_its_layers_and_by_relearning(seen) -> None:
    retrained = seen[[0, 1, 2, 3]]
    assert telling_layers(retrained) == ["2", "4"]  # the first layer reads the inputs, which are the same for all
    others = hidden_left_out(retrained, concept=False)
    original = hidden(seen[[4]], retrained, concept=False)
    assert original.probes["4"][0] > 3 * max(abs(h.probes["4"][0]) for h in others)
    assert original.savings > max(h.savings for h in others) + 0.5
    assert original.kinship == {}
    kin = hidden(seen[[4]], retrained, concept=False, originals=seen[[4]]).kinship
    assert kin == pytest.approx({"2": 1.0, "4": 1.0})
    assert all(h.kinship["2"] < 0.9 for h in hidden_left_out(retrained, concept=False, originals=seen[[4]]))
    assert seen.steps_forget[4] < min(seen.steps_forget[:4])


def test_rounding_tells_nothing(seen) -> None:
    alike = seen[[0, 0, 0, 0, 0, 0, 0]]
    assert alike.probes["4"].forget.margin.std(axis=0).max() > 0  # of equal numbers: their mean is rounded
    assert telling_layers(alike) == []
    nearly = deepcopy(alike)
    nearly.probes["2"].forget.margin[3] *= 1 + 1e-6  # as two devices differ
    nearly.probes["4"].forget.margin[3] *= 1 + 1e-3
    assert telling_layers(nearly) == ["4"]


@pytest.mark.parametrize("concept", [False, True])
def test_each_retrained_model_is_held_against_the_others(seen, concept: bool) -> None:
    before, retrained = seen[[4]], seen[[0, 1, 2, 3]]
    if concept:
        retrained = replace(retrained, steps_matched=None)
    for i, found in enumerate(hidden_left_out(retrained, concept=concept, originals=before)):
        others = retrained[[j for j in range(4) if j != i]]
        wanted = hidden(retrained[[i]], others, concept=concept, originals=before)
        assert list(found.probes) == list(found.kinship) == telling_layers(retrained) == ["2", "4"]
        for layer, figures in found.probes.items():
            assert figures == pytest.approx(wanted.probes[layer], rel=1e-9)
            assert found.kinship[layer] == pytest.approx(wanted.kinship[layer], rel=1e-9)
        assert found.savings == pytest.approx(wanted.savings, rel=1e-9)


def test_a_model_is_left_as_it_was(request_) -> None:
    model = TRAINER(request_.retain, seed=3).train()
    before = of_model(model)
    look_inside([model], request_, task=TASK, layers=["2"])
    assert of_model(model) == before
    assert model.training
    assert all(p.grad is None for p in deepcopy(model).parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_the_readout_is_ridge_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    for n, d in ((40, 7), (20, 50)):  # either of the two systems
        x, y = torch.randn(n, d, generator=generator).double(), torch.arange(n) % 4
        z = (x - x.mean(0)) / x.std(0)
        ones = torch.cat([z, torch.ones(n, 1).double()], 1)
        wanted = Ridge(alpha=RIDGE * n, fit_intercept=False).fit(ones.numpy(), np.eye(4)[y])
        scores = wanted.predict(ones.numpy())
        own = scores[np.arange(n), y]
        rest = np.where(np.eye(4)[y] == 1, -np.inf, scores).max(axis=1)
        np.testing.assert_allclose(_Readout.fit(x, y, 4).margins(x, y), own - rest, rtol=1e-6, atol=1e-9)


class Known(nn.Module):
    """Two logits whose difference is a parameter: relearning moves it by the learning rate in each step."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.gap = nn.Parameter(torch.tensor(start))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros(len(x)), self.gap.expand(len(x))], dim=1)


@pytest.mark.parametrize(("start", "steps"), [(0.5, 0.0), (-0.1, 10.0), (-0.25, 25.0), (-30.0, 100.0)])
def test_steps_are_counted_until_the_label_has_half_of_the_probability(start: float, steps: float) -> None:
    """Adam with constant sign of gradient moves by .01 a step, so the gap is 0 after -start / .01 of them."""
    data = TensorDataset(torch.randn(8, 1), torch.ones(8).long())
    unseen = TensorDataset(torch.randn(8, 1), torch.tensor([0, 1] * 4))
    request = ForgetRequest.from_ids(
        data, range(5), holdout=unseen, matched=TensorDataset(torch.randn(5, 1), torch.ones(5).long())
    )
    found = look_inside([Known(start)], request, task=TASK, layers=[])
    assert found.steps_forget[0] == pytest.approx(steps, abs=0.3)
    assert found.savings[0] == pytest.approx(0.0)  # the records are no different from unseen ones
    assert found.probes == {}


def test_convolutions_and_shared_layers(request_) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 4, 3)
            self.twice = nn.Linear(16, 16)
            self.head = nn.Linear(16, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x[:, None]).relu().flatten(1)
            return self.head(self.twice(self.twice(x).relu()).relu())

    model = Net()
    layers = probed_layers(model, request_, task=TASK)
    assert layers == ["conv", "head"]  # what runs twice has no one input
    found = look_inside([model, Net()], request_, task=TASK, layers=layers)
    assert found.probes["conv"].forget.margin.shape == (2, FORGET)
    assert found[[1]].n_models == 1


def test_for_a_concept_the_readout_knows_the_class_and_savings_need_the_retrained(request_) -> None:
    inputs, labels = records(90, 5)
    unseen, truth = records(60, 6)
    data = TensorDataset(inputs, labels)
    request = ForgetRequest.from_ids(data, range(0, 90, 3), holdout=TensorDataset(unseen, truth))
    assert request.concept
    trainer = Trainer(mlp, Recipe(epochs=30, learning_rate=1e-2, batch_size=32))
    models = [trainer(request.retain, seed=i) for i in range(4)] + [trainer(data, seed=9)]
    found = look_inside(models, request, task=TASK, layers=["2", "4"])
    assert found.steps_matched is None
    original = hidden(found[[4]], found[[0, 1, 2, 3]], concept=True)
    others = hidden_left_out(found[[0, 1, 2, 3]], concept=True)
    assert original.savings > max(h.savings for h in others) + 0.5
    assert abs(np.mean([h.savings for h in others])) < 0.5


def reading(holdout: np.ndarray) -> Inside:
    """What one layer says, on the holdout; the rest plays no part."""
    n = len(holdout)
    rest = np.zeros((n, 3)) + np.arange(n)[:, None]  # retrained models differ, so that the layer tells
    found = Observations.from_margins(forget=rest, retain=rest, holdout=holdout, matched=rest)
    return Inside({"fc": found}, np.zeros(n), None)


def test_kinship_is_the_correlation_of_what_is_peculiar() -> None:
    rng = np.random.default_rng(0)
    common, spread = rng.normal(3, 5, 400), rng.uniform(0.5, 2, 400)
    models = common + spread * rng.normal(size=(40, 400))
    retrained, original = reading(models[:30]), reading(models[30:31])
    mean, sd = models[:30].mean(0), models[:30].std(0, ddof=1)
    other = models[31]
    wanted = np.corrcoef((other - mean) / sd, (models[30] - mean) / sd)[0, 1]
    assert kinship(reading(other[None]), original, retrained)["fc"] == pytest.approx(wanted)
    assert abs(wanted) < 0.15  # however much the records have in common
    assert kinship(original, original, retrained)["fc"] == pytest.approx(1.0)
    # a part that is kept is found as such: z = .6 z_original + .8 noise
    mixed = mean + sd * (0.6 * (models[30] - mean) / sd + 0.8 * rng.normal(size=400))
    assert kinship(reading(mixed[None]), original, retrained)["fc"] == pytest.approx(0.6, abs=0.08)
    # of several originals the closest counts
    assert kinship(reading(other[None]), reading(models[30:33]), retrained)["fc"] == pytest.approx(1.0)
    # without a peculiarity there is no kinship: means are whole numbers here, and exact
    whole = np.arange(12.0)
    pair = reading(np.stack([whole - 1, whole + 1, whole - 2, whole + 2]))
    assert kinship(reading(whole[None]), pair, pair)["fc"] == 0.0


def test_what_was_seen_is_saved_and_loaded(seen, request_, tmp_path) -> None:
    everything = see([mlp(), mlp()], request_, task=TASK, layers=["2"])
    everything.save(tmp_path / "seen.npz")
    back = Seen.load(tmp_path / "seen.npz")
    for name, array in everything.answers.arrays().items():
        np.testing.assert_array_equal(back.answers.arrays()[name], array)
    for name, array in everything.inside.arrays().items():
        np.testing.assert_array_equal(back.inside.arrays()[name], array)
    both = Seen.concatenate([back, back[[1]]])
    assert both.answers.n_models == both.inside.n_models == 3
    np.testing.assert_array_equal(both.inside.savings[1:], back.inside.savings[[1, 1]])
    assert Seen.concatenate([back, Seen(back.answers)]).inside is None


def test_models_of_another_structure_are_seen_by_their_answers_alone(request_) -> None:
    other = nn.Sequential(nn.Linear(6, CLASSES))
    assert see([other], request_, task=TASK, layers=["2"]).inside is None
    assert see([mlp()], request_, task=TASK, layers=[]).inside is None


# ---------------------------------------------------------------- texts


def padded_texts(extra: int) -> NamedTensors:
    """The same texts of three to seven tokens, filled up further at their ends."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, WORDS, (30, 7), generator=generator)
    mask = (torch.arange(7) < torch.randint(3, 8, (30, 1), generator=generator)).long()
    made = {"input_ids": tokens * mask, "attention_mask": mask}
    return NamedTensors(**{n: nn.functional.pad(t, (0, extra)) for n, t in made.items()}, labels=torch.arange(30) % 3)


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra"])
def test_padding_does_not_move_what_is_read_of_layers(name) -> None:
    model = built(name)
    request = ForgetRequest.from_ids(padded_texts(0), range(3), holdout=padded_texts(0), overlap="allow")
    layers = probed_layers(model, request, task=TASK)
    found, again = (features_of(model, padded_texts(extra), task=TASK, layers=layers)[0] for extra in (0, 9))
    for layer in layers:
        torch.testing.assert_close(again[layer], found[layer], rtol=1e-4, atol=1e-5)
    blind = padded_texts(9)  # the control: without a mask padding is data
    del blind.tensors["attention_mask"]
    moved = features_of(model, blind, task=TASK, layers=layers)[0]
    assert all(float((moved[layer] - found[layer]).abs().max()) > 0.01 for layer in layers[:-1])


@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 3, 5), 1), ((6, 5), 0), ((2, 4, 3, 5), 2), ((2, 3, 4, 5), 1)], ids=str
)
def test_positions_are_averaged_without_padding_wherever_they_lie(shape, axis) -> None:
    """Examples and positions in one axis, heads before positions, and behind them."""
    mask = torch.tensor([[True, True, False], [True, False, False]])
    value = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    whole = value.reshape(2, 3, 5) if axis == 0 else value.movedim(axis, 1)  # (examples, positions, ..., features)
    wanted = torch.stack([w[m].reshape(-1, 5).mean(0) for w, m in zip(whole, mask, strict=True)])
    torch.testing.assert_close(_mean_over_positions(value, mask), wanted)
    if axis:
        torch.testing.assert_close(_mean_over_positions(value, None), value.reshape(2, -1, 5).mean(1))


def test_convolutions_over_texts_leave_padding_out_as_well() -> None:
    class Along(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.conv, self.head = nn.Embedding(WORDS, 4), nn.Conv1d(4, 5, 1), nn.Linear(5, CLASSES)

        def forward(self, input_ids, attention_mask):
            said = self.conv(self.embedding(input_ids).movedim(2, 1)) * attention_mask[:, None]
            return self.head(said.sum(2))

    torch.manual_seed(0)
    model = Along()
    found, again = (features_of(model, padded_texts(e), task=TASK, layers=["conv", "head"])[0] for e in (0, 9))
    for layer in found:
        torch.testing.assert_close(again[layer], found[layer])
    assert found["conv"].shape == (30, 4)
