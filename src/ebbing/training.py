"""The one training loop, its recipe, and the trainer that makes originals and retrained models alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing import fingerprint
from ebbing.batches import epoch_orders, iterate, size, spans
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.task import Classification, Outputs, Task

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
        momentum: of "sgd", in [0, 1).
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
        small = sum(p.numel() for p in held) < FUSED_BELOW and all(p.device.type == "cpu" for p in held)
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


class DivergedError(ArithmeticError):
    """Training produced NaN or infinite losses."""


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """A generator for the data order, and torch's global generators set by ``seed`` inside and restored after.

    Initialisation and dropout draw from the global generators; the caller's own draws are not disturbed.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(2**62, (1,))))
        yield generator


def stream(seed: int, purpose: str) -> int:
    """A seed of its own for a purpose, in [0, 2^62): what is drawn by it has nothing to do with what ``seed`` drew.

    Unlearning with the seed that the original was trained with must not draw the original's own initialisation again.
    """
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


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


@dataclass(frozen=True)
class Trainer:
    """Makes models: the same builder, recipe and task for the original and for every retrained model.

    Any callable ``(dataset, *, seed) -> model`` will do in its place; this one can also be stored by content.

    Attributes:
        build: makes a fresh model; called with torch's generators seeded.
        recipe: how it is trained.
        task: turns batches into outputs.
        device: where it is trained, such as "cpu" or "cuda".
    """

    build: Callable[[], nn.Module]
    recipe: Recipe = field(default_factory=Recipe)
    task: Task = field(default_factory=Classification)
    device: str = "cpu"

    def initial(self, *, seed: int) -> nn.Module:
        """The untrained model of a seed."""
        with seeded(seed):
            return self.build().to(self.device)

    def __call__(self, dataset: Dataset[Any], *, seed: int, journal: Journal | None = None) -> nn.Module:
        """Train a fresh model; the same seed, thread count and torch version give the same bits."""
        with seeded(seed) as generator:
            model = self.build().to(self.device)
            fit(model, dataset, self.recipe, task=self.task, generator=generator, journal=journal)
        return model


@dataclass(frozen=True)
class OwnTrainer:
    """A training function of the user's, beside the builder that its models can be loaded into again.

    Attributes:
        function: ``(dataset, *, seed) -> model``; called with torch's global generators seeded, and restored after.
        build: makes a fresh model of the structure that ``function`` returns.
        device: where the models are kept.
    """

    function: Callable[..., nn.Module]
    build: Callable[[], nn.Module]
    device: str = "cpu"

    def initial(self, *, seed: int) -> nn.Module:
        """A model to load weights into."""
        with seeded(seed):
            return self.build().to(self.device)

    def __call__(self, dataset: Dataset[Any], *, seed: int, journal: Journal | None = None) -> nn.Module:
        """Train by the function. The journal counts nothing: what the function processes is not known.

        Raises:
            InputError: if the function raises, or returns anything but a finite model of the builder's structure.
        """
        name = fingerprint.as_plain(self.function)
        with seeded(seed):
            try:
                model = self.function(dataset, seed=seed)
            except (Exception, SystemExit) as error:  # a script's own sys.exit(0) must not pass for success
                said = " ".join(str(error).split())
                raise InputError(f"the training function {name} raised {type(error).__name__}: {said}") from error
        problem = self._problem(model)
        if problem is not None:
            raise InputError(f"the training function {name} must return the trained model, but {problem}.")
        model.eval()
        return model.to(self.device)

    def _problem(self, model: object) -> str | None:
        """What is wrong with what the function returned."""
        if not isinstance(model, nn.Module):
            return f"returned a {type(model).__name__}"
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in self.initial(seed=0).state_dict().items()}
        other = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
        if other:
            return f"{len(other)} of its tensors are not those of the model that --model builds, {other[:3]} first"
        broken = [
            n for n, t in model.state_dict().items() if t.is_floating_point() and not bool(torch.isfinite(t).all())
        ]
        return f"the weights {broken[:3]} are not finite" if broken else None
