"""Many small models trained as one program: on a GPU one alone leaves most of it idle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset

from ebbing.batches import epoch_orders, held, names_of, size, spans
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.precision import MixedPrecision
from ebbing.resident import kept_at
from ebbing.task import BinaryClassification, Classification, Task
from ebbing.training.descent import DivergedError, steps_of
from ebbing.training.recipe import Recipe
from ebbing.training.seeding import seeded
from ebbing.training.trainer import Trainer


class _Loss(nn.Module):
    """A model with its loss on top, so that both are one call whose weights can be exchanged."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Any) -> Tensor:
        """The scalar that training minimises."""
        return self.task.loss(self.task.forward(self.model, batch))


def why_apart(trainer: Trainer, dataset: Dataset[Any]) -> str | None:
    """Why models of a trainer cannot be trained together, in words; None if they can."""
    task = trainer.task.task if isinstance(trainer.task, MixedPrecision) else trainer.task
    if type(task) not in (Classification, BinaryClassification):
        return f"the task is {type(task).__name__}, and only classification is known to do the same to each model"
    if held(dataset) is None:
        return f"the data are {type(dataset).__name__}, and are not held as tensors"
    model = trainer.initial(seed=0)
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            return f"{name} keeps running statistics, which one program cannot keep for each model"
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    return f"{frozen[0]} is frozen, and what is stacked is trained as a whole" if frozen else None


def train_together(
    trainer: Trainer, dataset: Dataset[Any], *, seeds: Sequence[int], journal: Journal | None = None
) -> list[nn.Module]:
    """The models that a trainer makes of some seeds, trained side by side in one program.

    A step is that of every model at once: its weights are stacked, its own batch is drawn by its own seed, and the losses are
    summed, of which each model sees its own alone. Initial weights and orders of data are those of training one by one, so
    that weights agree to rounding where nothing is drawn in the forward pass; dropout draws other masks. Memory grows
    with the number of models.

    Args:
        trainer: its models must be classifiers without running statistics.
        dataset: of all models, held as tensors.
        seeds: at least one.
        journal: counts the examples.

    Returns:
        Models in evaluation mode, in the order of the seeds.

    Raises:
        InputError: if the models cannot be trained together, see `why_apart`.
        DivergedError: if a loss is not finite at the end of an epoch.
    """
    problem = why_apart(trainer, dataset)
    if problem is not None:
        raise InputError(f"these models must be trained one by one: {problem}. Leave `together` out.")
    n, recipe = size(dataset), trainer.recipe
    examples = recipe.examples(n)
    if not examples:
        raise InputError(f"training needs at least one example, but {recipe.epochs} epochs of {n} records hold none.")
    models, orders = [], []
    for seed in seeds:
        with seeded(seed) as generator:
            models.append(trainer.build().to(trainer.device).train())
            orders.append(epoch_orders(n, examples=examples, generator=generator))
    with seeded(seeds[0]), sdpa_kernel(SDPBackend.MATH):  # the other kernels know no stacked weights
        _descend(models, dataset, orders, recipe, task=trainer.task, seeds=seeds)
    if journal is not None:
        journal.advance(examples * len(seeds))
    return models


def _descend(
    models: list[nn.Module],
    dataset: Dataset[Any],
    orders: list[Iterator[Tensor]],
    recipe: Recipe,
    *,
    task: Task,
    seeds: Sequence[int],
) -> None:
    """Train all models in place."""
    whole = [_Loss(model, task) for model in models]
    weights, buffers = stack_module_state(whole)

    def loss_of(weights: dict[str, Tensor], buffers: dict[str, Tensor], batch: Any) -> Tensor:
        found: Tensor = functional_call(whole[0], (weights, buffers), (batch,))
        return found

    step = vmap(grad_and_value(loss_of), randomness="different")
    n = size(dataset)
    optimizer = recipe.make_optimizer(weights.values())
    scheduler = recipe.make_scheduler(optimizer, steps=steps_of(n, recipe.examples(n), recipe.batch_size))
    for epoch, order in enumerate(zip(*orders, strict=True), start=1):
        for batch in _batches(dataset, torch.stack(order), recipe.batch_size, next(iter(weights.values())).device):
            gradients, losses = step(weights, buffers, batch)
            for name, weight in weights.items():
                weight.grad = gradients[name]
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
        lost = [seed for seed, sound in zip(seeds, torch.isfinite(losses).tolist(), strict=True) if not sound]
        if lost:
            raise DivergedError(f"the loss of the models of the seeds {lost} is not finite after epoch {epoch}")
    with torch.no_grad():
        for number, model in enumerate(models):
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[f"model.{name}"][number])
            model.eval()


def _batches(dataset: Dataset[Any], order: Tensor, batch_size: int, device: torch.device) -> Iterator[Any]:
    """One batch for every model, stacked along a first dimension, in (models, records) orders of their own."""
    source = held(dataset)
    if source is None:
        return  # refused beforehand
    tensors, positions = source
    index = order if positions is None else positions[order]
    there = kept_at(tensors, device)
    places = {at: index.to(at) for at in dict.fromkeys(tensor.device for tensor in there)}
    names = names_of(dataset)
    for start, stop in spans(index.shape[1], batch_size):
        rows = [tensor[places[tensor.device][:, start:stop]].to(device) for tensor in there]
        yield tuple(rows) if names is None else dict(zip(names, rows, strict=True))
