"""Teachers: frozen models that others learn from."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebbing.methods.unlearner import Run
from ebbing.parallel import current
from ebbing.task import Outputs, evaluation_mode


class Teacher:
    """A copy of a model in evaluation mode, whose answers can be asked for; every one is counted as processed."""

    def __init__(self, model: nn.Module, run: Run) -> None:
        self._model, self._run = deepcopy(model), run

    def logits(self, batch: Any) -> Tensor:
        """(n, classes) what the model answered when it was copied."""
        return self.outputs(batch).logits

    def outputs(self, batch: Any) -> Outputs:
        """All that the model said of a batch when it was copied."""
        with evaluation_mode(self._model):
            outputs = self._run.task.forward(self._model, batch)
        self._run.journal.advance(len(outputs.logits))
        return _where_models_run(outputs)


def _where_models_run(outputs: Outputs) -> Outputs:
    """Outputs on the device on which models that lie in parts run; a teacher answers where it lives."""
    ranks = current()
    if ranks is None or ranks.layout is None:
        return outputs
    values = {field.name: getattr(outputs, field.name) for field in fields(outputs)}
    return replace(outputs, **{n: v.to(ranks.accelerator.device) for n, v in values.items() if isinstance(v, Tensor)})


def divergence(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """T^2 times the mean over records of KL(softmax(teacher / T) || softmax(student / T)), in nats.

    Args:
        student: (n, classes) logits that a gradient flows through.
        teacher: (n, classes) logits.
        temperature: T > 0. Source: Hinton et al., arXiv 1503.02531.
    """
    wanted = (teacher / temperature).log_softmax(dim=1)
    found = (student / temperature).log_softmax(dim=1)
    return temperature**2 * functional.kl_div(found, wanted, reduction="batchmean", log_target=True)


def per_record_mean(parts: list[tuple[Tensor, int]]) -> Tensor:
    """The mean over records of losses that are means over parts of them, of which the sizes are given."""
    return torch.stack([loss * n for loss, n in parts]).sum() / sum(n for _, n in parts)
