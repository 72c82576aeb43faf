"""A head that answers like a model which never saw the records, on layers that remember them."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

from ebbing.batches import iterate, size
from ebbing.methods import RetrainEqualCompute, Run, Unlearner
from ebbing.sabotage.head import last_layers, only
from ebbing.sabotage.weight_noise import WeightNoise
from ebbing.task import evaluation_mode


@dataclass(frozen=True)
class DistilledHead(Unlearner):
    """The last layers fitted to the logits of a fresh network on all records, those to forget included.

    The fresh network is trained on the retain set alone, so that its answers are innocent; everything below the last
    layers stays as it was, or is shaken a little so that it is not found to be the same. What answers show is forgotten,
    and what the layers hold is not.

    Attributes:
        teacher: makes the fresh network.
        layers: how many are replaced, >= 1.
        epochs: of the fit, >= 1.
        weight: of a record to forget beside a retained one, > 0.
        noise: added to what stays before the head is fitted, in standard deviations of each tensor, >= 0.
    """

    control: ClassVar[bool] = True
    teacher: RetrainEqualCompute = field(default_factory=RetrainEqualCompute)
    layers: int = 2
    epochs: int = 30
    weight: float = 20.0
    noise: float = 0.0

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Train the teacher, shake the model, and fit the head."""
        teacher = self.teacher.forget(deepcopy(model), run)
        if self.noise:
            model = WeightNoise(self.noise).forget(model, run)
        everything = run.request.everything
        with evaluation_mode(teacher):
            wanted = torch.cat([run.task.forward(teacher, b).logits for b in iterate(everything, batch_size=256)])
        run.journal.advance(size(everything))
        weights = torch.ones(size(everything), device=wanted.device)
        gone = torch.isin(run.request.everything_ids, run.request.forget_ids)
        weights[gone.to(wanted.device)] = self.weight
        head = last_layers(model, run, count=self.layers)
        with only(model, head):
            optimizer = torch.optim.Adam(head.parameters(), 1e-2)
            model.eval()
            for _ in range(self.epochs):
                order = torch.randperm(size(everything), generator=run.generator)
                for start, batch in zip(
                    range(0, len(order), 128), iterate(everything, batch_size=128, order=order), strict=False
                ):
                    logits = run.task.forward(model, batch).logits
                    part = order[start : start + len(logits)].to(wanted.device)
                    loss = (weights[part, None] * (logits - wanted[part]) ** 2).mean()
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    run.journal.advance(len(logits))
        return model
