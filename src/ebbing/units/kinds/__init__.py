"""Kinds of units, one file each."""

from collections.abc import Mapping

from ebbing.units.kinds.conv import Channels
from ebbing.units.kinds.heads import Heads
from ebbing.units.kinds.kind import Kind
from ebbing.units.kinds.linear import LinearRows
from ebbing.units.kinds.lora import LoraComponents
from ebbing.units.kinds.mlp import MlpUnits

# those that take whole blocks come first: the rows of the layers that they take are left to nobody
KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (LoraComponents(), Heads(), MlpUnits(), Channels(), LinearRows())
}

__all__ = ["KINDS", "Kind"]
