"""Forgetting curves phi(t; tau): what is left of a unit after a time."""

from ebbing.curves.curve import ForgettingCurve
from ebbing.curves.exponential import Exponential
from ebbing.curves.power_law import PowerLaw
from ebbing.curves.step import Step

__all__ = ["Exponential", "ForgettingCurve", "PowerLaw", "Step"]
