"""The last layer of a model, alone: what several ways of sabotage change and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ebbing.errors import InputError
from ebbing.methods import Run
from ebbing.units import LAYERS, find_units


def last_layers(model: nn.Module, run: Run, *, count: int = 1) -> nn.ModuleList:
    """The last layers that run, drawn anew.

    Raises:
        InputError: if there are not as many, or one cannot be drawn anew.
    """
    names = [unit.name for unit in find_units(model, task=run.task, batch=run.a_batch(), layers=LAYERS)]
    if len(names) < count:
        raise InputError(f"{count} last layers are to be replaced, but the model has {len(names)} that can be.")
    layers = [model.get_submodule(name) for name in names[-count:]]
    for name, layer in zip(names[-count:], layers, strict=True):
        reset = getattr(layer, "reset_parameters", None)
        if reset is None:
            raise InputError(f"the layer {name!r} must have reset_parameters() to be replaced, but has none.")
        reset()
    return nn.ModuleList(layers)


@contextmanager
def only(model: nn.Module, part: nn.Module) -> Iterator[None]:
    """Train a part of a model and nothing else; what was trainable before is again afterwards."""
    before = {p: p.requires_grad for p in model.parameters()}
    own = set(part.parameters())
    try:
        for parameter in before:
            parameter.requires_grad_(parameter in own)
        yield
    finally:
        for parameter, trainable in before.items():
            parameter.requires_grad_(trainable)
