"""The one training loop: the same seed gives the same bits, and nothing outside of it is touched."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from ebbing.batches import epoch_orders, evenly, iterate
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.journal import Journal
from ebbing.task import Classification, accuracy, cross_entropy
from ebbing.training import DivergedError, Pass, Recipe, Trainer, descend, fit, seeded

N = 50


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))


def plain() -> nn.Module:
    """The same network at every call, without chance inside."""
    with seeded(1):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 3)
    )


class Records(Dataset):
    """The same records, not held as tensors."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(N) % 3
    return torch.randn(N, 1, 6, 6, generator=generator) + y[:, None, None, None], y


DATA = TensorDataset(*tensors())
SHORT = Recipe(epochs=2, batch_size=16)


def train(recipe: Recipe = SHORT, *, build: Callable[[], nn.Module] = mlp, data: Any = DATA, seed: int = 0, **more):
    return Trainer(build, recipe)(data, seed=seed, **more)


# ---------------------------------------------------------------- seeds


@pytest.mark.parametrize("build", [mlp, cnn])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(build) -> None:
    first = train(build=build)
    torch.rand(5)
    assert of_model(train(build=build)) == of_model(first)
    assert of_model(train(build=build, seed=1)) != of_model(first)
    assert all(bool(torch.isfinite(p).all()) for p in first.parameters())


@pytest.mark.parametrize("build", [mlp, cnn])
@pytest.mark.parametrize("recipe", [SHORT, Recipe(epochs=1.3, batch_size=7, optimizer="sgd", schedule="cosine")])
def test_any_way_to_hold_the_records_gives_the_same_bits(build, recipe) -> None:
    """Dropout and all: reading through a loader draws nothing from the generator that dropout draws from."""
    wanted = of_model(train(recipe, build=build))
    assert of_model(train(recipe, build=build, data=Records(*tensors()))) == wanted
    x, y = tensors()
    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(9))
    nested = Subset(Subset(TensorDataset(x[shuffled], y[shuffled]), list(range(N))), shuffled.argsort().tolist())
    assert of_model(train(recipe, build=build, data=nested)) == wanted


def test_dropout_is_seeded() -> None:
    """The same masks each time, as with one batch per epoch nothing else is drawn; without dropout it is another run."""
    full = Recipe(epochs=3, batch_size=N)

    def dry() -> nn.Module:
        model = mlp()
        model[3].p = 0.0
        return model

    assert of_model(train(full)) == of_model(train(full))
    assert not torch.equal(train(full)[1].weight, train(full, build=dry)[1].weight)


@pytest.mark.parametrize("data", [DATA, Records(*tensors())], ids=["tensors", "records"])
def test_the_callers_random_state_is_untouched(data) -> None:
    state = torch.get_rng_state()
    model = train(data=data)
    Trainer(mlp).initial(seed=4)
    accuracy(model, data, task=Classification())
    list(iterate(data, batch_size=10))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_random_state_comes_back_after_a_failure() -> None:
    state = torch.get_rng_state()
    with pytest.raises(KeyError), seeded(3):
        raise KeyError(float(torch.rand(1)))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_initial_model_is_what_training_starts_from() -> None:
    trainer = Trainer(mlp, Recipe(epochs=1, optimizer="sgd", learning_rate=1e-30, momentum=0.0))
    assert of_model(trainer(DATA, seed=5)) == of_model(trainer.initial(seed=5).eval())


# ---------------------------------------------------------------- how much is trained


@given(
    n=st.integers(1, 60),
    epochs=st.floats(0.02, 4.0),
    cap=st.none() | st.integers(1, 200),
    batch_size=st.integers(1, 70),
)
def test_fractions_and_caps_are_counted_to_the_example(n, epochs, cap, batch_size) -> None:
    recipe = Recipe(epochs=epochs, max_examples=cap, batch_size=batch_size)
    examples = recipe.examples(n)
    assert examples == min(round(epochs * n), cap or math.inf)
    orders = list(epoch_orders(n, examples=examples, generator=torch.Generator().manual_seed(0)))
    assert sum(len(o) for o in orders) == examples
    for order in orders:
        assert len(set(order.tolist())) == len(order)
        assert set(order.tolist()) <= set(range(n))
    assert all(len(o) == n for o in orders[:-1])


