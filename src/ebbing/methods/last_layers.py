"""The last layers of a model, and training them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run
from ebbing.units import UnitGroup, find_units


def last_layers(model: nn.Module, run: Run, *, count: int) -> list[UnitGroup]:
    """The layers that run last, `Linear` and convolutional ones counted; in the order they run.

    Raises:
        InputError: if the model has not as many.
    """
    units = find_units(model, task=run.task, batch=run.a_batch())
    if len(units) < count:
        raise InputError(
            f"the last {count} layers are asked for, but the model has {len(units)} that can be told apart: "
            f"{[u.name for u in units]}. Ask for fewer."
        )
    return units[-count:]


@contextmanager
def only(model: nn.Module, layers: list[UnitGroup]) -> Iterator[list[nn.Module]]:
    """Train some layers and the normalisations that belong to them, and nothing else; afterwards all is as it was before.

    Yields:
        The modules all of whose parameters are at rest, so that their running statistics can rest as well.
    """
    before = {p: p.requires_grad for p in model.parameters()}
    own = {id(model.get_parameter(part.parameter)) for layer in layers for part in layer.slices}
    try:
        for parameter, trainable in before.items():
            parameter.requires_grad_(trainable and id(parameter) in own)
        yield [m for m in model.modules() if not any(p.requires_grad for p in m.parameters())]
    finally:
        for parameter, trainable in before.items():
            parameter.requires_grad_(trainable)
