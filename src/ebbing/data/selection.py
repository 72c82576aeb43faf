"""What must be forgotten, from one line: ``random:0.1``, ``class:3``, ``gaussian:0.05:1``, or a file of ids."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from ebbing.data.canaries import gaussian_noise, mislabel, swap_labels
from ebbing.data.clusters import sub_class
from ebbing.data.sources import DataBundle
from ebbing.errors import InputError
from ebbing.ids import read_ids
from ebbing.planted import AddedNoise, Mark, SwappedLabels
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.unseen import same_mix, split_unseen

VALIDATION_SHARE = 0.2
Likewise = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]  # (inputs, labels, seed) of unseen examples
RULES = (
    "random:FRACTION, balanced:FRACTION, class:LABEL, subclass:LABEL, mislabelled:FRACTION, "
    "confusion:LABEL,LABEL:FRACTION, gaussian:FRACTION:SD or a file with one id a line"
)


def select(rule: str, bundle: DataBundle, *, seed: int) -> ForgetRequest:
    """A request on a data set, by a rule.

    The unseen test set is split once by ``seed``: a fifth is ``validation``, the rest ``holdout``.

    Args:
        rule: ``random:F`` (a fraction F of the training set), ``balanced:F`` (the same number of each class),
            ``class:C`` (every record of a class), ``subclass:C`` (the smallest of three clusters of a class's inputs, see
            `sub_class`; unseen records of it become ``matched`` and leave the holdout), or the path of a file with one
            position of the training set a line (# begins a comment). Three rules plant something *before training*, and the
            request's ``dataset`` holds it:
            ``mislabelled:F`` (a fraction F is given a wrong label, see `mislabel`), ``confusion:A,B:F`` (a fraction F of
            each of the classes A and B is given the label of the other; interclass confusion), and ``gaussian:F:SD``
            (noise of N(0, SD^2) is added to a fraction F of the inputs, in the units that the model sees).
        bundle: training and test set.
        seed: draws the records, what is planted on them, and the split of the test set.

    Returns:
        The request; train originals on its ``dataset``. Where something is planted, ``matched`` is drawn from the holdout
        with the same mix of true classes, and the same is done to it: wrong labels by the same rule, swapped labels, or noise
        of another draw.

    Raises:
        InputError: if the rule cannot be read or selects nothing or everything.
    """
    generator = np.random.default_rng(seed)
    validation, holdout = split_unseen(bundle.test, share=VALIDATION_SHARE, generator=generator)
    name, _, value = rule.partition(":")
    labels = bundle.train.tensors[1]
    n = len(labels)
    if name in PLANTING:
        return PLANTING[name](_Field(rule, value, bundle, validation, holdout, generator))
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
    elif name == "subclass":
        return _subclass(rule, value, bundle, validation, holdout, seed=seed)
    else:
        if not os.path.isfile(rule):
            raise InputError(f"what to forget must be {RULES}, but {rule!r} is neither a rule nor a file.")
        ids = np.asarray(read_ids(rule), dtype=np.int64)
        name, what = "ids", f"the {len(ids)} records listed in {Path(rule).name}"
    return ForgetRequest.from_ids(
        bundle.train, ids, holdout=holdout, validation=validation, kind=name, description=what
    )


def _subclass(
    rule: str,
    value: str,
    bundle: DataBundle,
    validation: Subset,  # type: ignore[type-arg]
    holdout: Subset,  # type: ignore[type-arg]
    *,
    seed: int,
) -> ForgetRequest:
    """A cluster of a class; what is unseen of it is to be forgotten as well."""
    if not value.isdecimal() or int(value) >= len(bundle.classes):
        raise InputError(f"`subclass:LABEL` needs a label in [0, {len(bundle.classes)}), but the rule is {rule!r}.")
    inputs, labels = bundle.train.tensors
    found = sub_class(inputs, labels, int(value), seed=seed)
    inside = found.holds(*bundle.test.tensors)

    def parted(unseen: Subset) -> tuple[Subset, Subset | None]:  # type: ignore[type-arg]
        of_it = [i for i in unseen.indices if inside[i]]
        rest = [i for i in unseen.indices if not inside[i]]
        return Subset(bundle.test, rest), Subset(bundle.test, of_it) if of_it else None

    holdout, matched = parted(holdout)
    validation, validation_matched = parted(validation)
    request = ForgetRequest.from_ids(
        bundle.train,
        found.members,
        holdout=holdout,
        validation=validation,
        matched=matched,
        validation_matched=validation_matched,
        kind="subclass",
        description=f"a cluster of {len(found.members)} records of class {bundle.classes[int(value)]!r}",
    )
    return replace(request, concept=True)


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


@dataclass(frozen=True)
class _Field:
    """Where something is planted: the rule and what follows its name, the data, its unseen parts, and what draws."""

    rule: str
    value: str
    bundle: DataBundle
    validation: Subset  # type: ignore[type-arg]
    holdout: Subset  # type: ignore[type-arg]
    generator: np.random.Generator

    def seeds(self) -> list[int]:
        """For the training set, the holdout's matched part, and that of validation."""
        return [int(s) for s in self.generator.integers(2**31, size=3)]


def _mislabelled(field: _Field) -> ForgetRequest:
    """Canaries: wrong labels in the training set, and unseen examples with wrong labels beside them."""
    images, labels = field.bundle.train.tensors
    n, n_classes = len(labels), len(field.bundle.classes)
    count = _count(field.rule, _fraction(field.rule, field.value), n)
    ids = field.generator.choice(n, size=count, replace=False)
    first, *others = field.seeds()
    wrong = mislabel(labels, ids, n_classes=n_classes, seed=first)

    def likewise(images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return images, mislabel(labels, range(len(labels)), n_classes=n_classes, seed=seed)

    what = f"{len(ids)} records that were given a wrong label before training"
    return _planted(field, TensorDataset(images, wrong), ids, likewise, others, kind="mislabelled", description=what)


def _confusion(field: _Field) -> ForgetRequest:
    """Interclass confusion: of each of two classes the same fraction is trained as the other one."""
    images, labels = field.bundle.train.tensors
    classes, fraction = _pair(field.rule, field.value, field.bundle)
    places = [(labels == c).nonzero().flatten().numpy() for c in classes]
    counts = [_count(field.rule, fraction, len(p)) for p in places]
    drawn = [field.generator.choice(p, size=k, replace=False) for p, k in zip(places, counts, strict=True)]
    ids = np.concatenate(drawn)

    def likewise(images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return images, swap_labels(labels, range(len(labels)), classes=classes)

    a, b = (field.bundle.classes[c] for c in classes)
    what = f"{len(ids)} records of the classes {a!r} and {b!r} whose labels were swapped before training"
    swapped, mark = TensorDataset(images, swap_labels(labels, ids, classes=classes)), SwappedLabels(classes)
    return _planted(field, swapped, ids, likewise, [0, 0], kind="confusion", description=what, mark=mark)


def _gaussian(field: _Field) -> ForgetRequest:
    """Gaussian canaries: noise on some inputs of the training set, and unseen examples with other noise beside them."""
    images, labels = field.bundle.train.tensors
    fraction, sd = _fraction_and_deviation(field.rule, field.value)
    ids = field.generator.choice(len(labels), size=_count(field.rule, fraction, len(labels)), replace=False)
    index = torch.from_numpy(ids)
    first, *others = field.seeds()
    noise = gaussian_noise(images[index], sd=sd, seed=first)
    noisy = images.clone()
    noisy[index] += noise

    def likewise(images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return images + gaussian_noise(images, sd=sd, seed=seed), labels

    what = f"{len(ids)} records whose inputs got noise of standard deviation {sd:g} before training"
    mark = AddedNoise(noise, sd)
    return _planted(
        field, TensorDataset(noisy, labels), ids, likewise, others, kind="gaussian", description=what, mark=mark
    )


PLANTING = {"mislabelled": _mislabelled, "confusion": _confusion, "gaussian": _gaussian}


def _pair(rule: str, value: str, bundle: DataBundle) -> tuple[tuple[int, int], float]:
    """Two classes and a fraction: what follows ``confusion:``."""
    labels, _, fraction = value.partition(":")
    words, n = labels.split(","), len(bundle.classes)
    known = [int(word) for word in words if word.isdecimal() and int(word) < n]
    if len(words) != 2 or len(known) != 2 or known[0] == known[1]:
        raise InputError(
            f"`confusion:LABEL,LABEL:FRACTION` needs two different labels in [0, {n}), but the rule is {rule!r}. For example "
            "confusion:0,1:0.2."
        )
    return (known[0], known[1]), _fraction(rule, fraction)


def _fraction_and_deviation(rule: str, value: str) -> tuple[float, float]:
    """What follows ``gaussian:``."""
    fraction, _, deviation = value.partition(":")
    try:
        sd = float(deviation)
    except ValueError:
        sd = float("nan")
    if not (math.isfinite(sd) and sd > 0):
        raise InputError(
            f"`gaussian:FRACTION:SD` needs a finite standard deviation > 0, in the units of the inputs as the model sees them, "
            f"but the rule is {rule!r}. For example gaussian:0.05:1."
        )
    return _fraction(rule, fraction), sd


def _planted(
    field: _Field,
    train: TensorDataset,
    ids: np.ndarray,
    likewise: Likewise,
    seeds: list[int],
    *,
    kind: str,
    description: str,
    mark: Mark | None = None,
) -> ForgetRequest:
    """The request to forget what something was planted on; the same is done to unseen examples, with these seeds."""
    true = field.bundle.train.tensors[1][torch.from_numpy(ids)]
    matched, validation_matched = _drawn_alike(field, true, likewise, seeds)
    return ForgetRequest.from_ids(
        train,
        ids,
        holdout=field.holdout,
        validation=field.validation,
        matched=matched,
        validation_matched=validation_matched,
        kind=kind,
        description=description,
        planted=mark,
    )


def _drawn_alike(field: _Field, true: Tensor, likewise: Likewise, seeds: list[int]) -> list[TensorDataset | None]:
    """Of holdout and validation examples with the mix of true classes of the forgotten, after the same was done to them."""
    found: list[TensorDataset | None] = []
    for unseen, seed in zip((field.holdout, field.validation), seeds, strict=True):
        part = same_mix(unseen, true, task=Classification())
        if part is None:
            found.append(None)
            continue
        records = [part[i] for i in range(len(part))]
        images, labels = torch.stack([r[0] for r in records]), torch.stack([r[1] for r in records])
        found.append(TensorDataset(*likewise(images, labels, seed)))
    return found
