"""How a model is trained: the settings of one training, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebbing.errors import InputError
from ebbing.fsdp import is_part

# parameters; above it a step's arithmetic outweighs the calls that the fused form saves
FUSED_BELOW = 100_000
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "one-cycle", "cosine")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: a fixed number of epochs, the same for originals and retrained models.

    Attributes:
        epochs: passes over the data, > 0; a fraction cuts the last pass short.
        max_examples: stop after so many examples even if the epochs are not over, >= 1; None for no such limit.
        batch_size: examples per step, >= 1.
        optimizer: "adam", "adamw" or "sgd".
        learning_rate: step size, > 0; the peak of a schedule.
        momentum: of "sgd", in [0, 1). The schedule "one-cycle" has its own in its place, and in that of Adam's first beta: from
            .95 down to .85 where the learning rate has its peak, and up again.
        weight_decay: >= 0, as the optimizer of torch defines it.
        schedule: "constant", "one-cycle" (up over 30 % of the steps and down along a cosine, Smith and Topin,
            arXiv 1708.07120) or "cosine" (down to 0).
    """

    epochs: float = 10.0
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    max_examples: int | None = None

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        object.__setattr__(self, "epochs", float(self.epochs))  # 1 and 1.0 are one recipe, also to a fingerprint
        problems = []
        if not (math.isfinite(self.epochs) and self.epochs > 0):
            problems.append(f"epochs must be > 0, but is {self.epochs}")
        if self.batch_size < 1:
            problems.append(f"batch_size must be >= 1, but is {self.batch_size}")
        if self.optimizer not in OPTIMIZERS:
            problems.append(f"optimizer must be one of {', '.join(OPTIMIZERS)}, but is {self.optimizer!r}")
        if self.schedule not in SCHEDULES:
            problems.append(f"schedule must be one of {', '.join(SCHEDULES)}, but is {self.schedule!r}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            problems.append(f"learning_rate must be > 0, but is {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            problems.append(f"momentum must lie in [0, 1), but is {self.momentum}")
        if not self.weight_decay >= 0:
            problems.append(f"weight_decay must be >= 0, but is {self.weight_decay}")
        if self.max_examples is not None and self.max_examples < 1:
            problems.append(f"max_examples must be >= 1, but is {self.max_examples}")
        if problems:
            raise InputError("recipe: " + "; ".join(problems) + ".")

    def make_optimizer(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimizer over parameters; for small models in torch's fused form, one call a step."""
        held = list(parameters)
        whole = not any(is_part(p) for p in held)  # the fused form is not written for all parts
        small = whole and sum(p.numel() for p in held) < FUSED_BELOW and all(p.device.type == "cpu" for p in held)
        common: dict[str, Any] = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": small or None}
        if self.optimizer == "sgd":
            return torch.optim.SGD(held, momentum=self.momentum, **common)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(held, **common)

    def make_scheduler(
        self, optimizer: torch.optim.Optimizer, *, steps: int
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """The learning rate over ``steps`` steps; None where it is constant."""
        if self.schedule == "one-cycle":
            # one step has no cycle: torch divides by the length of each phase
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=max(steps, 4))
        if self.schedule == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        return None

    def examples(self, n: int) -> int:
        """Examples processed when training on ``n`` records."""
        examples = round(self.epochs * n)
        return examples if self.max_examples is None else min(examples, self.max_examples)
