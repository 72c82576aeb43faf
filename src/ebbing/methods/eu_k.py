"""Retraining of the last layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ebbing.law import DecayLaw
from ebbing.methods.cf_k import CFk
from ebbing.methods.last_layers import last_layers, only
from ebbing.methods.unlearner import Run
from ebbing.rates import FixedRate
from ebbing.units import fresh_anchor


@dataclass(frozen=True)
class EUk(CFk):
    """EU-k, exact unlearning of the last k layers: they are drawn anew and trained on D_r, all others are frozen.

    What the frozen layers remember stays. It is the decay law with tau = 0 on those layers and a fresh initialisation as the
    anchor. Source: Goel et al., arXiv 2201.06640.

    Attributes:
        layers: k, see `CFk`.
        repair: see `Repairing`.
        budget: likewise.
        training: likewise.
    """

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Reset the last layers, and train them."""
        units = last_layers(model, run, count=self.layers)
        anchor = fresh_anchor(model, units, seed=run.seed)
        law = DecayLaw(FixedRate(0.0))
        run.journal.keep_factors(law.apply(model, units, run.request, task=run.task, seed=run.seed, anchor=anchor))
        with only(model, units) as resting:
            return self.mend(model, run, resting=resting)
