"""Every exported method and preset keeps the contract, and the check sees a method that does not."""

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import isabstract, isclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

import ebbing.methods
import ebbing.sabotage
from ebbing.batches import iterate
from ebbing.ensemble import ShardedEnsemble
from ebbing.errors import InputError
from ebbing.methods import FineTune, NegGrad, Repairing, Unlearner
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.sharding import Sharding
from ebbing.task import accuracy
from ebbing.testing import ContractError, check_unlearner
from ebbing.testing.problems import Problem
from ebbing.training import Recipe, Trainer, fit

EXPORTED = [getattr(family, name) for family in (ebbing.methods, ebbing.sabotage) for name in family.__all__]
CLASSES = [c for c in EXPORTED if isclass(c) and issubclass(c, Unlearner) and not isabstract(c)]
METHODS = {c.__name__: c() for c in CLASSES} | {
    f"{c.__name__}:{name}": preset for c in CLASSES for name, preset in c.presets.items()
}


def in_shards(problem: Problem, folder: Path) -> nn.Module:
    """The model of a problem as an ensemble, for the one method that takes no other."""
    ensemble = ShardedEnsemble(problem.trainer, Sharding(3, 2), folder=folder / problem.name)
    return ensemble.fit(problem.request.dataset)


@pytest.mark.parametrize("name", METHODS)
def test_it_keeps_the_contract(name: str, tmp_path: Path) -> None:
    of_its_own = partial(in_shards, folder=tmp_path) if name == "SISA" else None
    check_unlearner(METHODS[name], model_for=of_its_own)


def test_all_are_here() -> None:
    assert {"Ebb", "ForgettingNetwork", "ForgettingNetwork:published-code", "Retrain"} <= METHODS.keys()


# ------------------------------------------------- controls: each breaks one promise, and the check must say which


class Broken(Unlearner):
    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        with torch.no_grad():
            next(model.parameters()).mul_(0.9)
        return model


class Fine(Broken):
    """The control of the controls: what the others are built on keeps the contract."""


