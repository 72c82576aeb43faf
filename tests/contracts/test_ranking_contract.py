"""Every exported ranking keeps the contract, and the check sees one that does not."""

from inspect import isabstract, isclass

import pytest
import torch

import ebbing.rankings
from ebbing.rankings import Activation, Random, Ranking
from ebbing.testing import ContractError, check_ranking

EXPORTED = [getattr(ebbing.rankings, name) for name in ebbing.rankings.__all__]
RANKINGS = [c for c in EXPORTED if isclass(c) and issubclass(c, Ranking) and not isabstract(c)]


@pytest.mark.parametrize("ranking", RANKINGS, ids=lambda c: c.__name__)
def test_it_keeps_the_contract(ranking: type[Ranking]) -> None:
    check_ranking(ranking())


@pytest.mark.parametrize("statistic", ["mean", "abs-mean", "rms"])
def test_so_does_every_statistic(statistic: str) -> None:
    check_ranking(Activation(statistic=statistic))


# ------------------------------------------------- controls: each breaks one promise, and the check must say which


class Broken(Ranking):
    """One score per unit, all alike."""

    def scores(self, model, units, request, *, task, seed):
        return {g.name: torch.zeros(g.size, dtype=torch.float64) for g in units}

    def reads(self, request):
        return 0


class NotFinite(Broken):
    def scores(self, model, units, request, *, task, seed):
        return {g.name: torch.full((g.size,), float("nan")) for g in units}


class ForgetsAGroup(Broken):
    def scores(self, model, units, request, *, task, seed):
        return super().scores(model, units[:-1], request, task=task, seed=seed)


class OneScoreTooMany(Broken):
    def scores(self, model, units, request, *, task, seed):
        return {g.name: torch.zeros(g.size + 1) for g in units}


class IgnoresItsSeed(Broken):
    def scores(self, model, units, request, *, task, seed):
        generator = torch.Generator()
        generator.seed()
        return {g.name: torch.rand(g.size, generator=generator) for g in units}


class DrawsGlobally(Broken):
    def scores(self, model, units, request, *, task, seed):
        return {g.name: torch.rand(g.size) for g in units}


class LeavesEvaluationMode(Broken):
    def scores(self, model, units, request, *, task, seed):
        model.eval()
        return super().scores(model, units, request, task=task, seed=seed)


class LeavesAHook(Broken):
    def scores(self, model, units, request, *, task, seed):
        model.get_submodule(units[0].site).register_forward_hook(lambda module, inputs, output: None)
        return super().scores(model, units, request, task=task, seed=seed)


class Accumulates(Broken):
    def scores(self, model, units, request, *, task, seed):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad += 1
        return super().scores(model, units, request, task=task, seed=seed)


class Scales(Broken):
    def scores(self, model, units, request, *, task, seed):
        with torch.no_grad():
            model.get_submodule(units[0].name).weight.mul_(1.0001)
        return super().scores(model, units, request, task=task, seed=seed)


class ReadsTheHoldout(Activation):
    def scores(self, model, units, request, *, task, seed):
        request.holdout[0]
        return super().scores(model, units, request, task=task, seed=seed)


class ReadsTheValidation(Activation):
    def scores(self, model, units, request, *, task, seed):
        len(request.validation)
        return super().scores(model, units, request, task=task, seed=seed)


class ReadsMoreThanItSays(Activation):
    def reads(self, request):
        return super().reads(request) - 1


class RunsTheModelPastTheTask(Broken):
    def scores(self, model, units, request, *, task, seed):
        with torch.no_grad():
            model(torch.stack([x for x, _ in request.forget]))
        return super().scores(model, units, request, task=task, seed=seed)


class GivesLists(Broken):
    def scores(self, model, units, request, *, task, seed):
        return {g.name: [0.0] * g.size for g in units}


class GoesByGroup(Broken):
    def scores(self, model, units, request, *, task, seed):
        return {g: torch.zeros(g.size) for g in units}


class GivesNothing(Broken):
    def scores(self, model, units, request, *, task, seed):
        return None


CONTROLS = {
    RunsTheModelPastTheTask: "but says 0 for 12",
    GivesLists: "must give a dict of tensors by name of group, but gives dict",
    GoesByGroup: "must give a dict of tensors by name of group, but gives dict",
    GivesNothing: "must give a dict of tensors by name of group, but gives NoneType",
    NotFinite: "must be finite",
    ForgetsAGroup: "must give",
    OneScoreTooMany: "must give",
    IgnoresItsSeed: "the same seed",
    DrawsGlobally: "global random state of torch",
    LeavesEvaluationMode: "changed training mode",
    LeavesAHook: "changed hooks",
    Accumulates: "changed gradients",
    Scales: "changed weights",
    ReadsTheHoldout: "holdout",
    ReadsTheValidation: "validation",
    ReadsMoreThanItSays: "must say how many examples",
}


def test_the_base_of_the_controls_and_a_seeded_draw_keep_the_contract() -> None:
    check_ranking(Broken())
    check_ranking(Random())


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.__name__)
def test_a_broken_ranking_is_rejected(broken: type[Ranking]) -> None:
    with pytest.raises(ContractError, match=CONTROLS[broken]):
        check_ranking(broken())
