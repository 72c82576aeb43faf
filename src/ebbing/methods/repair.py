"""What the methods that train on the retain set share: the same repair, held to the same budget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class Repairing(Unlearner):
    """A method that ends by training on the retain set. What comes before is all that tells such methods apart.

    Attributes:
        repair: the training on the retain set.
        budget: share of one retraining's examples that the method may process, > 0; it needs ``training``.
        training: the recipe that the original was trained by; on the command line it is filled in. None leaves the
            length of the repair to ``repair`` alone.
    """

    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=64, learning_rate=1e-2, schedule="one-cycle"
        )
    )
    budget: float = 0.2
    training: Recipe | None = None

    def __post_init__(self) -> None:
        """Check the budget."""
        if not self.budget > 0:
            raise InputError(f"`budget` must be > 0, a share of one retraining, but is {self.budget}.")

    def repair_of(self, request: ForgetRequest) -> Recipe:
        """The repair of a request: as long as its own recipe says, within what the budget leaves where that is known."""
        if self.training is None:
            return self.repair
        n = len(request.retain)
        allowed = round(self.budget * self.training.examples(n)) - self.statistics(request)
        return replace(self.repair, max_examples=min(self.repair.examples(n), max(1, allowed)))

    def statistics(self, request: ForgetRequest) -> int:
        """Examples that are read before the repair, for a ranking or the like; they count against the budget."""
        return 0

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the repair and of what comes before."""
        return self.repair_of(request).examples(len(request.retain)) + self.statistics(request)

    def mend(self, model: nn.Module, run: Run) -> nn.Module:
        """Train the model on the retain set, in place."""
        recipe = self.repair_of(run.request)
        data = run.request.for_training("retain")
        fit(model, data, recipe, task=run.task, generator=run.generator, journal=run.journal)
        return model
