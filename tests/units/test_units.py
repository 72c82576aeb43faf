"""Gates, baking and decay: the closed forms."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from ebbing.curves import Exponential, PowerLaw
from ebbing.errors import InputError
from ebbing.fingerprint import of_model
from ebbing.task import Classification
from ebbing.units import (
    Slice,
    UnitGroup,
    bake,
    decay,
    find_units,
    fresh_anchor,
    gated,
    reading,
    single_weights,
    weights_of,
)

TASK = Classification()
N, CLASSES = 24, 3


def vectors(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A batch of normal inputs, with labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, *shape, generator=generator), torch.arange(N) % CLASSES


def built(build: Callable[[], nn.Module], *, batch: tuple[Tensor, Tensor] | None = None) -> nn.Module:
    """A model from a fixed seed; with a batch, its running statistics and affine weights are no longer the initial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build()
        if batch is not None:
            for module in model.modules():
                if hasattr(module, "running_mean") or isinstance(module, nn.LayerNorm | nn.GroupNorm):
                    for parameter in module.parameters():
                        nn.init.uniform_(parameter, 0.5, 1.5)
            model.train()
            for _ in range(3):
                model(batch[0])
    return model.eval()


def logits(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(batch[0])


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def names(groups: list[UnitGroup]) -> list[str]:
    return [g.name for g in groups]


def reason(caplog: pytest.LogCaptureFixture, layer: str) -> str:
    """What the warning about one layer says."""
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and repr(layer) in r.getMessage()]
    assert len(found) == 1, found
    return found[0]


def random_factors(groups: list[UnitGroup], seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {g.name: torch.rand(g.size, generator=generator, dtype=torch.float64) for g in groups}


# ---------------------------------------------------------------- gate == bake


def linear_net(activation: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(5, 7), activation, nn.Linear(7, 6), activation, nn.Linear(6, CLASSES))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, str]]] = {
    # name: how to build it, shape of an input, where each layer's gate must act
    "relu": (linear_net(nn.ReLU()), (5,), {"0": "0", "2": "2", "4": "4"}),
    "relu in place": (linear_net(nn.ReLU(inplace=True)), (5,), {"0": "0", "2": "2", "4": "4"}),
    "tanh": (linear_net(nn.Tanh()), (5,), {"0": "0", "2": "2", "4": "4"}),
    "gelu": (linear_net(nn.GELU()), (5,), {"0": "0", "2": "2", "4": "4"}),
    "no bias": (
        lambda: nn.Sequential(nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, CLASSES, bias=False)),
        (5,),
        {"0": "0", "2": "2"},
    ),
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)),
        (2, 6, 6),
        {"0": "0", "4": "4"},
    ),
    "conv 1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, CLASSES)),
        (2, 6),
        {"0": "0", "3": "3"},
    ),
    "conv, batch norm": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 3, 3, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(12, CLASSES),
        ),
        (2, 6, 6),
        {"0": "1", "3": "4", "7": "7"},
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.GELU(), nn.Linear(7, CLASSES)),
        (5,),
        {"0": "1", "3": "3"},
    ),
    "layer norm without shift": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7, bias=False), nn.Linear(7, CLASSES)),
        (5,),
        {"0": "1", "2": "2"},
    ),
    "group norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES)),
        (2, 6, 6),
        {"0": "1", "4": "4"},
    ),
    "relu, batch norm": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Linear(7, CLASSES)),
        (5,),
        {"0": "2", "3": "3"},
    ),
    "dropout between": (
        lambda: nn.Sequential(
            nn.Linear(5, 7),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.BatchNorm1d(7),
            nn.Linear(7, 6),
            nn.Dropout(0.5),
            nn.Tanh(),
            nn.Linear(6, CLASSES),
        ),
        (5,),
        {"0": "3", "4": "4", "7": "7"},
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_baking_a_gate_gives_its_forward_pass(name: str) -> None:
    build, shape, sites = NETS[name]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    groups = find_units(model, task=TASK, batch=batch)
    assert {g.name: g.site for g in groups} == sites
    factors = random_factors(groups)
    with gated(model, groups, factors):
        wanted = logits(model, batch)
    bake(model, groups, factors)
    torch.testing.assert_close(logits(model, batch), wanted, atol=1e-5, rtol=0)
    assert hooks(model) == 0


@pytest.mark.parametrize("name", NETS)
def test_a_gate_on_one_layer_multiplies_that_layers_units(name: str) -> None:
    """Not by way of bake: against a forward pass through the modules by hand."""
    build, shape, _ = NETS[name]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    for group in find_units(model, task=TASK, batch=batch):
        factors = random_factors([group])
        value = batch[0]
        with torch.no_grad():
            for place, module in model._modules.items():  # named_children() gives a module that is shared only once
                value = module(value)
                if place == group.site:
                    factor = factors[group.name].float()
                    value = value * (factor if value.ndim == 2 else factor.reshape(-1, *[1] * (value.ndim - 2)))
        with gated(model, [group], factors):
            torch.testing.assert_close(logits(model, batch), value, atol=1e-5, rtol=0)


def test_a_transformers_mlp_is_gated_at_the_last_axis() -> None:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down, self.norm = nn.Linear(4, 9), nn.Linear(9, 4), nn.LayerNorm(4)
            self.head = nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x + self.down(functional.gelu(self.up(x))))  # (examples, positions, 4)
            return self.head(x.mean(dim=1))

    batch = vectors(5, 4)
    model = built(Mixer, batch=batch)
    groups = find_units(model, task=TASK, batch=batch)
    assert [(g.name, g.site, g.axis) for g in groups] == [(n, n, -1) for n in ("up", "down", "head")]
    factors = random_factors(groups)
    with gated(model, groups, factors):
        wanted = logits(model, batch)
    bake(model, groups, factors)
    torch.testing.assert_close(logits(model, batch), wanted, atol=1e-5, rtol=0)


