"""A unit group: which activity and which weights belong to the units of a layer or a block; reading and gating them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.units.passing import passing


@dataclass(frozen=True)
class Slice:
    """A parameter in which each unit owns a block of consecutive indices along an axis, or one element of all.

    Unit u owns the indices from ``start + u * block`` to ``start + (u + 1) * block``, without the last.

    Attributes:
        parameter: its name.
        axis: along which units lie; None where each element is a unit of its own.
        start: index at which the first unit begins.
        block: indices of a unit.
    """

    parameter: str
    axis: int | None
    start: int = 0
    block: int = 1

    def of(self, tensor: Tensor, units: int) -> Tensor:
        """The part of a tensor, in the shape of the parameter, that belongs to so many units: a view."""
        return tensor if self.axis is None else tensor.narrow(self.axis, self.start, units * self.block)


@dataclass(frozen=True)
class UnitGroup:
    """The units of one layer or block, or the single weights of one parameter.

    Attributes:
        name: of the layer's module, of the module of a block and the kind (``encoder.0:mlp``), or of the parameter.
        kind: one of `ebbing.units.kinds`, or "weights".
        size: number of units n.
        site: name of the module where activity is read and gated, unit by unit: the layer itself, a normalisation behind it
            that would undo a gate in front, or the projection that reads a block's units. None for single weights, which have
            no activity of their own.
        axis: of that activity along which the units lie; 0 where there is none.
        baked: slices that a gate becomes: multiplying them by a factor is the gate.
        slices: every slice that belongs to a unit; these move toward an anchor.
        where: whether the activity is what the site returns or what it is given.
        block: consecutive features of the activity that a unit owns.
        runs: names of the modules that must run exactly once in a forward pass; the first counts for the order of groups.
        claims: names of the modules that are spoken for by this group: no other group may take their rows.
        unfit: why they cannot be decayed, where their structure alone says so; "" elsewhere.
    """

    name: str
    kind: str
    size: int
    site: str | None
    axis: int
    baked: tuple[Slice, ...]
    slices: tuple[Slice, ...]
    where: Literal["output", "input"] = "output"
    block: int = 1
    runs: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    unfit: str = ""


Factors = Mapping[str, Tensor]
FactorFunction = Callable[[UnitGroup, Tensor], Tensor]


def along(factor: Tensor, like: Tensor, axis: int | None, *, block: int = 1) -> Tensor:
    """A factor per unit in the shape that multiplies ``like`` along an axis, or element by element where it is None."""
    shape = list(like.shape)
    if axis is not None:
        shape = [1] * like.ndim
        shape[axis] = -1
    spread = factor if block == 1 else factor.repeat_interleave(block)
    return spread.to(like.device, like.dtype).reshape(shape)


@contextmanager
def gated(model: nn.Module, groups: Sequence[UnitGroup], factors: Factors | FactorFunction) -> Iterator[None]:
    """Multiply each unit's activity by its factor in every forward pass inside; the hooks always come off.

    Args:
        model: gated where it is.
        groups: units of it.
        factors: (n,) per group, in [0, 1], or a function of the group and its (examples, n, positions) activity that
            gives them anew at every pass.
    """

    def gate(group: UnitGroup, activity: Tensor) -> Tensor:
        factor = factors(group, by_unit(activity, group)) if callable(factors) else factors[group.name]
        return activity * along(factor, activity, group.axis, block=group.block)

    with passing(model, [(*_site(group), _bound(gate, group)) for group in groups]):
        yield


@contextmanager
def reading(model: nn.Module, groups: Sequence[UnitGroup], read: Callable[[UnitGroup, Tensor], None]) -> Iterator[None]:
    """Call ``read(group, activity)`` with what passes each group's site in every forward pass inside.

    The activity is the very tensor that the model goes on with, so that a gradient can be taken by it; `by_unit` shows it
    as (examples, n, positions).
    """

    def look(group: UnitGroup, activity: Tensor) -> Tensor:
        read(group, activity)
        return activity

    with passing(model, [(*_site(group), _bound(look, group)) for group in groups]):
        yield


def _bound(change: Callable[[UnitGroup, Tensor], Tensor], group: UnitGroup) -> Callable[[Tensor], Tensor]:
    """A change of one group's activity."""
    return lambda activity: change(group, activity)


def _site(group: UnitGroup) -> tuple[str, Literal["output", "input"]]:
    """Where the activity of a group is."""
    if group.site is None:
        raise InputError(
            f"only units with an activity of their own can be read or gated, but {group.name!r} holds single weights. Take "
            "neurons or channels (`find_units`), or a ranking of weights."
        )
    return group.site, group.where


def by_unit(activity: Tensor, group: UnitGroup) -> Tensor:
    """(examples, n, positions) view of what passes a site; a unit of several features has them one after the other."""
    moved = activity.movedim(group.axis, 1)
    return moved.reshape(moved.shape[0], group.size, -1)


def by_slice(values: Tensor, part: Slice, group: UnitGroup) -> Tensor:
    """(n,) sums of a value per weight over the weights of each unit in a slice.

    Args:
        values: in the shape of the parameter.
        part: a slice of the group.
        group: whose units they are.
    """
    if part.axis is None:
        return values.reshape(group.size)
    return part.of(values, group.size).movedim(part.axis, 0).reshape(group.size, -1).sum(dim=1)
