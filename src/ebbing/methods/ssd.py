"""Dampening of the weights that the forget set hangs on more than all data do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ebbing.law import DecayLaw
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.rankings import WeightImportance
from ebbing.rates import DampeningRate
from ebbing.request import ForgetRequest
from ebbing.units import single_weights


@dataclass(frozen=True)
class SSD(Unlearner):
    """Selective synaptic dampening: w <- min(lambda * I(D) / I(D_f), 1) * w for each weight with I(D_f) > alpha * I(D).

    I is the diagonal of the empirical Fisher information as the squares of batches' mean gradients, D the whole training set.
    Nothing is trained. It is the decay law on single weights; `WeightImportance` and `DampeningRate` hold the formulas.
    Source: Foster et al., arXiv 2308.07707, with batches of 128 in the public code.

    Attributes:
        selection: alpha >= 0.
        dampening: lambda > 0.
        batch_size: of the batches whose gradients are squared, >= 1.
        records: at most so many evenly spaced records of D are read, >= 1; None for all.
    """

    statistic: ClassVar[str] = "squared-loss-gradient"
    selection: float = 10.0
    dampening: float = 1.0
    batch_size: int = 128
    records: int | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        self._law()

    def _law(self) -> DecayLaw:
        ranking = WeightImportance(self.statistic, self.batch_size, self.records)  # type: ignore[arg-type]
        return DecayLaw(DampeningRate(ranking, self.selection, self.dampening))

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those whose gradients are taken."""
        return self._law().rate.ranking.reads(request)

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Dampen."""
        law = self._law()
        factors = law.apply(model, single_weights(model), run.request, task=run.task, seed=run.seed)
        run.journal.advance(law.rate.ranking.reads(run.request))
        touched = sum(int((phi < 1).sum()) for phi in factors.values())
        run.journal.note(f"{touched} of {sum(len(phi) for phi in factors.values())} weights are dampened.")
        return model