def test_before_a_batch_norm_a_gate_is_undone_and_behind_it_not() -> None:
    """Why the gate moves: the control of the rule."""
    build, shape, _ = NETS["conv, batch norm"]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    factors = {"0": torch.linspace(0.1, 0.9, 4)}
    behind = find_units(model, task=TASK, batch=batch, layers=["0"])
    model.train()
    before = logits(deepcopy(model), batch)
    bare = UnitGroup("0", "conv", 4, "0", 1, (Slice("0.weight", 0), Slice("0.bias", 0)), ())
    with gated(model, [bare], factors):
        torch.testing.assert_close(logits(model, batch), before, atol=5e-3, rtol=0)
    with gated(model, behind, factors):
        assert (logits(model, batch) - before).abs().max() > 0.1


def test_a_later_norm_undoes_a_shared_factor_but_not_factors_that_differ() -> None:
    """So that the layers of a network in which every convolution has a norm can be decayed, not only the last."""
    build, shape, _ = NETS["conv, batch norm"]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    with torch.no_grad():
        model[1].bias.zero_()
    group = find_units(model, task=TASK, batch=batch, layers=["0"])
    model.train()
    before = logits(deepcopy(model), batch)
    with gated(model, group, {"0": torch.full((4,), 0.25)}):
        torch.testing.assert_close(logits(model, batch), before, atol=5e-3, rtol=0)


def test_a_unit_owns_its_row_and_what_the_norm_holds_of_it() -> None:
    build, shape, _ = NETS["conv, batch norm"]
    batch = vectors(*shape)
    first, second, last = find_units(built(build, batch=batch), task=TASK, batch=batch)
    assert (first.kind, first.size, first.axis) == ("conv", 4, 1)
    assert first.baked == (Slice("1.weight", 0), Slice("1.bias", 0))
    assert first.slices == (Slice("0.weight", 0), Slice("0.bias", 0), *first.baked)
    assert second.slices == (Slice("3.weight", 0), Slice("4.weight", 0), Slice("4.bias", 0))
    assert (last.kind, last.size, last.axis) == ("linear", CLASSES, -1)
    assert last.baked == last.slices == (Slice("7.weight", 0), Slice("7.bias", 0))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("norm", "shape"),
    [(nn.BatchNorm1d(7, affine=False), (5,)), (nn.LayerNorm(7, elementwise_affine=False), (5,))],
)
def test_a_layer_before_a_norm_without_scale_is_skipped(norm, shape, caplog) -> None:
    batch = vectors(*shape)
    model = built(lambda: nn.Sequential(nn.Linear(5, 7), norm, nn.Tanh(), nn.Linear(7, CLASSES)))
    assert names(find_units(model, task=TASK, batch=batch)) == ["3"]
    assert "normalisation without a scale" in reason(caplog, "0")


def test_a_layer_before_an_instance_norm_without_scale_is_skipped(caplog) -> None:
    batch = vectors(2, 6, 6)
    model = built(
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES))
    )
    assert names(find_units(model, task=TASK, batch=batch)) == ["4"]
    assert "normalisation without a scale" in reason(caplog, "0")


