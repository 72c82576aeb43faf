"""What must be forgotten, from one line: ``random:0.1``, ``class:3``, ``mislabelled:0.05``, or a file of ids."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from ebbing.data.canaries import mislabel
from ebbing.data.sources import DataBundle
from ebbing.errors import InputError
from ebbing.ids import read_ids
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.unseen import same_mix, split_unseen

VALIDATION_SHARE = 0.2
RULES = "random:FRACTION, balanced:FRACTION, class:LABEL, mislabelled:FRACTION or a file with one id a line"


def select(rule: str, bundle: DataBundle, *, seed: int) -> ForgetRequest:
    """A request on a data set, by a rule.

    The unseen test set is split once by ``seed``: a fifth is ``validation``, the rest ``holdout``.

    Args:
        rule: ``random:F`` (a fraction F of the training set), ``balanced:F`` (the same number of each class),
            ``class:C`` (every record of a class), ``mislabelled:F`` (a fraction F is given a wrong label *before
            training*, see `mislabel`; the request's ``dataset`` holds the wrong labels), or the path of a file with one
            position of the training set a line (# begins a comment).
        bundle: training and test set.
        seed: draws the records, the wrong labels and the split of the test set.

    Returns:
        The request; train originals on its ``dataset``. For ``mislabelled``, ``matched`` is drawn from the holdout with
        the same mix of true classes and given wrong labels by the same rule.

    Raises:
        InputError: if the rule cannot be read or selects nothing or everything.
    """
    generator = np.random.default_rng(seed)
    validation, holdout = split_unseen(bundle.test, share=VALIDATION_SHARE, generator=generator)
    name, _, value = rule.partition(":")
    labels = bundle.train.tensors[1]
    n = len(labels)
    if name == "mislabelled":
        return _mislabelled(_fraction(rule, value), bundle, validation, holdout, generator, rule=rule)
    if name == "random":
        ids = generator.choice(n, size=_count(rule, _fraction(rule, value), n), replace=False)
        what = f"{len(ids)} records drawn at random"
    elif name == "balanced":
        each = _count(rule, _fraction(rule, value), n) // len(bundle.classes)
        ids = _balanced(rule, labels, each, len(bundle.classes), generator)
        what = f"{each} records of each class, drawn at random"
    elif name == "class":
        if not value.isdecimal() or int(value) >= len(bundle.classes):
            raise InputError(f"`class:LABEL` needs a label in [0, {len(bundle.classes)}), but the rule is {rule!r}.")
        ids = (labels == int(value)).nonzero().flatten().numpy()
        what = f"every record of class {bundle.classes[int(value)]!r}"
    else:
        if not os.path.isfile(rule):
            raise InputError(f"what to forget must be {RULES}, but {rule!r} is neither a rule nor a file.")
        ids = np.asarray(read_ids(rule), dtype=np.int64)
        name, what = "ids", f"the {len(ids)} records listed in {Path(rule).name}"
    return ForgetRequest.from_ids(
        bundle.train, ids, holdout=holdout, validation=validation, kind=name, description=what
    )


def _fraction(rule: str, value: str) -> float:
    try:
        fraction = float(value)
    except ValueError:
        fraction = float("nan")
    if not 0 < fraction < 1:
        raise InputError(f"the fraction of {rule!r} must lie in (0, 1). What to forget must be {RULES}.")
    return fraction


def _count(rule: str, fraction: float, n: int) -> int:
    count = round(fraction * n)
    if not 0 < count < n:
        raise InputError(f"{rule!r} must select at least 1 and fewer than all records, but selects {count} of {n}.")
    return count


def _balanced(rule: str, labels: Tensor, each: int, n_classes: int, generator: np.random.Generator) -> np.ndarray:
    """The same number of positions of each class."""
    places = [(labels == c).nonzero().flatten().numpy() for c in range(n_classes)]
    fewest = min(len(p) for p in places)
    if not 0 < each < fewest:
        raise InputError(
            f"{rule!r} takes {each} records of each class, which must be at least 1 and fewer than the {fewest} that the "
            "smallest class has."
        )
    return np.concatenate([generator.choice(p, size=each, replace=False) for p in places])


def _mislabelled(
    fraction: float,
    bundle: DataBundle,
    validation: Subset,  # type: ignore[type-arg]
    holdout: Subset,  # type: ignore[type-arg]
    generator: np.random.Generator,
    *,
    rule: str,
) -> ForgetRequest:
    """Canaries: wrong labels in the training set, and unseen examples with wrong labels beside them."""
    images, labels = bundle.train.tensors
    ids = generator.choice(len(labels), size=_count(rule, fraction, len(labels)), replace=False)
    seeds = [int(s) for s in generator.integers(2**31, size=3)]
    wrong = mislabel(labels, ids, n_classes=len(bundle.classes), seed=seeds[0])
    true = labels[torch.from_numpy(ids)]
    return ForgetRequest.from_ids(
        TensorDataset(images, wrong),
        ids,
        holdout=holdout,
        validation=validation,
        matched=_relabelled(holdout, true, len(bundle.classes), seed=seeds[1]),
        validation_matched=_relabelled(validation, true, len(bundle.classes), seed=seeds[2]),
        kind="mislabelled",
        description=f"{len(ids)} records that were given a wrong label before training",
    )


def _relabelled(unseen: Subset, true: Tensor, n_classes: int, *, seed: int) -> TensorDataset | None:  # type: ignore[type-arg]
    """Unseen examples with the mix of true classes of the canaries, and wrong labels by the same rule."""
    part = same_mix(unseen, true, task=Classification())
    if part is None:
        return None
    records = [part[i] for i in range(len(part))]
    images, labels = torch.stack([r[0] for r in records]), torch.stack([r[1] for r in records])
    return TensorDataset(images, mislabel(labels, range(len(labels)), n_classes=n_classes, seed=seed))