@pytest.mark.parametrize(
    ("recipe", "examples", "steps"),
    [
        (Recipe(epochs=2, batch_size=16), 100, 8),
        (Recipe(epochs=0.5, batch_size=16), 25, 2),
        (Recipe(epochs=1.5, batch_size=16), 75, 6),
        (Recipe(epochs=9, batch_size=16, max_examples=60), 60, 5),
        (Recipe(epochs=9, batch_size=16, max_examples=1), 1, 1),
        (Recipe(epochs=1, batch_size=500), 50, 1),
    ],
    ids=lambda v: "" if isinstance(v, Recipe) else str(v),
)
def test_the_journal_counts_every_example(recipe, examples, steps) -> None:
    journal, seen, losses = Journal(), [], []
    model = mlp()
    journal.on_advance = seen.append

    def loss(outputs, batch) -> Tensor:
        losses.append(len(outputs.targets))
        return cross_entropy(outputs).mean()

    with seeded(0) as generator:
        fit(model, DATA, recipe, task=Classification(), generator=generator, journal=journal, loss=loss)
    assert journal.examples == sum(seen) == sum(losses) == examples
    assert len(losses) == steps


@pytest.mark.parametrize("schedule", ["constant", "one-cycle", "cosine"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_schedule_with_one_step_and_with_several(schedule, optimizer) -> None:
    for cap in (1, 17, 33, 100):
        recipe = Recipe(
            epochs=5, batch_size=16, max_examples=cap, schedule=schedule, optimizer=optimizer, learning_rate=1e-3
        )
        model = train(recipe)
        assert of_model(model) != of_model(Trainer(mlp).initial(seed=0).eval())
        assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def rates_of(recipe: Recipe, steps: int) -> list[float]:
    optimizer = recipe.make_optimizer([nn.Parameter(torch.zeros(1))])
    scheduler = recipe.make_scheduler(optimizer, steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return rates


def test_the_course_of_the_learning_rate() -> None:
    assert rates_of(Recipe(learning_rate=0.1), 3) == [0.1] * 3
    cosine = rates_of(Recipe(learning_rate=0.1, schedule="cosine"), 10)
    assert cosine == pytest.approx([0.05 * (1 + math.cos(math.pi * i / 10)) for i in range(10)])
    cycle = rates_of(Recipe(learning_rate=0.1, schedule="one-cycle"), 100)
    assert max(cycle) == pytest.approx(0.1, rel=1e-3)
    assert cycle.index(max(cycle)) in (28, 29, 30)
    assert cycle[-1] < 1e-3 * cycle[0]


def test_training_learns() -> None:
    model = train(Recipe(epochs=20, batch_size=16, learning_rate=1e-2), build=cnn)
    assert accuracy(model, DATA, task=Classification()) > 0.9


def test_one_step_of_sgd_by_hand() -> None:
    x, y = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])
    recipe = Recipe(epochs=1, batch_size=4, optimizer="sgd", learning_rate=0.1, momentum=0.0, weight_decay=0.01)
    trainer = Trainer(lambda: nn.Linear(5, 3), recipe)
    start, end = trainer.initial(seed=0), trainer(TensorDataset(x, y), seed=0)
    p = start(x).softmax(dim=1) - nn.functional.one_hot(y, 3)
    torch.testing.assert_close(end.weight, start.weight - 0.1 * (p.T @ x / 4 + 0.01 * start.weight))
    torch.testing.assert_close(end.bias, start.bias - 0.1 * (p.mean(0) + 0.01 * start.bias))


# ---------------------------------------------------------------- the loop's edges


def test_passes_are_announced_in_training_mode_and_the_model_is_left_in_evaluation_mode() -> None:
    model, called, journal = cnn(), [], Journal()
    with seeded(0) as generator:
        descend(
            model,
            [Pass(DATA, 50), Pass(DATA, 0), Pass(DATA, 9, batch_size=3)],
            SHORT,
            task=Classification(),
            generator=generator,
            journal=journal,
            on_pass=lambda number: called.append((number, model.training, journal.examples)),
        )
    assert called == [(1, True, 50), (2, True, 50), (3, True, 59)]
    assert not model.training


def test_passes_share_one_optimizer_and_have_their_own_losses() -> None:
    model, twin = plain(), plain()
    x, y = DATA.tensors
    one, other = TensorDataset(x[:5], y[:5]), TensorDataset(x[5:12], y[5:12])
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=64)

    def ascent(outputs, batch) -> Tensor:
        assert torch.equal(batch[1].sort().values, y[5:12].sort().values)
        return -cross_entropy(outputs).mean()

    with seeded(0) as generator:
        descend(model, [Pass(one, 5), Pass(other, 7, ascent)], recipe, task=Classification(), generator=generator)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for part, sign in ((one, 1), (other, -1)):
        optimizer.zero_grad()
        (sign * nn.functional.cross_entropy(twin(part.tensors[0]), part.tensors[1])).backward()
        optimizer.step()
    for found, wanted in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_reach_is_the_share_of_every_step_that_is_made(optimizer) -> None:
    recipe = Recipe(epochs=1, batch_size=len(DATA), optimizer=optimizer, learning_rate=0.01)

    def after(reach) -> nn.Module:
        model = plain()
        with seeded(0) as generator:
            descend(model, [Pass(DATA, len(DATA))], recipe, task=Classification(), generator=generator, reach=reach)
        return model

    start, whole = plain(), after(None)
    mask = torch.zeros_like(start[1].weight)
    mask[0] = 1.0
    part = after({"1.weight": mask, "1.bias": torch.tensor(0.1)})
    assert torch.equal(part[1].weight[1:], start[1].weight[1:])
    assert torch.equal(part[1].weight[0], whole[1].weight[0])
    torch.testing.assert_close(
        part[1].bias - start[1].bias, 0.1 * (whole[1].bias - start[1].bias), rtol=1e-3, atol=1e-7
    )
    assert torch.equal(part[3].weight, whole[3].weight)


