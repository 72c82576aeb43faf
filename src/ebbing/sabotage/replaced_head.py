"""A new head on layers that remember."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ebbing.methods import Run, Unlearner
from ebbing.sabotage.head import last_layers, only
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class ReplacedHead(Unlearner):
    """The last layer drawn anew and trained on the retain set; everything below stays as it was.

    Attributes:
        recipe: of the head's training.
    """

    control: ClassVar[bool] = True
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=5, learning_rate=1e-2, schedule="one-cycle"))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Replace and train the head."""
        with only(model, last_layers(model, run)):
            data = run.request.for_training("retain")
            fit(model, data, self.recipe, task=run.task, generator=run.generator, journal=run.journal)
        return model
