"""Fine-tuning toward a sparse model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.task import Outputs


@dataclass(frozen=True)
class L1Sparse(Repairing):
    """l1-sparse: CE(D_r) + a * sum of abs(w) over all weights, a falling linearly from its start to 0 over the training.

    In the public code a falls from epoch to epoch, here from step to step. Source: Jia et al., arXiv 2304.04934.

    Attributes:
        strength: a at the start, >= 0.
        repair: see `Repairing`.
        budget: likewise.
        training: likewise.
    """

    reads_forget: ClassVar[bool] = False
    strength: float = 1e-4

    def __post_init__(self) -> None:
        """Check the strength."""
        super().__post_init__()
        if not 0 <= self.strength < float("inf"):
            raise InputError(f"`strength` must be finite and >= 0, but is {self.strength}.")

    def stays_alone(self, *, in_parts: bool) -> str | None:
        """The penalty asks for all weights at once."""
        if not in_parts:
            return None
        return "L1Sparse asks for all weights in every step. Leave `sharded` and --use_fsdp out"

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train with the penalty."""
        total, begun = self.allowance(run.request), run.journal.examples
        weights = [p for p in model.parameters() if p.requires_grad]

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            strength = self.strength * (1 - (run.journal.examples - begun) / total)
            return run.task.loss(outputs) + strength * torch.stack([w.abs().sum() for w in weights]).sum()

        return self.mend(model, run, loss=loss)
