"""The one training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import epoch_orders, iterate, size, spans
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.task import Outputs, Task
from ebbing.training.recipe import Recipe


class DivergedError(ArithmeticError):
    """Training produced NaN or infinite losses."""


def likes_channels_last(model: nn.Module) -> bool:
    """Whether channels-last memory is faster for a model: it has a two-dimensional convolution and no 5-D tensor."""
    flat = all(tensor.ndim != 5 for tensor in (*model.parameters(), *model.buffers()))
    return flat and any(isinstance(m, nn.Conv2d) for m in model.modules())


@contextmanager
def fast_layout(model: nn.Module) -> Iterator[None]:
    """Channels-last memory for the convolutions of a model, and the usual layout again afterwards."""
    if not likes_channels_last(model):
        yield
        return
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def fit(
    model: nn.Module,
    dataset: Dataset[Any],
    recipe: Recipe,
    *,
    task: Task,
    generator: torch.Generator,
    journal: Journal | None = None,
    loss: Callable[[Outputs], Tensor] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train a model in place: the only training loop there is.

    Args:
        model: trained where it is, left in evaluation mode.
        dataset: map-style, non-empty.
        recipe: epochs, batch size, optimizer and schedule.
        task: turns batches into outputs.
        generator: draws the order of the data; call inside `seeded` for dropout to be seeded too.
        journal: counts the examples.
        loss: maps `Outputs` to the scalar to minimise; ``task.loss`` if None.
        on_epoch: called after each epoch with its number from 1; the model is then in training mode.

    Raises:
        DivergedError: if the loss is not finite at the end of an epoch.
        InputError: if the data set is empty.
    """
    n = size(dataset)
    if n == 0 or recipe.examples(n) == 0:
        raise InputError(f"training needs at least one example, but {recipe.epochs} epochs of {n} records hold none.")
    loss = loss or task.loss
    journal = journal or Journal()
    whole, rest = divmod(recipe.examples(n), n)
    steps = whole * len(spans(n, recipe.batch_size)) + (len(spans(rest, recipe.batch_size)) if rest else 0)
    optimizer = recipe.make_optimizer(p for p in model.parameters() if p.requires_grad)
    scheduler = recipe.make_scheduler(optimizer, steps=steps)
    model.train()
    with fast_layout(model):
        orders = epoch_orders(n, examples=recipe.examples(n), generator=generator)
        for epoch, order in enumerate(orders, start=1):
            for batch in iterate(dataset, batch_size=recipe.batch_size, order=order):
                outputs = task.forward(model, batch)
                value = loss(outputs)
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
                journal.advance(len(outputs.targets))
            if not torch.isfinite(value):
                raise DivergedError(f"the loss is {value.item()} after epoch {epoch}")
            if on_epoch is not None:
                on_epoch(epoch)
    model.eval()
