"""The simplest baseline."""

from dataclasses import dataclass, field

from torch import nn

from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class FineTune(Unlearner):
    """Cross entropy on the retain set from the original weights: the same bouts without decay.

    Attributes:
        recipe: length and learning rate; by default that of `Ebb`'s repair, so that the two differ by the decay alone.
    """

    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=5, learning_rate=1e-2, schedule="one-cycle"))

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the training on the retain set."""
        return self.recipe.examples(len(request.retain))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train on the retain set."""
        fit(
            model,
            run.request.retain,
            self.recipe,
            task=run.task,
            generator=run.generator,
            journal=run.journal,
        )
        return model
