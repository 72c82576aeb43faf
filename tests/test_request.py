"""Requests: what goes, what stays, and the unseen data beside it."""

from __future__ import annotations

from collections import Counter
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ebbing.batches import held
from ebbing.errors import InputError
from ebbing.fingerprint import of_dataset
from ebbing.request import ForgetRequest
from ebbing.task import Classification
from ebbing.unseen import same_mix

N, CLASSES = 30, 3


numbers = count(1000, step=1000)


def labelled(labels: list[int] | Tensor, *, first: int | None = None) -> TensorDataset:
    """Records that are numbers from ``first``, or that no other call gave; the training set's begin at 0."""
    labels = torch.as_tensor(labels)
    first = next(numbers) if first is None else first
    return TensorDataset(torch.arange(float(first), float(first + len(labels)))[:, None], labels)


TRAIN = labelled(torch.arange(N) % CLASSES, first=0)
HOLDOUT = labelled(torch.arange(12) % CLASSES)


class Records(Dataset):
    """Not held as tensors; optionally dicts."""

    def __init__(self, labels: list[int], *, dicts: bool = False, first: int = 0) -> None:
        self.labels, self.dicts, self.first = labels, dicts, first

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        x, y = torch.tensor([float(self.first + i)]), self.labels[i]
        return {"x": x, "labels": y} if self.dicts else (x, y)


def request(ids=(1, 2, 9), **settings) -> ForgetRequest:
    return ForgetRequest.from_ids(settings.pop("dataset", TRAIN), ids, **{"holdout": HOLDOUT} | settings)


def labels_of(dataset: Dataset | None) -> list[int]:
    return Classification().targets(dataset).tolist()


# ---------------------------------------------------------------- who goes and who stays


@given(ids=st.sets(st.integers(0, N - 1), min_size=1), exclude=st.sets(st.integers(0, N - 1), max_size=8))
def test_the_parts_are_disjoint_in_range_and_everything(ids: set[int], exclude: set[int]) -> None:
    assume(len(ids | exclude) < N)
    made = request(ids, exclude=exclude, matched=HOLDOUT, holdout=labelled([0, 1, 2] * 4))
    forget, retain = made.forget_ids.tolist(), made.retain_ids.tolist()
    assert forget == sorted(ids)
    assert retain == sorted(set(range(N)) - ids - exclude)
    assert made.forget_ids.dtype == made.retain_ids.dtype == torch.int64
    assert [int(x) for x, _ in made.forget] == forget
    assert [int(x) for x, _ in made.retain] == retain


@pytest.mark.parametrize(
    "ids",
    [
        [9, 1, 2],
        (1, 2, 9),
        {1, 2, 9},
        iter([1, 2, 9]),
        torch.tensor([9, 2, 1]),
        np.array([1, 2, 9]),
        [np.int32(1), 2, 9],
    ],
    ids=["list", "tuple", "set", "iterator", "tensor", "array", "numbers-of-numpy"],
)
def test_ids_may_come_in_any_form_and_order(ids) -> None:
    assert request(ids).forget_ids.tolist() == [1, 2, 9]


def test_a_range_is_ids_too() -> None:
    assert request(range(3)).forget_ids.tolist() == [0, 1, 2]


def test_keys_stand_for_every_record_that_has_them() -> None:
    keys = [f"user {i % 7}" for i in range(N)]
    made = request(["user 3", "user 0"], keys=keys, exclude=["user 1"])
    assert made.forget_ids.tolist() == [i for i in range(N) if i % 7 in (0, 3)]
    assert made.retain_ids.tolist() == [i for i in range(N) if i % 7 not in (0, 1, 3)]


