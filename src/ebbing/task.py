"""Tasks: how a batch becomes outputs. The only place that knows what a batch is."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from ebbing.batches import gathered, held, iterate
from ebbing.errors import InputError
from ebbing.parallel import batches_of_share, read_in_parts, total


@dataclass(frozen=True)
class Outputs:
    """What a model says about a batch.

    Attributes:
        logits: (n, classes) unnormalised log-probabilities; those of half precision are held in single precision, as figures
            are sums and differences of them, and numpy has no bfloat16.
        targets: (n,) int64 labels in [0, classes).
        mask: (n,) bool, the examples that count; None for all.
    """

    logits: Tensor
    targets: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        """Hold logits in single precision at least; what are no tensors is refused where outputs are checked."""
        if isinstance(self.logits, Tensor):
            object.__setattr__(self, "logits", in_single(self.logits))


def in_single(values: Tensor) -> Tensor:
    """Values of half precision in single precision; others, of double precision too, as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32)) if values.is_floating_point() else values


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

    def together(self, most: int) -> int:
        """How many records to run together where nothing is trained, of at most so many."""
        return most

    def constant_answer(self, dataset: Dataset[Any]) -> float:
        """Fraction of a data set that the best constant answer gets right: the share of the commonest class."""
        _, counts = torch.unique(self.targets(dataset), return_counts=True)
        return float(counts.max() / counts.sum())

    def positions(self, batch: Any) -> Tensor | None:
        """(n, positions) bool, what of a batch is data and not padding; None where all of it is.

        Means of activity go over these positions. Without a word it is the ``attention_mask`` of a batch that is a dict, or
        whose inputs are.
        """
        inputs = batch if isinstance(batch, Mapping) else batch[0] if isinstance(batch, (tuple, list)) else None
        mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
        return mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 else None

    def loss(self, outputs: Outputs) -> Tensor:
        """The scalar that training minimises: mean cross entropy over the examples that count."""
        if outputs.mask is None:
            return functional.cross_entropy(outputs.logits, outputs.targets)
        return cross_entropy(outputs)[outputs.mask].mean()

    def counted(self, outputs: Outputs) -> float:
        """What `loss` is the mean over, by which the parts of a batch are weighed: the examples that count."""
        return len(outputs.targets) if outputs.mask is None else float(outputs.mask.sum())


@dataclass(frozen=True)
class Classification(Task):
    """Single-label classification of ``(inputs, labels)`` batches, or of dicts with a ``labels`` entry.

    The model may return logits (n, classes), a tuple that begins with them, or an object with ``.logits``. See
    `run_model` for the forms that a batch may have.
    """

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Run the model on the inputs of a batch.

        Raises:
            InputError: if the batch has no labels, or the model's output is not (n, classes) with classes >= 2.
        """
        logits, targets = run_model(model, batch)
        n = len(targets)
        if logits.shape in ((n,), (n, 1)) and n > 1:
            raise InputError(
                f"the model must return logits of shape (n, classes) with classes >= 2, but returned {tuple(logits.shape)}, "
                "one number for each record. For a classifier with one logit take ebbing.BinaryClassification as the task "
                "(on the command line --task ebbing:BinaryClassification); regression cannot be judged."
            )
        if logits.ndim != 2 or logits.shape[1] < 2 or len(logits) != n:
            raise InputError(
                f"the model must return logits of shape (n, classes) with classes >= 2 for n = {n} labels, but "
                f"returned {tuple(logits.shape)}. For another kind of output pass a Task of your own."
            )
        return Outputs(logits, _whole(targets))

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """(n,) int64 labels: the last part of each record, or its ``labels``.

        Raises:
            InputError: if they are not one whole number >= 0 for each record.
        """
        return _whole(read_labels(dataset))


@dataclass(frozen=True)
class BinaryClassification(Task):
    """Two classes told apart by one logit z: p(1) = sigmoid(z). Batches are those of `Classification`.

    The model returns z of shape (n,) or (n, 1), or a tuple or object with it; labels are 0 and 1 of any type and of
    shape (n,) or (n, 1). The outputs are the two logits (0, z), so that loss, margin, confidence and entropy are those of
    the sigmoid.
    """

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Run the model on the inputs of a batch.

        Raises:
            InputError: if the model's output is not one logit for each record.
        """
        logit, targets = run_model(model, batch)
        n = len(targets)
        if logit.shape not in ((n,), (n, 1)):
            raise InputError(
                f"the model must return one logit for each of n = {n} records, of shape (n,) or (n, 1), but returned "
                f"{tuple(logit.shape)}. For logits of several classes take Classification as the task."
            )
        logit = logit.reshape(n)
        return Outputs(torch.stack([torch.zeros_like(logit), logit], dim=1), _column(targets).long())

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """(n,) int64 labels.

        Raises:
            InputError: if they are not one 0 or 1 for each record.
        """
        labels = _column(read_labels(dataset))
        other = sorted(set(labels.tolist()) - {0, 1})
        if other:
            raise InputError(
                f"labels of a binary task must be 0 or 1, but contain {other[:5]}. Regression cannot be judged; for more "
                "classes take Classification as the task."
            )
        return labels.long()


