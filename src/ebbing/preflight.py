"""Whether a model, its data and a task go together, found out on a few records before anything expensive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import evenly, iterate, size
from ebbing.errors import InputError
from ebbing.request import ForgetRequest
from ebbing.task import Outputs, Task, accuracy, evaluation_mode
from ebbing.training import seeded

FEW = 8
SAMPLE = 1000


@dataclass(frozen=True)
class Preflight:
    """What a model gets right before anything is done, on a sample of at most 1,000 records of each split.

    Attributes:
        forget, retain, holdout: fraction predicted as labelled, in [0, 1].
        commonest: share of the commonest class among the retained records: what a constant answer gets right.
    """

    forget: float
    retain: float
    holdout: float
    commonest: float

    @property
    def looks_untrained(self) -> bool:
        """Whether the model knows its training data no better than a constant answer does."""
        return self.retain <= self.commonest + 0.02


def preflight(model: nn.Module, request: ForgetRequest, *, task: Task) -> Preflight:
    """Try a model on a few records of a request.

    Args:
        model: in evaluation mode and, for the loss, as a copy in training mode; left as it was.
        request: what it is tried on.
        task: turns batches into outputs.

    Raises:
        InputError: if the model or the task raises, gives outputs of the wrong type or shape or that are not finite, has
            no logit for a label, or a loss that cannot be trained on.
    """
    classes = _check_outputs(model, request.dataset, task=task)
    for name, data in _splits(request):
        _check_labels(name, task.targets(data), classes)
    _check_loss(model, request.dataset, task=task)
    with _explained("the model cannot be run on the data"):
        right = {
            name: accuracy(model, evenly(getattr(request, name), SAMPLE), task=task)
            for name in ("forget", "retain", "holdout")
        }
    _, counts = torch.unique(task.targets(evenly(request.retain, SAMPLE)), return_counts=True)
    return Preflight(**right, commonest=float(counts.max() / counts.sum()))


def _splits(request: ForgetRequest) -> Iterator[tuple[str, Dataset[Any]]]:
    for name in ("dataset", "holdout", "validation", "matched"):
        data = getattr(request, name)
        if data is not None:
            yield name, data


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Whatever the user's own code raises is said in one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _a_batch(dataset: Dataset[Any]) -> Any:
    return next(iterate(evenly(dataset, FEW), batch_size=FEW))


def _shape(batch: Any) -> str:
    """What a batch holds, for messages."""
    inputs = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if isinstance(inputs, Tensor):
        return f"inputs of shape {tuple(inputs.shape)} and type {str(inputs.dtype).removeprefix('torch.')}"
    if isinstance(inputs, dict):
        return f"inputs named {sorted(map(str, inputs))}"
    return f"inputs of type {type(inputs).__name__}"


def _check_outputs(model: nn.Module, dataset: Dataset[Any], *, task: Task) -> int:
    """The number of classes that the model has logits for."""
    with _explained("the training data cannot be read"):
        batch = _a_batch(dataset)
    with _explained(f"the model cannot be run on a batch with {_shape(batch)}"), evaluation_mode(model):
        outputs = task.forward(model, batch)
    if not isinstance(outputs, Outputs):
        raise InputError(f"a task's forward must return ebbing.task.Outputs, but returned a {type(outputs).__name__}.")
    n = min(FEW, size(dataset))
    if outputs.logits.ndim != 2 or outputs.targets.shape != (len(outputs.logits),) or len(outputs.targets) != n:
        raise InputError(
            f"a task's outputs must be logits (n, classes) and targets (n,) for a batch of n = {n} records, but have shapes "
            f"{tuple(outputs.logits.shape)} and {tuple(outputs.targets.shape)}."
        )
    if not bool(torch.isfinite(outputs.logits).all()):
        raise InputError(
            "the model must give finite outputs, but some are NaN or infinite on its own training data. Check the weights, "
            "and that the inputs are prepared as they were in training."
        )
    return outputs.logits.shape[1]


def _check_labels(name: str, labels: Tensor, classes: int) -> None:
    outside = sorted(set(labels[(labels < 0) | (labels >= classes)].tolist()))
    if outside:
        raise InputError(
            f"labels must lie in [0, {classes}), one logit of the model for each class, but those of `{name}` contain "
            f"{outside[:5]}. Check --model and the labels."
        )


def _check_loss(model: nn.Module, dataset: Dataset[Any], *, task: Task) -> None:
    """One forward and backward pass of a copy in training mode."""
    twin = deepcopy(model).train()
    with _explained("the model cannot be trained on its data"), seeded(0):
        value = task.loss(task.forward(twin, _a_batch(dataset)))
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != ():
            raise InputError(f"a task's loss must be a tensor without dimensions, but is {shape}.")
        if not bool(torch.isfinite(value)):
            raise InputError(f"the loss must be finite, but is {value.item()} on the training data.")
        if not value.requires_grad:
            raise InputError("the loss must depend on parameters that require gradients, but does not; is all frozen?")
        value.backward()  # type: ignore[no-untyped-call]
