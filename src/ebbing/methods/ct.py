"""Kernels turned on their side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

from ebbing.errors import InputError
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.training import Recipe


@dataclass(frozen=True)
class CT(Repairing):
    """CT: height and width of every convolution's kernel change places, then D_r is trained on.

    Source: the fifth of the NeurIPS 2023 challenge (arXiv 2406.09073), called convolution transpose by Cadet et al., arXiv
    2410.01276; there SGD at .001 along a cosine, batches of 64, 3 epochs.

    Attributes:
        repair: see `Repairing`.
        budget: likewise.
        training: likewise.
    """

    reads_forget: ClassVar[bool] = False
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=3, max_examples=60_000, batch_size=64, optimizer="sgd", learning_rate=1e-2, schedule="cosine"
        )
    )

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Turn, then repair."""
        layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.weight.requires_grad}
        computed = [n for n, m in layers.items() if not isinstance(m.weight, nn.Parameter)]
        if computed:
            raise InputError(
                f"CT turns kernels that are parameters, but those of {computed} are computed from others. Remove the "
                "parametrisation, or take a method that trains alone, such as FineTune."
            )
        oblong = [n for n, m in layers.items() if m.kernel_size[0] != m.kernel_size[1]]
        if not layers or oblong:
            found = f"{oblong} are not square" if oblong else "the model has none that is trained"
            raise InputError(f"CT turns the square kernels of two-dimensional convolutions, but {found}.")
        with torch.no_grad():
            for weight in {id(layer.weight): layer.weight for layer in layers.values()}.values():  # tied ones once
                weight.copy_(weight.transpose(2, 3).clone())
        return self.mend(model, run)
