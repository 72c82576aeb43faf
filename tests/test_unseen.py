"""Unseen data: split, matched to the forget set, and kept apart from what was trained on."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from ebbing.errors import InputError
from ebbing.inspection import inspect
from ebbing.task import Classification
from ebbing.unseen import labels_of, same_mix, split_classes, split_unseen, without_overlap

TASK = Classification()


def labelled(labels: list[int], *, first: int = 0) -> TensorDataset:
    """Records that are numbers from ``first``."""
    return TensorDataset(
        torch.arange(first, first + len(labels)).float()[:, None], torch.tensor(labels, dtype=torch.int64)
    )


def numbers(dataset: Dataset[Any]) -> list[int]:
    return [int(dataset[i][0]) for i in range(len(dataset))]  # type: ignore[arg-type]


def labels(dataset: Dataset[Any] | None) -> list[int]:
    return [int(dataset[i][1]) for i in range(len(dataset))]  # type: ignore[arg-type,index]


# ---------------------------------------------------------------- splitting


@given(n=st.integers(1, 60), share=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 99))
def test_a_split_is_disjoint_complete_and_in_order(n: int, share: float, seed: int) -> None:
    dataset = labelled([0] * n)
    validation, holdout = split_unseen(dataset, share=share, generator=np.random.default_rng(seed))
    one, other = numbers(validation), numbers(holdout)
    assert len(one) == round(share * n)
    assert one == sorted(one)
    assert other == sorted(other)
    assert sorted(one + other) == list(range(n))


def test_a_split_is_drawn_by_its_generator() -> None:
    dataset = labelled([0] * 50)

    def drawn(seed: int) -> list[int]:
        return numbers(split_unseen(dataset, share=0.5, generator=np.random.default_rng(seed))[0])

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    often = Counter(i for seed in range(400) for i in drawn(seed))
    assert all(140 < often[i] < 260 for i in range(50))  # 200 +- 6 standard deviations of 10


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_outside_is_refused(share) -> None:
    with pytest.raises(InputError, match=r"must lie in \[0, 1\), but is"):
        split_unseen(labelled([0]), share=share, generator=np.random.default_rng(0))


def test_whole_classes_are_taken_apart() -> None:
    dataset = labelled([0, 1, 2, 1, 0])
    stay, leave = split_classes(dataset, [1], task=TASK)
    assert (numbers(stay), numbers(leave)) == ([0, 2, 4], [1, 3])
    stay, leave = split_classes(dataset, [7], task=TASK)
    assert (numbers(stay), leave) == ([0, 1, 2, 3, 4], None)


# ---------------------------------------------------------------- the same mix


@given(have=st.lists(st.integers(0, 3), max_size=40), wanted=st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_a_mix_has_the_shares_of_the_labels_and_is_the_largest(have: list[int], wanted: list[int]) -> None:
    found = same_mix(labelled(have), torch.tensor(wanted), task=TASK)
    there, asked = Counter(have), Counter(wanted)
    n = min(there[c] * len(wanted) / k for c, k in asked.items())
    expected = {c: int(n * k / len(wanted) + 1e-9) for c, k in asked.items()}
    if not sum(expected.values()):
        assert found is None
        return
    assert Counter(labels(found)) == Counter({c: k for c, k in expected.items() if k})
    firsts = {c: [i for i, label in enumerate(have) if label == c][:k] for c, k in expected.items()}
    assert numbers(found) == sorted(i for part in firsts.values() for i in part)


def test_a_class_that_is_missing_leaves_no_mix() -> None:
    assert same_mix(labelled([0, 0, 1]), torch.tensor([0, 2]), task=TASK) is None


# ---------------------------------------------------------------- labels


class Gives(Classification):
    """Labels as they were made."""

    def __init__(self, made: Any) -> None:
        object.__setattr__(self, "made", made)

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        return self.made  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "made",
    [torch.tensor([2, 0, 1]), torch.tensor([2, 0, 1], dtype=torch.uint8), torch.tensor([2, 0, 1], dtype=torch.int16)],
)
def test_labels_are_whole_numbers(made) -> None:
    found = labels_of(labelled([0, 0, 0]), task=Gives(made), name="holdout")
    assert (found.dtype, found.tolist()) == (torch.int64, [2, 0, 1])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "for the n = 3 records of `holdout` they are NoneType"),
        ([2, 0, 1], "they are list"),
        (np.array([2, 0, 1]), "they are ndarray"),
        (torch.tensor([2, 0]), r"they are torch.int64 of shape \(2,\)"),
        (torch.tensor([[2], [0], [1]]), r"they are torch.int64 of shape \(3, 1\)"),
        (torch.tensor([2.0, 0.0, 1.0]), r"they are torch.float32 of shape \(3,\)"),
    ],
)
def test_what_are_no_labels_is_refused(made, message) -> None:
    with pytest.raises(InputError, match=message):
        labels_of(labelled([0, 0, 0]), task=Gives(made), name="holdout")


def test_data_whose_labels_cannot_be_read_are_named() -> None:
    inputs = torch.zeros(3, 1)
    with pytest.raises(InputError, match=r"^`matched`: labels must be whole numbers"):
        labels_of(TensorDataset(inputs, inputs[:, 0]), task=TASK, name="matched")


# ---------------------------------------------------------------- records that were trained on


def kept(dataset: Dataset[Any], *others: Dataset[Any], overlap: Any = "refuse") -> Dataset[Any]:
    return without_overlap(
        dataset,
        inspect(dataset),
        name="holdout",
        others={f"other {i}": inspect(other) for i, other in enumerate(others)},
        overlap=overlap,
    )


@given(
    unseen=st.lists(st.integers(0, 30), min_size=1, max_size=20),
    seen=st.lists(st.integers(0, 30), min_size=1, max_size=20),
)
def test_dropping_leaves_what_is_nowhere_else(unseen: list[int], seen: list[int]) -> None:
    def dataset(values: list[int], label: int) -> TensorDataset:
        return TensorDataset(torch.tensor(values).float()[:, None], torch.full((len(values),), label))

    found = kept(dataset(unseen, 0), dataset(seen, 1), overlap="drop")  # whatever their labels are
    assert numbers(found) == [value for value in unseen if value not in seen]
    allowed = dataset(unseen, 0)
    assert kept(allowed, dataset(seen, 1), overlap="allow") is allowed


def test_data_that_share_nothing_are_passed_on() -> None:
    dataset = labelled([0] * 5)
    assert kept(dataset, labelled([0] * 5, first=5)) is dataset


@pytest.mark.parametrize(("n", "chance"), [(40, 1), (100, 1), (200, 2), (1000, 10)])
def test_chance_repeats_are_left_out_and_more_are_refused(n, chance, caplog) -> None:
    dataset = labelled([0] * n)
    with caplog.at_level(logging.WARNING):
        found = kept(dataset, labelled([0] * 100, first=n - chance))
    assert numbers(found) == list(range(n - chance))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{chance} of the {n} records of `holdout` have exactly the inputs of a record of `other 0`, and are left out."
    )
    with pytest.raises(
        InputError, match=f"but {chance + 1} of the {n} records of `holdout` have exactly the inputs of"
    ):
        kept(dataset, labelled([0] * 100, first=n - chance - 1))


def test_records_of_several_data_are_left_out_once() -> None:
    dataset = labelled([0] * 500)
    both = labelled([0] * 3, first=4)
    assert numbers(kept(dataset, both, labelled([0] * 3, first=6))) == [i for i in range(500) if not 4 <= i <= 8]
