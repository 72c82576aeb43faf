"""A unit group: which outputs and which weights belong to the units of a layer; reading and gating them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ebbing.errors import InputError


@dataclass(frozen=True)
class Slice:
    """A parameter that has one index per unit along an axis, or one element per unit where the axis is None."""

    parameter: str
    axis: int | None


@dataclass(frozen=True)
class UnitGroup:
    """The units of one layer, or the single weights of one parameter.

    Attributes:
        name: of the layer's module, or of the parameter.
        kind: "linear", "conv" or "weights".
        size: number of units n.
        site: name of the module whose output is read and gated, unit by unit; the layer itself, or a normalisation
            behind it that would undo a gate in front. None for single weights, which have no activity of their own.
        axis: of that output along which the units lie; 0 where there is none.
        baked: slices that a gate becomes: multiplying them by a factor is the gate.
        slices: every slice that belongs to a unit; these move toward an anchor.
    """

    name: str
    kind: str
    size: int
    site: str | None
    axis: int
    baked: tuple[Slice, ...]
    slices: tuple[Slice, ...]


Factors = Mapping[str, Tensor]
FactorFunction = Callable[[UnitGroup, Tensor], Tensor]


def along(factor: Tensor, like: Tensor, axis: int | None) -> Tensor:
    """A factor per unit in the shape that multiplies ``like`` along an axis, or element by element where it is None."""
    shape = list(like.shape)
    if axis is not None:
        shape = [1] * like.ndim
        shape[axis] = -1
    return factor.to(like.device, like.dtype).reshape(shape)


def _site(model: nn.Module, group: UnitGroup) -> nn.Module:
    """Where the activity of a group is."""
    if group.site is None:
        raise InputError(
            f"only units with an activity of their own can be read or gated, but {group.name!r} holds single weights. Take "
            "neurons or channels (`find_units`), or a ranking of weights."
        )
    return model.get_submodule(group.site)


@contextmanager
def gated(model: nn.Module, groups: Sequence[UnitGroup], factors: Factors | FactorFunction) -> Iterator[None]:
    """Multiply each unit's activity by its factor in every forward pass inside; the hooks always come off.

    Args:
        model: gated where it is.
        groups: units of it.
        factors: (n,) per group, in [0, 1], or a function of the group and its (examples, n, positions) activity that
            gives them anew at every pass.
    """
    with ExitStack() as stack:
        for group in groups:

            def hook(module: nn.Module, inputs: Any, output: Tensor, group: UnitGroup = group) -> Tensor:
                factor = factors(group, by_unit(output, group)) if callable(factors) else factors[group.name]
                return output * along(factor, output, group.axis)

            handle = _site(model, group).register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


@contextmanager
def reading(model: nn.Module, groups: Sequence[UnitGroup], read: Callable[[UnitGroup, Tensor], None]) -> Iterator[None]:
    """Call ``read(group, output)`` with what each group's site returns in every forward pass inside.

    The output is the very tensor that the model goes on with, so that a gradient can be taken by it; `by_unit` shows it
    as (examples, n, positions).
    """
    with ExitStack() as stack:
        for group in groups:

            def hook(module: nn.Module, inputs: Any, output: Tensor, group: UnitGroup = group) -> None:
                read(group, output)

            handle = _site(model, group).register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


def by_unit(output: Tensor, group: UnitGroup) -> Tensor:
    """(examples, n, positions) view of a module's output."""
    moved = output.movedim(group.axis, 1)
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
    return values.movedim(part.axis, 0).reshape(group.size, -1).sum(dim=1)
