"""Retraining: the yardstick, in full and at a fraction of its cost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ebbing.fresh import reinitialise
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class Retrain(Unlearner):
    """A fresh initialisation trained on the retain set by the full recipe: what every method is measured by.

    Attributes:
        recipe: the original's; on the command line it is filled in.
        start: gives what training started from, where that was not a fresh initialisation, such as
            `ebbing.pretrained.Pretrained`.
    """

    control: ClassVar[bool] = True
    reads_forget: ClassVar[bool] = False
    recipe: Recipe = field(default_factory=Recipe)
    start: Callable[[], nn.Module] | None = None

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the training on the retain set."""
        return self.recipe.examples(len(request.retain))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over."""
        reinitialise(model, self.start)
        fit(
            model,
            run.request.for_training("retain"),
            self.recipe,
            task=run.task,
            generator=run.generator,
            journal=run.journal,
        )
        return model


@dataclass(frozen=True)
class RetrainEqualCompute(Repairing):
    """A fresh initialisation, and `Ebb`'s repair on the retain set: the same cost, but nothing kept of the original.

    Attributes:
        start: see `Retrain`.
        repair: see `Repairing`.
        budget: likewise.
        training: likewise.
    """

    control: ClassVar[bool] = True
    reads_forget: ClassVar[bool] = False
    start: Callable[[], nn.Module] | None = None

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over, briefly."""
        reinitialise(model, self.start)
        return self.mend(model, run)