def test_tied_layers_are_skipped(caplog) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(x).relu()).relu())

    assert names(find_units(built(Tied), task=TASK, batch=vectors(5))) == ["head"]
    for layer in ("first", "second"):
        assert "shares a parameter" in reason(caplog, layer)


def test_a_layer_that_runs_twice_or_never_is_skipped(caplog) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.twice(self.twice(x).relu()).relu())

    assert names(find_units(built(Odd), task=TASK, batch=vectors(5))) == ["head"]
    assert "runs 2 times" in reason(caplog, "twice")
    assert "runs 0 times" in reason(caplog, "never")


def test_a_layer_whose_weight_is_computed_is_skipped(caplog) -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, CLASSES))
        nn.utils.parametrizations.weight_norm(model[0])
        return model

    assert names(find_units(built(build), task=TASK, batch=vectors(5))) == ["2"]
    assert reason(caplog, "0")


def test_a_layer_whose_weights_are_used_twice_over_is_not_gated_unfaithfully(caplog) -> None:
    """A penalty-like second use of the weight: the gate on the output does not reach it, baking does."""

    class Reuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 5), nn.Linear(5, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x) + x @ self.first.weight)

    assert names(find_units(built(Reuses), task=TASK, batch=vectors(5))) == ["head"]
    assert "cannot be written into its weights exactly" in reason(caplog, "first")


def test_nothing_left_to_decay_is_an_input_error(caplog) -> None:
    model = built(lambda: nn.Sequential(nn.Linear(5, 9), nn.LayerNorm(9, elementwise_affine=False)))
    with pytest.raises(InputError, match=r"none is.*normalisation"):
        find_units(model, task=TASK, batch=vectors(5))
    with pytest.raises(InputError, match="there are none"):
        find_units(nn.Sequential(nn.BatchNorm1d(3)), task=TASK, batch=vectors(3))


def test_layers_are_chosen_by_kind_and_by_name() -> None:
    build, shape, _ = NETS["conv"]
    batch, model = vectors(*shape), built(build)
    chosen = {
        "all": ["0", "4"],
        "linear": ["4"],
        "conv": ["0"],
        "4": ["4"],
        ("4", "0"): ["0", "4"],  # always in the order in which they run
    }
    for layers, found in chosen.items():
        asked = list(layers) if isinstance(layers, tuple) else layers
        assert names(find_units(model, task=TASK, batch=batch, layers=asked)) == found


@pytest.mark.parametrize("layers", ["fc9", ["0", "fc9"], ["1"], [""]])
def test_unknown_layers_are_an_input_error_that_lists_the_known(layers) -> None:
    build, shape, _ = NETS["conv"]
    with pytest.raises(InputError, match=r"names among \['0', '4'\]"):
        find_units(built(build), task=TASK, batch=vectors(*shape), layers=layers)


# ---------------------------------------------------------------- guests leave no trace


def test_a_spectral_norm_in_training_does_not_go_on_with_its_iteration() -> None:
    batch = vectors(5)
    model = built(
        lambda: nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(5, 7)), nn.ReLU(), nn.Linear(7, CLASSES)
        )
    ).train()
    before = of_model(model)
    find_units(model, task=TASK, batch=batch)
    assert of_model(model) == before


@pytest.mark.parametrize("name", NETS)
def test_finding_units_leaves_the_model_as_it_was(name: str) -> None:
    build, shape, _ = NETS[name]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    model[0].train()
    before, modes, state = of_model(model), [m.training for m in model.modules()], torch.get_rng_state()
    first = find_units(model, task=TASK, batch=batch)
    assert of_model(model) == before
    assert [m.training for m in model.modules()] == modes
    assert hooks(model) == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert find_units(model, task=TASK, batch=batch) == first


def test_hooks_come_off_after_an_exception() -> None:
    build, shape, _ = NETS["relu"]
    batch, model = vectors(*shape), built(build)
    groups = find_units(model, task=TASK, batch=batch)
    for context in (
        lambda: gated(model, groups, random_factors(groups)),
        lambda: reading(model, groups, lambda group, output: None),
    ):
        with suppress(KeyboardInterrupt), context():
            assert hooks(model) == len(groups)
            raise KeyboardInterrupt
        assert hooks(model) == 0
    gone = UnitGroup("nowhere", "linear", 3, "nowhere", -1, (), ())
    with pytest.raises(AttributeError), gated(model, [*groups, gone], {}):
        pass
    assert hooks(model) == 0


