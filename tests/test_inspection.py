"""What one reading of a data set finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ebbing import inspection
from ebbing.batches import NamedTensors
from ebbing.errors import InputError
from ebbing.inspection import Inspection, changing, inspect, require_finite, require_steady, shared

NAN, INF = float("nan"), float("inf")


class Items(Dataset):
    """Read one by one, and counted."""

    def __init__(self, items: Any, see: Callable[[Any], Any] = lambda item: item) -> None:
        self.items, self.see = items, see
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        self.read.append(i)
        return self.see(self.items[i])


def digest(item: Any) -> bytes:
    (found,) = inspect(Items([item])).digests
    return found


def images(n: int = 80) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand(n, 1, 4, 5, generator=generator), torch.arange(n) % 3)


@pytest.fixture(autouse=True)
def _the_callers_draws_are_the_same() -> Iterator[None]:
    """Nothing in this file may move a global generator, whatever the data sets draw from it."""

    def states() -> list[Any]:
        name, keys, *rest = np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), random.getstate(), name, keys.tolist(), rest]

    before = states()
    yield
    assert states() == before


# ---------------------------------------------------------------- digests

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool]
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.5, NAN, INF, -INF, 60000.0])


@st.composite
def tensors(draw: st.DrawFn) -> tuple[torch.Tensor, ...]:
    """One to four tensors with as many rows, of any dtype and shape, with repeats and numbers that are not finite."""
    n = draw(st.integers(0, 6))
    made = []
    for _ in range(draw(st.integers(1, 4))):
        dtype = draw(st.sampled_from(DTYPES))
        row = draw(st.lists(st.integers(0, 3), max_size=2))
        whole = dtype in (torch.uint8, torch.int64, torch.bool)
        size = int(np.prod([n, *row]))
        numbers = draw(st.lists(st.integers(0, 2) if whole else VALUES, min_size=size, max_size=size))
        made.append(torch.tensor(numbers, dtype=torch.float64).to(dtype).reshape(n, *row))
    return tuple(made)


def as_numpy(item: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
    return tuple(t if t.dtype == torch.bfloat16 else t.numpy() for t in item)


@given(data=tensors(), block=st.sampled_from([1, 20, 1 << 24]), see=st.sampled_from([tuple, list, as_numpy]))
def test_it_is_the_same_however_the_records_are_held(data, block, see) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "BLOCK", block)
        held, lazy = TensorDataset(*data), Items(TensorDataset(*data), see)
        found = inspect(held)
        assert found == inspect(lazy) == inspect(Subset(held, range(len(held))))
    assert len(found.digests) == len(held)
    assert all(len(d) == 16 for d in found.digests)


@given(data=tensors())
def test_digests_are_equal_where_the_bytes_of_the_inputs_are(data) -> None:
    inputs = data[:-1] or data
    contents = [
        tuple(t[i].contiguous().reshape(-1).view(torch.uint8).tolist() for t in inputs) for i in range(len(data[0]))
    ]
    digests = inspect(TensorDataset(*data)).digests
    assert [[a == b for b in digests] for a in digests] == [[a == b for b in contents] for a in contents]


@given(data=tensors())
def test_the_records_that_are_not_finite_are_found(data) -> None:
    inputs = data[:-1] or data
    wrong = [
        i
        for i in range(len(data[0]))
        if any(not np.isfinite(number) for t in inputs for number in t[i].double().flatten().tolist())
    ]
    assert inspect(TensorDataset(*data)).not_finite == tuple(wrong)


@given(places=st.lists(st.integers(-8, 7), max_size=12))
def test_a_subset_is_read_in_its_own_order(places) -> None:
    data = images(8)
    everything = inspect(data).digests
    expected = tuple(everything[i] for i in places)
    assert inspect(Subset(data, places)).digests == expected
    assert inspect(Subset(Subset(data, places), range(len(places)))).digests == expected


X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((X, 0), (X, 1)),
        ((X, 0), [X, np.int64(3)]),
        ((X, 0), (X,)),
        ((X, 0), X),
        ((X, 0), (X.numpy(), torch.tensor(0))),
        ((X, 0), (X.t().contiguous().t(), 0)),
        ((X, 0), (X.clone().requires_grad_(), 0)),
        ((X, 0), (X.to_sparse(), 0)),
        ((X, 0), (X.numpy().astype(">f4"), 0)),
        ((X, 0), (X.numpy()[::-1].copy()[::-1], 0)),
        ((X, 0), (np.broadcast_to(X.numpy(), (2, 2)), 0)),  # read-only
        ((X.bfloat16(), 0), (X.bfloat16().clone(), 0)),
        ((torch.tensor([3 + 4j]).conj(), 0), (torch.tensor([3 - 4j]), 0)),
        ({"x": X, "labels": 0}, {"x": X, "labels": 1}),
        ({"x": X, "labels": 0}, {"x": X}),
        ({"x": X, "mask": 1, "labels": 0}, {"labels": 0, "mask": 1, "x": X}),
        ({"x": X, "labels": 0}, ({"x": X}, 0)),
        ((X, X, 0), ((X, X), 0)),
        ((7, 0), (torch.tensor(7), 0)),
        ((0.1, 0), (np.float64(0.1), 0)),
        ((True, 0), (torch.tensor(True), 0)),
        (([1, 2], 0), ((1, 2), 0)),
        ((), ({}, 0)),
    ],
)
def test_the_same_inputs(one, other) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((X, 0), (X + 1, 0)),
        ((X, 0), (X.reshape(4), 0)),
        ((X, 0), (X.view(torch.int32), 0)),
        ((X, 0), (X.double(), 0)),
        ((X, 0), ({"x": X}, 0)),
        ((X, 0), (X, X, 0)),
        (({"x": X}, 0), ({"y": X}, 0)),
        (({"x": X, "y": X + 1}, 0), ({"x": X + 1, "y": X}, 0)),
        ((0.0, 0), (-0.0, 0)),
        ((0.1, 0), (np.float32(0.1), 0)),
        ((0.1, 0), (0.1 + 1e-12, 0)),
        ((1, 0), (True, 0)),
        ((1, 0), (1.0, 0)),
        (((X[:1], X[1:]), 0), ((X[:0], X), 0)),
    ],
)
def test_other_inputs(one, other) -> None:
    assert digest(one) != digest(other)


class Named(Items):
    fingerprint = "mine, version 2"


def test_a_data_set_that_has_a_name_is_taken_at_its_word_but_read() -> None:
    data = Named([(torch.tensor([x]), 0) for x in (1.0, NAN, 1.0)])
    assert inspect(data) == Inspection(None, (1,))
    assert inspect(Subset(Subset(data, [2, 1]), [1])) == Inspection(None, (0,))
    held = images(3)
    held.fingerprint = "held"
    assert inspect(held).digests is None
    held.fingerprint = 3  # no name
    assert len(inspect(held).digests) == 3


def test_a_name_is_believed_even_where_the_content_changes() -> None:
    assert inspect(Named(list(images(5)), lambda item: (item[0] + torch.rand(()), item[1]))).not_finite == ()


@pytest.mark.parametrize("lazy", [False, True])
def test_every_record_is_read_once_and_counted(lazy, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "BLOCK", 7 * 20 * 4)
    data = Items(images(80)) if lazy else images(80)
    advanced: list[int] = []
    inspect(data, on_advance=advanced.append)
    assert advanced == ([1] * 80 if lazy else [7] * 11 + [3])
    if lazy:
        assert data.read == list(range(80))


def test_a_data_set_without_records_has_nothing_wrong() -> None:
    for data in (images(0), Items([]), Subset(images(3), [])):
        assert inspect(data) == Inspection((), ())
        assert changing(data) == ()


# ---------------------------------------------------------------- not finite


@pytest.mark.parametrize(
    ("inputs", "finite"),
    [
        (torch.tensor([INF, -INF]), False),
        (torch.tensor([60000.0, 60000.0], dtype=torch.float16), True),  # their sum is not
        (torch.tensor([3e38, 3e38]), True),
        (torch.tensor([3e38, 3e38, NAN]), False),
        (torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn), True),
        (torch.tensor([1.0, NAN]).to(torch.float8_e4m3fn), False),
        (torch.tensor([complex(0, INF)]), False),
        (torch.tensor([1j]), True),
        (torch.tensor([2**62, 2**62]), True),
        ({"x": 1.0, "y": {"z": NAN}}, False),
        (NAN, False),
    ],
)
def test_not_a_number_and_infinity_are_seen_and_sums_that_overflow_are_not(inputs, finite) -> None:
    assert inspect(Items([(0, 0), (inputs, 0), (0, 0)])).not_finite == (() if finite else (1,))


@pytest.mark.parametrize("block", [1, 7 * 20 * 4, 1 << 24])
def test_their_positions_are_those_in_the_whole_data_set(block, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "BLOCK", block)
    data = images(80)
    data.tensors[0][[3, 30, 31, 79], 0, 1, 2] = NAN
    assert inspect(data).not_finite == inspect(Items(data)).not_finite == (3, 30, 31, 79)
    assert inspect(Subset(data, range(79, 1, -2))).not_finite == (0, 24, 38)


def test_labels_may_be_anything() -> None:
    x = torch.zeros(2)
    assert inspect(Items([(x, NAN), {"x": x, "labels": INF}])).not_finite == ()
    assert inspect(TensorDataset(torch.zeros(2), torch.tensor([NAN, 0.0]))).not_finite == ()


def test_the_first_five_that_are_not_finite_are_named() -> None:
    require_finite(Inspection(None, ()), name="holdout")
    with pytest.raises(InputError, match=r"inputs of `holdout` must be finite, but 1 .* infinity, \[7\] first"):
        require_finite(Inspection(None, (7,)), name="holdout")
    with pytest.raises(
        InputError, match=r"but 300 of its records hold NaN or infinity, \[0, 2, 4, 6, 8\] first\. Mend"
    ):
        require_finite(Inspection((), tuple(range(0, 600, 2))), name="data")


# ---------------------------------------------------------------- shared records


@given(one=st.lists(st.integers(0, 9)), other=st.lists(st.integers(0, 9)))
def test_shared_are_the_positions_whose_inputs_are_in_the_other(one, other) -> None:
    first, second = (inspect(TensorDataset(torch.tensor(x), torch.zeros(len(x)))) for x in (one, other))
    assert shared(first, second) == tuple(i for i, x in enumerate(one) if x in other)


def test_without_digests_nothing_is_known_to_be_shared() -> None:
    known, unknown = Inspection((b"a",), ()), Inspection(None, ())
    assert shared(known, known) == (0,)
    assert shared(known, unknown) == shared(unknown, known) == shared(unknown, unknown) == ()


# ---------------------------------------------------------------- records that cannot be read


def raising(error: BaseException) -> Items:
    def see(item: int) -> Any:
        if item == 17:
            raise error
        return torch.zeros(2), 0

    return Items(range(30), see)


@pytest.mark.parametrize("read", [inspect, changing, lambda data, *, name: require_steady(data, name=name)])
def test_a_record_that_raises_is_named(read) -> None:
    with pytest.raises(InputError, match=r"^record 17 of `holdout` cannot be read: ValueError: bad\. Mend") as caught:
        read(raising(ValueError("bad\nand a long story")), name="holdout")
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(KeyboardInterrupt):
        read(raising(KeyboardInterrupt()), name="holdout")


def test_the_data_set_is_called_data_by_default() -> None:
    for read in (inspect, changing):
        with pytest.raises(InputError, match="record 17 of `data` cannot be read: ZeroDivisionError"):
            read(raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    "inputs", ["text", None, object(), np.array(["text"]), np.array([None]), {"x": b"bytes"}, 2**64]
)
def test_what_is_no_number_is_refused(inputs) -> None:
    with pytest.raises(InputError, match=r"record 1 of `data` cannot be read: (Type|Value)Error"):
        inspect(Items([(X, 0), (inputs, 0)]))


def test_positions_that_are_not_there_are_named() -> None:
    data = images(5)
    beyond = Subset(data, [0, 5])
    for dataset in (beyond, Subset(data, [0, -6]), Subset(beyond, [0, 1]), Subset(beyond, [0, 2])):
        for read in (inspect, changing):
            with pytest.raises(InputError, match="record 1 of `data` cannot be read: IndexError"):
                read(dataset)
    short = Items(range(3), lambda item: [X][item])
    with pytest.raises(InputError, match="record 1 of `data` cannot be read: IndexError: list index out of range"):
        inspect(short)


def test_a_stream_is_refused() -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            yield from ()

    for read in (inspect, changing):
        with pytest.raises(InputError, match="must have a length"):
            read(Stream())


# ---------------------------------------------------------------- reading twice

OWN = np.random.default_rng(0)
BUFFER = torch.zeros(1, 4, 5)

AUGMENTATIONS: dict[str, Callable[[Any], Any]] = {
    "noise of torch": lambda item: (item[0] + 0.01 * torch.rand(item[0].shape), item[1]),
    "a random flip": lambda item: (item[0].flip(-1) if torch.rand(()) < 0.5 else item[0], item[1]),
    "numpy's global generator": lambda item: (item[0] * np.random.rand(), item[1]),  # noqa: NPY002
    "a generator of its own": lambda item: (item[0] * OWN.random(), item[1]),
    "the random module": lambda item: (item[0].roll(random.randrange(4), -1), item[1]),
    "labels": lambda item: (item[0], item[1] ^ random.getrandbits(1)),
    "in a dict": lambda item: {"x": {"image": item[0] + torch.rand(())}, "labels": item[1]},
    "the size": lambda item: (item[0][..., : random.randint(1, 5)], item[1]),
    "into one buffer": lambda item: (torch.rand(BUFFER.shape, out=BUFFER), item[1]),
    "as arrays": lambda item: (item[0].numpy() + random.random(), int(item[1])),
}


@pytest.mark.parametrize("see", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_augmentation_is_found(see) -> None:
    data = Items(images(), see)
    assert changing(data)
    for dataset in (data, Subset(data, range(70))):
        with pytest.raises(InputError, match=r"`mine` must be the same each time it is read, but \d+ of 64 records"):
            require_steady(dataset, name="mine")


STEADY: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda item: item,
    "a copy": lambda item: (item[0].clone(), int(item[1])),
    "arrays": lambda item: {"x": item[0].numpy(), "labels": item[1]},
    "one buffer": lambda item: (BUFFER.copy_(item[0]), item[1]),
    "noise of its own seed": lambda item: (item[0] + torch.rand(4, generator=torch.Generator().manual_seed(1))[0], 0),
    "not finite": lambda item: (item[0] * NAN, item[1]),
}


@pytest.mark.parametrize("see", STEADY.values(), ids=STEADY)
def test_a_data_set_that_reads_its_records_when_asked_is_not_accused(see) -> None:
    data = Items(images(), see)
    assert changing(data) == ()
    require_steady(data, name="mine")


def test_tensors_in_memory_are_steady_unread(monkeypatch) -> None:
    def unread(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(TensorDataset, "__getitem__", unread)
    data = images()
    assert changing(data) == changing(Subset(data, [1, 2])) == ()
    require_steady(data, name="mine")


@pytest.mark.parametrize(
    ("n", "sample", "places"), [(9, 3, [0, 4, 8]), (3, 64, [0, 1, 2]), (65, 64, None), (5, 1, [0])]
)
def test_an_evenly_spaced_sample_is_read_twice_over(n, sample, places) -> None:
    data = Items(images(n))
    changing(data, sample=sample)
    places = places or data.read[:64]
    assert data.read == 2 * places
    assert len(set(places)) == min(n, sample)
    assert {0, places[-1]} <= {0, n - 1}


def test_the_records_that_differ_are_named() -> None:
    times = iter(range(100))

    def see(i: int) -> Any:
        return torch.tensor([next(times) if i in (2, 5) else i]), 0

    assert changing(Items(range(7), see)) == (2, 5)
    assert changing(Subset(Items(range(7), see), [6, 5])) == (1,)


def test_both_ways_out_are_stated_and_a_name_is_one() -> None:
    see = AUGMENTATIONS["noise of torch"]
    with pytest.raises(InputError, match=r"but 5 of 5 records") as caught:
        require_steady(Items(images(5), see), name="data")
    assert all(way in str(caught.value) for way in ("`fingerprint`", "`training_view`", "--training-view"))
    named = Named(images(5), see)
    require_steady(named, name="data")
    require_steady(Subset(named, [0, 1]), name="data")
    assert len(changing(named)) == 5


def test_draws_while_reading_do_not_change_the_callers() -> None:
    data = Items(images(), AUGMENTATIONS["noise of torch"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = torch.rand(4)
        for read in (inspect, changing):
            torch.manual_seed(3)
            read(data)
            assert torch.equal(torch.rand(4), expected)
            torch.manual_seed(3)
            with pytest.raises(InputError):
                read(raising(ValueError()))
            assert torch.equal(torch.rand(4), expected)


def texts(width: int, **more: torch.Tensor) -> NamedTensors:
    """Two texts of two tokens and one, filled up to a width by a token of their own."""
    tokens = torch.full((2, width), width)
    tokens[0, :2], tokens[1, 0] = torch.tensor([3, 4]), 5
    mask = torch.zeros_like(tokens)
    mask[0, :2], mask[1, 0] = 1, 1
    return NamedTensors(input_ids=tokens, attention_mask=mask, labels=torch.tensor([0, 1]), **more)


def test_a_text_is_the_same_however_far_it_is_filled_up() -> None:
    short, long = inspect(texts(2)), inspect(texts(9))
    assert short.digests == long.digests
    assert len(set(short.digests)) == 2
    alone = NamedTensors(input_ids=torch.tensor([[3, 4]]), labels=torch.tensor([0]))  # no mask: all are tokens
    assert shared(inspect(alone), long) == (0,)
    assert not shared(inspect(NamedTensors(input_ids=torch.tensor([[4, 3]]), labels=torch.tensor([0]))), long)


def test_texts_differ_by_what_stands_beside_their_tokens() -> None:
    ones = torch.ones(2, 3, dtype=torch.int64)
    assert inspect(texts(3, token_type_ids=ones)).digests != inspect(texts(3, token_type_ids=0 * ones)).digests
    assert (
        inspect(texts(3, token_type_ids=ones)).digests
        == inspect(texts(4, token_type_ids=torch.ones(2, 4).long())).digests
    )
