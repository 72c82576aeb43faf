"""The simplest baseline."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run


@dataclass(frozen=True)
class FineTune(Repairing):
    """Training on the retain set from the original weights: `Ebb` without its decay, at the same cost."""

    reads_forget: ClassVar[bool] = False

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Repair what was not decayed."""
        return self.mend(model, run)
