"""Forget batches beside retain batches: what methods share that look at both in every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from ebbing.batches import iterate, size, spans
from ebbing.methods.unlearner import Run
from ebbing.task import Outputs
from ebbing.training import lone_record, steps_of


class Beside:
    """Batches of the forget set without end, in a new random order each time it is through; each is counted."""

    def __init__(self, model: nn.Module, run: Run, *, batch_size: int) -> None:
        self._model, self._run = model, run
        self._batches = self._drawn(batch_size)

    def forward(self) -> tuple[Outputs, Any]:
        """What the model says of the next batch, in its present mode, and the batch."""
        batch, records = next(self._batches)
        with lone_record(self._model, records):
            outputs = self._run.task.forward(self._model, batch)
        self._run.journal.advance(len(outputs.targets))
        return outputs, batch

    def _drawn(self, batch_size: int) -> Iterator[tuple[Any, int]]:
        forget = self._run.request.for_training("forget")
        sizes = [stop - start for start, stop in spans(size(forget), batch_size)]
        while True:
            order = torch.randperm(size(forget), generator=self._run.generator)
            yield from zip(iterate(forget, batch_size=batch_size, order=order), sizes, strict=True)


def affordable(allowance: int, *, records: int, batch_size: int, beside: int) -> int:
    """How many retained examples can be visited where each step reads some forgotten ones as well.

    Args:
        allowance: examples of both altogether.
        records: that stay.
        batch_size: retained examples in a step.
        beside: forgotten examples in a step.

    Returns:
        The largest number whose steps keep to the allowance, at least 1.

    Example:
        >>> affordable(700, records=70, batch_size=64, beside=64)
        252
    """
    low, high = 1, max(1, allowance)
    while low < high:
        middle = (low + high + 1) // 2
        if middle + beside * steps_of(records, middle, batch_size) <= allowance:
            low = middle
        else:
            high = middle - 1
    return low
