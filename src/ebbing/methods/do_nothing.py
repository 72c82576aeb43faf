"""The first control."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest


@dataclass(frozen=True)
class DoNothing(Unlearner):
    """The original model as it is: what every audit must be able to tell from retraining."""

    control: ClassVar[bool] = True

    def expected_examples(self, request: ForgetRequest) -> int:
        """None."""
        return 0

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Return the copy."""
        return model
