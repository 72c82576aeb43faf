"""What is asked for in the benchmark of a stream: data with something to remember, and twenty requests that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

import ebbing as eb
from ebbing.bench.tasks import unseen_parts
from ebbing.data import load
from ebbing.data.canaries import mislabel
from ebbing.models import digits_cnn, paper_cnn
from ebbing.unseen import same_mix

SHARE = 0.01  # of the training set: the size of a request
TWIN_NOISE = 0.1  # standard deviation, in that of all pixels
DISJOINT, DUPLICATE, NESTED, SAME_CLASS, NEAR_DUPLICATE = (
    "disjoint",
    "duplicate",
    "nested",
    "same class",
    "near-duplicate",
)

DIGITS = eb.Recipe(epochs=40, learning_rate=1e-2, schedule="one-cycle")


@dataclass(frozen=True)
class StreamTask:
    """A data set, what is trained on it, and after which requests models are retrained.

    Attributes:
        name: of the folder of figures.
        dataset: of `ebbing.data.load`.
        trainer: of originals and retrained models.
        train_size: images of the training set; None for all.
        checked: numbers from 1 of the requests after which models are retrained; None for all that ask for something new.
    """

    name: str
    dataset: str
    trainer: eb.Trainer
    train_size: int | None = None
    checked: tuple[int, ...] | None = None


TASKS: Mapping[str, StreamTask] = {
    task.name: task
    for task in (
        StreamTask("digits", "digits", eb.Trainer(digits_cnn, DIGITS)),
        StreamTask("fashion10k", "fashion-mnist", eb.Trainer(paper_cnn, eb.Recipe(epochs=40)), 10_000, (1, 5, 10, 20)),
    )
}


@dataclass(frozen=True)
class Asked:
    """A request of the stream: of which kind, to which earlier one it goes back, and what it names."""

    kind: str
    of: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Field:
    """The data of a task, and the stream.

    Attributes:
        train: with wrong labels and twins planted.
        wrong: (n,) bool, whose label is wrong.
        unseen: for the audit: "holdout", and "clean" and "wrong" to match forgotten records by.
        validation: for the methods.
        stream: the twenty requests.
    """

    train: TensorDataset
    wrong: np.ndarray
    unseen: Mapping[str, Dataset[Any]]
    validation: Dataset[Any]
    stream: tuple[Asked, ...]

    @property
    def n(self) -> int:
        """Records of the training set."""
        return len(self.train)

    def request(self, ids: Sequence[int], gone: set[int]) -> eb.ForgetRequest:
        """What a method is given for a request: what remains after all requests so far is what stays."""
        return eb.ForgetRequest.from_ids(
            self.train, sorted(ids), holdout=self.unseen["holdout"], validation=self.validation, exclude=sorted(gone)
        )

    def matched(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """Positions in the unseen parts "clean" and "wrong" that are to records as these are drawn, by the same shares."""
        wrong = [i for i in ids if self.wrong[i]]
        right = [i for i in ids if not self.wrong[i]]
        labels = self.train.tensors[1][torch.as_tensor(right, dtype=torch.int64)]
        alike = same_mix(self.unseen["clean"], labels, task=eb.Classification()) if right else None
        found = {
            "clean": list(alike.indices) if alike is not None else [],
            "wrong": list(range(len(self.unseen["wrong"]))),
        }  # type: ignore[arg-type]
        if not wrong or not right:
            return {"clean": found["clean"] if right else [], "wrong": found["wrong"] if wrong else []}
        most = min(len(found["wrong"]) / len(wrong), len(found["clean"]) / len(right))
        return {"clean": found["clean"][: int(most * len(right))], "wrong": found["wrong"][: int(most * len(wrong))]}

    def new(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        """What each request of a series asks for that none before it did, by the order of the series."""
        gone: set[int] = set()
        fresh = []
        for number in order:
            fresh.append(tuple(i for i in self.stream[number].ids if i not in gone))
            gone |= set(self.stream[number].ids)
        return fresh


@lru_cache(maxsize=1)
def field_of(task: StreamTask) -> Field:
    """The same field at every call."""
    bundle = load(task.dataset, train_size=task.train_size, seed=0)
    images, labels = bundle.train.tensors
    n, generator = len(labels), np.random.default_rng(0)
    each = round(SHARE * n)
    pools = iter(np.array_split(generator.permutation(n)[: 13 * each], 13))
    wrong_alone = [next(pools) for _ in range(5)]
    with_twins, wrong_twins = [next(pools) for _ in range(2)], [next(pools) for _ in range(2)]
    clean_with_twins, clean_twins = next(pools), next(pools)
    spare = [next(pools), next(pools)]
    noise = torch.Generator().manual_seed(1)
    images, labels = images.clone(), labels.clone()
    for sources, twins in [*zip(with_twins, wrong_twins, strict=True), (clean_with_twins, clean_twins)]:
        images[twins] = images[sources] + TWIN_NOISE * torch.randn(images[sources].shape, generator=noise)
        labels[twins] = labels[sources]
    canaries = np.concatenate([*wrong_alone, *with_twins])
    taught = mislabel(labels, canaries, n_classes=len(bundle.classes), seed=2)
    for sources, twins in zip(with_twins, wrong_twins, strict=True):
        taught[twins] = taught[sources]
    wrong = np.zeros(n, dtype=bool)
    wrong[np.concatenate([canaries, *wrong_twins])] = True
    taken = set(
        np.concatenate([*wrong_alone, *with_twins, *wrong_twins, clean_with_twins, clean_twins, *spare]).tolist()
    )
    classes = _of_classes(labels, taken, each)
    validation, unmatched, holdout = unseen_parts(bundle.test)
    unseen = {"holdout": holdout, "clean": unmatched, "wrong": _mislabelled(unmatched, len(bundle.classes))}
    stream = _stream(wrong_alone, with_twins, wrong_twins, (clean_with_twins, clean_twins), spare, classes)
    return Field(TensorDataset(images, taught), wrong, unseen, validation, stream)


def _of_classes(labels: Tensor, taken: set[int], each: int) -> list[np.ndarray]:
    """Two requests for records of class 3, and two of class 8, of those that are not taken."""
    found = []
    for label in (3, 8):
        free = [i for i in (labels == label).nonzero().flatten().tolist() if i not in taken]
        found += [np.array(free[:each]), np.array(free[each : 2 * each])]
    return found


def _mislabelled(dataset: Subset[Any], n_classes: int) -> TensorDataset:
    """Unseen records with labels wrong in the same way."""
    records = [dataset[i] for i in range(len(dataset))]
    images, labels = torch.stack([r[0] for r in records]), torch.stack([r[1] for r in records])
    return TensorDataset(images, mislabel(labels, range(len(labels)), n_classes=n_classes, seed=3))


def _stream(
    wrong: list[np.ndarray],
    sources: list[np.ndarray],
    twins: list[np.ndarray],
    clean: tuple[np.ndarray, np.ndarray],
    spare: list[np.ndarray],
    classes: list[np.ndarray],
) -> tuple[Asked, ...]:
    """The twenty requests: seven disjoint, three duplicate, three nested, four of one class, three near-duplicate."""
    half = len(wrong[0]) // 2
    mixed = [np.concatenate([wrong[k][:half], spare[k - 2][: len(wrong[0]) - half]]) for k in (2, 3)]
    wider = np.concatenate([mixed[0], wrong[2][half:]])
    listed: list[tuple[str, tuple[int, ...], np.ndarray]] = [
        (DISJOINT, (), wrong[0]),
        (DISJOINT, (), sources[0]),
        (SAME_CLASS, (), classes[0]),
        (DUPLICATE, (1,), wrong[0]),
        (DISJOINT, (), mixed[0]),
        (NEAR_DUPLICATE, (2,), twins[0]),
        (NESTED, (1,), wrong[0][:half]),
        (SAME_CLASS, (3,), classes[1]),
        (DISJOINT, (), sources[1]),
        (NESTED, (5,), wider),
        (DUPLICATE, (6,), twins[0]),
        (DISJOINT, (), clean[0]),
        (NEAR_DUPLICATE, (9,), twins[1]),
        (SAME_CLASS, (), classes[2]),
        (NESTED, (2, 9), np.concatenate([sources[0][:half], sources[1][:half]])),
        (DISJOINT, (), wrong[4]),
        (DUPLICATE, (10,), wider),
        (SAME_CLASS, (14,), classes[3]),
        (DISJOINT, (), mixed[1]),
        (NEAR_DUPLICATE, (12,), clean[1]),
    ]
    return tuple(Asked(kind, of, tuple(int(i) for i in ids)) for kind, of, ids in listed)
