"""ebbing's own method: decay toward a re-initialisation, then repair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.curves import Exponential, ForgettingCurve
from ebbing.errors import InputError
from ebbing.fresh import parameters_of_start
from ebbing.law import DecayLaw
from ebbing.methods.repair import REPAIR, Repairing
from ebbing.methods.unlearner import Run
from ebbing.methods.validation import memory_was_lost, read_to_tell, unseen_that_tell, watched_within
from ebbing.rankings import Ranking
from ebbing.rates import FixedRate, Rate
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, seeded
from ebbing.units import KINDS as REGISTERED
from ebbing.units import UnitGroup, find_units, fresh_anchor

KINDS = ("linear", "conv", "mlp", "heads", "lora")  # of units that have a rate of their own
WORTH_NAMING = 0.05  # of all parameters


@dataclass(frozen=True)
class Ebb(Repairing):
    """One bout of decay, baked, toward a fresh initialisation; then one-cycle repair on the retain set.

    theta <- A + phi(duration; tau) * (theta - A), A a fresh initialisation, tau by the kind of layer.

    Departures from the paper's `ForgettingNetwork`:

    - the anchor is a fresh initialisation, not zero: decay to zero leaves dead units that learn slowly;
    - decay changes weights, never only activity;
    - convolutions decay too, less than fully connected layers, but for the one that reads the input;
    - one bout of decay and one of learning, in this order, instead of turns, so that the result is a repaired model;
    - no attack on the forget set says when it is enough: the budget does;
    - the repair's learning rate follows one cycle, with a peak of ten times the learning rate of training, or that of training
      where it followed one cycle as well;
    - the rate is fixed for each kind of layer: ranking units was no better than chance where it was tried with it;
    - where the loss of the forget set rises no more than that of unseen records, nothing was memorised that could be forgotten,
      and the model is left as it was.

    The preset ``plain`` leaves the last, the spared layer and the peak that goes by the training away, and its convolutions
    decay twice as fast: it decays and repairs alike whatever is asked. The preset ``gentle`` hardly touches convolutions: .85
    of them stays, and they make .15 of every step of the repair. Where most weights are in fully connected layers, it mostly
    costs less accuracy in a short repair, and forgets less.

    Kinds of layer whose rates go by the same ranking share one reading of it, of the model before any of them decays.

    Attributes:
        linear: decay times of fully connected layers, and of units of kinds that have none here.
        conv: decay times of convolutions.
        mlp: decay times of the hidden units of transformers' MLPs.
        heads: decay times of attention heads.
        lora: decay times of the components of adapters; a fresh adapter does nothing, so that the base is what decay is toward.
        duration: how long the decay lasts, in unlearning epochs, >= 0.
        curve: what is left after a time.
        anchor: "fresh" (a re-initialisation drawn from the seed), "zero", or what gives the model that training started from,
            such as `ebbing.pretrained.Pretrained`.
        spare_input: whether the first convolution is left as it is where others follow: what it sees holds little of single
            records.
        peak: peak learning rate of the repair over that of ``training``, > 0, where that is known and has the optimizer of
            the repair, and the repair's own was not set to another than the default; None for the repair's own. A training on
            one cycle had a peak already: the repair's is at most that.
        conv_reach: the share of every step of the repair that convolutions make, in [0, 1]; 0 freezes them.
        by_memory: whether the model is left as it was where the loss of the forget set rises no more than that of validation
            records, drawn alike where 100 are: see `ebbing.methods.validation.memory_was_lost`. A twentieth of the budget goes
            into reading them, but at least 36 records of each kind are read and at most 100. That cannot be told without
            validation records, of a whole class, of some six records or fewer, nor where reading would take half of the
            budget: decay is kept there in any case. Where only a quarter of the records or fewer were memorised, that can be
            missed: see docs/convolutions.md. False where it is known that there is something to forget.
        repair: see `Repairing`; `FineTune` and `RetrainEqualCompute` have the same.
        budget: likewise.
        training: likewise.
    """

    linear: Rate = field(default_factory=lambda: FixedRate(0.5))
    conv: Rate = field(default_factory=lambda: FixedRate(6.0))
    mlp: Rate = field(default_factory=lambda: FixedRate(6.0))
    heads: Rate = field(default_factory=lambda: FixedRate(6.0))
    lora: Rate = field(default_factory=lambda: FixedRate(0.5))
    duration: float = 4.0
    curve: ForgettingCurve = field(default_factory=Exponential)
    anchor: Literal["fresh", "zero"] | Callable[[], nn.Module] = "fresh"
    spare_input: bool = True
    peak: float | None = 10.0
    by_memory: bool = True
    conv_reach: float = 1.0

    presets: ClassVar[Mapping[str, Ebb]]

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not 0 <= self.duration < float("inf"):
            raise InputError(f"`duration` must be finite and >= 0 unlearning epochs, but is {self.duration}.")
        if self.anchor not in ("fresh", "zero") and not callable(self.anchor):
            raise InputError(
                f"`anchor` must be 'fresh', 'zero' or what gives the model that training started from, but is {self.anchor!r}."
            )
        if self.peak is not None and not 0 < self.peak < float("inf"):
            raise InputError(f"`peak` must be > 0 and finite, or None, but is {self.peak}.")
        if not 0 <= self.conv_reach <= 1:
            raise InputError(f"`conv_reach` must lie in [0, 1], a share of every step, but is {self.conv_reach}.")

    def repair_of(self, request: ForgetRequest) -> Recipe:
        """The repair of a request, with a peak that goes by the training's learning rate where it is to."""
        recipe, training = super().repair_of(request), self.training
        own = recipe.learning_rate != REPAIR.learning_rate
        if self.peak is None or own or training is None or training.optimizer != recipe.optimizer:
            return recipe
        times = min(self.peak, 1.0) if training.schedule == "one-cycle" else self.peak
        return replace(recipe, learning_rate=times * training.learning_rate)

    def statistics(self, request: ForgetRequest) -> int:
        """What the rankings read, at most, and validation records."""
        ranked = sum(int(ranking.reads(request)) for ranking in self._rankings((*KINDS, *_without_rate())))
        return ranked + (0 if self._unseen(request) is None else read_to_tell(request, watched=self._watched(request)))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Decay, then repair."""
        units = find_units(model, task=run.task, batch=run.to_try())
        _note_untouched(model, units, run)
        anchor = self._anchor(model, units, run)
        groups = {kind: self._decaying(units, kind) for kind in (*KINDS, *_without_rate())}
        groups = {kind: group for kind, group in groups.items() if group}
        scores = self._scores(model, groups, run)
        for kind, group in groups.items():
            if kind not in KINDS:
                run.journal.note(
                    f"Units of the kind {kind!r} have no rate of their own: they decay at that of `linear`."
                )
            law, own = (
                DecayLaw(self._rate(kind), self.curve, self.duration),
                {unit.name: scores[unit.name] for unit in group},
            )
            factors = law.apply(model, group, run.request, task=run.task, seed=run.seed, anchor=anchor, scores=own)
            run.journal.keep_factors(factors)
        return self.mend(model, run, reach=self._reach(units))

    def _rate(self, kind: str) -> Rate:
        """The rate of a kind; that of fully connected layers where it has none of its own."""
        rate: Rate = getattr(self, kind) if kind in KINDS else self.linear
        return rate

    def _rankings(self, kinds: Iterable[str]) -> list[Ranking]:
        """The rankings of kinds of units, each once: kinds that go by the same one share what it reads."""
        found: list[Ranking] = []
        for kind in kinds:
            if self._rate(kind).ranking not in found:
                found.append(self._rate(kind).ranking)
        return found

    def _scores(self, model: nn.Module, groups: Mapping[str, list[UnitGroup]], run: Run) -> dict[str, Tensor]:
        """(n,) the scores of all groups by name, of the model as it is before any of them decays."""
        scores: dict[str, Tensor] = {}
        for ranking in self._rankings(groups):
            units = [unit for kind, group in groups.items() if self._rate(kind).ranking == ranking for unit in group]
            scores |= ranking.scores(model, units, run.request, task=run.task, seed=run.seed)
            run.journal.advance(ranking.reads(run.request))
        return scores

    def _reach(self, units: list[UnitGroup]) -> Mapping[str, Tensor] | None:
        """The share of every step that convolutions make, by parameter name; None where all go all the way."""
        if self.conv_reach == 1:
            return None
        share = torch.tensor(self.conv_reach)
        return {part.parameter: share for unit in units if unit.kind == "conv" for part in unit.slices}

    def _anchor(self, model: nn.Module, units: list[UnitGroup], run: Run) -> Mapping[str, Tensor] | None:
        """What decay is toward, by parameter name; None for zero."""
        if callable(self.anchor):
            with seeded(run.seed):
                return parameters_of_start(self.anchor(), model)
        return fresh_anchor(model, units, seed=run.seed) if self.anchor == "fresh" else None

    def settle(self, model: nn.Module, result: nn.Module, run: Run) -> nn.Module:
        """Undo what was done where nothing was memorised."""
        if not self.by_memory:
            return result
        unseen = self._unseen(run.request)
        if unseen is None:
            if not run.request.concept:
                run.journal.note(
                    "Validation records cannot tell whether anything was memorised: decay is kept in any case."
                )
            return result
        if memory_was_lost(model, result, run, unseen, watched=self._watched(run.request)):
            return result
        run.journal.note("Nothing was found to be memorised: the model is left as it was.")
        run.journal.left_alone = True
        run.journal.factors.clear()
        return deepcopy(model)

    def _unseen(self, request: ForgetRequest) -> Dataset[Any] | None:
        """The records that tell whether anything was memorised: none where reading them would take half of the budget."""
        if not self.by_memory:
            return None
        watched = self._watched(request)
        affordable = read_to_tell(request, watched=watched) <= self._allowed(request) / 2
        return unseen_that_tell(request, watched=watched) if affordable else None

    def _watched(self, request: ForgetRequest) -> int:
        """How many records of each kind are read to tell."""
        return watched_within(self._allowed(request))

    def _allowed(self, request: ForgetRequest) -> float:
        """Examples that may be processed, where there is a limit."""
        return float("inf") if self.training is None else self.budget * self.training.examples(len(request.retain))

    def _decaying(self, units: list[UnitGroup], kind: str) -> list[UnitGroup]:
        """The units of a kind that decay, in the order they run."""
        group = [u for u in units if u.kind == kind]
        return group[1:] if self.spare_input and kind == "conv" and len(group) > 1 else group


def _without_rate() -> list[str]:
    """The kinds of units that are registered but have no rate of their own."""
    return [kind for kind in REGISTERED if kind not in KINDS]


def _note_untouched(model: nn.Module, units: list[UnitGroup], run: Run) -> None:
    """Name the modules with a part of the parameters worth naming that decay does not reach, such as embeddings.

    Parameters that modules share, as tied embeddings are, are named once, with the first of them.
    """
    reached = {part.parameter.rpartition(".")[0] for unit in units for part in unit.slices}
    total = sum(p.numel() for p in model.parameters())
    holders: dict[nn.Parameter, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(parameter, []).append(name)
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if holders[p][0] == name]
        share = sum(p.numel() for p in own) / total
        if name not in reached and share > WORTH_NAMING:
            others = list(dict.fromkeys(other for p in own for other in holders[p][1:]))
            shared = f", shared with {', '.join(others)}" if others else ""
            run.journal.note(
                f"{name or 'the model'} ({type(module).__name__}, {share:.0%} of the parameters{shared}) does not decay: it is "
                "only repaired."
            )


Ebb.presets = MappingProxyType(
    {
        "plain": Ebb(conv=FixedRate(3.0), spare_input=False, peak=None, by_memory=False),
        "gentle": Ebb(conv=FixedRate(24.0), conv_reach=0.15),
    }
)
