"""Weakening units for good: baking a gate into the weights, and decay toward an anchor."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from ebbing.training import seeded
from ebbing.units.group import Factors, UnitGroup, along
from ebbing.units.kinds import KINDS

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
                own = part.of(model.get_parameter(part.parameter), group.size)
                own.mul_(along(factors[group.name], own, part.axis, block=part.block))


def weights_of(model: nn.Module, groups: Sequence[UnitGroup]) -> Weights:
    """Copies of every parameter that belongs to units, by name."""
    names = {part.parameter for group in groups for part in group.slices}
    return {name: model.get_parameter(name).detach().clone() for name in sorted(names)}


def fresh_anchor(model: nn.Module, groups: Sequence[UnitGroup], *, seed: int) -> Weights:
    """A fresh initialisation of the units' parameters, as `ebbing.units.kinds.Kind.refresh` draws it for each kind.

    Raises:
        InputError: if a module with such parameters cannot be drawn anew.
    """
    twin = deepcopy(model)
    owners = {part.parameter.rpartition(".")[0]: group.kind for group in groups for part in group.slices}
    with seeded(seed):
        for owner, kind in sorted(owners.items()):
            KINDS.get(kind, KINDS["linear"]).refresh(twin, owner)
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
                theta = part.of(start[part.parameter], group.size)
                phi = along(factors[group.name], theta, part.axis, block=part.block)
                rest = (
                    torch.zeros_like(theta) if anchor is None else part.of(anchor[part.parameter], group.size).to(theta)
                )
                own = part.of(model.get_parameter(part.parameter), group.size)
                own.copy_(torch.lerp(rest, theta, phi))  # exact at 0 and 1
