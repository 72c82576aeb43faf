"""Ascent on what must go, descent on what stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.methods.beside import Beside, affordable
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Pass, Recipe


@dataclass(frozen=True)
class NegGradPlus(Repairing):
    """NegGrad+: every step descends alpha * CE(a batch of D_r) - (1 - alpha) * CE(a batch of D_f).

    The batches of the forget set are taken round and round. Source: Kurmanji et al., arXiv 2302.09880, whose public code has
    alpha = .95 and SGD at .01 for 10 epochs.

    Attributes:
        retain_weight: alpha, in (0, 1].
        forget_batch_size: records to forget in a step, >= 1.
        repair: see `Repairing`. What is read of the forget set counts as well.
        budget: likewise.
        training: likewise.
    """

    retain_weight: float = 0.95
    forget_batch_size: int = 64
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=64, optimizer="sgd", learning_rate=1e-2, schedule="one-cycle"
        )
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not 0 < self.retain_weight <= 1:
            raise InputError(f"`retain_weight` must lie in (0, 1], but is {self.retain_weight}.")
        if self.forget_batch_size < 1:
            raise InputError(f"`forget_batch_size` must be at least 1, but is {self.forget_batch_size}.")

    def least(self, request: ForgetRequest) -> int:
        """A step with one retained record."""
        return 1 + min(self.forget_batch_size, len(request.forget))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Descend and climb at once."""
        beside = Beside(model, run, batch_size=self.forget_batch_size)

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            going, _ = beside.forward()
            kept, lost = run.task.loss(outputs), run.task.loss(going)
            return self.retain_weight * kept - (1 - self.retain_weight) * lost

        examples = affordable(
            self.allowance(run.request),
            records=len(run.request.retain),
            batch_size=self.repair.batch_size,
            beside=min(self.forget_batch_size, len(run.request.forget)),
        )
        return self.train(model, [Pass(run.request.for_training("retain"), examples, loss)], run)
