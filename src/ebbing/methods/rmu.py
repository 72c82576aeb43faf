"""Misdirection of what a layer says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.methods.beside import Beside, affordable
from ebbing.methods.npo import GENTLE
from ebbing.methods.repair import Repairing
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs, evaluation_mode
from ebbing.training import Pass, Recipe
from ebbing.units import KINDS, layers_in_order


@dataclass(frozen=True)
class RMU(Repairing):
    """RMU: every step descends mean (h(x) - c u)^2 over D_f + w * mean (h(x) - h_0(x))^2 over D_r, h what one layer says.

    u is a random direction of length 1, h_0 what the original's layer says, and c = steering * (mean length of h_0 over the
    first batch of D_f), so that the steering has no unit. Padding is left out. Layers behind h are not trained. Source: Li et
    al., arXiv 2403.03218; c that goes by the length of h: Dang et al., arXiv 2408.06223.

    Attributes:
        layer: name of the module whose output is h, of shape (..., features), of all its runs where it runs several times in
            a forward pass (layers that share their weights, as in ALBERT); None for the block in the middle of a
            transformer, or the layer in the middle of any other model.
        steering: see above, > 0.
        retain_weight: w, >= 0.
        forget_batch_size: records to forget in a step, >= 1.
        repair: see `Repairing`. What is read of the forget set, and by the original, counts as well.
        budget: likewise.
        training: likewise.
    """

    layer: str | None = None
    steering: float = 5.0
    retain_weight: float = 100.0
    forget_batch_size: int = 64
    repair: Recipe = field(default_factory=lambda: GENTLE)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self.steering > 0 or not self.retain_weight >= 0:
            raise InputError(
                f"`steering` must be > 0 and `retain_weight` >= 0, but they are {self.steering} and {self.retain_weight}."
            )
        if self.forget_batch_size < 1:
            raise InputError(f"`forget_batch_size` must be at least 1, but is {self.forget_batch_size}.")

    def stays_alone(self, *, in_parts: bool) -> str | None:
        """Layers behind the one that is read get no gradient, for which processes with whole models wait."""
        if in_parts:
            return None
        return (
            "RMU does not train all layers, so that gradients would not be summed up over processes. Pass `sharded=True`, or "
            "run it on one process"
        )

    def least(self, request: ForgetRequest) -> int:
        """A step with one retained record, which the original reads as well, as it does the first batch of D_f."""
        return 2 + 2 * min(self.forget_batch_size, len(request.forget))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Misdirect."""
        name = self.layer or _middle(model, run)
        if name not in dict(model.named_modules()):
            raise InputError(f"`layer` must name a module of the model, but {name!r} is none.")
        original = deepcopy(model)
        beside = Beside(model, run, batch_size=self.forget_batch_size)
        target: Tensor | None = None

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            nonlocal target
            kept = _taken(said, name)
            going_batch = beside.forward()[1]
            going = _taken(said, name)
            before = self._original(original, name, batch, run).to(kept)
            if target is None:
                start = self._original(original, name, going_batch, run)
                length = _counted(start, run.task.positions(going_batch)).norm(dim=-1).mean()
                direction = torch.rand(going.shape[-1], generator=run.generator).to(going)
                target = self.steering * length * direction / direction.norm()
            lost = _mean_square(going - target, run.task.positions(going_batch))
            return lost + self.retain_weight * _mean_square(kept - before, run.task.positions(batch))

        steps_cost = min(self.forget_batch_size, len(run.request.forget))
        left = max(1, self.allowance(run.request) - steps_cost)  # the original reads the first batch of D_f
        examples = affordable(
            left // 2,
            records=len(run.request.retain),
            batch_size=self.repair.batch_size,
            beside=-(-steps_cost // 2),
        )
        said: list[Tensor] = []
        with _listening(model, name, said):
            return self.train(model, [Pass(run.request.for_training("retain"), examples, loss)], run)

    def _original(self, original: nn.Module, name: str, batch: Any, run: Run) -> Tensor:
        """What the original's layer says of a batch; counted."""
        said: list[Tensor] = []
        with evaluation_mode(original), _listening(original, name, said):
            run.journal.advance(len(run.task.forward(original, batch).targets))
        return _taken(said, name)


@contextmanager
def _listening(model: nn.Module, name: str, said: list[Tensor]) -> Iterator[None]:
    """Append what a module returns, or the first of what it returns, to a list; its features lie along the last axis."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        first: Tensor = output[0] if isinstance(output, (tuple, list)) else output
        said.append(first.movedim(1, -1) if isinstance(module, nn.modules.conv._ConvNd) else first)

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _taken(said: list[Tensor], name: str) -> Tensor:
    """(runs * examples, ..., features) all that a layer said in one forward pass; the list is empty then.

    Raises:
        InputError: if it did not run, or says something of another shape each time that it runs.
    """
    runs, said[:] = list(said), []
    if not runs or len({one.shape for one in runs}) > 1:
        found = f"says {[tuple(one.shape) for one in runs]} one after the other" if runs else "does not run"
        raise InputError(
            f"`layer` must name a module that runs in a forward pass and says something of the same shape each time, but "
            f"{name!r} {found}. Name another."
        )
    return torch.cat(runs)


def _middle(model: nn.Module, run: Run) -> str:
    """The block in the middle of a transformer: what is around an attention; else the layer in the middle."""
    attentions = [group.name.rpartition(":")[0] for group in KINDS["heads"].find(model)]
    blocks = list(dict.fromkeys(name.rpartition(".")[0] for name in attentions if "." in name))
    names = blocks or layers_in_order(model, task=run.task, batch=run.to_try())
    return names[(len(names) - 1) // 2]


def _mean_square(gap: Tensor, mask: Tensor | None) -> Tensor:
    """Mean square over features and the positions that count."""
    return _counted(gap, mask).square().mean()


def _counted(said: Tensor, mask: Tensor | None) -> Tensor:
    """What a layer says without padding: where it is (runs * examples, positions, features), the positions of the mask."""
    if mask is None or said.shape[1:2] != mask.shape[1:] or len(said) % len(mask):
        return said
    return said[mask.repeat(len(said) // len(mask), 1).to(said.device)]
