"""The last layers of a model, and training them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run
from ebbing.units import LAYERS, UnitGroup, find_units, layers_in_order

STATISTICS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def last_layers(model: nn.Module, run: Run, *, count: int) -> list[UnitGroup]:
    """The layers that run last, `Linear` and convolutional ones counted; in the order they run.

    Raises:
        InputError: if the model has not as many, or one of them cannot be told apart as units, such as one whose weights are
            computed from others.
    """
    batch = run.to_try()
    names = layers_in_order(model, task=run.task, batch=batch)
    if len(names) < count:
        raise InputError(
            f"the last {count} layers are asked for, but the model has {len(names)}: {names}. Ask for fewer."
        )
    units = {unit.name: unit for unit in find_units(model, task=run.task, batch=batch, layers=LAYERS)}
    lost = [name for name in names[-count:] if name not in units]
    if lost:
        raise InputError(
            f"the last {count} layers {names[-count:]} must have weights of their own that are trained, and no normalisation "
            f"that undoes them, but {lost} have not. A warning says why."
        )
    return [units[name] for name in names[-count:]]


@contextmanager
def only(model: nn.Module, layers: list[UnitGroup]) -> Iterator[list[nn.Module]]:
    """Train some layers and the normalisations that belong to them, and nothing else; afterwards all is as it was before.

    Yields:
        The normalisations that are not trained, so that their running statistics can rest as well.
    """
    before = {p: p.requires_grad for p in model.parameters()}
    own = {id(model.get_parameter(part.parameter)) for layer in layers for part in layer.slices}
    try:
        for parameter, trainable in before.items():
            parameter.requires_grad_(trainable and id(parameter) in own)
        norms = [module for module in model.modules() if isinstance(module, STATISTICS)]
        yield [norm for norm in norms if not any(p.requires_grad for p in norm.parameters())]
    finally:
        for parameter, trainable in before.items():
            parameter.requires_grad_(trainable)