def test_a_model_that_fails_midway_is_left_without_hooks_and_in_its_mode() -> None:
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(6, CLASSES)).train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        find_units(model, task=TASK, batch=vectors(5))
    assert hooks(model) == 0
    assert model.training


# ---------------------------------------------------------------- the decay law


def trained_like() -> tuple[nn.Module, list[UnitGroup], tuple[Tensor, Tensor]]:
    build, shape, _ = NETS["conv, batch norm"]
    batch = vectors(*shape)
    model = built(build, batch=batch)
    return model, find_units(model, task=TASK, batch=batch), batch


def test_decay_to_zero_is_baking() -> None:
    model, groups, _ = trained_like()
    twin = deepcopy(model)
    factors = random_factors(groups)
    decay(model, groups, factors, start=weights_of(model, groups), anchor=None)
    bake(twin, groups, factors)
    assert of_model(model) == of_model(twin)


def test_decay_to_an_anchor_is_the_closed_form() -> None:
    model, groups, _ = trained_like()
    start, anchor = weights_of(model, groups), fresh_anchor(model, groups, seed=7)
    untouched = {n: b.clone() for n, b in model.named_buffers()}
    factors = random_factors(groups)
    decay(model, groups, factors, start=start, anchor=anchor)
    owners = {part.parameter: g for g in groups for part in g.slices}
    assert owners.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        for unit, phi in enumerate(factors[owners[name].name].tolist()):
            a, theta = anchor[name][unit].double(), start[name][unit].double()
            torch.testing.assert_close(parameter[unit].double(), a + phi * (theta - a), atol=1e-6, rtol=0)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, untouched[name])


@pytest.mark.parametrize("anchored", [True, False])
def test_the_ends_of_decay_are_the_start_and_the_anchor(anchored: bool) -> None:
    model, groups, batch = trained_like()
    start = weights_of(model, groups)
    anchor = fresh_anchor(model, groups, seed=7) if anchored else None
    before = logits(model, batch)
    for phi in (1.0, 0.0):
        decay(model, groups, {g.name: torch.full((g.size,), phi) for g in groups}, start=start, anchor=anchor)
        for group in groups:
            for part in group.slices:
                found = model.get_parameter(part.parameter)
                moves = anchored or part in group.baked
                if phi == 1.0 or not moves:
                    # a + (theta - a) is theta up to one rounding of each of the two operations
                    torch.testing.assert_close(found, start[part.parameter], atol=1e-6, rtol=0)
                else:
                    assert torch.equal(found, anchor[part.parameter] if anchor else torch.zeros_like(found))
        if phi == 1.0:
            torch.testing.assert_close(logits(model, batch), before, atol=1e-5, rtol=0)


def test_decay_counts_from_the_start_of_the_bout() -> None:
    """Factors are absolute: what happened to the weights since the start does not matter."""
    model, groups, _ = trained_like()
    start, anchor, factors = weights_of(model, groups), fresh_anchor(model, groups, seed=7), random_factors(groups)
    decay(model, groups, factors, start=start, anchor=anchor)
    once = of_model(model)
    decay(model, groups, factors, start=start, anchor=anchor)
    assert of_model(model) == once


@given(t=st.floats(0.0, 20.0), tau=st.floats(0.05, 50.0))
@settings(max_examples=25)
def test_two_half_bouts_of_the_exponential_are_one(t: float, tau: float) -> None:
    model = built(linear_net(nn.ReLU()))
    groups = find_units(model, task=TASK, batch=vectors(5), layers=["0"])
    anchor = fresh_anchor(model, groups, seed=7)
    twin = deepcopy(model)
    whole, half = (Exponential().factor(time, torch.full((7,), tau, dtype=torch.float64)) for time in (t, t / 2))
    decay(model, groups, {"0": whole}, start=weights_of(model, groups), anchor=anchor)
    for _ in range(2):
        decay(twin, groups, {"0": half}, start=weights_of(twin, groups), anchor=anchor)
    for name, value in weights_of(model, groups).items():
        torch.testing.assert_close(weights_of(twin, groups)[name], value, atol=1e-6, rtol=0)


def test_two_half_bouts_of_a_power_law_are_not_one() -> None:
    """The control: only the exponential has no memory of its age."""
    tau = torch.ones(1, dtype=torch.float64)
    assert PowerLaw().factor(2.0, tau) > PowerLaw().factor(1.0, tau) ** 2 + 0.05