@pytest.mark.parametrize(
    ("ids", "settings", "message"),
    [
        ([], {}, "must name at least one record"),
        (range(N), {}, f"name all {N}"),
        (range(10), {"exclude": range(10, N)}, f"name all {N}"),
        ([1, 1, 2], {}, "`ids` must name each record once, but 1 of 3"),
        ([1], {"exclude": [4, 4]}, "`exclude` must name each record once"),
        ([-1, 3], {}, rf"`ids` must lie in \[0, {N}\), but contains \[-1\]"),
        ([3, N], {}, rf"\[0, {N}\), but contains \[{N}\]"),
        ([3], {"exclude": [99]}, "`exclude` must lie in"),
        ([1.0], {}, "`ids` must be whole numbers"),
        (["a"], {}, "Pass `keys`"),
        ([True], {}, "must be whole numbers"),
        (torch.tensor([0.5]), {}, "must be whole numbers"),
        (["b", "x", "y"], {"keys": ["a", "b"] * (N // 2)}, r"2 are not, \['x', 'y'\]"),
        (["a"], {"keys": ["a", "b"]}, f"one key for each of the {N} records, but holds 2"),
        ([1], {"holdout": labelled(torch.zeros(0, dtype=torch.int64))}, "`holdout` must hold at least one"),
        ([1], {"validation": labelled(torch.zeros(0, dtype=torch.int64))}, "`validation` must hold at least one"),
        (range(0, N, CLASSES), {"holdout": labelled([0, 0])}, "after the forgotten classes"),
        (range(0, N, CLASSES), {"validation": labelled([0, 0])}, "`validation` must hold at least one"),
    ],
)
def test_what_cannot_be_meant_is_refused(ids, settings, message) -> None:
    with pytest.raises(InputError, match=message):
        request(ids, **settings)


def test_a_stream_cannot_be_asked_for_its_records() -> None:
    class Stream(IterableDataset):
        def __iter__(self):
            yield from ()

    with pytest.raises(InputError, match="must have a length"):
        request([1], dataset=Stream())


# ---------------------------------------------------------------- classes that go


def test_a_whole_class_is_a_concept_and_its_unseen_examples_are_matched() -> None:
    made = request(range(0, N, CLASSES), validation=labelled([0, 1, 2, 2]))
    assert made.concept
    assert sorted(set(labels_of(made.holdout))) == [1, 2]
    assert labels_of(made.matched) == [0, 0, 0, 0]
    assert labels_of(made.validation) == [1, 2, 2]
    assert labels_of(made.validation_matched) == [0]
    assert len(made.holdout) + len(made.matched) == len(HOLDOUT)


def test_two_whole_classes_are_a_concept() -> None:
    made = request([i for i in range(N) if i % CLASSES != 1])
    assert made.concept
    assert labels_of(made.holdout) == [1] * 4
    assert sorted(labels_of(made.matched)) == [0] * 4 + [2] * 4


def test_a_class_that_goes_by_exclusion_counts_as_gone() -> None:
    zeros = list(range(0, N, CLASSES))
    assert request(zeros[:4], exclude=zeros[4:]).concept
    assert not request(zeros[:4]).concept


def test_a_concept_without_unseen_examples_has_no_matched_ones() -> None:
    made = request(range(0, N, CLASSES), holdout=labelled([1, 2, 2]), validation=labelled([1, 2]))
    assert made.concept
    assert made.matched is None
    assert made.validation_matched is None


@pytest.mark.parametrize(
    "ids",
    [
        list(range(0, N - CLASSES, CLASSES)),  # all of a class but one
        [*range(0, N, CLASSES), 1],  # a whole class, and one record of another
    ],
)
def test_less_or_more_than_whole_classes_is_no_concept(ids) -> None:
    made = request(ids)
    assert not made.concept
    assert made.holdout is HOLDOUT


def test_what_is_passed_as_matched_is_taken() -> None:
    for ids in ([1, 2], range(0, N, CLASSES)):
        mine, own, seen = labelled([0, 1]), labelled([2]), labelled([0, 1, 2] * 4)
        made = request(ids, matched=mine, validation=seen, validation_matched=own)
        assert made.matched is mine
        assert made.validation_matched is own


def test_without_validation_there_is_none_matched() -> None:
    made = request([1, 2])
    assert made.validation is None
    assert made.validation_matched is None


# ---------------------------------------------------------------- the same mix of classes


@given(
    have=st.lists(st.integers(0, 3), max_size=40),
    wanted=st.lists(st.integers(0, 3), min_size=1, max_size=12),
)
def test_same_mix_is_the_largest_part_with_the_classes_of_the_forget_set(have: list[int], wanted: list[int]) -> None:
    data = labelled(torch.tensor(have, dtype=torch.int64))
    part = same_mix(data, torch.tensor(wanted), task=Classification())
    counts, share = Counter(have), {c: k / len(wanted) for c, k in Counter(wanted).items()}
    n = min(counts[c] / share[c] for c in share)
    took = Counter([] if part is None else labels_of(part))
    assert (part is None) == (not took)
    assert set(took) <= set(share)
    for c in share:
        assert took[c] <= counts[c]
        assert n * share[c] - 1 < took[c] <= n * share[c] + 1e-6  # whole records, never too many
    # it cannot be larger: of one class everything is in it
    assert any(took[c] == counts[c] for c in share)
    if part is not None:
        first = [i for i, c in enumerate(have) if c in share and have[:i].count(c) < took[c]]
        assert part.indices == first


def test_same_mix_without_a_class_is_none() -> None:
    assert same_mix(labelled([0, 0, 1]), torch.tensor([0, 2]), task=Classification()) is None


def test_matched_has_the_mix_of_the_forget_set() -> None:
    made = request([0, 3, 6, 1], holdout=labelled([0] * 20 + [1] * 4 + [2] * 9))
    assert Counter(labels_of(made.matched)) == {0: 12, 1: 4}


# ---------------------------------------------------------------- kinds of data sets, fingerprints


@pytest.mark.parametrize("dicts", [False, True])
def test_any_data_set_with_a_length_will_do(dicts: bool) -> None:
    data, unseen = Records([i % 3 for i in range(N)], dicts=dicts), Records([0, 1, 2, 0], dicts=dicts, first=500)
    made = request([0, 1], dataset=data, holdout=unseen)
    assert labels_of(made.forget) == [0, 1]
    assert labels_of(made.matched) == [0, 1]
    assert request(range(0, N, 3), dataset=data, holdout=unseen).concept


def test_splits_are_views() -> None:
    made = request([1, 2])
    assert made.forget.dataset is TRAIN
    tensors, positions = held(Subset(made.retain, [0, 1]))
    assert tensors is TRAIN.tensors
    assert positions.tolist() == [0, 3]


def test_the_fingerprint_is_of_the_data_and_of_who_goes_and_stays() -> None:
    first = request([1, 2]).fingerprint
    assert request(torch.tensor([2, 1]), holdout=labelled([0, 1, 2]), kind="other").fingerprint == first
    assert request([1, 3]).fingerprint != first
    assert request([1, 2], exclude=[4]).fingerprint != first
    changed = labelled(torch.arange(N) % CLASSES, first=0)
    changed.tensors[0][17] += 1e-3
    assert request([1, 2], dataset=changed).fingerprint != first
    assert len(first) == 32
    assert int(first, 16) >= 0


def test_splits_that_share_records_are_refused() -> None:
    data = labelled([0, 1, 2] * 6)
    with pytest.raises(InputError, match="`dataset` and `holdout` must not share records, but share 18"):
        ForgetRequest.from_ids(data, [0], holdout=data)
    first, second = Subset(data, range(0, 10)), Subset(data, range(9, 18))
    with pytest.raises(InputError, match="`holdout` and `validation` must not share records, but share 1"):
        ForgetRequest.from_ids(TRAIN, [1], holdout=first, validation=second)


def test_what_was_forgotten_before_is_in_nothing_that_is_trained_on() -> None:
    made = request([1, 2], exclude=[0, 5])
    assert isinstance(made.everything, Subset)
    assert set(made.everything.indices) == set(range(N)) - {0, 5}
    assert request([1, 2]).everything is TRAIN


# ---------------------------------------------------------------- the training set as training reads it


class Shaken(Dataset):
    """Records of another data set, a little different at each reading."""

    def __init__(self, plain: Dataset) -> None:
        self.plain = plain

    def __len__(self) -> int:
        return len(self.plain)

    def __getitem__(self, i: int):
        x, y = self.plain[i]
        return x + torch.rand(1), y


def test_a_changing_data_set_is_refused_and_is_fine_as_a_view() -> None:
    with pytest.raises(InputError, match=r"`dataset` must be the same each time it is read.*`training_view`"):
        request(dataset=Shaken(TRAIN))
    made = request([1, 2], training_view=Shaken(TRAIN))
    assert made.forget.dataset is TRAIN
    for part, ids in (("forget", [1, 2]), ("retain", made.retain_ids.tolist()), ("everything", list(range(N)))):
        seen = made.for_training(part)
        assert len(seen) == len(ids)
        assert [int(seen[i][0] // 1) - p in (0, 1) for i, p in enumerate(ids)] == [True] * len(ids)
        assert not torch.equal(seen[0][0], seen[0][0])
    assert request([1, 2]).for_training("retain").dataset is TRAIN


def test_a_view_goes_by_the_records_behind_it() -> None:
    views = [request([1, 2], training_view=Shaken(TRAIN)) for _ in range(2)]
    names = [of_dataset(v.for_training("retain")) for v in views]
    assert names[0] == names[1] != of_dataset(views[0].retain)
    assert of_dataset(request([1, 3], training_view=Shaken(TRAIN)).for_training("retain")) != names[0]
    other = labelled(torch.arange(N) % CLASSES, first=0)
    other.tensors[0][5] += 0.5
    assert of_dataset(request([1, 2], dataset=other, training_view=Shaken(other)).for_training("retain")) != names[0]


def test_a_view_of_other_records_is_refused() -> None:
    with pytest.raises(InputError, match=f"holds 12 for {N}"):
        request(training_view=Shaken(HOLDOUT))
    turned = labelled((torch.arange(N) + 1) % CLASSES)
    with pytest.raises(InputError, match=f"{N} of {N} labels that were compared differ"):
        request(training_view=Shaken(turned))


# ---------------------------------------------------------------- unseen data must be unseen


def with_copies(n: int, *, of: int) -> TensorDataset:
    """Unseen records, the first ``n`` of which are training records."""
    unseen = labelled(torch.arange(of) % CLASSES)
    unseen.tensors[0][:n] = TRAIN.tensors[0][:n]
    return unseen


def test_copies_of_training_records_are_refused_or_left_out() -> None:
    with pytest.raises(InputError, match="3 of the 200 records of `holdout` have exactly the inputs"):
        request(holdout=with_copies(3, of=200))
    kept = request(holdout=with_copies(3, of=200), overlap="drop").holdout
    assert kept.indices == list(range(3, 200))
    assert len(request(holdout=with_copies(3, of=200), overlap="allow").holdout) == 200
    with pytest.raises(InputError, match="`overlap` must be one of refuse, drop, allow, but is 'yes'"):
        request(overlap="yes")


def test_a_few_chance_copies_are_left_out_with_a_warning(caplog) -> None:
    made = request(holdout=with_copies(2, of=200), validation=with_copies(1, of=200), matched=with_copies(2, of=300))
    assert [len(d) for d in (made.holdout, made.validation, made.matched)] == [198, 199, 298]
    assert "2 of the 200 records of `holdout` have exactly the inputs of a record of `dataset`" in caplog.text


def test_data_that_are_not_finite_are_refused() -> None:
    broken = labelled(torch.arange(N) % CLASSES)
    broken.tensors[0][4] = float("nan")
    with pytest.raises(InputError, match=r"`dataset`.*4"):
        request(dataset=broken)
    with pytest.raises(InputError, match=r"`holdout`.*4"):
        request(holdout=broken)


def test_parts_know_their_positions_without_listing_them_anew() -> None:
    request = ForgetRequest.from_ids(TRAIN, [5, 3], holdout=HOLDOUT)
    for part, ids in ((request.forget, request.forget_ids), (request.retain, request.retain_ids)):
        tensors, positions = held(part)
        assert tensors is TRAIN.tensors
        assert positions is ids
        assert part.indices == ids.tolist()
        assert held(Subset(part, [1, 0]))[1].tolist() == [int(ids[1]), int(ids[0])]
