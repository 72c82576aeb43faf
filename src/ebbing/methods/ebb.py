"""ebbing's own method: decay toward a re-initialisation, then repair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from ebbing.curves import Exponential, ForgettingCurve
from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.rates import FixedRate, Rate
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit
from ebbing.units import decay, find_units, fresh_anchor, weights_of


@dataclass(frozen=True)
class Ebb(Unlearner):
    """One bout of decay, baked, toward a fresh initialisation; then one-cycle repair on the retain set.

    theta <- A + phi(duration; tau) * (theta - A), A a fresh initialisation, tau by the kind of layer.

    Departures from the paper's `ForgettingNetwork`: the anchor is a fresh initialisation, not zero (decay to zero leaves
    dead units that learn slowly); decay changes weights, never only activity; convolutions decay too, more slowly; one
    bout of decay and one of learning, in this order, instead of turns, so that the result is a repaired model; the
    repair's learning rate follows one cycle with a high peak; the default rate is fixed for each kind of layer,
    as ranking units by activation was no better than chance where it was tried.

    Attributes:
        linear: decay times of fully connected layers.
        conv: decay times of convolutions.
        duration: how long the decay lasts, in unlearning epochs, >= 0.
        curve: what is left after a time.
        anchor: "fresh" (a re-initialisation drawn from the seed) or "zero".
        repair: training on the retain set afterwards.
        budget: share of one retraining's examples that the repair may process, > 0; it needs ``training``.
        training: the recipe that the original was trained by; on the command line it is filled in. None leaves the
            length of the repair to ``repair`` alone.
    """

    linear: Rate = field(default_factory=lambda: FixedRate(0.5))
    conv: Rate = field(default_factory=lambda: FixedRate(3.0))
    duration: float = 4.0
    curve: ForgettingCurve = field(default_factory=Exponential)
    anchor: Literal["fresh", "zero"] = "fresh"
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=64, learning_rate=1e-2, schedule="one-cycle"
        )
    )
    budget: float = 0.2
    training: Recipe | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 <= self.duration < float("inf"):
            raise InputError(f"`duration` must be finite and >= 0 unlearning epochs, but is {self.duration}.")
        if self.anchor not in ("fresh", "zero"):
            raise InputError(f"`anchor` must be 'fresh' or 'zero', but is {self.anchor!r}.")
        if not self.budget > 0:
            raise InputError(f"`budget` must be > 0, a share of one retraining, but is {self.budget}.")

    def repair_of(self, request: ForgetRequest) -> Recipe:
        """The repair of a request: as long as its own recipe says, within the budget where that is known."""
        if self.training is None:
            return self.repair
        n = len(request.retain)
        allowed = max(1, round(self.budget * self.training.examples(n)))
        return replace(self.repair, max_examples=min(self.repair.examples(n), allowed))

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the training on the retain set."""
        return self.repair_of(request).examples(len(request.retain))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Decay, then repair."""
        batch = run.a_batch()
        units = find_units(model, task=run.task, batch=batch)
        start = weights_of(model, units)
        anchor = fresh_anchor(model, units, seed=run.seed) if self.anchor == "fresh" else None
        for kind, rate in (("linear", self.linear), ("conv", self.conv)):
            group = [u for u in units if u.kind == kind]
            if group:
                scores = rate.ranking.scores(model, group, run.request, task=run.task, seed=run.seed)
                factors = {name: self.curve.factor(self.duration, tau) for name, tau in rate.tau(scores).items()}
                decay(model, group, factors, start=start, anchor=anchor)
        fit(
            model,
            run.request.retain,
            self.repair_of(run.request),
            task=run.task,
            generator=run.generator,
            journal=run.journal,
        )
        return model
