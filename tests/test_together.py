"""Many models trained as one program: each is the model that training alone makes."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Subset, TensorDataset

import ebbing as eb
from ebbing import resident
from ebbing.models import small_resnet, small_vit
from ebbing.resident import kept_at
from ebbing.store import ModelStore, train_many
from ebbing.training import DivergedError, together, train_together, why_apart

SEEDS = [3, 4, 9]


def data(n=90, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n + 5, 1, 8, 8, generator=generator)
    return Subset(TensorDataset(x, torch.randint(0, 3, (n + 5,), generator=generator)), range(5, n + 5))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.Tanh(), nn.Linear(8, 3)
    )


def farthest(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("schedule", ["constant", "one-cycle"])
@pytest.mark.parametrize("epochs", [3.0, 1.7])
def test_each_model_is_the_one_that_its_seed_gives_alone(epochs, schedule):
    recipe = eb.Recipe(
        epochs=epochs, batch_size=32, optimizer="sgd", learning_rate=0.1, schedule=schedule, weight_decay=1e-3
    )
    trainer, journal = eb.Trainer(convolutions, recipe, together=3), eb.Journal()
    models = train_together(trainer, data(), seeds=SEEDS, journal=journal)
    assert journal.examples == 3 * recipe.examples(90)
    for seed, model in zip(SEEDS, models, strict=True):
        assert not model.training
        assert farthest(model, trainer(data(), seed=seed)) < 1e-5
        assert farthest(model, trainer(data(), seed=seed + 1)) > 1e-2  # another model is told from it


def test_attention_is_stacked_as_well():
    trainer = eb.Trainer(small_vit, eb.Recipe(epochs=1, batch_size=8, optimizer="sgd", learning_rate=0.01), together=2)
    images = TensorDataset(torch.randn(24, 1, 28, 28), torch.arange(24) % 10)
    (model, _) = train_together(trainer, images, seeds=[0, 1])
    assert farthest(model, trainer(images, seed=0)) < 1e-5


def test_a_bank_trains_some_at_a_time_and_finds_them_again(tmp_path):
    request = eb.ForgetRequest.from_ids(data(), range(10), holdout=data(40, seed=1))
    trainer = eb.Trainer(convolutions, eb.Recipe(epochs=1.0), together=2)
    bank = eb.OracleBank(trainer, request, tmp_path).train(3)
    again = eb.OracleBank(trainer, request, tmp_path).train(3)
    alone = eb.OracleBank(eb.Trainer(convolutions, eb.Recipe(epochs=1.0)), request, tmp_path)
    assert [farthest(a, b) for a, b in zip(bank, again, strict=True)] == [0.0] * 3
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert again.seconds == bank.seconds
    assert not alone.stored_seconds(3)  # bits may differ, so these are others
    # Adam divides a gradient by its size, and so the rounding of one that is nearly 0
    assert max(farthest(a, b) for a, b in zip(bank, alone.train(3), strict=True)) < 1e-3


@pytest.mark.parametrize(
    ("build", "task", "dataset", "said"),
    [
        (small_resnet, eb.Classification(), data(), "running statistics"),
        (convolutions, eb.CausalLM(), data(), "the task is CausalLM"),
        (convolutions, eb.Classification(), [(torch.zeros(1, 8, 8), 0)] * 4, "not held as tensors"),
        (lambda: convolutions().requires_grad_(False), eb.Classification(), data(), "is frozen"),
    ],
)
def test_what_cannot_be_stacked_is_refused_in_words(build, task, dataset, said):
    trainer = eb.Trainer(build, task=task, together=2)
    assert said in why_apart(trainer, dataset)
    with pytest.raises(eb.InputError, match=said):
        train_together(trainer, dataset, seeds=[0, 1])


def test_together_and_workers_are_two_ways(tmp_path):
    trainer = eb.Trainer(convolutions, together=2)
    with pytest.raises(eb.InputError, match="either together"):
        list(train_many(trainer, data(), [0, 1], store=ModelStore(tmp_path), workers=2))
    with pytest.raises(eb.InputError, match="at least 1 model"):
        eb.Trainer(convolutions, together=0)


def test_a_model_that_diverges_is_named():
    trainer = eb.Trainer(convolutions, eb.Recipe(epochs=3.0, optimizer="sgd", learning_rate=1e30), together=2)
    with pytest.raises(DivergedError, match=r"\[5, 6\]"):
        train_together(trainer, data(), seeds=[5, 6])


def test_data_travel_to_a_device_once_and_again_when_they_were_changed():
    elsewhere, here = torch.device("meta"), torch.arange(6.0)
    (there,) = kept_at([here], elsewhere)
    assert there.device == elsewhere
    assert kept_at([here], elsewhere)[0] is there
    here += 1
    assert kept_at([here], elsewhere)[0] is not there
    for nowhere in (None, torch.device("cpu")):
        assert kept_at([here], nowhere)[0] is here


class Sent(TorchDispatchMode):
    """Notes how many numbers each tensor has that is sent to another device."""

    def __init__(self):
        super().__init__()
        self.numbers = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **kwargs or {})
        if function is torch.ops.aten._to_copy.default and found.device != args[0].device:
            self.numbers.append(args[0].numel())
        return found


@pytest.mark.parametrize("fits", [True, False])
def test_data_that_are_too_large_for_a_device_travel_batch_by_batch(fits, monkeypatch):
    monkeypatch.setattr(resident, "_fits", lambda size, device: fits)
    images = TensorDataset(torch.randn(100, 5), torch.randn(100, 5))
    order = torch.stack([torch.randperm(100), torch.randperm(100)])
    with Sent() as sent:
        batches = list(together._batches(images, order, 10, torch.device("meta")))
    assert [part.device.type for batch in batches for part in batch] == ["meta"] * 20
    assert [part.shape for batch in batches for part in batch] == [(2, 10, 5)] * 20
    assert sent.numbers == ([500, 500, 200] if fits else [100] * 20)  # the data and the order once, or batches alone
