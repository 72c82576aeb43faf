"""Finding the layers of a model that can be decayed faithfully and effectively."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.task import Task, evaluation_mode
from ebbing.training import seeded
from ebbing.units.group import Slice, UnitGroup, gated
from ebbing.units.weights import bake

log = logging.getLogger(__name__)

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
# a factor on one side of these is the same factor on the other, unit by unit
TRANSPARENT = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Identity,
    nn.MaxPool2d,
    nn.AvgPool2d,
)


def find_units(model: nn.Module, *, task: Task, batch: Any, layers: str | Sequence[str] = "all") -> list[UnitGroup]:
    """The layers of a model that can be decayed faithfully and effectively, in the order they run.

    *Faithful*: the gated forward equals the baked one, checked by running both. *Effective*: the gate changes the
    output although a normalisation follows; where it does not, the gate moves to that normalisation's scale and shift.
    (One that follows further on may undo a factor that all units share, but not factors that differ from unit to unit.)
    Layers that fail either, run more than once, share a parameter with another module, or do not run at all are
    skipped with a warning.

    Args:
        model: left as it was.
        task: runs the model on ``batch``.
        batch: a few examples, at least 2 (for batch statistics).
        layers: "all", "linear", "conv", or names of modules.

    Raises:
        InputError: if a named layer does not exist or is of another kind, or if nothing can be decayed.
    """
    wanted = _wanted(model, layers)
    trace = _trace(model, task=task, batch=batch)
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    groups, skipped = [], {}
    for name in sorted(wanted, key=lambda n: trace.order.get(n, len(trace.order))):
        layer = model.get_submodule(name)
        if trace.calls.get(name, 0) != 1:
            skipped[name] = f"it runs {trace.calls.get(name, 0)} times in one forward pass"
        elif any(owners[id(p)] > 1 for p in layer.parameters(recurse=False)):
            skipped[name] = "it shares a parameter with another module"
        else:
            group = _usable(model, name, layer, trace, task=task, batch=batch)
            if isinstance(group, str):
                skipped[name] = group
            else:
                groups.append(group)
    for name, why in skipped.items():
        log.warning("layer %r is not decayed: %s.", name, why)
    if not groups:
        raise InputError(
            f"at least one layer must be fit for decay, but of {sorted(wanted) or 'no Linear or Conv layer'} none is: "
            f"{skipped or 'there are none'}. Name other layers."
        )
    return groups


def layers_in_order(model: nn.Module, *, task: Task, batch: Any) -> list[str]:
    """Names of the `Linear` and convolutional layers that run, whether they can be decayed or not, in the order they run.

    Args:
        model: left as it was.
        task: runs the model on ``batch``.
        batch: a few examples.
    """
    order: dict[str, None] = {}
    with ExitStack() as stack, evaluation_mode(model):
        for name, module in model.named_modules():
            if isinstance(module, LAYERS):
                handle = module.register_forward_hook(lambda *_, name=name: order.setdefault(name))
                stack.callback(handle.remove)
        task.forward(model, batch)
    return list(order)


def _wanted(model: nn.Module, layers: str | Sequence[str]) -> set[str]:
    """Names of the layers asked for."""
    have = {n: m for n, m in model.named_modules() if isinstance(m, LAYERS)}
    if layers == "all":
        return set(have)
    if layers in ("linear", "conv"):
        return {n for n, m in have.items() if isinstance(m, nn.Linear) == (layers == "linear")}
    names = [layers] if isinstance(layers, str) else list(layers)
    unknown = [n for n in names if n not in have]
    if unknown:
        raise InputError(
            f"`layers` must be 'all', 'linear', 'conv' or names among {sorted(have)}, but contains {unknown}."
        )
    return set(names)


@dataclass
class _Trace:
    """What one forward pass showed: how often modules ran, in which order, and who read whose output."""

    calls: dict[str, int]
    order: dict[str, int]
    readers: dict[str, list[str]]


def _trace(model: nn.Module, *, task: Task, batch: Any) -> _Trace:
    """Run a batch once and follow tensors from module to module by identity."""
    trace = _Trace({}, {}, {})
    made: dict[int, str] = {}
    alive = []  # an id is only unique while its tensor lives
    leaves = {n: m for n, m in model.named_modules() if not list(m.children())}

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            trace.calls[name] = trace.calls.get(name, 0) + 1
            trace.order.setdefault(name, len(trace.order))
            for value in inputs:
                if isinstance(value, Tensor) and id(value) in made:
                    trace.readers.setdefault(made[id(value)], []).append(name)
            if isinstance(output, Tensor):
                made[id(output)] = name
                alive.append(output)

        return hook

    with ExitStack() as stack, evaluation_mode(model):
        for name, module in leaves.items():
            handle = module.register_forward_hook(watch(name))
            stack.callback(handle.remove)
        task.forward(model, batch)
    return trace


def _usable(model: nn.Module, name: str, layer: nn.Module, trace: _Trace, *, task: Task, batch: Any) -> UnitGroup | str:
    """The group of a layer, gated where that is faithful and effective, or why there is none."""
    weight = layer.weight
    if not isinstance(weight, nn.Parameter):
        return "its weight is computed from other parameters"
    if any(not p.requires_grad for p in layer.parameters(recurse=False)):
        return "its parameters are frozen, so that no repair could reach them"
    own = [Slice(f"{name}.weight" if name else "weight", 0)]
    if layer.bias is not None:
        own.append(Slice(f"{name}.bias" if name else "bias", 0))
    kind = "linear" if isinstance(layer, nn.Linear) else "conv"
    axis = -1 if kind == "linear" else 1
    group = UnitGroup(name, kind, len(weight), name, axis, tuple(own), tuple(own))
    # one factor for all units is what a normalisation over them undoes; one further on leaves factors that differ alone
    one, differing = torch.full((group.size,), 0.25), torch.linspace(0.1, 0.9, group.size)
    norm = None
    if not _effective(model, group, one, task=task, batch=batch):
        norm = _norm_behind(model, name, trace)
        if norm is None and not _effective(model, group, differing, task=task, batch=batch):
            return "a normalisation that is no module right behind it undoes any factor on it"
    if norm is not None:
        scale = getattr(model.get_submodule(norm), "weight", None)
        if not isinstance(scale, Tensor) or scale.shape != (group.size,):
            return "a normalisation without a scale of its own for each unit undoes any factor on it"
        shift = getattr(model.get_submodule(norm), "bias", None)
        baked = [Slice(f"{norm}.weight", 0)] + ([Slice(f"{norm}.bias", 0)] if shift is not None else [])
        axis = -1 if isinstance(model.get_submodule(norm), nn.LayerNorm) else 1
        group = UnitGroup(name, kind, group.size, norm, axis, tuple(baked), (*own, *baked))
        if not _effective(model, group, differing, task=task, batch=batch):
            return "normalisation undoes any factor on it, also on its scale and shift"
    if not _faithful(model, group, task=task, batch=batch):
        return "a factor on its activity cannot be written into its weights exactly"
    return group


def _norm_behind(model: nn.Module, name: str, trace: _Trace) -> str | None:
    """The one normalisation that reads a layer, directly or through modules that pass a factor on."""
    while True:
        readers = trace.readers.get(name, [])
        if len(readers) != 1:
            return None
        name = readers[0]
        module = model.get_submodule(name)
        if isinstance(module, NORMS):
            return name
        if not isinstance(module, TRANSPARENT):
            return None


def _outputs(model: nn.Module, *, task: Task, batch: Any, training: bool) -> Tensor:
    """Logits on a batch, seeded, with buffers (running statistics) restored afterwards."""
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    with evaluation_mode(model), seeded(0):
        model.train(training)
        logits = task.forward(model, batch).logits
    with torch.no_grad():
        for n, b in model.named_buffers():
            b.copy_(buffers[n])
    return logits


def _far(a: Tensor, b: Tensor, *, tolerance: float) -> bool:
    """Whether two outputs differ by more than a share of their spread."""
    scale = float(a.abs().max()) + 1e-12
    return bool((a - b).abs().max() > tolerance * scale)


def _effective(model: nn.Module, group: UnitGroup, factor: Tensor, *, task: Task, batch: Any) -> bool:
    """Whether factors (n,) on the units of a group change the outputs when batch statistics are taken anew."""
    before = _outputs(model, task=task, batch=batch, training=True)
    with gated(model, [group], {group.name: factor}):
        after = _outputs(model, task=task, batch=batch, training=True)
    return _far(before, after, tolerance=1e-2)


def _faithful(model: nn.Module, group: UnitGroup, *, task: Task, batch: Any) -> bool:
    """Whether baking gives the outputs of the gate, for factors that differ from unit to unit."""
    factors = {group.name: torch.linspace(0.1, 0.9, group.size)}
    with gated(model, [group], factors):
        wanted = _outputs(model, task=task, batch=batch, training=False)
    twin = deepcopy(model)
    bake(twin, [group], factors)
    return not _far(wanted, _outputs(twin, task=task, batch=batch, training=False), tolerance=1e-4)
