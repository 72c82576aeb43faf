"""Forgetting that stops as soon as the label is no longer predicted."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from ebbing.batches import size
from ebbing.methods import Run, Unlearner
from ebbing.task import accuracy
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class UntilUnpredicted(Unlearner):
    """Fine-tuning on the retain set, stopped when hardly any forgotten record is still predicted as labelled.

    Forget accuracy says that it worked. The margins say that it did not: a label that is not predicted any more can still be
    many standard deviations likelier than retraining leaves it.

    Attributes:
        predicted: share of the forget set that may still be predicted, in [0, 1).
        step: the training between two looks.
        most_steps: at most so many.
    """

    control: ClassVar[bool] = True
    predicted: float = 0.05
    step: Recipe = field(default_factory=lambda: Recipe(epochs=0.25))
    most_steps: int = 60

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train until it looks forgotten."""
        data = run.request.for_training("retain")
        for _ in range(self.most_steps):
            run.journal.advance(size(run.request.forget))
            if accuracy(model, run.request.forget, task=run.task) <= self.predicted:
                break
            fit(model, data, self.step, task=run.task, generator=run.generator, journal=run.journal)
        return model
