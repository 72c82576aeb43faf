"""Who takes part in the leaderboard, and how each is held to a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ebbing.errors import InputError
from ebbing.methods import (
    CT,
    LFSSD,
    MSG,
    SCRUB,
    SSD,
    UNSIR,
    BadTeacher,
    CFk,
    DoNothing,
    Ebb,
    EUk,
    FineTune,
    ForgettingNetwork,
    L1Sparse,
    NegGrad,
    NegGradPlus,
    PruneReinit,
    RandomLabels,
    RandomUnits,
    Repairing,
    Retrain,
    RetrainEqualCompute,
    SalUn,
    SelectivePruning,
    Temperature,
    Unlearner,
)
from ebbing.rates import FixedRate
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.training import Recipe

BUDGETS = (0.01, 0.03, 0.1)
OVERDRAWN = 1.05  # times a budget: what rounding to whole batches may come to
FREE = ("do-nothing", "temperature")  # what costs next to nothing has one row for all budgets

METHODS: Mapping[str, Unlearner] = {
    "do-nothing": DoNothing(),
    "temperature": Temperature(),
    "fine-tune": FineTune(),
    "retrain-equal-compute": RetrainEqualCompute(),
    "neg-grad": NegGrad(),
    "neg-grad-plus": NegGradPlus(),
    "random-labels": RandomLabels(),
    "cf-1": CFk(layers=1),
    "cf-2": CFk(layers=2),
    "eu-1": EUk(layers=1),
    "eu-2": EUk(layers=2),
    "eu-3": EUk(layers=3),
    "l1-sparse": L1Sparse(),
    "scrub": SCRUB(),
    "scrub-r": SCRUB.presets["rewind"],
    "bad-teacher": BadTeacher(),
    "ssd": SSD(),
    "lfssd": LFSSD(),
    "salun": SalUn(),
    "msg": MSG(),
    "ct": CT(),
    "prune-reinit": PruneReinit(),
    "selective-pruning": SelectivePruning(),
    "unsir": UNSIR(),
    "forgetting-network-ffr": ForgettingNetwork(rate=FixedRate(2.0), turns=2),
    "forgetting-network-vfr": ForgettingNetwork(turns=2),
    "ebb": Ebb(),
    "ebb-plain": Ebb.presets["plain"],
    "ebb-gentle": Ebb.presets["gentle"],
}


def within(method: Unlearner, budget: float, recipe: Recipe, request: ForgetRequest) -> Unlearner | None:
    """A method that processes a share of the examples that one retraining does: as many as it may, and no more.

    Methods with a repair are trained as long as the budget lasts; the `ForgettingNetwork` shares what its unlearning bouts
    leave among the learning bouts of its turns (what it reads to record how it goes is not held against it, but stands in its
    cost); ascent is cut short; the statistics of SSD are taken over fewer records.

    Args:
        method: as it would be without a budget.
        budget: share of one retraining, > 0.
        recipe: of the retraining.
        request: what is to be forgotten.

    Returns:
        None where the method costs more whatever is set, its shortest training too, or is not made for such a request, so
        that it has no row.

    Raises:
        InputError: if the method does not say what it costs.
    """
    allowed = round(budget * recipe.examples(len(request.retain)))
    try:
        method.require_fit(request, task=Classification())
    except InputError:
        return None
    if isinstance(method, Retrain):
        return None
    if isinstance(method, Repairing):
        endless = replace(method.repair, epochs=math.ceil(recipe.epochs), max_examples=None)
        made = replace(method, repair=endless, budget=budget, training=recipe)
        return made if made.statistics(request) + made.least(request) <= allowed else None
    if isinstance(method, ForgettingNetwork):
        return method.within(allowed, request)
    if isinstance(method, NegGrad):
        examples = min(method.ascent.examples(len(request.forget)), allowed)
        return replace(method, ascent=replace(method.ascent, max_examples=examples)) if examples else None
    if isinstance(method, SSD):
        every = len(request.everything_ids)
        records = min(allowed - len(request.forget), every if method.records is None else method.records)
        return replace(method, records=records) if records > 0 else None
    expected = method.expected_examples(request)
    if expected is None:
        raise InputError(
            f"{type(method).__name__} must say by `expected_examples` how many examples it processes to be held to a budget, "
            "but does not. Add it, or derive from ebbing.methods.Repairing."
        )
    return method if expected <= allowed else None


def refuse_overdrawn(method: Unlearner, examples: int, budget: float, recipe: Recipe, request: ForgetRequest) -> None:
    """Refuse what a method made of a model with more examples than its budget allows.

    Args:
        method: that was held to the budget, see `within`.
        examples: that it processed, without those of the guards.
        budget: share of one retraining.
        recipe: of the retraining.
        request: what is to be forgotten.

    Raises:
        InputError: if it processed more. The records of the turns of a `ForgettingNetwork` are not held against it.
    """
    allowed = round(budget * recipe.examples(len(request.retain)))
    if isinstance(method, (ForgettingNetwork, RandomUnits)) or examples <= OVERDRAWN * allowed:
        return
    raise InputError(
        f"within {budget:.3g} of one retraining a method may process {allowed:,} examples, but {type(method).__name__} "
        f"processed {examples:,}. Train by `mend` or `train` of ebbing.methods.Repairing, which keep to the budget, and say by "
        "`statistics` what is read before; a method that does not repair says all by `expected_examples`."
    )
