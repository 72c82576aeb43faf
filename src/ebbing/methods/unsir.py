"""Noise in the place of a class, then repair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.methods.beside import affordable
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs, evaluation_mode, read_labels
from ebbing.training import Pass, Recipe, descend, lone_record

NOISE_RATE = 0.1  # of Adam, as in the public code
MOST_NOISE = 0.25  # of what is allowed, for making it


@dataclass(frozen=True)
class UNSIR(Repairing):
    """UNSIR: learn noise that says the opposite of a class, impair with it and D_r together, then repair with D_r alone.

    For every class c that goes, inputs N of standard normal noise descend mean(-CE(f(N), c) + w * sum of N^2) by Adam at .1,
    f the original in evaluation mode. Impairing descends the mean CE of a batch of retained records and noise labelled c,
    repairing CE on D_r; each has an optimizer of its own. Of the records that go nothing but the labels is read. Source:
    Tarun et al., arXiv 2111.08947, and its public code: 256 inputs of noise, 40 steps, w = .1; 36 % of what impairs is
    noise; Adam at .02, then at .01, batches of 256. There one parcel of noise and records is shuffled; here each step has a
    batch of both in that proportion, which run through the model apart. For whole classes and inputs that are floating-point
    numbers alone.

    Attributes:
        noises: inputs of noise for each class, at most, >= 1: making them takes a quarter of what is allowed, or one step on
            one for each class where that is more.
        noise_steps: of Adam on each, >= 1; fewer where a quarter is not enough for one input of each class.
        size_weight: w, >= 0.
        noise_share: of the records that a step of impairing sees, in (0, 1).
        impair_times: learning rate of impairing over that of the repair, > 0.
        repair: see `Repairing`. Noise counts as well: once for each step that makes it or impairs with it. Impairing and
            repairing visit as many retained records.
        budget: likewise.
        training: likewise.
    """

    whole_classes: ClassVar[bool] = True
    noises: int = 256
    noise_steps: int = 40
    size_weight: float = 0.1
    noise_share: float = 0.36
    impair_times: float = 2.0
    repair: Recipe = field(
        default_factory=lambda: Recipe(epochs=1, max_examples=60_000, batch_size=256, learning_rate=1e-2)
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.noises < 1 or self.noise_steps < 1:
            raise InputError(
                f"`noises` and `noise_steps` must be at least 1, but are {self.noises} and {self.noise_steps}."
            )
        if not 0 <= self.size_weight < float("inf"):
            raise InputError(f"`size_weight` must be >= 0 and finite, but is {self.size_weight}.")
        if not 0 < self.noise_share < 1:
            raise InputError(f"`noise_share` must lie in (0, 1), but is {self.noise_share}.")
        if not 0 < self.impair_times < float("inf"):
            raise InputError(f"`impair_times` must be > 0 and finite, but is {self.impair_times}.")

    def stays_alone(self, *, in_parts: bool) -> str | None:
        """The mean over records and noise is not that of shares of one kind."""
        return (
            "UNSIR takes one mean over retained records and noise, of which each process sees a share of the former and all of "
            "the latter. Run it on one process"
        )

    def least(self, request: ForgetRequest) -> int:
        """One step on one input of noise for each class, one of impairing with a record and an input, one of repairing."""
        return len(torch.unique(read_labels(request.forget), dim=0)) + 3

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the repair, and no fewer than the shortest one processes."""
        return max(super().expected_examples(request), self.least(request))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Make noise, impair, repair."""
        inputs = _inputs_like(run.a_batch())
        classes = torch.unique(run.task.targets(run.request.forget))
        allowed = self.allowance(run.request)
        room = int(MOST_NOISE * allowed) // len(classes)
        steps = max(1, min(self.noise_steps, room))
        labels = classes.repeat_interleave(max(1, min(self.noises, room // steps)))
        noise, labels = self._noise(model, run, inputs, labels, steps)
        left = max(2, allowed - steps * len(noise))
        recipe, retain = self.repair_of(run.request), run.request.for_training("retain")
        impairing = left - round(left * (1 - self.noise_share) / (2 - self.noise_share))
        together = max(2, min(recipe.batch_size, impairing))
        going = min(together - 1, max(1, round(self.noise_share * together)))
        staying = together - going

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            chosen = torch.randint(len(noise), (going,), generator=run.generator).to(noise.device)
            with lone_record(model, going):
                said = run.task.forward(model, (noise[chosen], labels[chosen]))
            run.journal.advance(going)
            kept = len(outputs.targets)
            return (kept * run.task.loss(outputs) + going * run.task.loss(said)) / (kept + going)

        examples = affordable(impairing, records=len(run.request.retain), batch_size=staying, beside=going)
        faster = replace(recipe, learning_rate=self.impair_times * recipe.learning_rate)
        for walk, by in (
            (Pass(retain, examples, loss, staying), faster),
            (Pass(retain, max(1, left - impairing)), recipe),
        ):
            descend(model, [walk], by, task=run.task, generator=run.generator, journal=run.journal)
        return model

    def _noise(self, model: nn.Module, run: Run, like: Tensor, labels: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """(n, ...) inputs that the model takes for anything but their labels, and the (n,) labels, on the model's device."""
        device = next(model.parameters()).device
        drawn = torch.randn(len(labels), *like.shape[1:], generator=run.generator, dtype=like.dtype)
        noise, labels = drawn.to(device).requires_grad_(), labels.to(device)
        optimizer = torch.optim.Adam([noise], NOISE_RATE)
        with evaluation_mode(model):
            for _ in range(steps):
                with torch.enable_grad():
                    size = noise.square().sum() / len(noise)
                    value = self.size_weight * size - run.task.loss(run.task.forward(model, (noise, labels)))
                    (noise.grad,) = torch.autograd.grad(value, [noise])
                optimizer.step()
                run.journal.advance(len(noise))
        return noise.detach(), labels


def _inputs_like(batch: Any) -> Tensor:
    """The inputs of a batch, which noise must be able to stand in for."""
    inputs = batch[0] if isinstance(batch, (tuple, list)) and len(batch) == 2 else batch
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        return inputs
    found = f"are of type {inputs.dtype}" if isinstance(inputs, Tensor) else f"come as a {type(inputs).__name__}"
    raise InputError(
        f"UNSIR needs batches (inputs, labels) with floating-point inputs, in whose place noise can stand, but they {found}. "
        "Take another method, such as SCRUB."
    )
