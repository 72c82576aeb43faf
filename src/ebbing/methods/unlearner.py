"""What an unlearning method is, and the guards around every one of them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.compiled import is_compiled, uncompiled
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.parallel import current, in_parts
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Task, accuracy
from ebbing.training import DivergedError, seeded, stream

RETAIN_FLOOR = 0.5
SAMPLE = 1000
TRIED = 8  # examples on which it is tried out which units a model has


@dataclass(frozen=True)
class Run:
    """What a method may use while it runs: everything but the holdout.

    Attributes:
        request: what goes and what stays.
        task: turns batches into outputs.
        seed: of the run, derived from the one given, so that it never draws what training drew; torch's global
            generators are already seeded with it.
        generator: draws the order of data.
        journal: counts examples, takes notes and the history of turns.
    """

    request: ForgetRequest
    task: Task
    seed: int
    generator: torch.Generator
    journal: Journal

    def a_batch(self, n: int = 32) -> Any:
        """At most ``n`` retained examples, to run a model on."""
        return next(iterate(evenly(self.request.retain, n), batch_size=n))

    def to_try(self) -> Any:
        """A few retained examples, to find out by running a model again and again which units it has; they are not counted."""
        return self.a_batch(TRIED)

    def accuracy(self, model: nn.Module, dataset: Dataset[Any]) -> float:
        """Fraction predicted as labelled on the data set, or on a sample of 1,000 of it; counted as processed."""
        part = evenly(dataset, SAMPLE)
        self.journal.advance(size(part))
        return accuracy(model, part, task=self.task)

    def guard(self, model: nn.Module) -> float:
        """The accuracy on the retain set, read by the guards around a method."""
        known = self.journal.examples
        found = self.accuracy(model, self.request.retain)
        self.journal.guards += self.journal.examples - known
        return found


class Unlearner(ABC):
    """An unlearning method: a frozen recipe; the model and the data come with the call.

    Contract: the model passed in is bitwise untouched; the same seed gives the same weights; the holdout and its matched
    examples are never read; no hook, gate or optimiser state is left in the result.

    Attributes:
        control: whether the method is there to be seen through or as a yardstick, not to be used.
        reads_forget: whether the records to forget are read; where they are gone already, only methods that never do help.
        whole_classes: whether it is made for requests of whole classes alone.
        presets: named settings of the method, for the command line.
    """

    control: ClassVar[bool] = False
    reads_forget: ClassVar[bool] = True
    whole_classes: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Unlearner]] = {}

    def unlearn(
        self,
        model: nn.Module,
        request: ForgetRequest,
        *,
        task: Task | None = None,
        seed: int = 0,
        journal: Journal | None = None,
    ) -> nn.Module:
        """A new model that should no longer show what it learned from the forget set.

        A run that diverges (a loss or weight that is not finite, or a retain accuracy under half of the original's on a
        sample of 1,000) is rolled back: the result is then a copy of the original, and the journal says so.

        Args:
            model: the trained model; not changed.
            request: what goes and what stays.
            task: turns batches into outputs; `Classification` if None.
            seed: of everything that is drawn.
            journal: pass one to learn what the run did.

        Raises:
            InputError: if the model has weights that are not finite, the request is none that the method is made for or lacks
                what it needs, the method cannot be shared out among processes as it is asked to, or its `forget` returns no
                model.
        """
        self.require_fit(request, task=task or Classification())
        why_not = None if current() is None else self.stays_alone(in_parts=in_parts())
        if why_not is not None:
            raise InputError(f"steps that several processes share must be those of one, but {why_not}.")
        if not finite(model):
            raise InputError(
                "the model's weights must be finite, but some are NaN or infinite. Nothing can be unlearned from it."
            )
        journal = journal if journal is not None else Journal()
        if is_compiled(model):
            model = uncompiled(model)
            journal.note("The model is compiled; what comes out is not: compile it again where that is wanted.")
        own = stream(seed, "unlearning")
        with seeded(own) as generator:
            run = Run(request, task or Classification(), own, generator, journal)
            before = run.guard(model)
            try:
                result = self.forget(deepcopy(model), run)
                if not isinstance(result, nn.Module):
                    raise InputError(
                        f"`forget` of {type(self).__name__} must return a model, but returned {type(result).__name__}. End it "
                        "with `return model`."
                    )
                trouble = None if finite(result) else "its weights are no longer finite"
            except DivergedError as error:
                trouble = str(error)
            if trouble is None:
                after = run.guard(result)
                if after < RETAIN_FLOOR * before:
                    trouble = f"retain accuracy fell from {before:.1%} to {after:.1%}"
            if trouble is None:
                result = self.settle(model, result, run)
        if trouble is not None:
            journal.rolled_back = trouble
            journal.note(f"Rolled back: {trouble}. The result is the original model.")
            result = deepcopy(model)
        for module, like in zip(result.modules(), model.modules(), strict=False):
            module.training = like.training
        return result

    def require_fit(self, request: ForgetRequest, *, task: Task) -> None:
        """Refuse a request that the method is not made for, and a method that cannot be run, before anything is done.

        Raises:
            InputError: if it is made for whole classes, and some records of them stay, or its `forget` takes other arguments.
        """
        taken = inspect.signature(self.forget)
        try:
            taken.bind(None, None)
        except TypeError:
            raise InputError(
                f"`forget` of {type(self).__name__} must take a model and a run, but takes {taken}. Write "
                "`def forget(self, model, run)`."
            ) from None
        if self.whole_classes and torch.isin(task.targets(request.retain), task.targets(request.forget)).any():
            raise InputError(
                f"{type(self).__name__} forgets whole classes, so every record of the classes of what goes must go, but some "
                "stay. Take a method that forgets records, such as SCRUB."
            )

    def settle(self, model: nn.Module, result: nn.Module, run: Run) -> nn.Module:
        """What is handed out after a run that did not diverge: the result, unless a method has second thoughts.

        Args:
            model: the original; not to be changed.
            result: of `forget`.
            run: whose result it is.
        """
        return result

    def stays_alone(self, *, in_parts: bool) -> str | None:
        """Why several processes would not do the steps of one, and the way out; None where they do.

        Args:
            in_parts: whether the parameters of a model lie in parts on them.
        """
        return None

    def expected_examples(self, request: ForgetRequest) -> int | None:
        """About how many examples a run will process, for progress and estimates; None if it cannot be said."""
        return None

    @abstractmethod
    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Change a working copy of the model, or make another, and return it."""


def finite(model: nn.Module) -> bool:
    """Whether every parameter and buffer is finite."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())
