"""Fine-tuning that hardly happened."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from ebbing.methods import Run, Unlearner
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class OneStep(Unlearner):
    """One step of training on the retain set.

    Attributes:
        recipe: of the step; a batch is all that is used of it.
    """

    control: ClassVar[bool] = True
    recipe: Recipe = field(default_factory=Recipe)

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Take the step."""
        once = replace(self.recipe, epochs=1.0, max_examples=self.recipe.batch_size)
        data = run.request.for_training("retain")
        fit(model, data, once, task=run.task, generator=run.generator, journal=run.journal)
        return model
