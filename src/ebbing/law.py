"""The decay law: the one formula that a whole family of unlearning methods follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from ebbing.curves import Exponential, ForgettingCurve
from ebbing.errors import InputError
from ebbing.rates import FixedRate, Rate, Scores
from ebbing.request import ForgetRequest
from ebbing.task import Task
from ebbing.units import UnitGroup, decay, weights_of


@dataclass(frozen=True)
class DecayLaw:
    """theta_u <- A_u + phi(duration; tau_u) * (theta_u - A_u) for every unit u, at once and for good.

    Five things are chosen: the units (neurons, channels or single weights, see `ebbing.units`), the anchor A (zero, a fresh
    initialisation, an earlier checkpoint), the curve phi, the rate that gives tau, and the ranking that the rate goes by.
    Members of the family, each exact to floating point:

    - selective synaptic dampening: single weights, zero, exponential, `DampeningRate`, `WeightImportance`; its form without
      a loss has the other statistic;
    - selective pruning: neurons of the hidden layers, zero, `TopRate`, `ActivationRatio`;
    - the reset of EU-k: all units of the last k layers, a fresh initialisation, `FixedRate` of 0;
    - temperature: the output layer, zero, any `FixedRate`.

    Attributes:
        rate: decay times, by the scores of its ranking.
        curve: what is left after a time.
        duration: how long the decay lasts, in unlearning epochs, finite and >= 0.
    """

    rate: Rate = field(default_factory=FixedRate)
    curve: ForgettingCurve = field(default_factory=Exponential)
    duration: float = 1.0

    def __post_init__(self) -> None:
        """Check the duration."""
        if not 0 <= self.duration < float("inf"):
            raise InputError(f"`duration` must be finite and >= 0 unlearning epochs, but is {self.duration}.")

    def apply(
        self,
        model: nn.Module,
        units: Sequence[UnitGroup],
        request: ForgetRequest,
        *,
        task: Task,
        seed: int,
        anchor: Mapping[str, Tensor] | None = None,
        scores: Scores | None = None,
    ) -> dict[str, Tensor]:
        """Decay the units of a model in place.

        Args:
            model: changed where it is.
            units: of the model.
            request: what the ranking reads.
            task: runs the model for the ranking.
            seed: of a ranking that draws.
            anchor: A by parameter name, such as `ebbing.units.fresh_anchor` or the weights of an earlier checkpoint; None
                for zero.
            scores: (n,) of the rate's ranking by group name, where they are known; None to have the ranking read.

        Returns:
            (n,) the factors phi by group name.
        """
        if scores is None:
            scores = self.rate.ranking.scores(model, units, request, task=task, seed=seed)
        factors = {name: self.curve.factor(self.duration, tau) for name, tau in self.rate.tau(scores).items()}
        rest = None if anchor is None else dict(anchor)
        decay(model, units, factors, start=weights_of(model, units), anchor=rest)
        return factors
