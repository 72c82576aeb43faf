"""The measures that stand in a report, each beside its floor: `Battery` takes them by level."""

from ebbing.battery.battery import LEVELS, Battery, Level
from ebbing.battery.cost import Cost, cost_of
from ebbing.battery.deployed import Copies, copies_of
from ebbing.battery.measurement import FEWEST_RETRAINED, Measurement
from ebbing.battery.planted import Planted, planted_in

__all__ = [
    "FEWEST_RETRAINED",
    "LEVELS",
    "Battery",
    "Copies",
    "Cost",
    "Level",
    "Measurement",
    "Planted",
    "copies_of",
    "cost_of",
    "planted_in",
]
