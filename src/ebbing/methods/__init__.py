"""Unlearning methods, one file each; controls among them are marked as such."""

from ebbing.methods.do_nothing import DoNothing
from ebbing.methods.ebb import Ebb
from ebbing.methods.fine_tune import FineTune
from ebbing.methods.forgetting_network import ForgettingNetwork
from ebbing.methods.random_units import RandomUnits
from ebbing.methods.repair import Repairing
from ebbing.methods.retrain import Retrain, RetrainEqualCompute
from ebbing.methods.temperature import Temperature
from ebbing.methods.unlearner import Run, Unlearner

__all__ = [
    "DoNothing",
    "Ebb",
    "FineTune",
    "ForgettingNetwork",
    "RandomUnits",
    "Repairing",
    "Retrain",
    "RetrainEqualCompute",
    "Run",
    "Temperature",
    "Unlearner",
]
