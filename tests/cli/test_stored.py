"""``--data x.npy,y.npy`` and ``--data FOLDER``: records that stay on the disk are those that would be in memory."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import project
import pytest
import torch

from ebbing import fingerprint
from ebbing.cli.loading import dataset_of
from ebbing.cli.stored import is_stored
from ebbing.data import MappedArrays, TableRecords
from ebbing.errors import InputError

PIXELS = np.arange(24, dtype=np.uint8).reshape(6, 4)
DIGITS = np.arange(6) % 3


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with arrays and tables."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", PIXELS)
    np.save("y.npy", DIGITS)
    Path("pair").mkdir()
    np.save("pair/inputs.npy", PIXELS)
    np.save("pair/labels.npy", DIGITS)
    columns = {"text": ["a"] * 6, "id": list(range(6)), "pixels": PIXELS.tolist(), "label": DIGITS.tolist()}
    table = datasets.Dataset.from_dict(columns)
    table.save_to_disk("table")
    table.add_column("mask", [[1, 0]] * 6).rename_column("label", "topic").save_to_disk("texts")
    datasets.DatasetDict({"train": table}).save_to_disk("splits")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "scale"),
    [("x.npy,y.npy", None), ("x.npy, y.npy, scale=1/255", 1 / 255), ("pair", None), ("pair/,scale=0.5", 0.5)],
)
def test_arrays_are_read_where_they_lie(here, name, scale) -> None:
    found = dataset_of(name, "--data")
    assert isinstance(found, MappedArrays)
    assert found.scale == scale
    assert fingerprint.of_dataset(found) == fingerprint.of_dataset(MappedArrays("x.npy", "y.npy", scale=scale))


@pytest.mark.parametrize("name", ["table", "splits/train", "table,inputs=pixels,label=label", "table,scale=0.5"])
def test_a_table_gives_its_lists_of_numbers_and_its_label(here, name) -> None:
    found = dataset_of(name, "--data")
    assert isinstance(found, TableRecords)
    inputs, label = found[4]
    assert inputs.tolist() == [value * (0.5 if "scale" in name else 1) for value in PIXELS[4].tolist()]
    assert label == DIGITS[4]


def test_several_columns_go_in_by_name(here) -> None:
    for name in ("texts,label=topic", "texts,inputs=pixels+mask,label=topic"):
        found = dataset_of(name, "--data")[2]
        assert {key: value.tolist() for key, value in found.items()} == {
            "pixels": PIXELS[2].tolist(),
            "mask": [1, 0],
            "labels": 2,
        }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x.npy", "must be x.npy,y.npy, a folder with inputs.npy and labels.npy, or"),
        ("x.npy,y.npy,z.npy", "2 files of labels"),
        ("x.npy,y.csv", "but are 'x.npy,y.csv'"),
        ("x.npy,y.npy,scale=0", "`scale` must be a number above 0, such as 1/255, but is '0'"),
        ("x.npy,y.npy,scale=1/0", "`scale` must be a number above 0"),
        ("x.npy,y.npy,scales=1", "must be scale, but is 'scales'"),
        ("nowhere.npy,y.npy", "nowhere.npy must be a .npy file of numbers"),
        ("x.npy,short.npy", "there must be one label for each record"),
        (".", "has no inputs.npy and no labels.npy"),
        ("splits", "must be named with one of them, such as splits/train"),
        ("texts", "must have columns of labels, but has"),
        ("table,inputs=pictures", "must name columns of the table"),
        ("table,inputs=text", "must hold numbers"),
        ("broken", "must be a table as save_to_disk"),
    ],
)
def test_what_is_no_such_thing_is_refused_in_words(here, name, told) -> None:
    np.save("short.npy", DIGITS[:5])
    Path("broken").mkdir()
    Path("broken/state.json").write_text(json.dumps({"_data_files": []}))
    with pytest.raises(InputError, match="--data") as raised:
        dataset_of(name, "--data")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_names_of_modules_are_none_of_files(here) -> None:
    assert not any(map(is_stored, ("mine:train_set", "", ",", "train.jsonl", "mine")))


def test_unlearning_from_files_is_that_from_memory(unlearn, folder) -> None:
    for name, data in (("train", project.train_set()), ("test", project.test_set())):
        inputs, labels = data.tensors
        np.save(f"{name}-x.npy", inputs.numpy())
        np.save(f"{name}-y.npy", labels.numpy())
    files = {"data": "train-x.npy,train-y.npy", "holdout": "test-x.npy,test-y.npy"}
    how = ("--method", "fine-tune", "--set", "repair.epochs=1")
    for out, named in (("memory.safetensors", {}), ("files.safetensors", files)):
        said = unlearn(*how, out=out, **named)
        assert said.code == 0, said
    assert Path("memory.safetensors").read_bytes() == Path("files.safetensors").read_bytes()
    assert torch.isfinite(torch.from_numpy(np.load("train-x.npy"))).all()
