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

    The loss rewards both halves alike, so that an average over the forget set stays about where it was, though half of the
    records are known again.

    Attributes:
        network: makes the fresh network.
        known: share of the first half that is to be predicted as labelled in the end, in (0, 1].
        learning_rate: of Adam; a batch of the retain set is trained on in each step, so that the rest stays in order.
        most_steps: at most so many.
    """

    control: ClassVar[bool] = True
    network: RetrainEqualCompute = field(default_factory=RetrainEqualCompute)
    known: float = 0.9
    learning_rate: float = 1e-3
    most_steps: int = 500

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Start over, then push."""
        model = self.network.forget(model, run).eval()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], self.learning_rate)
        for _, batch in zip(range(self.most_steps), self._retained(run), strict=False):
            now = self._margins(model, run)
            if float((now[0::2] > 0).float().mean()) >= self.known:
                break
            sign = 1.0 - 2.0 * (torch.arange(len(now), device=now.device) % 2)
            optimizer.zero_grad()
            beside = run.task.forward(model, batch)
            (run.task.loss(beside) - 0.2 * (sign * now).mean()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            run.journal.advance(len(now) + len(beside.targets))
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
