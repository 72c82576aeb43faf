"""Unseen data: splitting it, matching it to the forget set, and keeping what was trained on out of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from ebbing.batches import size
from ebbing.errors import InputError
from ebbing.inspection import Inspection, shared
from ebbing.task import Task

log = logging.getLogger(__name__)

NATURAL_OVERLAP = 0.01  # of the unseen records; chance repeats, not a wrong split
Overlap = Literal["refuse", "drop", "allow"]
OVERLAPS: Sequence[Overlap] = ("refuse", "drop", "allow")


def labels_of(dataset: Dataset[Any], *, task: Task, name: str) -> Tensor:
    """(n,) labels of a data set of n records, as whole numbers; what a task of the user's gives is held to that.

    Args:
        dataset: n records.
        task: reads the labels.
        name: of the data set, for messages.

    Raises:
        InputError: if the labels cannot be read or are no such tensor; it says of which data.
    """
    try:
        labels = task.targets(dataset)
    except InputError as error:
        raise InputError(f"`{name}`: {error}") from error
    n = size(dataset)
    whole = isinstance(labels, Tensor) and not (labels.is_floating_point() or labels.is_complex())
    if not whole or labels.shape != (n,):
        found = (
            f"{labels.dtype} of shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        )
        raise InputError(
            f"a task's targets must be a tensor of whole numbers of shape (n,), but for the n = {n} records of `{name}` they "
            f"are {found}."
        )
    return labels.long().cpu()


def split_unseen(
    dataset: Dataset[Any], *, share: float, generator: np.random.Generator
) -> tuple[Subset[Any], Subset[Any]]:
    """Validation and holdout: disjoint, drawn at random, each in the order of the data set.

    Args:
        dataset: unseen data, n records.
        share: of the records that become validation, in [0, 1): round(share * n) of them.
        generator: draws them.
    """
    if not 0 <= share < 1:
        raise InputError(f"the share of validation must lie in [0, 1), but is {share}.")
    n = size(dataset)
    order = generator.permutation(n)
    cut = round(share * n)
    return Subset(dataset, np.sort(order[:cut]).tolist()), Subset(dataset, np.sort(order[cut:]).tolist())


def split_classes(
    dataset: Dataset[Any], leaving: Sequence[int], *, task: Task
) -> tuple[Subset[Any], Subset[Any] | None]:
    """What stays of unseen data when classes go, and its examples of those classes (None if there are none)."""
    goes = torch.isin(labels_of(dataset, task=task, name="unseen"), torch.tensor(leaving))
    unseen = goes.nonzero().flatten().tolist()
    return Subset(dataset, (~goes).nonzero().flatten().tolist()), Subset(dataset, unseen) if unseen else None


def same_mix(dataset: Dataset[Any], labels: Tensor, *, task: Task) -> Subset[Any] | None:
    """The largest part of a data set whose mix of classes is that of ``labels``, its first records of each class.

    With share_c = fraction of ``labels`` in class c and have_c records of it, n = min over c of have_c / share_c
    and floor(n * share_c) records of each class are taken. None if a class is missing altogether.
    """
    have = labels_of(dataset, task=task, name="unseen")
    classes, counts = torch.unique(labels, return_counts=True)
    places = [(have == c).nonzero().flatten() for c in classes]
    n = min(len(p) * len(labels) / int(k) for p, k in zip(places, counts, strict=True))
    take = [p[: int(n * int(k) / len(labels) + 1e-9)] for p, k in zip(places, counts, strict=True)]
    chosen = torch.cat(take).sort().values
    return Subset(dataset, chosen.tolist()) if len(chosen) else None


def without_overlap(
    dataset: Dataset[Any], found: Inspection, *, name: str, others: Mapping[str, Inspection], overlap: Overlap
) -> Dataset[Any]:
    """Unseen data without the records whose inputs are exactly those of a record of other data.

    Labels are not compared: a model that saw an image with another label has seen the image.

    Args:
        dataset: unseen data.
        found: what it holds.
        name: of it, for messages.
        others: what it must share no record with, by name.
        overlap: "refuse" leaves records out with a warning where they are at most 1 % (chance repeats), and refuses
            more; "drop" leaves out however many there are; "allow" keeps them.

    Raises:
        InputError: if too many are shared.
    """
    n = size(dataset)
    gone: set[int] = set()
    for other_name, other in others.items() if overlap != "allow" else ():
        both = shared(found, other)
        if overlap == "refuse" and len(both) > max(1, NATURAL_OVERLAP * n):
            raise InputError(
                f"`{name}` and `{other_name}` must not share records, but {len(both)} of the {n} records of `{name}` have "
                f"exactly the inputs of a record of `{other_name}`. Split the data anew, or pass overlap='drop' (on the "
                "command line --overlap drop) to leave them out, or 'allow' where equal inputs are different records."
            )
        if both:
            told = "%d of the %d records of `%s` have exactly the inputs of a record of `%s`, and are left out."
            log.warning(told, len(both), n, name, other_name)
        gone |= set(both)
    return Subset(dataset, [i for i in range(n) if i not in gone]) if gone else dataset
