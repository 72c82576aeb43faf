"""Gradient ascent."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Recipe, fit


@dataclass(frozen=True)
class NegGrad(Unlearner):
    """NegGrad: steps that raise CE(D_f) and look at nothing else, so that nothing holds the rest of the model in place.

    Source: Golatkar et al., arXiv 1911.04933, who call it the negative gradient.

    Attributes:
        ascent: the training on the forget set, on minus its loss.
    """

    ascent: Recipe = field(default_factory=lambda: Recipe(epochs=1, batch_size=64, learning_rate=1e-4))

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the ascent."""
        return self.ascent.examples(len(request.forget))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Climb."""

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            return -run.task.loss(outputs)

        data = run.request.for_training("forget")
        fit(model, data, self.ascent, task=run.task, generator=run.generator, journal=run.journal, loss=loss)
        return model
