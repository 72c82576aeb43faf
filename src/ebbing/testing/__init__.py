"""Contracts for pieces written elsewhere: ``check_unlearner(Mine())`` says in a sentence which promise is broken.

Each check runs the piece on small problems made here, in milliseconds to a few seconds: a multilayer perceptron, and
a convolutional network with batch normalisation and dropout whose data set is no `TensorDataset`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ebbing.attacks import Attack, AttackResult
from ebbing.batches import iterate
from ebbing.curves import ForgettingCurve
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.methods import ForgettingNetwork, RandomUnits, Repairing, Unlearner
from ebbing.observations import Observations
from ebbing.rankings import Ranking
from ebbing.rankings.ranking import Scores
from ebbing.rates import Rate
from ebbing.request import ForgetRequest
from ebbing.task import Classification, evaluation_mode
from ebbing.testing.problems import (
    CLASSES,
    ContractError,
    Passed,
    Problem,
    Snapshot,
    bits,
    bits_of_data,
    differing,
    guarded,
    hooks,
    in_use,
    passing,
    problems,
    random_state_kept,
    require,
    require_recipe,
    shown,
    signals,
    splits,
)
from ebbing.units import find_units

__all__ = ["ContractError", "check_attack", "check_curve", "check_ranking", "check_rate", "check_unlearner"]

MORE = 1.1  # times what is said or allowed: batches are whole


def check_unlearner(
    method: Unlearner, *, model_for: Callable[[Problem], nn.Module] | None = None, device: str = "cpu"
) -> None:
    """Check an unlearning method: what `Unlearner` promises, on two small models and a request that it is made for.

    The model passed in is bitwise untouched (parameters, buffers, gradients, mode, hooks, ``requires_grad``), and so
    are the data and the global random states; the same seed gives the same bits; the holdout and the matched examples
    are never read; the result shares no memory with the input, is finite, in the same mode and without hooks; a request
    without validation data works or is refused with `InputError`. Gradients may be left in the result. A model that the
    method is not made for may be refused with `InputError`, but not both.

    What it costs is told: every example that is trained on is counted in the journal, none that did not go through a model
    is, and there are not many more than `expected_examples` says. A `Repairing` keeps to half of a retraining where that is
    its budget. Settings are fields of a frozen dataclass. Costs are only seen on the models of the problems.

    Args:
        method: with settings that do not ruin a small model: what a rolled-back run returns is the original, of
            which nothing could be concluded.
        model_for: gives the trained model of a problem, for methods that are made for models of a kind of their own; those
            of the problems if None.
        device: where the model is; the data are where data usually are.

    Raises:
        ContractError: at the first promise that is broken.
    """
    require_recipe(method, Unlearner)
    refused: list[str] = []
    worked = 0
    for problem in problems(whole_class=method.whole_classes):
        if model_for is not None:
            problem = replace(problem, model=in_use(model_for(problem)))
        problem.model.to(device)
        request, accessed = guarded(problem.request, "holdout", "matched")
        before, data = Snapshot.of(problem.model), bits_of_data(problem.request)
        states: list[dict[str, bytes]] = []
        for seed in (0, 1, 0):
            with random_state_kept(f"unlearn() on {problem.name}", disturbed_by=len(states)), passing() as passed:
                journal = Journal()
                try:
                    result = method.unlearn(problem.model, request, task=Classification(), seed=seed, journal=journal)
                except InputError as error:
                    refused.append(str(error))
                    before.require_untouched(problem.model, by="a refused unlearn()")
                    break
            require(not accessed, f"the holdout and matched examples must never be read, but {accessed} were.")
            require(
                journal.rolled_back is None,
                f"the run on {problem.name} must end in a result to check, but was rolled back: {journal.rolled_back}. "
                "Use gentler settings.",
            )
            before.require_untouched(problem.model, by="unlearn()")
            if model_for is None:
                _require_counted(method, journal, passed, problem)
            require(data == bits_of_data(problem.request), "unlearn() must not change the data, but did.")
            _require_clean(result, problem)
            states.append(bits(result))
        if len(states) < 3:
            continue
        worked += 1
        require(
            states[0] == states[2],
            f"the same seed must give the same weights bit for bit, but two runs on {problem.name} differ in "
            f"{differing(states[0], states[2])}.",
        )
        if isinstance(method, Repairing):
            _require_within_budget(method, problem, request)
        bare = replace(request, validation=None, validation_matched=None)
        try:
            result = method.unlearn(problem.model, bare, task=Classification(), seed=0)
        except InputError:
            continue
        require(not accessed, f"without validation data, too, the holdout must not be read, but {accessed} were.")
        _require_clean(result, problem)
    why = " ".join(dict.fromkeys(refused))
    require(worked > 0, f"a method must work on one of the models at least, but refuses each: {why}")


def _require_counted(method: Unlearner, journal: Journal, passed: Passed, problem: Problem) -> None:
    """What a run must say of its cost."""
    own = journal.examples - journal.guards
    require(
        passed.backward <= own,
        f"every example that is trained on must be counted, but on {problem.name} {passed.backward:,} were and {own:,} are "
        "counted. Pass `journal=run.journal` to `fit` or `descend`, or call `run.journal.advance` in a loop of your own.",
    )
    require(
        journal.examples <= passed.forward,
        f"only examples that go through a model count, but on {problem.name} {passed.forward - journal.guards:,} did and "
        f"{own:,} are counted. `fit`, `descend` and `run.accuracy` count by themselves.",
    )
    expected = method.expected_examples(problem.request)
    # what is read to record how turns go is no part of what a forgetting network says
    if expected is not None and not isinstance(method, (ForgettingNetwork, RandomUnits)):
        require(
            own <= MORE * expected,
            f"expected_examples() must say about how many examples a run processes, as budgets go by it, but says "
            f"{expected:,} on {problem.name} for {own:,}.",
        )


def _require_within_budget(method: Repairing, problem: Problem, request: ForgetRequest) -> None:
    """A repair that would be as long as a retraining must stop at half of it where that is its budget."""
    training = replace(problem.trainer.recipe, epochs=8.0)
    long = replace(method.repair, epochs=training.epochs, max_examples=None)
    held = replace(method, repair=long, budget=0.5, training=training)
    allowed, journal = round(0.5 * training.examples(len(request.retain))), Journal()
    try:
        held.unlearn(problem.model, request, task=Classification(), journal=journal)
    except InputError:
        return
    own = journal.examples - journal.guards
    require(
        own <= MORE * allowed,
        f"a method must keep to its budget, but of {allowed:,} examples on {problem.name} it processes {own:,}. Train by "
        "`self.mend` or `self.train`, once, and say by `statistics` what is read before.",
    )


def _require_clean(result: nn.Module, problem: Problem) -> None:
    """What an unlearned model must be, whatever made it."""
    model = problem.model
    require(result is not model, "the result must be a new model, but is the one that was passed in.")
    theirs = {t.untyped_storage().data_ptr() for t in model.state_dict().values()}
    shared = [n for n, t in result.state_dict().items() if t.untyped_storage().data_ptr() in theirs]
    require(not shared, f"the result must share no memory with the model passed in, but shares {shared}.")
    hooked = [n or "the model" for n, count in hooks(result).items() if count]
    require(not hooked, f"no hook, gate or replaced forward may be left in the result, but is in {hooked}.")
    tensors = itertools.chain(result.named_parameters(), result.named_buffers())
    wild = [n for n, t in tensors if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    require(not wild, f"the result's weights must be finite, but are not in {wild}.")
    require(result.training == model.training, "the result must be in the mode of the model passed in, but is not.")
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    changed = [n for n, p in result.named_parameters() if wanted.get(n, p.requires_grad) != p.requires_grad]
    require(not changed, f"requires_grad in the result must be as it was passed in, but differs in {changed}.")
    with evaluation_mode(result):
        logits = Classification().forward(result, next(iterate(problem.request.dataset, batch_size=8))).logits
    require(
        logits.shape == (8, CLASSES) and bool(torch.isfinite(logits).all()),
        "the result must give finite outputs of the original's shape, but does not.",
    )


def check_ranking(ranking: Ranking, *, device: str = "cpu") -> None:
    """Check a ranking: what `Ranking` promises, on two small models.

    Finite scores (n,) for every group; the same seed gives the same scores; weights, gradients, hooks, mode and the global
    random states are as they were; only the forget and retain sets are read, and as many examples as `Ranking.reads` says.

    Args:
        ranking: to be checked.
        device: where the model is.

    Raises:
        ContractError: at the first promise that is broken.
    """
    require_recipe(ranking, Ranking)
    for problem in problems():
        problem.model.to(device)
        unseen = ("holdout", "matched", "validation", "validation_matched")
        request, accessed = guarded(problem.request, *unseen)
        batch = next(iterate(request.dataset, batch_size=16))
        units = find_units(problem.model, task=Classification(), batch=batch)
        before = Snapshot.of(problem.model)
        runs: list[Scores] = []
        for seed in (0, 1, 0):
            with random_state_kept("scores()", disturbed_by=len(runs)), passing() as passed:
                runs.append(ranking.scores(problem.model, units, request, task=Classification(), seed=seed))
            require(not accessed, f"a ranking reads the forget and retain sets alone, but {accessed} were read.")
            before.require_untouched(problem.model, by="scores()")
            require(
                passed.forward == ranking.reads(request),
                f"reads() must say how many examples scores() runs through the model, but says {ranking.reads(request)} for "
                f"{passed.forward}.",
            )
            scores = runs[-1]
            is_right = isinstance(scores, Mapping) and all(
                isinstance(name, str) and isinstance(score, Tensor) for name, score in scores.items()
            )
            require(is_right, f"scores() must give a dict of tensors by name of group, but gives {shown(scores)}.")
        sizes = {group.name: (group.size,) for group in units}
        shapes = {name: tuple(scores.shape) for name, scores in runs[0].items()}
        require(shapes == sizes, f"scores() must give {sizes} on {problem.name}, but gives {shapes}.")
        for name in sizes:
            first, again = runs[0][name], runs[2][name]
            require(bool(torch.isfinite(first).all()), f"scores must be finite, but those of {name!r} are not.")
            require(
                torch.equal(first, again), f"the same seed must give the same scores, but those of {name!r} differ."
            )


def check_curve(curve: ForgettingCurve) -> None:
    """Check a forgetting curve: what `ForgettingCurve` promises, on a grid of times and decay times.

    factor(0, any) = 1; factor(t > 0, 0) = 0; factor(t, inf) = 1; in [0, 1]; never rising in t; the same at every call;
    what is out of range is refused with `InputError`.

    Args:
        curve: to be checked.

    Raises:
        ContractError: at the first promise that is broken.
    """
    require_recipe(curve, ForgettingCurve)
    times = [0.0, 1e-6, 0.1, 0.5, 1.0, 2.0, 3.7, 10.0, 1e3, 1e9]
    for dtype in (torch.float32, torch.float64):
        tau = torch.tensor([0.0, 1e-6, 0.3, 1.0, 2.0, 50.0, 1e9, float("inf")], dtype=dtype)
        asked = tau.clone()
        for t in times:
            factor = curve.factor(t, tau)
            require(isinstance(factor, Tensor), f"factor() must give a tensor, but gives {shown(factor)}.")
            shape = tuple(factor.shape)
            require(
                shape == (len(tau),), f"factor() must give (n,), here ({len(tau)},), but gives {shape} at t = {t:g}."
            )
        rows = torch.stack([curve.factor(t, tau) for t in times])  # (times, n)
        again = torch.stack([curve.factor(t, tau) for t in reversed(times)]).flip(0)
        require(torch.equal(tau, asked), "factor() must not change `tau`, but does.")
        for t, row in zip(times, rows, strict=True):
            wild = [(float(u), float(f)) for u, f in zip(tau, row, strict=True) if not 0 <= f <= 1]
            require(not wild, f"factors must lie in [0, 1], but at t = {t:g} (tau, factor) are {wild}.")
        require(torch.equal(rows, again), "a factor must depend on t and tau alone, but a second call differs.")
        require(bool((rows[0] == 1).all()), f"factor(0, tau) must be 1 for every tau, but is {rows[0].tolist()}.")
        require(bool((rows[1:, 0] == 0).all()), f"factor(t > 0, 0) must be 0, but is {rows[1:, 0].tolist()}.")
        require(bool((rows[:, -1] == 1).all()), f"factor(t, inf) must be 1, but is {rows[:, -1].tolist()}.")
        require(bool((rows.diff(dim=0) <= 0).all()), "a factor must never rise with t, but does.")
    one, nan = torch.ones(1), torch.tensor([1.0, float("nan")])
    for t, wrong in ((-1.0, one), (float("inf"), one), (float("nan"), one), (1.0, -one), (1.0, nan)):
        try:
            curve.factor(t, wrong)
        except InputError:
            continue
        raise ContractError(f"factor({t}, {wrong.tolist()}) must be refused with InputError, but is not.")


def check_rate(rate: Rate) -> None:
    """Check a rate: decay times in [0, inf], never longer for a higher score, the same for the same score.

    Args:
        rate: to be checked, on groups of several units, of one unit, and of units that tie.

    Raises:
        ContractError: at the first promise that is broken.
    """
    require_recipe(rate, Rate)
    require(isinstance(rate.ranking, Ranking), f"a rate must have a `ranking`, but has {rate.ranking!r}.")
    generator = torch.Generator().manual_seed(0)
    scores = {
        "spread": torch.randn(17, generator=generator, dtype=torch.float64),
        "single precision": torch.randn(9, generator=generator),
        "tied": torch.tensor([3.0, -1.0, 3.0, 0.0, -1.0, -1.0, 3.0], dtype=torch.float64),
        "all tied": torch.zeros(5, dtype=torch.float64),
        "one unit": torch.tensor([0.7], dtype=torch.float64),
    }
    asked = {name: s.clone() for name, s in scores.items()}
    with random_state_kept("tau()", disturbed_by=0):
        taus, again = rate.tau(scores), rate.tau(scores)
    require(all(torch.equal(scores[n], asked[n]) for n in scores), "tau() must not change the scores, but does.")
    shapes, sizes = ({n: tuple(v.shape) for n, v in found.items()} for found in (taus, scores))
    require(shapes == sizes, f"tau() must give a decay time per unit, {sizes}, but gives {shapes}.")
    for name, s in scores.items():
        tau = taus[name]
        require(bool((tau >= 0).all()), f"decay times must lie in [0, inf], but are {tau.tolist()} for {name} scores.")
        require(
            torch.equal(tau, again[name]), "the same scores must give the same decay times, but a second call differs."
        )
        higher = s[:, None] > s[None, :]  # (n, n)
        longer = tau[:, None] > tau[None, :]
        require(
            not bool((higher & longer).any()), f"a higher score must not decay more slowly, but does for {name} scores."
        )
        tied = s[:, None] == s[None, :]
        require(
            not bool((tied & longer).any()), f"units that tie must have one decay time, but do not for {name} scores."
        )


def check_attack(attack: Attack) -> None:
    """Check a membership attack: what `Attack.run` promises, on synthetic models.

    One result per model with figures in [0, 1]; the same whatever other models are judged beside it; no figure without
    matched examples, and the reason; the same seed gives the same result; the observations are not changed.

    Args:
        attack: to be checked.

    Raises:
        ContractError: at the first promise that is broken.
    """
    require_recipe(attack, Attack)
    require(isinstance(getattr(attack, "name", None), str), "an attack must have a `name`, a word, but has none.")
    seen = Observations(
        *(signals(i, n, boost) for i, (n, boost) in enumerate(((60, 1.0), (40, 1.0), (40, 0), (70, 0))))
    )
    kept = [array.copy() for split in splits(seen) for array in split.arrays().values()]
    with random_state_kept("run()", disturbed_by=0):
        try:
            results, again, alone = attack.run(seen, seed=0), attack.run(seen, seed=0), attack.run(seen[1:2], seed=0)
            bare = attack.run(replace(seen, matched=None), seed=0)
        except InputError as error:
            raise ContractError(str(error)) from error
        except ValueError as error:
            require(
                "read-only" not in str(error), f"an attack must not change the observations, but tries to: {error}."
            )
            raise
    now = [array for split in splits(seen) for array in split.arrays().values()]
    same = all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))
    require(same, "an attack must not change the observations, but does.")
    counts = (len(results), len(bare))
    require(counts == (3, 3), f"an attack must give one result per model, but gives {counts} for 3.")
    for result in results:
        require(isinstance(result, AttackResult), f"judge() must give an AttackResult, but gives {shown(result)}.")
        figures = (result.auc, result.low, result.high, result.tpr_at_1pct_fpr, result.accuracy)
        inside = all(f is None or 0 <= f <= 1 for f in figures)
        require(inside, f"every figure must be None or lie in [0, 1], but they are {figures}.")
        require(result.auc is not None, f"an attack on enough records must give an AUC, but {result.reason}.")
    require(results == again, "the same seed must give the same result, but does not.")
    require(results[1:2] == alone, "a result must not depend on the models judged beside it, but does.")
    require(
        all(r.auc is None and r.reason for r in bare),
        "without matched examples there must be no figure but a reason, but there is a figure or no reason.",
    )


# ---------------------------------------------------------------- the small problems
