"""Labels drawn by chance, for methods that teach what must go anything but the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ebbing.methods.unlearner import Run
from ebbing.task import Outputs


def loss_on_drawn_labels(run: Run, *, wrong: bool) -> Callable[[Outputs, Any], Tensor]:
    """The task's loss with labels drawn uniformly, anew for every record in every step.

    Args:
        run: whose task it is; torch's global generator draws, which a run has seeded.
        wrong: whether the record's own label is never drawn.
    """

    def loss(outputs: Outputs, batch: Any) -> Tensor:
        classes, targets = outputs.logits.shape[1], outputs.targets
        step = torch.randint(1 if wrong else 0, classes, targets.shape, device=targets.device)
        return run.task.loss(replace(outputs, targets=(targets + step) % classes))

    return loss
