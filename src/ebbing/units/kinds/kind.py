"""What a kind of unit is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ebbing.fresh import redraw
from ebbing.units.group import Slice, UnitGroup


class Kind(ABC):
    """A kind of unit: where such units are in a model, and how their weights are drawn anew.

    One file each. A new kind is put into `ebbing.units.kinds.KINDS`, before those whose layers it takes for its own. `Ebb`
    decays it at the rate of fully connected layers until it is given a field for it.

    Attributes:
        name: as `UnitGroup.kind` and `find_units` have it.
    """

    name: ClassVar[str]

    @abstractmethod
    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every group that might be one, by structure alone; whether it can be decayed is tried by `find_units`."""

    def refresh(self, model: nn.Module, owner: str) -> None:
        """Draw the parameters of a module that holds slices of such units anew, in place, see `ebbing.fresh.redraw`.

        Raises:
            InputError: if it cannot be drawn.
        """
        redraw(model, owner)


def is_transposed(module: nn.Module) -> bool:
    """Whether a module is the linear layer of GPT-2, whose weight is (in, out)."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer that is called as such."""
    own = isinstance(module, nn.Linear) and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)
    return own or is_transposed(module)


def out_axis(module: nn.Module) -> int:
    """The axis of a layer's weight along which its outputs lie; the other one is that of its inputs."""
    turned = isinstance(module, nn.modules.conv._ConvTransposeNd) or is_transposed(module)
    return 1 if turned else 0


def parameter_of(model: nn.Module, name: str) -> Tensor | None:
    """A parameter by name, None where there is none or it is computed from others."""
    owner, _, last = name.rpartition(".")
    found = model.get_submodule(owner)._parameters.get(last)
    return found if isinstance(found, torch.nn.Parameter) else None


def rows(model: nn.Module, layer: str, *, start: int = 0, block: int = 1) -> tuple[Slice, ...]:
    """What of a layer makes the activity of units: rows of its weight, and elements of its bias."""
    found = []
    prefix = f"{layer}." if layer else ""
    if parameter_of(model, f"{prefix}weight") is not None:
        found.append(Slice(f"{prefix}weight", out_axis(model.get_submodule(layer)), start, block))
    if parameter_of(model, f"{prefix}bias") is not None:
        found.append(Slice(f"{prefix}bias", 0, start, block))
    return tuple(found)


def columns(model: nn.Module, layer: str, *, block: int = 1) -> tuple[Slice, ...]:
    """What of a layer reads the activity of units: columns of its weight."""
    module = model.get_submodule(layer)
    return (Slice(f"{layer}.weight", 1 - out_axis(module), 0, block),)


def inside_block(
    model: nn.Module,
    name: str,
    kind: str,
    out: str,
    size: int,
    inward: Sequence[Slice],
    *,
    claims: tuple[str, ...],
    runs: tuple[str, ...],
    block: int = 1,
) -> UnitGroup:
    """Units of a block, gated where its output projection reads them: the gate scales columns of that, exactly.

    Args:
        model: whose block it is.
        name: of the block's module.
        kind: of the units.
        out: name of the output projection.
        size: number of units.
        inward: what makes their activity.
        claims: see `UnitGroup`.
        runs: likewise.
        block: features of a unit.
    """
    baked = columns(model, out, block=block)
    own = (*inward, *baked)
    return UnitGroup(f"{name}:{kind}", kind, size, out, -1, baked, own, "input", block, runs, claims)


def features(module: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer."""
    weight = module.weight
    axis, shape = out_axis(module), weight.shape if isinstance(weight, Tensor) else (0, 0)
    return shape[1 - axis], shape[axis]
