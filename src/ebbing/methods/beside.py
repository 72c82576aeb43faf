"""Forget batches beside retain batches: what methods share that look at both in every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ebbing.batches import iterate, size
from ebbing.methods.unlearner import Run


def forget_batches(run: Run, *, batch_size: int) -> Iterator[Any]:
    """Batches of the forget set without end, in a new random order each time it is through."""
    forget = run.request.for_training("forget")
    while True:
        order = torch.randperm(size(forget), generator=run.generator)
        yield from iterate(forget, batch_size=batch_size, order=order)
