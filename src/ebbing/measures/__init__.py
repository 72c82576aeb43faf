"""Figures of a model against retrained ones: pure functions of observations."""

from ebbing.measures.bands import Band, mean_interval, prediction_band
from ebbing.measures.memory import Figures, Reference, bootstrap_memory, figures, left_out
from ebbing.measures.tug_of_war import share_removed, tug_of_war

__all__ = [
    "Band",
    "Figures",
    "Reference",
    "bootstrap_memory",
    "figures",
    "left_out",
    "mean_interval",
    "prediction_band",
    "share_removed",
    "tug_of_war",
]
