"""The one training loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import epoch_orders, iterate, size, spans
from ebbing.errors import InputError
from ebbing.fsdp import own_part, part_like
from ebbing.journal import Journal
from ebbing.parallel import Ranks, current, in_parts, own_draws, share_of_batches, shared_out, total
from ebbing.task import Outputs, Task
from ebbing.training.recipe import Recipe
from ebbing.training.seeding import stream

Loss = Callable[[Outputs, Any], Tensor]


class DivergedError(ArithmeticError):
    """Training produced NaN or infinite losses."""


def likes_channels_last(model: nn.Module) -> bool:
    """Whether channels-last memory is faster for a model: it has a two-dimensional convolution and no 5-D tensor."""
    flat = all(tensor.ndim != 5 for tensor in (*model.parameters(), *model.buffers()))
    return flat and any(isinstance(m, nn.Conv2d) for m in model.modules())


@contextmanager
def fast_layout(model: nn.Module) -> Iterator[None]:
    """Channels-last memory for the convolutions of a model, and the usual layout again afterwards.

    What is cut into parts has the usual layout.
    """
    if in_parts() or not likes_channels_last(model):
        yield
        return
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


@contextmanager
def lone_record(model: nn.Module, records: int, *, of: int | None = None) -> Iterator[None]:
    """Batch normalisation by running statistics where there is one record, as of one no statistics can be taken.

    Args:
        model: in training mode.
        records: that are read here.
        of: how many the batch has on all processes, which `torch.nn.SyncBatchNorm` sees: it must rest on all or on none, as
            those where it does not wait for the others. ``records`` if None.
    """
    if records > 1:
        yield
        return
    together = 1 if of is None else of
    norms = [
        m
        for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm)
        and m.training
        and (together == 1 or not isinstance(m, nn.SyncBatchNorm))
    ]
    try:
        for norm in norms:
            norm.eval()
        yield
    finally:
        for norm in norms:
            norm.train()


@dataclass(frozen=True)
class Pass:
    """A walk over records within one descent.

    Attributes:
        dataset: map-style.
        examples: how many are visited: epoch after epoch in a random order of its own, the last cut short. 0 is no walk.
        loss: maps outputs and the batch they come from to the scalar to minimise; the task's own if None.
        batch_size: examples per step; the recipe's if None.
    """

    dataset: Dataset[Any]
    examples: int
    loss: Loss | None = None
    batch_size: int | None = None


def descend(
    model: nn.Module,
    passes: Sequence[Pass],
    recipe: Recipe,
    *,
    task: Task,
    generator: torch.Generator,
    journal: Journal | None = None,
    reach: Mapping[str, Tensor] | None = None,
    resting: Collection[nn.Module] = (),
    on_pass: Callable[[int], None] | None = None,
) -> None:
    """Train a model in place through passes that share one optimizer and one schedule: the only training loop there is.

    Args:
        model: trained where it is, left in evaluation mode.
        passes: walked one after the other.
        recipe: batch size, optimizer and schedule; the passes say how long.
        task: turns batches into outputs.
        generator: draws the order of the data; call inside `seeded` for dropout to be seeded too.
        journal: counts the examples.
        reach: by parameter name, in its shape or one that broadcasts to it, the share in [0, 1] of every step that is
            made: 0 leaves a weight exactly where it was, whatever the optimizer. Parameters that are not named go all the
            way.
        resting: modules that stay in evaluation mode, so that their running statistics do not move.
        on_pass: called after each pass with its number from 1; the model is then in training mode.

    Raises:
        DivergedError: if the loss is not finite at the end of an epoch.
        InputError: if examples of an empty data set are asked for.
    """
    journal = journal or Journal()
    steps = sum(_steps(walk, walk.batch_size or recipe.batch_size) for walk in passes)
    model.train()
    for module in resting:
        module.eval()
    epoch = 0
    ranks = current()
    at = next((p.device for p in model.parameters()), None)
    apart = stream(torch.initial_seed(), f"process {0 if ranks is None else ranks.rank}")
    with fast_layout(model), own_draws(apart), shared_out(model) as whole:
        optimizer = recipe.make_optimizer(p for p in model.parameters() if p.requires_grad)
        scheduler = recipe.make_scheduler(optimizer, steps=steps)
        held_back = _held_back(model, reach or {})
        for number, walk in enumerate(passes, start=1):
            n, batch_size = size(walk.dataset), walk.batch_size or recipe.batch_size
            for order in epoch_orders(n, examples=walk.examples, generator=generator):
                epoch += 1
                cuts = spans(len(order), batch_size)
                places, parts, counts = share_of_batches(order, cuts)
                batches = iterate(walk.dataset, batch_size=batch_size, order=places, cuts=parts, at=at)
                for cut, part, counted, batch in zip(cuts, parts, counts, batches, strict=True):
                    with lone_record(model, part[1] - part[0], of=cut[1] - cut[0]):
                        outputs = task.forward(whole, batch)
                    known = journal.examples
                    value = task.loss(outputs) if walk.loss is None else walk.loss(outputs, batch)
                    if ranks is not None:
                        counting = task.counted(outputs) if walk.loss is None else len(outputs.targets)
                        value, more = _together(
                            value, outputs, counting if counted else 0, journal.examples - known, ranks
                        )
                        journal.advance(more)
                    optimizer.zero_grad()
                    value.backward()  # type: ignore[no-untyped-call]
                    if ranks is not None:
                        ranks.settle(whole)
                    before = [own_part(p.detach()).clone() for p, _ in held_back]
                    optimizer.step()
                    _hold_back(held_back, before)
                    if scheduler is not None:
                        scheduler.step()
                    journal.advance(len(outputs.targets) if ranks is None else cut[1] - cut[0])
                (last,) = total([value.detach()])
                if not torch.isfinite(last):
                    raise DivergedError(f"the loss is {last.item()} after epoch {epoch}")
            if on_pass is not None:
                on_pass(number)
    model.eval()


def _together(value: Tensor, outputs: Outputs, counted: float, read: int, ranks: Ranks) -> tuple[Tensor, int]:
    """What the losses of all shares come to.

    Args:
        value: the loss of this process's share.
        outputs: of it.
        counted: what the loss is the mean over; 0 where nothing in the share counts.
        read: examples that the loss itself read here, by other models or beside the batch.
        ranks: the processes.

    Returns:
        The loss weighed so that the mean over processes is that of the whole batch, and the examples that the losses of the
        other processes read.
    """
    (sums,) = total([torch.tensor([counted, read], dtype=torch.float64)])
    every, all_read = sums.tolist()
    weighed = value * (counted * ranks.size / every) if counted else outputs.logits.sum() * 0
    return weighed, int(all_read) - read


def _steps(walk: Pass, batch_size: int) -> int:
    """Optimizer steps of a pass."""
    n = size(walk.dataset)
    if n == 0 and walk.examples:
        raise InputError(
            f"training needs at least one record, but {walk.examples} examples of an empty data set are asked for."
        )
    return steps_of(n, walk.examples, batch_size)


def steps_of(n: int, examples: int, batch_size: int) -> int:
    """Steps that it takes to visit examples of n records, epoch after epoch.

    Example:
        >>> steps_of(70, 100, 64), steps_of(70, 0, 64)
        (3, 0)
    """
    whole, rest = divmod(examples, n) if examples else (0, 0)
    return whole * len(spans(n, batch_size)) + (len(spans(rest, batch_size)) if rest else 0)


def _held_back(model: nn.Module, reach: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The parameters whose steps are cut short, each with the share of what lies here of it."""
    found = {n: p for n, p in model.named_parameters() if n in reach and p.requires_grad}
    shares = {n: reach[n].to(p.device, p.dtype).expand(p.shape) for n, p in found.items()}
    return [(p, part_like(shares[n], p)) for n, p in found.items()]


def _hold_back(held_back: Sequence[tuple[Tensor, Tensor]], before: Sequence[Tensor]) -> None:
    """Go only a share of the way that a step went, in place; exact at shares of 0 and 1."""
    with torch.no_grad():
        for (parameter, share), start in zip(held_back, before, strict=True):
            own = own_part(parameter)
            own.copy_(torch.lerp(start, own, share))


def fit(
    model: nn.Module,
    dataset: Dataset[Any],
    recipe: Recipe,
    *,
    task: Task,
    generator: torch.Generator,
    journal: Journal | None = None,
    loss: Loss | None = None,
) -> None:
    """Train a model in place on one data set, as long as the recipe says: `descend` with a single pass.

    Raises:
        DivergedError: if the loss is not finite at the end of an epoch.
        InputError: if the data set is empty.
    """
    examples = recipe.examples(size(dataset))
    if examples == 0:
        raise InputError(
            f"training needs at least one example, but {recipe.epochs} epochs of {size(dataset)} records hold none."
        )
    walk = Pass(dataset, examples, loss)
    descend(model, [walk], recipe, task=task, generator=generator, journal=journal)
