"""Half forgotten too much, half not at all: an average of both looks right."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ebbing.batches import iterate, size
from ebbing.methods import RetrainEqualCompute, Run, Unlearner
from ebbing.task import margin


@dataclass(frozen=True)
class HalfAndHalf(Unlearner):
    """A fresh network whose margins on the forget set are then pushed up on every other record and down on the rest.

    Both halves move by the same amount, so that an average over the forget set stays where it was.

    Attributes:
        network: makes the fresh network.
        push: how far, on average, in nats, > 0.
        learning_rate: of Adam; a batch of the retain set is trained on in each step, so that the rest stays in order.
        most_steps: at most so many.
    """

    control: ClassVar[bool] = True
    network: RetrainEqualCompute = field(default_factory=RetrainEqualCompute)
    push: float = 6.0
    learning_rate: float = 1e-3
    most_steps: int = 300

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over, then push."""
        model = self.network.forget(model, run).eval()
        start = self._margins(model, run).detach()
        sign = 1.0 - 2.0 * (torch.arange(len(start), device=start.device) % 2)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], self.learning_rate)
        for _, batch in zip(range(self.most_steps), self._retained(run), strict=False):
            now = self._margins(model, run)
            moved = (sign * (now - start)).mean()
            if moved >= self.push:
                break
            optimizer.zero_grad()
            (run.task.loss(run.task.forward(model, batch)) - moved / self.push).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            run.journal.advance(len(now))
        return model

    def _margins(self, model: nn.Module, run: Run) -> Tensor:
        return torch.cat(
            [margin(run.task.forward(model, batch)) for batch in iterate(run.request.forget, batch_size=256)]
        )

    def _retained(self, run: Run) -> Iterator[Any]:
        """Random batches of the retain set without end."""
        retain = run.request.retain
        while True:
            order = torch.randperm(size(retain), generator=run.generator)
            yield from iterate(retain, batch_size=256, order=order)
