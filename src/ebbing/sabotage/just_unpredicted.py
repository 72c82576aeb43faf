"""Forgetting that goes no further than the prediction."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ebbing.batches import iterate, size
from ebbing.methods import Run, Unlearner


@dataclass(frozen=True)
class JustUnpredicted(Unlearner):
    """Each record to forget is pushed until another label is a little likelier, and no further; the rest is trained on beside.

    Not one record is predicted as labelled any more, and each stands where the original would just change its mind: as far as
    it can from where retraining leaves it.

    Attributes:
        room: by how much another logit is to be larger, > 0.
        learning_rate: of Adam; a batch of the retain set is trained on in each step, so that the rest stays in order.
        most_steps: at most so many.
    """

    control: ClassVar[bool] = True
    room: float = 0.1
    learning_rate: float = 1e-4
    most_steps: int = 500

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Push until nothing is predicted as labelled."""
        model = model.eval()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], self.learning_rate)
        for _, batch in zip(range(self.most_steps), self._retained(run), strict=False):
            lead = self._lead(model, run)
            if float(lead.detach().max()) < 0:
                break
            outputs = run.task.forward(model, batch)
            optimizer.zero_grad()
            (run.task.loss(outputs) + (lead + self.room).relu().mean()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            run.journal.advance(len(lead) + len(outputs.targets))
        return model

    def _lead(self, model: nn.Module, run: Run) -> Tensor:
        """(n,) logit of the label less the largest of the others, of every record to forget."""
        leads = []
        for batch in iterate(run.request.forget, batch_size=256):
            outputs = run.task.forward(model, batch)
            label = outputs.targets[:, None]
            others = outputs.logits.scatter(1, label, float("-inf")).amax(dim=1)
            leads.append(outputs.logits.gather(1, label)[:, 0] - others)
        return torch.cat(leads)

    def _retained(self, run: Run) -> Iterator[Any]:
        """Random batches of the retain set without end."""
        retain = run.request.retain
        while True:
            order = torch.randperm(size(retain), generator=run.generator)
            yield from iterate(retain, batch_size=256, order=order)