def run_model(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """What a model returns for a batch of any of the usual forms, and the labels, both on the model's device.

    A batch is ``(inputs, labels)`` or a dict with a ``labels`` entry; inputs are a tensor or a dict of tensors, which is
    passed as keywords where the model's ``forward`` takes them, else as it is. The model may return a tensor, a tuple or
    list that begins with it, or an object with ``.logits``.

    Raises:
        InputError: if the batch or the output is of no such form.
    """
    first = next(model.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    if isinstance(batch, Mapping):
        if "labels" not in batch:
            raise InputError(
                f"a dict batch must have a 'labels' entry, but has {sorted(batch)}. Add it, or pass a Task of your own."
            )
        inputs: Any = {k: v for k, v in batch.items() if k != "labels"}
        targets = batch["labels"]
    else:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            parts = f"has {len(batch)} parts" if isinstance(batch, (tuple, list)) else f"is a {type(batch).__name__}"
            raise InputError(
                f"a batch must be (inputs, labels), but {parts}. Pass a Task of your own for other batches."
            )
        inputs, targets = batch
    there = {k: v.to(device) for k, v in inputs.items()} if isinstance(inputs, Mapping) else inputs.to(device)
    return logits_of(model, there), targets.to(device)


def logits_of(model: nn.Module, inputs: Any) -> Tensor:
    """What a model returns for inputs on its device: a tensor, the first of a tuple or list, or what is called ``logits``.

    A dict of inputs is passed as keywords where the model's ``forward`` takes them, else as it is.

    Raises:
        InputError: if the output is of no such form.
    """
    keywords = isinstance(inputs, Mapping) and _takes(type(model).forward, frozenset(inputs))
    raw = model(**inputs) if keywords else model(inputs)
    logits = raw.logits if hasattr(raw, "logits") else raw[0] if isinstance(raw, (tuple, list)) else raw
    if not isinstance(logits, Tensor):
        raise InputError(
            f"the model must return logits, a tuple that begins with them, or an object with .logits, but returned a "
            f"{type(raw).__name__}. Pass a Task of your own for another kind of output."
        )
    return logits


@lru_cache(maxsize=64)
def _takes(forward: Callable[..., Any], names: frozenset[str]) -> bool:
    """Whether a forward pass takes these keywords."""
    try:
        inspect.signature(forward).bind(None, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def read_labels(dataset: Dataset[Any]) -> Tensor:
    """(n, ...) labels as they are: the last part of each record, or its ``labels``."""
    source = held(dataset)
    if source is not None:
        tensors, positions = source
        return tensors[-1] if positions is None else tensors[-1][positions]
    elsewhere = gathered(dataset)
    if elsewhere is not None:
        return elsewhere[0].labels[elsewhere[1]]
    parts = [b["labels"] if isinstance(b, Mapping) else b[-1] for b in iterate(dataset, batch_size=512)]
    return torch.cat([torch.as_tensor(p) for p in parts]) if parts else torch.empty(0, dtype=torch.int64)


def _whole(labels: Tensor) -> Tensor:
    """Labels as (n,) int64."""
    if labels.ndim != 1:
        raise InputError(
            f"labels must be one whole number for each record, of shape (n,), but have shape {tuple(labels.shape)}. Turn "
            "one-hot labels into classes with argmax(1), or pass a Task of your own."
        )
    if labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"labels must be whole numbers, the classes, but are {labels.dtype}. Turn classes into int64 with .long(); for one "
            "logit and labels 0 and 1 take ebbing.BinaryClassification as the task; regression cannot be judged."
        )
    return labels.long()


def _column(labels: Tensor) -> Tensor:
    """Labels of shape (n,) or (n, 1) as (n,)."""
    if labels.ndim > 2 or (labels.ndim == 2 and labels.shape[1] != 1):
        raise InputError(
            f"labels of a binary task must be one 0 or 1 for each record, but have shape {tuple(labels.shape)}. For more "
            "classes take Classification as the task."
        )
    return labels.reshape(len(labels))


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
    found = torch.zeros(2, dtype=torch.float64)  # hits, and of how many
    with read_in_parts(model), evaluation_mode(model):
        for batch, counts in batches_of_share(dataset, batch_size=task.together(batch_size), reader=model):
            right = correct(task.forward(model, batch))
            if counts:
                found += torch.tensor([int(right.sum()), len(right)])
    ((hits, n),) = (sums.tolist() for sums in total([found]))
    return hits / n if n else float("nan")
