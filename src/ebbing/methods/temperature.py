"""A control that passes naive attacks."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.task import evaluation_mode
from ebbing.units import LAYERS, bake, find_units
from ebbing.units.fitness import rounding_of


@dataclass(frozen=True)
class Temperature(Unlearner):
    """Logits times a constant: less confident everywhere, no prediction changed, nothing forgotten.

    It is also what a fixed forgetting rate on the logits does: the constant is baked into the output layer.

    Attributes:
        factor: what the logits are multiplied with, in (0, 1].
    """

    control: ClassVar[bool] = True
    factor: float = 0.3

    def __post_init__(self) -> None:
        """Check the factor."""
        if not 0 < self.factor <= 1:
            raise InputError(f"`factor` must lie in (0, 1], but is {self.factor}.")

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the two passes that check the result."""
        return 64

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Scale the last layer; refuse a model whose last layer is not its logits."""
        batch = run.a_batch()
        output = find_units(model, task=run.task, batch=batch, layers=LAYERS)[-1]
        with evaluation_mode(model):
            wanted = self.factor * run.task.forward(model, batch).logits
            bake(model, [output], {output.name: torch.full((output.size,), self.factor)})
            found = run.task.forward(model, batch).logits
        run.journal.advance(2 * len(wanted))
        rounding = rounding_of(model)
        near = max(1e-4, rounding * float(wanted.abs().max()))
        if not torch.allclose(found, wanted, rtol=max(1e-3, rounding), atol=near):
            raise InputError(f"temperature needs the model's last layer to be its logits, but {output.name!r} is not.")
        return model
