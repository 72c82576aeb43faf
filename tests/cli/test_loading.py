"""From ``pkg.mod:name`` to the user's own pieces, and what is said where a name stands for something else."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ebbing.cli.checks import check_writable, raise_all
from ebbing.cli.loading import builder_of, dataset_of, keys_of, task_of, training_function_of
from ebbing.cli.own import outcomes_of
from ebbing.errors import InputError
from ebbing.task import BinaryClassification, Classification, Task
from ebbing.verdict import OUTCOMES

INPUTS, LABELS = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 2


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch):
    """A thing by a name that the command line would find it under."""
    module = ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def named_(thing: object) -> str:
        module.thing = thing  # type: ignore[attr-defined]
        return "mine:thing"

    return named_


class Records(Dataset[Any]):
    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        return INPUTS[position], LABELS[position]


def raising(error: BaseException):
    def function() -> None:
        raise error

    return function


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["mine", "mine.py:b", "./mine.py:b", ":b", "mine:", "", "mine:a:b", "mine:A.b", "mine b:c"]
)
def test_what_is_no_name_is_refused(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for load in (
        lambda: builder_of(name, {}),
        lambda: dataset_of(name, "--data"),
        lambda: keys_of(name, records=5),
        lambda: task_of(name),
        lambda: training_function_of(name),
    ):
        with pytest.raises(InputError, match=r"must be named pkg.mod:name|cannot be imported"):
            load()


@pytest.mark.parametrize("name", ["os:getcwd", "os:getpid", "builtins:dict", "platform:node"])
def test_functions_that_give_something_else_are_refused(name) -> None:
    with pytest.raises(InputError, match="must give a torch module, but gives a"):
        builder_of(name, {})
    with pytest.raises(InputError, match="must be a Task, but is"):
        task_of(name)


# ---------------------------------------------------------------- networks


def test_a_builder_is_called_with_torchs_generators_restored(named) -> None:
    before = torch.get_rng_state()
    build = builder_of(named(lambda: nn.Linear(2, 3)), {})
    assert torch.equal(torch.get_rng_state(), before)
    assert build() is not build()


def test_a_module_stands_for_copies_of_itself(named) -> None:
    model = nn.Linear(2, 3)
    one, other = (builder_of(named(model), {})() for _ in range(2))
    assert one is not other
    one.weight.data.zero_()
    assert model.weight.abs().sum() > 0
    assert torch.equal(other.weight, model.weight)


def test_a_known_network_goes_by_its_name() -> None:
    assert builder_of("small", {"small": nn.Identity})().__class__ is nn.Identity


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "must be callable without arguments and give a module, but is 3"),
        (lambda: None, "gives a NoneType"),
        (lambda: nn.Linear, "gives a type"),
        (nn.Linear, "callable without arguments, but raised TypeError"),
        (raising(ValueError("two\nlines")), "raised ValueError: two lines"),
        (raising(SystemExit(0)), "raised SystemExit: 0"),
    ],
)
def test_what_builds_no_network_is_refused(thing, message, named) -> None:
    with pytest.raises(InputError, match=message):
        builder_of(named(thing), {})


def test_an_interruption_is_no_fault_of_the_users(named) -> None:
    with pytest.raises(KeyboardInterrupt):
        dataset_of(named(raising(KeyboardInterrupt())), "--data")


# ---------------------------------------------------------------- data


@pytest.mark.parametrize(
    "thing",
    [
        TensorDataset(INPUTS, LABELS),
        lambda: TensorDataset(INPUTS, LABELS),
        Records,
        Records(),
        lambda: Records(),
        lambda: Subset(Records(), range(5)),
        (INPUTS, LABELS),
        [INPUTS, LABELS],
        lambda: (INPUTS.numpy(), LABELS.numpy()),
        (INPUTS.numpy(), LABELS),
        (INPUTS.numpy()[::-1].copy()[::-1], LABELS.numpy()),
        (INPUTS.numpy().astype(">f4"), LABELS.numpy().astype(">i8")),
        list(zip(INPUTS, LABELS, strict=True)),
    ],
)
def test_data_may_be_held_in_many_ways(thing, named) -> None:
    found = dataset_of(named(thing), "--data")
    assert len(found) == 5
    for position in range(5):
        inputs, label = found[position]
        assert torch.equal(inputs, INPUTS[position])
        assert int(label) == LABELS[position]


def test_an_array_that_must_not_be_written_to_is_copied(named, tmp_path) -> None:
    np.save(tmp_path / "inputs.npy", INPUTS.numpy())
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    found = dataset_of(named((mapped, LABELS.numpy())), "--data")  # torch warns where it shares such an array
    found.tensors[0].zero_()
    assert np.array_equal(mapped, INPUTS.numpy())


def test_an_array_is_shared_where_it_can_be(named) -> None:
    inputs = INPUTS.numpy().copy()
    found = dataset_of(named((inputs, LABELS.numpy())), "--data")
    assert found.tensors[0].data_ptr() == inputs.ctypes.data


class NoLength(IterableDataset[Any]):
    def __iter__(self):
        return iter(())


def with_length(length: Any) -> type:
    return type("Odd", (Dataset,), {"__len__": lambda self: length(), "__getitem__": lambda self, i: 1})


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "but is a NoneType"),
        ("data", "but is a str"),
        ({"x": 1}, "but is a dict"),
        (lambda: iter([1]), "but is a list_iterator"),
        (lambda: torch.utils.data.DataLoader(Records()), "but is a DataLoader"),
        ([], "at least one record, but is empty"),
        (Subset(Records(), []), "at least one record, but is empty"),
        ((INPUTS[:0], LABELS[:0]), "at least one record, but is empty"),
        ((INPUTS, LABELS[:3]), "one label for each record, but are 3 for 5"),
        ((np.zeros(()), np.zeros(())), r"one row for each record, but one is of type torch.float64 and shape \(\)"),
        ((torch.zeros(()), LABELS), r"one is of type torch.float32 and shape \(\)"),
        ((INPUTS.numpy(), np.array(list("abcde"))), r"arrays of numbers, .* one is of type <U1 and shape \(5,\)"),
        ((INPUTS.numpy(), np.array([1, None, 2, 3, 4])), "one is of type object"),
        (NoLength, "must have a length and be indexed by position, but NoLength has no length"),
        (NoLength(), "has no length"),
        (with_length(raising(ValueError("not\nyet"))), "asking for the length raised ValueError: not yet"),
        (with_length(lambda: -3), "asking for the length raised ValueError"),
        (raising(FileNotFoundError("no\nfile")), "raised FileNotFoundError: no file"),
        (raising(SystemExit("bye")), "raised SystemExit: bye"),
        (lambda root: Records(), "callable without arguments, but raised TypeError"),
    ],
)
def test_what_is_no_data_set_is_refused(thing, message, named) -> None:
    with pytest.raises(InputError, match=message) as refused:
        dataset_of(named(thing), "--holdout")
    assert str(refused.value).startswith("--holdout 'mine:thing'")


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "thing",
    [
        [3, 1, 4, 1, 5],
        (3, 1, 4, 1, 5),
        lambda: [3, 1, 4, 1, 5],
        np.array([3, 1, 4, 1, 5], dtype=np.uint16),
        torch.tensor([3, 1, 4, 1, 5]),
        ["3", " 1", "4", " 1", "5 "],
        np.array(["3", "1", "4", "1", "5"]),
    ],
)
def test_keys_are_read_as_text(thing, named) -> None:
    assert keys_of(named(thing), records=5) == ["3", "1", "4", "1", "5"]


@given(st.lists(st.integers() | st.text(), max_size=12))
def test_keys_read_alike_only_where_they_are_alike(keys) -> None:
    module = ModuleType("mine_too")
    module.keys = keys  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mine_too", module)
        if len({str(key).strip() for key in keys}) < len(set(keys)):
            with pytest.raises(InputError, match="different keys must differ as text"):
                keys_of("mine_too:keys", records=len(keys))
            return
        texts = keys_of("mine_too:keys", records=len(keys))
    assert texts == [str(key).strip() for key in keys]
    assert [texts.index(text) for text in texts] == [keys.index(key) for key in keys]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (range(4), "one key for each of the 5 records, but gives 4"),
        ([[i] for i in range(5)], "some are lists or the like"),
        (np.zeros((5, 2), dtype=int), "some are lists or the like"),
        ([1, "1", 2, 3, 4], "such as 1 and '1'"),
        ("abcde", "must be a list of keys or a function that gives one, but is a str"),
        (b"abcde", "but is a bytes"),
        ({1: 1, 2: 2, 3: 3, 4: 4, 5: 5}, "but is a dict"),
        ({1, 2, 3, 4, 5}, "but is a set"),
        (lambda: (i for i in range(5)), "but is a generator"),
        (np.float64(3), "but is a float64"),
        (5, "but is a int"),
        (np.arange(5.0), "must give whole numbers or words as keys, but gives"),
        ([1, 2, 3, 4, float("nan")], "but gives nan"),
        ([b"a", "b", "c", "d", "e"], "but gives b'a'"),
        ([None, 1, 2, 3, 4], "but gives None"),
        (raising(OSError("no list")), "raised OSError: no list"),
    ],
)
def test_what_are_no_keys_is_refused(thing, message, named) -> None:
    with pytest.raises(InputError, match=message):
        keys_of(named(thing), records=5)


# ---------------------------------------------------------------- tasks, training functions, and the rest


def test_a_task_may_be_a_class_an_instance_or_a_function(named) -> None:
    assert task_of(None) == Classification()
    assert task_of("ebbing:BinaryClassification") == BinaryClassification()
    assert task_of(named(BinaryClassification())) == BinaryClassification()
    assert task_of(named(lambda: BinaryClassification())) == BinaryClassification()


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "must be a Task, but is 3"),
        (nn.Linear, "must be a Task, but is"),
        (Task, "can be made without arguments"),
        (lambda: 3, "must be a Task, but is 3"),
        (raising(ValueError("no")), "raised ValueError: no"),
    ],
)
def test_what_is_no_task_is_refused(thing, message, named) -> None:
    with pytest.raises(InputError, match=message):
        task_of(named(thing))


def test_a_training_function_is_not_called(named) -> None:
    function = raising(AssertionError("called"))
    assert training_function_of(named(lambda dataset, *, seed: function())) is not None


def test_a_callable_object_may_train(named) -> None:
    class Trainer:
        def __call__(self, dataset, seed):
            raise AssertionError("called")

    assert callable(training_function_of(named(Trainer())))


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "must be a function .dataset, \\*, seed. -> model, but is a int"),
        (lambda dataset: None, "unexpected keyword argument 'seed'"),
        (lambda dataset, *, seed, epochs: None, "missing a required argument: 'epochs'"),
        (lambda *, dataset, seed: None, "too many positional arguments"),
    ],
)
def test_what_cannot_train_is_refused(thing, message, named) -> None:
    with pytest.raises(InputError, match=message):
        training_function_of(named(thing))


def test_outcomes_by_commas() -> None:
    assert outcomes_of(None) == ()
    assert outcomes_of(f" {OUTCOMES[0]} ,{OUTCOMES[2]},") == (OUTCOMES[0], OUTCOMES[2])


def test_problems_are_raised_together() -> None:
    raise_all([])
    with pytest.raises(InputError, match=re.escape("one\nError: two")):
        raise_all(["one", "two"])


def test_a_folder_that_is_checked_is_left_as_it_was(tmp_path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    check_writable(tmp_path / "there" / "c")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "c", Path("/proc/c")):
        with pytest.raises(InputError, match="cannot be written to: "):
            check_writable(place)
