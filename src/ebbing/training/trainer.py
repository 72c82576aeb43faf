"""Trainers: what makes originals and retrained models alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ebbing import fingerprint
from ebbing.errors import InputError
from ebbing.journal import Journal
from ebbing.task import Classification, Task
from ebbing.training.descent import fit
from ebbing.training.recipe import Recipe
from ebbing.training.seeding import seeded


@dataclass(frozen=True)
class Trainer:
    """Makes models: the same builder, recipe and task for the original and for every retrained model.

    Any callable ``(dataset, *, seed) -> model`` will do in its place; this one can also be stored by content.

    Attributes:
        build: makes a fresh model; called with torch's generators seeded.
        recipe: how it is trained.
        task: turns batches into outputs.
        device: where it is trained, such as "cpu" or "cuda".
        together: how many models of a bank are trained at once in one program, >= 1, see `ebbing.training.train_together`: it
            pays for small models on a GPU. Weights are then those of training one by one to rounding, not bit for bit.
    """

    build: Callable[[], nn.Module]
    recipe: Recipe = field(default_factory=Recipe)
    task: Task = field(default_factory=Classification)
    device: str = "cpu"
    together: int = 1

    def __post_init__(self) -> None:
        """Refuse no models."""
        if self.together < 1:
            raise InputError(f"`together` must be at least 1 model, but is {self.together}.")

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
            return f"{len(other)} of its tensors are not those of the model that was given, {other[:3]} first"
        broken = [
            n for n, t in model.state_dict().items() if t.is_floating_point() and not bool(torch.isfinite(t).all())
        ]
        return f"the weights {broken[:3]} are not finite" if broken else None
