"""Retraining: the yardstick, in full and at a fraction of its cost."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit


def reinitialise(model: nn.Module) -> None:
    """Draw every parameter that is trained anew, as each module's own ``reset_parameters`` does, in place.

    Frozen modules keep their weights: training did not make them.

    Raises:
        InputError: if a module with parameters of its own has no ``reset_parameters``.
    """
    for name, module in model.named_modules():
        if not any(p.requires_grad for p in module.parameters(recurse=False)):
            continue
        reset = getattr(module, "reset_parameters", None)
        if reset is None:
            raise InputError(
                f"retraining needs {name!r} ({type(module).__name__}) to have reset_parameters(), but it has none. Give it "
                "one, or retrain with your own trainer."
            )
        reset()


@dataclass(frozen=True)
class Retrain(Unlearner):
    """A fresh initialisation trained on the retain set by the full recipe: what every method is measured by.

    Attributes:
        recipe: the original's; on the command line it is filled in.
    """

    control: ClassVar[bool] = True
    recipe: Recipe = field(default_factory=Recipe)

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the training on the retain set."""
        return self.recipe.examples(len(request.retain))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over."""
        reinitialise(model)
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
    """A fresh initialisation, and `Ebb`'s repair on the retain set: the same cost, but nothing kept of the original."""

    control: ClassVar[bool] = True

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over, briefly."""
        reinitialise(model)
        return self.mend(model, run)
