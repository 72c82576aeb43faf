"""Small weights drawn anew, and the old model's certainty kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebbing.errors import InputError
from ebbing.law import DecayLaw
from ebbing.methods.repair import Repairing
from ebbing.methods.teacher import Teacher
from ebbing.methods.unlearner import Run
from ebbing.rankings import SmallWeights
from ebbing.rates import TopRate
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Recipe
from ebbing.units import UnitGroup, fresh_anchor, single_weights
from ebbing.units.kinds.kind import is_transposed

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class PruneReinit(Repairing):
    """Prune and re-initialise: the smallest weights of all layers together are drawn anew, then D_r is trained on.

    The loss is CE + MSE between the entropies of the new and the old model's answers, in nats. It is the decay law on single
    weights with tau = 0 on those of the smallest magnitude and a fresh initialisation as the anchor. Source: the fourth of
    the NeurIPS 2023 challenge (arXiv 2406.09073), by the public code of Cadet et al., arXiv 2410.01276; there 99 %, SGD at
    5e-4 with weight decay, batches of 64, 3.2 epochs; small biases become 0. Its weights for rare classes and its rounding to
    half precision are left out.

    Attributes:
        share: of the weights and biases of `Linear` and convolutional layers, in [0, 1].
        repair: see `Repairing`. The old model's passes count as well, so that a record costs two examples.
        budget: likewise.
        training: likewise.
    """

    reads_forget: ClassVar[bool] = False
    share: float = 0.99
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=3.2, max_examples=60_000, batch_size=64, optimizer="sgd", learning_rate=1e-2, schedule="one-cycle"
        )
    )

    def __post_init__(self) -> None:
        """Check the share."""
        super().__post_init__()
        self._law()

    def _law(self) -> DecayLaw:
        return DecayLaw(TopRate(SmallWeights(), self.share, across=True))

    def least(self, request: ForgetRequest) -> int:
        """One record, by the old model as well."""
        return 2

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Draw anew, then repair."""
        old = Teacher(model, run)
        units = self._units(model)
        anchor = fresh_anchor(model, units, seed=run.seed)
        anchor |= {name: torch.zeros_like(value) for name, value in anchor.items() if name.rpartition(".")[2] == "bias"}
        self._law().apply(model, units, run.request, task=run.task, seed=run.seed, anchor=anchor)

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            gap = functional.mse_loss(_entropy(outputs.logits), _entropy(old.logits(batch)))
            return run.task.loss(outputs) + gap

        return self.mend(model, run, loss=loss, price=2)

    def _units(self, model: nn.Module) -> Sequence[UnitGroup]:
        layers = [n for n, m in model.named_modules() if isinstance(m, LAYERS) or is_transposed(m)]
        units = [u for u in single_weights(model) if u.name.rpartition(".")[0] in layers]
        if not units:
            raise InputError("pruning needs a Linear or convolutional layer that is trained, but the model has none.")
        return units


def _entropy(logits: Tensor) -> Tensor:
    """(n,) in nats."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)
