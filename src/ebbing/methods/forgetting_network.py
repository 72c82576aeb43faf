"""The paper's method: learning and unlearning bouts alternate, and neurons forget at their own rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ebbing.curves import Exponential, ForgettingCurve
from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.methods.validation import loss_auc
from ebbing.rankings import Activation
from ebbing.rates import FixedRate, LinearRate, RankedRate, Rate
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit
from ebbing.units import UnitGroup, bake, find_units, gated

Trains = Literal["nothing", "forget", "retain", "all"]
PARTS: Mapping[str, Literal["forget", "retain", "everything"]] = {
    "forget": "forget",
    "retain": "retain",
    "all": "everything",
}


@dataclass(frozen=True)
class ForgettingNetwork(Unlearner):
    """Forgetting Neural Networks: turns of a learning bout and an unlearning bout. Source: arXiv 2410.22374.

    In the unlearning bout each neuron of the fully connected layers has a factor phi(t; tau_i), t = 1, 2, ... the epoch
    of the bout. With ``permanent`` the factors end up in the weights (theta = phi(T) * theta at the start of the bout);
    without, they only act while the bout lasts and the weights are as if nothing had been gated, which erases nothing.

    The paper leaves open what, if anything, is trained in the unlearning bout; ``unlearning_trains`` says it here.
    Failures that are met are named in the journal: over-forgetting, under-forgetting, oscillation; see `name_failures`.

    Presets: ``paper`` (VFR by activation, turns until the attack on validation data is within .1 of .5), ``ffr`` (tau = 2
    for all neurons), ``published-code`` (the first author's public code: gates that are never baked, tau_i = rank of the
    batch's mean pre-activation taken anew in every batch, both bouts on the whole training set with its labels, e epochs
    in "iteration" e, Adam at 0.01; its network is `ebbing.models.authors_cnn`). Two things of that code are left out: dropout
    rates that drift, of layers made anew in every pass, so that they act in evaluation too; and one Adam through all bouts,
    where here each training starts with a fresh one.

    Attributes:
        rate: decay times; by default VFR, ranks by activation over the whole forget set.
        curve: what is left after a time.
        layers: see `ebbing.units.find_units`.
        turns: at most, >= 1.
        learning: the learning bout.
        learning_trains: what it trains on, "retain" or "all".
        unlearning_epochs: length of the unlearning bout T, >= 1.
        unlearning_trains: what is trained meanwhile with the factors acting: "nothing", "forget", "retain", "all".
        permanent: whether factors are baked.
        rank_in_batch: whether scores are each batch's own mean pre-activations, in place of those of ``rate.ranking``.
        nested: whether iteration e of a bout trains e epochs.
        stop_within: stop after a turn when abs(AUC - .5) of the loss between forget set and matched validation examples is
            at most this; None runs all turns.
    """

    rate: Rate = field(default_factory=RankedRate)
    curve: ForgettingCurve = field(default_factory=Exponential)
    layers: str | tuple[str, ...] = "linear"
    turns: int = 5
    learning: Recipe = field(default_factory=lambda: Recipe(epochs=2))
    learning_trains: Trains = "retain"
    unlearning_epochs: int = 4
    unlearning_trains: Trains = "nothing"
    permanent: bool = True
    rank_in_batch: bool = False
    nested: bool = False
    stop_within: float | None = None

    presets: ClassVar[Mapping[str, ForgettingNetwork]]

    def __post_init__(self) -> None:
        """Check the settings."""
        problems = [
            f"{name} must be at least 1, but is {getattr(self, name)}"
            for name in ("turns", "unlearning_epochs")
            if getattr(self, name) < 1
        ]
        if self.learning_trains not in ("retain", "all"):
            problems.append(f"learning_trains must be 'retain' or 'all', but is {self.learning_trains!r}")
        if self.unlearning_trains not in ("nothing", "forget", "retain", "all"):
            problems.append(
                f"unlearning_trains must be 'nothing', 'forget', 'retain' or 'all', but is {self.unlearning_trains!r}"
            )
        if self.stop_within is not None and not 0 <= self.stop_within <= 0.5:
            problems.append(f"stop_within must lie in [0, .5] or be None, but is {self.stop_within}")
        if self.rank_in_batch and self.permanent:
            problems.append("permanent must be False with rank_in_batch, as its factors differ from batch to batch")
        if self.rank_in_batch and not isinstance(self.rate, FixedRate) and self.rate.ranking != Activation():
            problems.append(
                f"rate.ranking must be {Activation()} with rank_in_batch, which ranks by that alone, but is "
                f"{self.rate.ranking}; set rank_in_batch=False to rank once before each bout"
            )
        if problems:
            raise InputError("forgetting network: " + "; ".join(problems) + ".")

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of all turns' training; a stop rule may end earlier."""
        learning = self._epochs(self.learning.epochs) * self._records(self.learning_trains, request)
        return round(self.turns * (learning + self._unlearning_examples(request)))

    def within(self, allowed: int, request: ForgetRequest) -> ForgettingNetwork | None:
        """The method with learning bouts as long as so many examples allow, ranking and training in unlearning bouts included.

        What is read to record the turns is not counted. None where nothing is left for learning.
        """
        ranked = 0 if self.rank_in_batch else self.turns * self.rate.ranking.reads(request)
        left = allowed - ranked - self.turns * self._unlearning_examples(request)
        epochs = left / self.turns / self._records(self.learning_trains, request)
        if round(epochs * self._records(self.learning_trains, request)) < 1:
            return None
        if self.nested:  # e (e + 1) / 2 of them are trained
            epochs = math.sqrt(2 * epochs + 0.25) - 0.5
        return replace(self, learning=replace(self.learning, epochs=epochs))

    def _unlearning_examples(self, request: ForgetRequest) -> float:
        """Those that an unlearning bout trains on."""
        return self._epochs(self.unlearning_epochs) * self._records(self.unlearning_trains, request)

    def _epochs(self, of_a_bout: float) -> float:
        """Epochs that a bout trains."""
        return of_a_bout * (of_a_bout + 1) / 2 if self.nested else of_a_bout

    @staticmethod
    def _records(trains: Trains, request: ForgetRequest) -> int:
        """How many records an epoch visits."""
        sizes = {"nothing": 0, "forget": len(request.forget), "retain": len(request.retain)}
        return sizes["forget"] + sizes["retain"] if trains == "all" else sizes[trains]

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Alternate the bouts."""
        if self.stop_within is not None and run.request.validation_matched is None:
            raise InputError(
                "a stop rule needs `validation` examples drawn as the forget set was, but the request has none. Pass "
                "`validation`, or set stop_within=None for a fixed number of turns."
            )
        batch = run.to_try()
        units = find_units(model, task=run.task, batch=batch, layers=self.layers)
        before = run.accuracy(model, run.request.retain)
        for turn in range(1, self.turns + 1):
            self._learn(model, run)
            self._record(model, run, turn=turn, bout="learning", epoch=0)
            self._unlearn(model, units, run, turn=turn)
            auc = run.journal.history[-1]["validation_auc"]
            if self.stop_within is not None and abs(auc - 0.5) <= self.stop_within:
                break
        for failure in name_failures(run.journal.history, retain_before=before):
            run.journal.note(failure)
        return model

    def _learn(self, model: nn.Module, run: Run) -> None:
        """One learning bout."""
        self._train(model, self.learning_trains, self._epochs(self.learning.epochs), run)

    def _train(self, model: nn.Module, on: Trains, epochs: float, run: Run) -> None:
        data = run.request.for_training(PARTS[on])
        recipe = replace(self.learning, epochs=epochs)
        fit(model, data, recipe, task=run.task, generator=run.generator, journal=run.journal)

    def _unlearn(self, model: nn.Module, units: list[UnitGroup], run: Run, *, turn: int) -> None:
        """One unlearning bout: the factors act, something may be trained meanwhile, and they are baked or dropped."""
        taus: dict[str, Tensor] = {}
        if not self.rank_in_batch:
            scores = self.rate.ranking.scores(model, units, run.request, task=run.task, seed=run.seed + turn)
            run.journal.advance(self.rate.ranking.reads(run.request))
            taus = self.rate.tau(scores)
            run.journal.keep_factors({n: self.curve.factor(self.unlearning_epochs, tau) for n, tau in taus.items()})

        def factors_at(t: int) -> Any:
            if self.rank_in_batch:
                return self._ranked_by_batch(t)
            return {name: self.curve.factor(t, tau) for name, tau in taus.items()}

        for t in range(1, self.unlearning_epochs + 1):
            with gated(model, units, factors_at(t)):
                if self.unlearning_trains != "nothing":
                    self._train(model, self.unlearning_trains, t if self.nested else 1, run)
                self._record(model, run, turn=turn, bout="unlearning", epoch=t)
        if self.permanent:
            bake(model, units, factors_at(self.unlearning_epochs))
        else:  # what is stopped and judged by is the model that is left, without its gates
            self._record(model, run, turn=turn, bout="gates off", epoch=0)

    def _ranked_by_batch(self, t: int) -> Callable[[UnitGroup, Tensor], Tensor]:
        """Factors whose ranks are taken from the mean pre-activations of the batch that passes."""

        def factors(group: UnitGroup, activity: Tensor) -> Tensor:
            scores = activity.detach().mean(dim=(0, 2))
            return self.curve.factor(t, self.rate.tau({group.name: scores})[group.name])

        return factors

    def _record(self, model: nn.Module, run: Run, *, turn: int, bout: str, epoch: int) -> None:
        """Accuracies, and the AUC of the loss between the forget set and matched validation examples."""
        request = run.request
        unseen = request.validation_matched
        run.journal.history.append(
            {
                "turn": turn,
                "bout": bout,
                "epoch": epoch,
                "accuracy": {
                    "forget": run.accuracy(model, request.forget),
                    "retain": run.accuracy(model, request.retain),
                },
                "validation_auc": None if unseen is None else loss_auc(model, run, unseen),
            }
        )


OVER_FORGETTING = 0.1
UNDER_FORGETTING = 0.6
SWING = 0.05


def name_failures(history: list[dict[str, Any]], *, retain_before: float) -> list[str]:
    """The failures that the paper names, recognised in the history of turns.

    - *over-forgetting*: retain accuracy ends more than .1 below where it began.
    - *under-forgetting*: the AUC on validation data ends above .6.
    - *oscillation*: over the last four turns retain accuracy, or the AUC, goes up and down in turn, by more than .05 each
      time.

    Args:
        history: as in `Journal.history`.
        retain_before: retain accuracy of the original.

    Returns:
        A sentence for each, none if all went well.
    """
    found = []
    last = history[-1]
    ends = list({record["turn"]: record for record in history}.values())  # the last record of each turn
    retain = last["accuracy"]["retain"]
    if retain < retain_before - OVER_FORGETTING:
        found.append(f"Over-forgetting: retain accuracy went from {retain_before:.1%} to {retain:.1%}.")
    if last["validation_auc"] is not None and last["validation_auc"] > UNDER_FORGETTING:
        found.append(
            f"Under-forgetting: after {len(ends)} turns the loss still tells the forget set from unseen data "
            f"(AUC {last['validation_auc']:.2f})."
        )
    series = {
        "retain accuracy": [r["accuracy"]["retain"] for r in ends],
        "the validation AUC": [r["validation_auc"] for r in ends if r["validation_auc"] is not None],
    }
    for name, values in series.items():
        if _swings(values):
            recent = ", ".join(f"{v:.2f}" for v in values[-4:])
            found.append(f"Oscillation: {name} does not settle over the turns ({recent}).")
    return found


def _swings(values: list[float]) -> bool:
    """Whether the last three steps alternate in direction, each by more than the threshold."""
    steps = [b - a for a, b in itertools.pairwise(values)][-3:]
    big = len(steps) == 3 and all(abs(s) > SWING for s in steps)
    return big and steps[0] * steps[1] < 0 and steps[1] * steps[2] < 0


ForgettingNetwork.presets = MappingProxyType(
    {
        "paper": ForgettingNetwork(stop_within=0.1),
        "ffr": ForgettingNetwork(rate=FixedRate(2.0), stop_within=0.1),
        "published-code": ForgettingNetwork(
            rate=LinearRate(Activation()),
            learning=Recipe(epochs=2, batch_size=64, learning_rate=1e-2),
            learning_trains="all",
            unlearning_trains="all",
            permanent=False,
            rank_in_batch=True,
            nested=True,
        ),
    }
)
