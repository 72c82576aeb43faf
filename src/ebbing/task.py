"""Tasks: how a batch becomes outputs. The only place that knows what a batch is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from ebbing.batches import held, iterate
from ebbing.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """What a model says about a batch.

    Attributes:
        logits: (n, classes) unnormalised log-probabilities.
        targets: (n,) int64 labels in [0, classes).
        mask: (n,) bool, the examples that count; None for all.
    """

    logits: Tensor
    targets: Tensor
    mask: Tensor | None = None


def cross_entropy(outputs: Outputs) -> Tensor:
    """(n,) -log softmax(logits)[target], in nats, >= 0."""
    return functional.cross_entropy(outputs.logits, outputs.targets, reduction="none")


def margin(outputs: Outputs) -> Tensor:
    """(n,) logit of the label minus logsumexp of the other logits: the log-odds of the label."""
    label = outputs.targets.unsqueeze(1)
    others: Tensor = outputs.logits.scatter(1, label, float("-inf")).logsumexp(dim=1)
    own: Tensor = outputs.logits.gather(1, label).squeeze(1)
    return own - others


def confidence(outputs: Outputs) -> Tensor:
    """(n,) largest predicted probability, in [1 / classes, 1]."""
    return outputs.logits.softmax(dim=1).amax(dim=1)


def entropy(outputs: Outputs) -> Tensor:
    """(n,) entropy of the predicted distribution in nats, in [0, log classes]."""
    values: Tensor = torch.special.entr(outputs.logits.softmax(dim=1)).sum(dim=1)
    return values


def modified_entropy(outputs: Outputs) -> Tensor:
    """(n,) -(1 - p_y) log p_y - sum over j != y of p_j log(1 - p_j), in nats, >= 0.

    For the largest p_j, log(1 - p_j) is taken from the logits of the other classes, so that p_j = 1 in floating point
    stays finite. Source: Song and Mittal, arXiv 2003.10595.
    """
    log_p = outputs.logits.log_softmax(dim=1)
    top = log_p.argmax(dim=1, keepdim=True)
    log_not_top = log_p.scatter(1, top, float("-inf")).logsumexp(dim=1, keepdim=True)
    log_not_p = torch.log1p(-log_p.exp().scatter(1, top, 0.0)).scatter(1, top, log_not_top)
    label = outputs.targets.unsqueeze(1)
    own = -(log_not_p.gather(1, label).exp() * log_p.gather(1, label)).squeeze(1)
    rest = -(log_p.exp() * log_not_p).scatter(1, label, 0.0).sum(dim=1)
    return own + rest


def correct(outputs: Outputs) -> Tensor:
    """(n,) bool, whether the largest logit is the label's."""
    right: Tensor = outputs.logits.argmax(dim=1) == outputs.targets
    return right


class Task(ABC):
    """How a batch becomes outputs. Subclass and implement `forward` and `targets` for other kinds of data."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """One pass over a batch in the model's present mode, on the model's device."""

    @abstractmethod
    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """(n,) int64 labels of a data set, in its order."""

    def loss(self, outputs: Outputs) -> Tensor:
        """The scalar that training minimises: mean cross entropy over the examples that count."""
        if outputs.mask is None:
            return functional.cross_entropy(outputs.logits, outputs.targets)
        return cross_entropy(outputs)[outputs.mask].mean()


@dataclass(frozen=True)
class Classification(Task):
    """Single-label classification of ``(inputs, labels)`` batches, or of dicts with a ``labels`` entry.

    The model may return logits (n, classes), a tuple that begins with them, or an object with ``.logits``.
    """

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Run the model on the inputs of a batch.

        Raises:
            InputError: if the batch has no labels, or the model's output is not (n, classes) with classes >= 2.
        """
        first = next(model.parameters(), None)
        device = torch.device("cpu") if first is None else first.device
        if isinstance(batch, Mapping):
            if "labels" not in batch:
                raise InputError(
                    f"a dict batch must have a 'labels' entry, but has {sorted(batch)}. Add it, or pass a Task of your own."
                )
            inputs = {k: v.to(device) for k, v in batch.items() if k != "labels"}
            targets, raw = batch["labels"], model(**inputs)
        else:
            if len(batch) != 2:
                raise InputError(
                    f"a batch must be (inputs, labels), but has {len(batch)} parts. Pass a Task of your own for other batches."
                )
            inputs, targets = batch
            if isinstance(inputs, Mapping):
                raw = model(**{k: v.to(device) for k, v in inputs.items()})
            else:
                raw = model(inputs.to(device))
        logits = raw.logits if hasattr(raw, "logits") else raw[0] if isinstance(raw, tuple) else raw
        targets = targets.to(device)
        if logits.ndim != 2 or logits.shape[1] < 2 or len(logits) != len(targets):
            raise InputError(
                f"the model must return logits of shape (n, classes) with classes >= 2 for n = {len(targets)} labels, but "
                f"returned {tuple(logits.shape)}. For another kind of output pass a Task of your own."
            )
        return Outputs(logits, targets)

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """(n,) int64 labels: the last part of each record."""
        source = held(dataset)
        if source is not None:
            tensors, positions = source
            return tensors[-1] if positions is None else tensors[-1][positions]
        parts = [b["labels"] if isinstance(b, Mapping) else b[-1] for b in iterate(dataset, batch_size=512)]
        return torch.cat([torch.as_tensor(p) for p in parts])


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode is restored afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def accuracy(model: nn.Module, dataset: Dataset[Any], *, task: Task, batch_size: int = 1024) -> float:
    """Fraction of examples whose largest logit is the label's, in [0, 1], in evaluation mode."""
    hits = total = 0
    with evaluation_mode(model):
        for batch in iterate(dataset, batch_size=batch_size):
            right = correct(task.forward(model, batch))
            hits, total = hits + int(right.sum()), total + len(right)
    return hits / total if total else float("nan")
