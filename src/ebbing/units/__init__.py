"""What can be decayed: find units, read their activity, gate them, bake the gate into weights, decay to an anchor.

A unit is a row of a linear layer, an output channel of a convolution, a head of an attention, a hidden unit of a transformer's
MLP, a component of a LoRA adapter, or a single weight: `ebbing.units.kinds` has a file for each kind that has an activity. Two
ways to weaken it:

- a **gate** multiplies its activity in the forward pass; **baking** writes the same into the weights, exactly, and
  the gate can go. Both are for the zero anchor. A single weight has no activity: it is baked without a gate.
- **decay** moves its weights toward an anchor: theta = A + phi * (theta_start - A).
"""

from ebbing.units.find import LAYERS, Layers, find_units, layers_in_order
from ebbing.units.group import FactorFunction, Factors, Slice, UnitGroup, by_slice, by_unit, gated, reading
from ebbing.units.kinds import KINDS, Kind
from ebbing.units.single import single_weights
from ebbing.units.weights import Weights, bake, decay, fresh_anchor, weights_of

__all__ = [
    "KINDS",
    "LAYERS",
    "FactorFunction",
    "Factors",
    "Kind",
    "Layers",
    "Slice",
    "UnitGroup",
    "Weights",
    "bake",
    "by_slice",
    "by_unit",
    "decay",
    "find_units",
    "fresh_anchor",
    "gated",
    "layers_in_order",
    "reading",
    "single_weights",
    "weights_of",
]
