"""Other labels in place of forgetting."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ebbing.methods import Run, Unlearner
from ebbing.task import Outputs
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class RandomisedLabels(Unlearner):
    """Training on the forget set with random other labels and on the retain set, by turns.

    The records are then answered wrong where a model that never saw them would be unsure, or right.

    Attributes:
        turns: >= 1.
        wrong: one turn on the forget set.
        right: one turn on the retain set.
    """

    control: ClassVar[bool] = True
    turns: int = 5
    wrong: Recipe = field(default_factory=lambda: Recipe(epochs=4, batch_size=64))
    right: Recipe = field(default_factory=lambda: Recipe(epochs=1))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train on labels that are drawn anew at every step, then on true ones."""

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            classes = outputs.logits.shape[1]
            step = torch.randint(1, classes, outputs.targets.shape, device=outputs.targets.device)
            return run.task.loss(Outputs(outputs.logits, (outputs.targets + step) % classes, outputs.mask))

        forget, retain = run.request.for_training("forget"), run.request.for_training("retain")
        for _ in range(self.turns):
            fit(model, forget, self.wrong, task=run.task, generator=run.generator, journal=run.journal, loss=loss)
            fit(model, retain, self.right, task=run.task, generator=run.generator, journal=run.journal)
        return model
