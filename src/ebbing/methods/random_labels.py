"""Other labels for what must go."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.repair import Repairing, shared_out
from ebbing.methods.unlearner import Run
from ebbing.methods.wrong_labels import loss_on_drawn_labels
from ebbing.request import ForgetRequest
from ebbing.training import Pass, Recipe


@dataclass(frozen=True)
class RandomLabels(Repairing):
    """Rounds of CE on D_f with labels drawn uniformly among the wrong ones, then CE on D_r, with one optimizer.

    Source: the amnesiac unlearning of Graves et al., arXiv 2010.10981; the form in rounds is that of the public code of
    Fan et al., arXiv 2310.12508.

    Attributes:
        rounds: how often the two alternate, >= 1. How much of D_r a round visits follows from what is allowed; in the public
            code it is an epoch of each.
        wrong_only: whether a record's own label is never drawn.
        repair: see `Repairing`. What is visited of the forget set counts as well.
        budget: likewise.
        training: likewise.
    """

    rounds: int = 10
    wrong_only: bool = True
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=64, optimizer="sgd", learning_rate=1e-2
        )
    )

    def __post_init__(self) -> None:
        """Check the number of rounds."""
        super().__post_init__()
        if self.rounds < 1:
            raise InputError(f"`rounds` must be at least 1, but is {self.rounds}.")

    def least(self, request: ForgetRequest) -> int:
        """A record of each kind in every round."""
        return 2 * self.rounds

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Alternate."""
        return self.train(model, self.passes(run), run)

    def passes(self, run: Run) -> list[Pass]:
        """Wrong labels, right labels, and so on."""
        going, staying = shared_out(self.allowance(run.request), rounds=self.rounds, forget=len(run.request.forget))
        forget, retain = run.request.for_training("forget"), run.request.for_training("retain")
        wrong = Pass(forget, going, loss_on_drawn_labels(run, wrong=self.wrong_only))
        return [wrong, Pass(retain, staying)] * self.rounds
