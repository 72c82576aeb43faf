"""Records that stay on the disk: the same records, bits and errors as those in memory."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset, Subset, TensorDataset

import ebbing as eb
from ebbing.batches import iterate
from ebbing.data import Gathering, MappedArrays, TableRecords
from ebbing.errors import InputError
from ebbing.fingerprint import of_dataset, of_tensors
from ebbing.inspection import inspect
from ebbing.task import Classification

N, WIDTH = 200, 12
SCALE = 1 / 255


def pixels(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, n)
    return (generator.integers(0, 128, (n, WIDTH)) + 40 * labels[:, None]).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    found = tmp_path_factory.mktemp("arrays")
    x, y = pixels()
    np.save(found / "x.npy", x)
    np.save(found / "y.npy", y)
    return found


def in_memory() -> TensorDataset:
    x, y = pixels()
    return TensorDataset(torch.from_numpy(x).to(torch.float32) * SCALE, torch.from_numpy(y))


def from_table() -> TableRecords:
    datasets = pytest.importorskip("datasets")
    x, y = pixels()
    return TableRecords(
        datasets.Dataset.from_dict({"x": x, "other": ["a"] * N, "y": y}), inputs="x", label="y", scale=SCALE
    )


@pytest.fixture(params=["arrays", "table"])
def elsewhere(request, folder) -> Gathering:
    return from_table() if request.param == "table" else MappedArrays(folder / "x.npy", folder / "y.npy", scale=SCALE)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 3))


def test_a_record_and_a_batch_are_those_of_memory(elsewhere) -> None:
    known = in_memory()
    assert len(elsewhere) == N
    for i in (0, 7, N - 1, -1):
        for a, b in zip(elsewhere[i], known[i], strict=True):
            assert torch.equal(a, b)
    for wrong in (N, -N - 1):
        with pytest.raises(IndexError, match=f"there are {N} records"):
            elsewhere[wrong]


@given(places=st.lists(st.integers(0, N - 1), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_any_subset_in_any_order_is_read_as_from_memory(folder, places, seed) -> None:
    there, known = MappedArrays(folder / "x.npy", folder / "y.npy", scale=SCALE), in_memory()
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))

    def read(dataset: Dataset) -> list[torch.Tensor]:
        part = Subset(Subset(dataset, range(N)), places)
        return [tensor for batch in iterate(part, batch_size=7, order=order) for tensor in batch]

    for a, b in zip(read(there), read(known), strict=True):
        assert torch.equal(a, b)


def test_what_is_known_of_records_does_not_depend_on_where_they_lie(elsewhere) -> None:
    known = in_memory()
    assert inspect(elsewhere).digests == inspect(known).digests
    part = [5, 3, 150]
    assert of_dataset(Subset(elsewhere, part)) == of_dataset(Subset(known, part))
    assert torch.equal(Classification().targets(Subset(elsewhere, part)), known.tensors[1][part])


def test_blocks_of_an_inspection_join_up(folder, monkeypatch) -> None:
    there = MappedArrays(folder / "x.npy", folder / "y.npy", scale=SCALE)
    whole = inspect(there)
    monkeypatch.setattr("ebbing.inspection.BLOCK", 5 * WIDTH * 4)
    assert inspect(there) == whole
    assert len(set(whole.digests)) > N / 2


def test_training_and_unlearning_give_the_bits_of_memory(elsewhere) -> None:
    recipe = eb.Recipe(epochs=3, batch_size=32)
    holdout = TensorDataset(*(t[:60] for t in in_memory().tensors))
    x = holdout.tensors[0] + 0.5
    holdout = TensorDataset(x, holdout.tensors[1])

    def unlearned(dataset: Dataset) -> str:
        request = eb.ForgetRequest.from_ids(dataset, range(10), holdout=holdout)
        model = eb.Trainer(network, recipe)(dataset, seed=0)
        return of_tensors(eb.Ebb(by_memory=False, training=recipe).unlearn(model, request, seed=1).state_dict())

    assert unlearned(elsewhere) == unlearned(in_memory())


def test_what_travels_to_another_process_is_where_it_lies(folder) -> None:
    there = MappedArrays(folder / "x.npy", folder / "y.npy")
    assert len(pickle.dumps(there)) < 8 * N + 2000
    again = pickle.loads(pickle.dumps(there))
    assert torch.equal(again[3][0], there[3][0])
    assert again[3][0].dtype == torch.uint8


def test_records_that_follow_one_another_are_one_reading(folder, monkeypatch) -> None:
    there = MappedArrays(folder / "x.npy", folder / "y.npy")
    read, real = [], there._read

    def counted(into: np.ndarray, offset: int) -> None:
        read.append(len(into) // WIDTH)
        real(into, offset)

    monkeypatch.setattr(there, "_read", counted)
    places = [7, 8, 9, 3, 4, 100, 99]
    assert torch.equal(there.gather(torch.tensor(places))[0], torch.from_numpy(pixels()[0][places]))
    assert read == [3, 2, 1, 1]
    assert there.gather(torch.tensor([], dtype=torch.int64))[0].shape == (0, WIDTH)


def test_a_file_that_becomes_shorter_is_no_record_of_zeros(tmp_path) -> None:
    x, y = pixels()
    np.save(tmp_path / "x.npy", x)
    there = MappedArrays(tmp_path / "x.npy", torch.from_numpy(y))
    os.truncate(tmp_path / "x.npy", 500)
    with pytest.raises(InputError, match="has become shorter"):
        there.gather(torch.arange(N))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (np.zeros((0, 3)), r"of shape \(0, 3\)"),
        (np.asfortranarray(np.zeros((4, 3))), "Fortran's order"),
        (np.array(["a", "b"]), "it holds <U1"),
        (np.zeros((4, 3), dtype=">f8"), "it holds >f8"),
        (b"no array", "magic string is not correct"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_array_of_numbers_is_refused(tmp_path, content, said) -> None:
    path = tmp_path / "x.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(InputError, match=rf"must be a \.npy file of numbers.*{said}"):
        MappedArrays(path, [0, 1, 0, 1])


def test_a_file_that_was_cut_short_is_refused(tmp_path, folder) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes((folder / "x.npy").read_bytes()[:-5])
    with pytest.raises(InputError, match="bytes where its header speaks of"):
        MappedArrays(path, folder / "y.npy")


def test_labels_must_fit(tmp_path, folder) -> None:
    with pytest.raises(InputError, match=f"holds {N} records, and there are 3 labels"):
        MappedArrays(folder / "x.npy", [0, 1, 2])
    (tmp_path / "y.npy").write_bytes(b"no labels")
    with pytest.raises(InputError, match=r"must be a \.npy file of labels"):
        MappedArrays(folder / "x.npy", tmp_path / "y.npy")


def test_a_table_of_tokens_gives_batches_by_name() -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"input_ids": [[1, 2], [3, 4], [5, 6]], "attention_mask": [[1, 1]] * 3, "label": [0, 1, 2]}
    table = datasets.Dataset.from_dict(rows)
    there = TableRecords(table, inputs=("input_ids", "attention_mask"), label="label")
    (batch,) = iterate(Subset(there, [2, 0]), batch_size=4)
    assert batch["input_ids"].tolist() == [[5, 6], [1, 2]]
    assert batch["labels"].tolist() == [2, 0]
    assert there[1]["attention_mask"].tolist() == [1, 1]
    with pytest.raises(InputError, match=r"\['missing'\] are not there"):
        TableRecords(table, inputs="missing", label="label")
    with pytest.raises(InputError, match="must be one split"):
        TableRecords(datasets.DatasetDict(train=table), inputs="input_ids", label="label")
    ragged = datasets.Dataset.from_dict({"x": [[1], [2, 3]], "label": [0, 1]})
    with pytest.raises(InputError, match="one shape in every record"):
        TableRecords(ragged, inputs="x", label="label").gather(torch.tensor([0, 1]))
