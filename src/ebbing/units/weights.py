"""Weakening units for good: baking a gate into the weights, and decay toward an anchor."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.training import seeded
from ebbing.units.group import Factors, UnitGroup, along

Weights = dict[str, Tensor]


def bake(model: nn.Module, groups: Sequence[UnitGroup], factors: Factors) -> None:
    """Write a gate into the weights in place: the forward pass then equals the gated one.

    Args:
        model: changed where it is.
        groups: units of it.
        factors: (n,) per group, in [0, 1].
    """
    with torch.no_grad():
        for group in groups:
            for part in group.baked:
                parameter = model.get_parameter(part.parameter)
                parameter.mul_(along(factors[group.name], parameter, part.axis))


def weights_of(model: nn.Module, groups: Sequence[UnitGroup]) -> Weights:
    """Copies of every parameter that belongs to units, by name."""
    names = {part.parameter for group in groups for part in group.slices}
    return {name: model.get_parameter(name).detach().clone() for name in sorted(names)}


def fresh_anchor(model: nn.Module, groups: Sequence[UnitGroup], *, seed: int) -> Weights:
    """A fresh initialisation of the units' parameters, as each layer's own ``reset_parameters`` draws it.

    Raises:
        InputError: if a module with such parameters has no ``reset_parameters``.
    """
    twin = deepcopy(model)
    owners = {part.parameter.rpartition(".")[0] for group in groups for part in group.slices}
    with seeded(seed):
        for owner in sorted(owners):
            module = twin.get_submodule(owner)
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                raise InputError(
                    f"the anchor 'fresh' needs {owner!r} ({type(module).__name__}) to have reset_parameters(), but it has "
                    "none. Give it one, leave it out of `layers`, or use the anchor 'zero'."
                )
            reset()
    return weights_of(twin, groups)


def decay(
    model: nn.Module, groups: Sequence[UnitGroup], factors: Factors, *, start: Weights, anchor: Weights | None
) -> None:
    """Set the units to theta = A + phi * (theta_start - A), in place.

    Args:
        model: changed where it is.
        groups: units of it.
        factors: phi, (n,) per group, in [0, 1], absolute from the start of the bout.
        start: `weights_of` the model at the start of the bout.
        anchor: A by parameter name; None for zero, which is baking (only the baked slices move, so that the result is
            the gate's).
    """
    with torch.no_grad():
        for group in groups:
            for part in group.slices if anchor is not None else group.baked:
                theta = start[part.parameter]
                phi = along(factors[group.name], theta, part.axis)
                rest = torch.zeros_like(theta) if anchor is None else anchor[part.parameter].to(theta)
                model.get_parameter(part.parameter).copy_(torch.lerp(rest, theta, phi))  # exact at 0 and 1