class EditsItsInput(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        with torch.no_grad():
            next(model.parameters()).add_(1e-7)
        return result


class EditsABuffer(Broken):
    def unlearn(self, model, request, **settings):
        for name, buffer in model.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.add_(1)
        return super().unlearn(model, request, **settings)


class ClearsGradients(Broken):
    def unlearn(self, model, request, **settings):
        model.zero_grad()
        return super().unlearn(model, request, **settings)


class SwitchesTheMode(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        model.eval()
        return result


class ThawsTheInput(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        model.requires_grad_(True)
        return result


class HooksItsInput(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        model.register_forward_hook(lambda module, inputs, output: None)
        return result


class ReturnsItsInput(Broken):
    def unlearn(self, model, request, **settings):
        super().unlearn(model, request, **settings)
        return model


class SharesMemory(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        list(result.parameters())[-1].data = list(model.parameters())[-1].data
        return result


class LeavesAGate(Broken):
    def forget(self, model, run):
        next(model.children()).register_forward_hook(lambda module, inputs, output: 0.5 * output)
        return super().forget(model, run)


class ReplacesForward(Broken):
    def forget(self, model, run):
        layer = next(model.children())
        layer.forward = layer.forward
        return super().forget(model, run)


class IgnoresItsSeed(Broken):
    def forget(self, model, run):
        generator = torch.Generator()
        generator.seed()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1e-3 * torch.randn(parameter.shape, generator=generator))
        return model


class Counts(Broken):
    """Its second run is not its first."""

    runs = 0

    def forget(self, model, run):
        self.runs += 1
        with torch.no_grad():
            next(model.parameters()).add_(1e-3 * self.runs)
        return model


class SeedsGlobally(Broken):
    def unlearn(self, model, request, **settings):
        torch.manual_seed(0)
        return super().unlearn(model, request, **settings)


class ReadsTheHoldout(Broken):
    def forget(self, model, run):
        accuracy(model, run.request.holdout, task=run.task)
        return super().forget(model, run)


class SneaksAtTheMatched(Broken):
    """It hides the refusal."""

    def forget(self, model, run):
        with suppress(AssertionError):
            run.request.matched[0]
        return super().forget(model, run)


class CountsTheHoldout(Broken):
    def forget(self, model, run):
        len(run.request.holdout)
        return super().forget(model, run)


class RelabelsTheData(Broken):
    def forget(self, model, run):
        run.request.dataset[5][0].zero_()
        return super().forget(model, run)


class LeavesItFrozen(Broken):
    def forget(self, model, run):
        model.requires_grad_(False)
        return super().forget(model, run)


class WrongMode(Broken):
    def unlearn(self, model, request, **settings):
        return super().unlearn(model, request, **settings).train(not model.training)


class NotFinite(Broken):
    def unlearn(self, model, request, **settings):
        result = super().unlearn(model, request, **settings)
        with torch.no_grad():
            list(result.parameters())[-1][0] = float("nan")
        return result


@dataclass(frozen=True)
class Trains(Unlearner):
    """What those below are built on."""

    repair: Recipe = field(default_factory=lambda: Recipe(epochs=1, batch_size=20))

    def forget(self, model, run):
        data = run.request.for_training("retain")
        fit(model, data, self.repair, task=run.task, generator=run.generator, journal=self.journal(run))
        return model

    def journal(self, run):
        return run.journal


class DoesNotCount(Trains):
    def journal(self, run):
        return None


class CountsInALoop(Trains):
    """The control of the next."""

    def forget(self, model, run):
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
        for batch in iterate(run.request.retain, batch_size=16):
            optimizer.zero_grad()
            outputs = run.task.forward(model, batch)
            run.task.loss(outputs).backward()
            optimizer.step()
            self.count(run, len(outputs.targets))
        return model

    def count(self, run, n):
        run.journal.advance(n)


class ForgetsToCount(CountsInALoop):
    def count(self, run, n):
        pass


class CountsTwice(Trains):
    def forget(self, model, run):
        run.journal.advance(len(run.request.retain))
        return super().forget(model, run)


class SaysTooLittle(Trains):
    def expected_examples(self, request):
        return 1


class IgnoresItsBudget(Repairing):
    def forget(self, model, run):
        data = run.request.for_training("retain")
        fit(model, data, self.repair, task=run.task, generator=run.generator, journal=run.journal)
        return model


class ReadsBeforeItsRepair(Repairing):
    """It does not say so by `statistics`."""

    def forget(self, model, run):
        run.accuracy(model, run.request.retain)
        return self.mend(model, run)


class NoDecorator(Repairing):
    strength: float = 0.5

    def forget(self, model, run):
        return self.mend(model, run)


class HoldsSettings(Broken):
    def __init__(self, strength=0.5):
        self.strength = strength


@dataclass
class NotFrozen(Broken):
    strength: float = 0.5


class TakesNoRun(Broken):
    def forget(self, model):
        return model


class ReturnsNothing(Broken):
    def forget(self, model, run):
        super().forget(model, run)


class NeedsValidation(Broken):
    def forget(self, model, run):
        len(run.request.validation)
        return super().forget(model, run)


CONTROLS = {
    EditsItsInput: "untouched, but changed weights or buffers",
    EditsABuffer: "untouched, but changed weights or buffers",
    ClearsGradients: "untouched, but changed gradients",
    SwitchesTheMode: "untouched, but changed training mode",
    ThawsTheInput: "untouched, but changed requires_grad",
    HooksItsInput: "untouched, but changed hooks",
    ReturnsItsInput: "must be a new model",
    SharesMemory: "share no memory",
    LeavesAGate: "no hook, gate or replaced forward",
    ReplacesForward: "no hook, gate or replaced forward",
    IgnoresItsSeed: "the same seed must give the same weights",
    Counts: "the same seed must give the same weights",
    SeedsGlobally: "global random state of torch",
    ReadsTheHoldout: "holdout",
    SneaksAtTheMatched: "matched",
    CountsTheHoldout: "holdout",
    RelabelsTheData: "must not change the data",
    LeavesItFrozen: "requires_grad in the result",
    WrongMode: "must be in the mode",
    NotFinite: "must be finite",
    DoesNotCount: "must be counted, but on a multilayer perceptron 48 were and 0 are",
    ForgetsToCount: "must be counted, but on a multilayer perceptron 48 were and 0 are",
    CountsTwice: "only examples that go through a model count, but .* 48 did and 96",
    SaysTooLittle: "says 1 on a multilayer perceptron for 48",
    IgnoresItsBudget: "of 192 examples on a multilayer perceptron it processes 384",
    ReadsBeforeItsRepair: "of 192 examples on a multilayer perceptron it processes 240",
    NoDecorator: r"NoDecorator is none and declares \['strength'\]",
    HoldsSettings: r"holds \['strength'\] beside its fields",
    NotFrozen: "NotFrozen is none",
    TakesNoRun: r"`forget` of TakesNoRun must take a model and a run, but takes \(model\)",
    ReturnsNothing: "`forget` of ReturnsNothing must return a model, but returned NoneType",
}


@pytest.mark.parametrize("fine", [Fine, Trains, CountsInALoop])
def test_the_base_of_the_controls_keeps_the_contract(fine: type[Unlearner]) -> None:
    check_unlearner(fine())


@pytest.mark.parametrize("what", [Fine, "fine", None])
def test_only_an_instance_is_checked(what) -> None:
    with pytest.raises(ContractError, match="must be an instance of Unlearner, but"):
        check_unlearner(what)


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.__name__)
def test_a_broken_method_is_rejected(broken: type[Unlearner]) -> None:
    with pytest.raises(ContractError, match=CONTROLS[broken]):
        check_unlearner(broken())


def test_a_run_that_was_rolled_back_proves_nothing() -> None:
    with pytest.raises(ContractError, match="rolled back"):
        check_unlearner(FineTune(repair=Recipe(epochs=30, optimizer="sgd", learning_rate=1e30)))


def test_a_method_may_refuse_a_request_without_validation_but_not_break_on_it() -> None:
    @dataclass(frozen=True)
    class Refuses(Broken):
        def forget(self, model, run):
            if run.request.validation is None:
                raise InputError("validation is needed.")
            return super().forget(model, run)

    check_unlearner(Refuses())
    with pytest.raises(TypeError):
        check_unlearner(NeedsValidation())


# ------------------------------------------------- methods for records that are gone


class Gone(Dataset):
    """Records of which some must not be read."""

    def __init__(self, gone: set[int]) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(60, 1, 8, 8, generator=generator)
        self.labels = torch.arange(60) % 3
        self.gone = gone

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert position not in self.gone, f"record {position} is gone"
        return self.inputs[position], self.labels[position]


def unlearned_without(method: Unlearner, *, forget: range = range(0), folder: Path | None = None) -> None:
    data = Gone(set(range(5)))
    unseen = Gone(set())
    stays, goes = torch.arange(5, 60), torch.tensor(list(forget), dtype=torch.int64)
    request = ForgetRequest(data, goes, stays, Subset(unseen, range(30)), Subset(unseen, range(30, 60)))
    model = network().eval() if folder is None else trained_in_shards(folder)
    method.unlearn(model, request, seed=0)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3))


def trained_in_shards(folder: Path) -> nn.Module:
    """An ensemble from the time when all records were there."""
    trainer = Trainer(network, Recipe(epochs=1, batch_size=8))
    return ShardedEnsemble(trainer, Sharding(3, 2), folder=folder).fit(Gone(set()))


UNREAD = [name for name, method in METHODS.items() if not method.reads_forget]


@pytest.mark.parametrize("name", UNREAD)
def test_what_says_that_it_never_reads_the_forget_set_never_does(name: str, tmp_path: Path) -> None:
    folder = tmp_path if name == "SISA" else None
    unlearned_without(METHODS[name], forget=range(5), folder=folder)
    unlearned_without(METHODS[name], folder=folder)


def test_a_method_that_reads_the_forget_set_is_noticed() -> None:
    never = {"FineTune", "CFk", "EUk", "L1Sparse", "PruneReinit", "CT", "Retrain", "RetrainEqualCompute", "SISA"}
    assert never == set(UNREAD)
    with pytest.raises(AssertionError, match="is gone"):
        unlearned_without(NegGrad(), forget=range(5))