def test_steps_of_the_exponential_multiply_and_absolute_factors_do_not() -> None:
    tau = torch.tensor([5.0], dtype=torch.float64)
    steps = [Exponential().factor(t, tau) for t in range(1, 6)]
    torch.testing.assert_close(Exponential().factor(1, tau) ** 5, steps[-1])
    assert float(steps[-1]) == pytest.approx(0.3679, abs=1e-4)
    assert float(torch.stack(steps).prod()) == pytest.approx(0.0498, abs=1e-4)


def test_single_weights_are_every_trained_parameter_and_decay_one_by_one() -> None:
    model = built(linear_net(nn.ReLU()))
    model[0].bias.requires_grad_(False)
    groups = single_weights(model)
    assert names(groups) == ["0.weight", "2.weight", "2.bias", "4.weight", "4.bias"]
    assert [g.size for g in groups] == [35, 42, 6, 18, 3]
    start, factors = weights_of(model, groups), random_factors(groups)
    frozen = model[0].bias.clone()
    decay(model, groups, factors, start=start, anchor=None)
    for group in groups:
        phi = factors[group.name].float().reshape(start[group.name].shape)
        torch.testing.assert_close(model.get_parameter(group.name), phi * start[group.name])
    assert torch.equal(model[0].bias, frozen)


def test_single_weights_cannot_be_read_or_gated() -> None:
    batch, model = vectors(5), built(linear_net(nn.ReLU()))
    groups = single_weights(model)
    for attempt in (gated(model, groups, random_factors(groups)), reading(model, groups, lambda *_: None)):
        with pytest.raises(InputError, match="holds single weights"), attempt:
            logits(model, batch)
    assert hooks(model) == 0
    model.requires_grad_(False)
    with pytest.raises(InputError, match="all are frozen"):
        single_weights(model)


def test_different_factors_on_the_logits_do_change_predictions() -> None:
    batch, model = vectors(5, seed=4), built(linear_net(nn.GELU()))
    before = logits(model, batch).argmax(dim=1)
    output = find_units(model, task=TASK, batch=batch)[-1]
    bake(model, [output], {output.name: torch.tensor([1.0, 0.01, 0.3])})
    assert not torch.equal(logits(model, batch).argmax(dim=1), before)


# ---------------------------------------------------------------- the fresh anchor


def test_a_fresh_anchor_is_drawn_by_the_seed_alone() -> None:
    model, groups, _ = trained_like()
    state = torch.get_rng_state()
    first = fresh_anchor(model, groups, seed=1)
    torch.rand(3)
    again = fresh_anchor(model, groups, seed=1)
    other = fresh_anchor(model, groups, seed=2)
    torch.set_rng_state(state)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    torch.testing.assert_close(first["1.weight"], torch.ones(4))
    torch.testing.assert_close(first["1.bias"], torch.zeros(4))


def test_a_fresh_anchor_has_the_layers_own_initial_distribution() -> None:
    """U(-1/sqrt(fan in), 1/sqrt(fan in)) for both kinds of layer, whatever the weights have become."""
    model = nn.Sequential(nn.Conv2d(1, 300, 3), nn.Flatten(), nn.Linear(300, 100))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(9.0)
    conv = UnitGroup("0", "conv", 300, "0", 1, (), (Slice("0.weight", 0), Slice("0.bias", 0)))
    linear = UnitGroup("2", "linear", 100, "2", -1, (), (Slice("2.weight", 0), Slice("2.bias", 0)))
    anchor = fresh_anchor(model, [conv, linear], seed=0)
    for name, fan_in in (("0.weight", 9), ("0.bias", 9), ("2.weight", 300), ("2.bias", 300)):
        bound, draws = fan_in**-0.5, anchor[name].flatten()
        assert draws.abs().max() <= bound
        spread = bound / 3**0.5
        n = len(draws)
        assert abs(float(draws.mean())) < 5 * spread / n**0.5
        # the sd of a sample's sd is .45 sigma / sqrt(n) for a uniform draw
        assert float(draws.std()) == pytest.approx(spread, abs=5 * 0.45 * spread / n**0.5)
    assert bool((model[0].weight == 9.0).all())


def test_a_fresh_anchor_needs_a_way_to_draw_it() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

    group = UnitGroup("0", "linear", 3, "0", -1, (), (Slice("0.weight", 0),))
    with pytest.raises(InputError, match="reset_parameters"):
        fresh_anchor(nn.Sequential(Scaled()), [group], seed=0)


def test_frozen_layers_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    x, y = vectors(5)
    model = built(linear_net(nn.ReLU()))
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    groups = find_units(model, task=TASK, batch=(x, y))
    assert "0" not in {group.name for group in groups}
    assert "frozen" in caplog.text
