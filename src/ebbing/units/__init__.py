"""What can be decayed: find units, read their activity, gate them, bake the gate into weights, decay to an anchor.

A unit is a row of a `Linear` layer, an output channel of a convolution, or a single weight. Two ways to weaken it:

- a **gate** multiplies its activity in the forward pass; **baking** writes the same into the weights, exactly, and
  the gate can go. Both are for the zero anchor. A single weight has no activity: it is baked without a gate.
- **decay** moves its weights toward an anchor: theta = A + phi * (theta_start - A).
"""

from ebbing.units.find import find_units, layers_in_order
from ebbing.units.group import FactorFunction, Factors, Slice, UnitGroup, by_slice, by_unit, gated, reading
from ebbing.units.single import single_weights
from ebbing.units.weights import Weights, bake, decay, fresh_anchor, weights_of

__all__ = [
    "FactorFunction",
    "Factors",
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
