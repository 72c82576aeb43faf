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
from ebbing.task import Outputs, Task, correct, evaluation_mode
from ebbing.training import seeded
from ebbing.unseen import labels_of

FEW = 8
SAMPLE = 1000


@dataclass(frozen=True)
class Preflight:
    """What a model gets right before anything is done, on a sample of at most 1,000 records of each split.

    Attributes:
        forget, retain, holdout: fraction predicted as labelled, in [0, 1].
        commonest: what a constant answer gets right of the retained records: the share of the commonest class.
    """

    forget: float
    retain: float
    holdout: float
    commonest: float

    @property
    def looks_untrained(self) -> bool:
        """Whether the model is wrong on its training data hardly less often than a constant answer would be."""
        return 1 - self.retain > 0.97 * (1 - self.commonest)


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
        _check_labels(name, labels_of(data, task=task, name=name), classes)
    _check_loss(model, request.for_training("retain"), task=task)
    right = {name: _right(model, request, name, task=task) for name in ("forget", "retain", "holdout")}
    return Preflight(**right, commonest=task.constant_answer(evenly(request.retain, SAMPLE)))


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
    except (Exception, SystemExit) as error:
        raise InputError(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}") from error


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
    few = evenly(dataset, FEW)
    with _explained("the training data cannot be read"):
        batch = next(iterate(few, batch_size=FEW))
    with _explained(f"the model cannot be run on a batch with {_shape(batch)}"), evaluation_mode(model):
        outputs = task.forward(model, batch)
    _check_form(outputs, size(few))
    if not bool(torch.isfinite(outputs.logits).all()):
        raise InputError(
            "the model must give finite outputs, but some are NaN or infinite on its own training data. Check the weights, "
            "and that the inputs are prepared as they were in training."
        )
    differ = int((outputs.targets.cpu() != labels_of(few, task=task, name="dataset")).sum())
    if differ:
        raise InputError(
            f"a task's forward and its targets must give the same labels, but for {differ} of {size(few)} records they differ. "
            "Classes are counted by the one, and models are trained and judged by the other."
        )
    return outputs.logits.shape[1]


def _right(model: nn.Module, request: ForgetRequest, name: str, *, task: Task) -> float:
    """Fraction of a sample of a split that is predicted as labelled; refused where an output is not finite."""
    sample = evenly(getattr(request, name), SAMPLE)
    right = odd = 0
    with _explained(f"the model cannot be run on `{name}`"), evaluation_mode(model):
        for batch in iterate(sample, batch_size=task.together(SAMPLE)):
            outputs = task.forward(model, batch)
            right += int(correct(outputs).sum())
            odd += int((~torch.isfinite(outputs.logits)).any(dim=1).sum())
    if odd:
        raise InputError(
            f"the model must give finite outputs, but gives NaN or infinite ones for {odd} of {size(sample)} records of "
            f"`{name}`. Does it divide by what may be 0, or take its logarithm?"
        )
    return right / size(sample)


def _check_form(outputs: object, n: int) -> None:
    """The outputs of a task for a batch of n records must be two tensors of the right shapes."""
    if not isinstance(outputs, Outputs):
        raise InputError(f"a task's forward must return ebbing.task.Outputs, but returned a {type(outputs).__name__}.")
    found = [
        tuple(part.shape) if isinstance(part, Tensor) else f"a {type(part).__name__}"
        for part in (outputs.logits, outputs.targets)
    ]
    classes = found[0][1] if isinstance(found[0], tuple) and len(found[0]) == 2 else 0
    if found != [(n, classes), (n,)] or classes < 2:
        raise InputError(
            f"a task's outputs must be logits (n, classes) with classes >= 2 and targets (n,) for a batch of n = {n} records, "
            f"but are {found[0]} and {found[1]}."
        )


def _check_labels(name: str, labels: Tensor, classes: int) -> None:
    outside = sorted(set(labels[(labels < 0) | (labels >= classes)].tolist()))
    if outside:
        raise InputError(
            f"labels must lie in [0, {classes}), one logit of the model for each class, but those of `{name}` contain "
            f"{outside[:5]}. Check the model and the labels."
        )


def _check_loss(model: nn.Module, dataset: Dataset[Any], *, task: Task) -> None:
    """One forward and backward pass of a copy in training mode."""
    with _explained("the model cannot be trained on its data"), seeded(0):
        twin = deepcopy(model).train()
        batch = next(iterate(evenly(dataset, FEW), batch_size=FEW))
        value = task.loss(task.forward(twin, batch))
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape != ():
            raise InputError(f"a task's loss must be a tensor without dimensions, but is {shape}.")
        if not bool(torch.isfinite(value)):
            raise InputError(f"the loss must be finite, but is {value.item()} on the training data.")
        if not value.requires_grad:
            raise InputError("the loss must depend on parameters that require gradients, but does not; is all frozen?")
        value.backward()  # type: ignore[no-untyped-call]
