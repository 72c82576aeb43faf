"""Figures of a model against retrained ones: pure functions of observations."""

from ebbing.measures.bands import Band, mean_interval, prediction_band, upper_band
from ebbing.measures.hidden import Hidden, hidden, hidden_left_out, kinship, telling_layers
from ebbing.measures.memory import Figures, Reference, bootstrap_memory, figures, left_out, matched_offset
from ebbing.measures.tug_of_war import share_removed, tug_of_war

__all__ = [
    "Band",
    "Figures",
    "Hidden",
    "Reference",
    "bootstrap_memory",
    "figures",
    "hidden",
    "hidden_left_out",
    "kinship",
    "left_out",
    "matched_offset",
    "mean_interval",
    "prediction_band",
    "share_removed",
    "telling_layers",
    "tug_of_war",
    "upper_band",
]