def test_modules_at_rest_keep_their_running_statistics() -> None:
    model = cnn()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = norms[0].running_mean.clone()
    with seeded(0) as generator:
        descend(model, [Pass(DATA, 32)], SHORT, task=Classification(), generator=generator, resting=norms)
    assert torch.equal(norms[0].running_mean, before)
    with seeded(0) as generator:
        descend(model, [Pass(DATA, 32)], SHORT, task=Classification(), generator=generator)
    assert not torch.equal(norms[0].running_mean, before)


def test_a_pass_over_nothing_is_refused() -> None:
    nothing = TensorDataset(*(t[:0] for t in DATA.tensors))
    with seeded(0) as generator, pytest.raises(InputError, match="at least one record, but 3 examples of an empty"):
        descend(mlp(), [Pass(nothing, 3)], SHORT, task=Classification(), generator=generator)


def test_frozen_parameters_stay() -> None:
    model = mlp()
    model[1].requires_grad_(False)
    before, head = model[1].weight.clone(), model[4].weight.clone()
    with seeded(0) as generator:
        fit(model, DATA, SHORT, task=Classification(), generator=generator)
    assert torch.equal(model[1].weight, before)
    assert not torch.equal(model[4].weight, head)


@pytest.mark.parametrize("build", [mlp, cnn])
def test_the_usual_memory_layout_is_restored(build) -> None:
    model = train(build=build)
    assert all(p.is_contiguous() for p in model.parameters())
    assert all(b.is_contiguous() for b in model.buffers())


def test_the_usual_memory_layout_is_restored_after_a_failure_too() -> None:
    class Fails(Classification):
        def loss(self, outputs):
            raise KeyError("loss")

    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 3))
    data = TensorDataset(torch.randn(8, 4, 6, 6), torch.zeros(8).long())
    with seeded(0) as generator, pytest.raises(KeyError):
        fit(model, data, SHORT, task=Fails(), generator=generator)
    assert all(p.is_contiguous() for p in model.parameters())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_divergence(wrong) -> None:
    with seeded(0) as generator, pytest.raises(DivergedError, match=r"the loss is (nan|inf) after epoch 1"):
        fit(mlp(), DATA, SHORT, task=Classification(), generator=generator, loss=lambda o, _: o.logits.sum() * wrong)


def test_a_learning_rate_that_is_far_too_high_is_divergence() -> None:
    with pytest.raises(DivergedError, match="after epoch"):
        train(Recipe(epochs=20, optimizer="sgd", learning_rate=1e30))


@pytest.mark.parametrize(
    ("data", "recipe"),
    [(TensorDataset(torch.zeros(0, 36), torch.zeros(0).long()), SHORT), (DATA, Recipe(epochs=0.001))],
    ids=["no data", "no epochs"],
)
def test_nothing_to_train_on_is_refused(data, recipe) -> None:
    with pytest.raises(InputError, match="at least one example"):
        train(recipe, data=data)


# ---------------------------------------------------------------- recipes


