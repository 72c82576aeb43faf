"""Deletion of the neurons that respond to the forget set most."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ebbing.errors import InputError
from ebbing.law import DecayLaw
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.rankings import ActivationRatio
from ebbing.rates import TopRate
from ebbing.request import ForgetRequest
from ebbing.units import find_units, layers_in_order


@dataclass(frozen=True)
class SelectivePruning(Unlearner):
    """Selective pruning: the neurons of the hidden layers with the highest activation ratio are set to zero.

    score = mean abs(a) on D_f / (mean abs(a) on D_r + 1e-5), over all layers together; nothing is trained. It is the decay law
    with tau = 0 on the top share; `ActivationRatio` reads activity where the gate acts, before the nonlinearity, the public
    code after it. Source: Pochinkov and Schoots, arXiv 2403.01267, for the MLPs and heads of transformers.

    Attributes:
        share: of the units, in [0, 1].
        layers: which may lose units, see `ebbing.units.find_units`; never the last layer, whose units are the classes.
    """

    share: float = 0.03
    layers: str | tuple[str, ...] = "all"

    def __post_init__(self) -> None:
        """Check the share."""
        self._law()

    def _law(self) -> DecayLaw:
        return DecayLaw(TopRate(ActivationRatio(), self.share, across=True))

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those whose activity is read."""
        return self._law().rate.ranking.reads(request)

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Delete."""
        batch = run.to_try()
        last = layers_in_order(model, task=run.task, batch=batch)[-1]
        units = [u for u in find_units(model, task=run.task, batch=batch, layers=self.layers) if u.name != last]
        if not units:
            raise InputError(
                f"selective pruning needs a hidden layer, but {last!r} is the only one. Name other `layers`."
            )
        law = self._law()
        factors = law.apply(model, units, run.request, task=run.task, seed=run.seed)
        run.journal.advance(law.rate.ranking.reads(run.request))
        run.journal.keep_factors(factors)
        return model
