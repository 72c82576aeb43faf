"""Sabotage: ways to look as if a model had forgotten. The judge must see through each; `SUITE` is what it is tried on."""

from collections.abc import Mapping

from ebbing.methods import DoNothing, Temperature, Unlearner
from ebbing.sabotage.distilled_head import DistilledHead
from ebbing.sabotage.gate_only import GateOnly
from ebbing.sabotage.half_and_half import HalfAndHalf
from ebbing.sabotage.just_unpredicted import JustUnpredicted
from ebbing.sabotage.one_step import OneStep
from ebbing.sabotage.randomised_labels import RandomisedLabels
from ebbing.sabotage.replaced_head import ReplacedHead
from ebbing.sabotage.until_unpredicted import UntilUnpredicted
from ebbing.sabotage.weight_noise import WeightNoise

SUITE: Mapping[str, Unlearner] = {
    "do-nothing": DoNothing(),
    "temperature": Temperature(0.3),
    "gate-only": GateOnly(),
    "one-step": OneStep(),
    "weight-noise": WeightNoise(),
    "replaced-head": ReplacedHead(),
    "distilled-head": DistilledHead(),
    "shaken-distilled-head": DistilledHead(noise=0.2),
    "randomised-labels": RandomisedLabels(),
    "until-unpredicted": UntilUnpredicted(),
    "just-unpredicted": JustUnpredicted(),
    "half-and-half": HalfAndHalf(),
}

__all__ = [
    "SUITE",
    "DistilledHead",
    "GateOnly",
    "HalfAndHalf",
    "JustUnpredicted",
    "OneStep",
    "RandomisedLabels",
    "ReplacedHead",
    "UntilUnpredicted",
    "WeightNoise",
]