def test_all_problems_of_a_recipe_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Recipe(
            epochs=0,
            batch_size=0,
            optimizer="lion",
            learning_rate=-1,
            momentum=1.0,
            weight_decay=-0.1,
            schedule="steps",
            max_examples=0,
        )
    message = str(caught.value)
    for field in (
        *("epochs must be > 0", "batch_size must be >= 1", "optimizer must be one of adam, adamw, sgd"),
        *("learning_rate must be > 0", "momentum must lie in [0, 1)", "weight_decay must be >= 0"),
        *("schedule must be one of constant, one-cycle, cosine", "max_examples must be >= 1"),
    ):
        assert field in message
    assert message.startswith("recipe: ")
    assert message.count(";") == 7


@pytest.mark.parametrize("field", ["epochs", "learning_rate", "momentum", "weight_decay"])
def test_not_a_number_is_no_setting(field) -> None:
    with pytest.raises(InputError, match=field):
        Recipe(**{field: float("nan")})


def test_the_optimizers_have_the_recipes_settings() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        made = Recipe(optimizer=name, learning_rate=0.02, momentum=0.7, weight_decay=0.3).make_optimizer(parameters)
        assert type(made) is kind
        assert made.param_groups[0]["lr"] == 0.02
        assert made.param_groups[0]["weight_decay"] == 0.3
        assert made.param_groups[0].get("momentum", 0.7) == 0.7


# ---------------------------------------------------------------- reading data


@given(total=st.integers(1, 200), n=st.integers(1, 60))
def test_evenly_spaced_records_begin_and_end_with_the_ends(total, n) -> None:
    data = TensorDataset(torch.arange(total))
    positions = [int(v) for (v,) in evenly(data, n)]
    assert len(positions) == min(total, n)
    assert positions == sorted(set(positions))
    assert positions[0] == 0
    if n > 1:
        assert positions[-1] == total - 1
        gaps = [b - a for a, b in pairwise(positions)]
        assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("wrap", [TensorDataset, Records])
def test_batches_go_through_all_records_in_the_order_asked_for(wrap) -> None:
    data = Subset(wrap(*tensors()), list(range(10, 40)))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))[:23]
    batches = list(iterate(data, batch_size=10, order=order))
    assert [len(y) for _, y in batches] == [10, 10, 3]
    assert torch.equal(torch.cat([x for x, _ in batches]), tensors()[0][order + 10])
    assert torch.equal(torch.cat([y for _, y in iterate(data, batch_size=7)]), tensors()[1][10:40])


def test_a_last_batch_of_one_does_not_stop_batch_normalisation() -> None:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(9, 4, generator=generator), torch.arange(9) % 2)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    for records in (data, [data[i] for i in range(9)]):
        journal = Journal()
        recipe = Recipe(epochs=2, batch_size=4, schedule="one-cycle")
        fit(model, records, recipe, task=Classification(), generator=generator, journal=journal)
        assert journal.examples == 18


@pytest.mark.parametrize(("batch_size", "modes"), [(3, [True, False] * 2), (1, [False, False] * 6)])
def test_a_share_of_one_record_rests_only_the_norms_that_see_no_more(batch_size, modes, monkeypatch) -> None:
    """Processes whose shares of a batch are 1 and 2 records would otherwise wait for each other for ever."""

    def first_of_each(order: Tensor, cuts: list[tuple[int, int]]) -> tuple[Tensor, list[tuple[int, int]], list[bool]]:
        return order[[start for start, _ in cuts]], [(i, i + 1) for i in range(len(cuts))], [True] * len(cuts)

    monkeypatch.setattr("ebbing.training.descent.share_of_batches", first_of_each)
    model = nn.Sequential(nn.Conv1d(1, 2, 1), nn.SyncBatchNorm(2), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(8, 2))
    found: list[bool] = []
    for norm in model[1:3]:
        norm.register_forward_hook(lambda module, *_: found.append(module.training))
    data, recipe = TensorDataset(torch.randn(6, 1, 4), torch.arange(6) % 2), Recipe(epochs=1, batch_size=batch_size)
    fit(model, data, recipe, task=Classification(), generator=torch.Generator())
    assert found == modes
    assert not any(norm.training for norm in model[1:3])


def test_a_model_with_a_five_dimensional_tensor_keeps_its_layout() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    model.register_buffer("volume", torch.zeros(1, 1, 2, 2, 2))
    data = TensorDataset(torch.zeros(4, 1, 8, 8), torch.arange(4) % 3)
    fit(model, data, Recipe(epochs=1), task=Classification(), generator=torch.Generator())
