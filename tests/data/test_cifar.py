"""CIFAR-10's binary files, read and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ebbing.data import cifar10, load
from ebbing.data.cifar import MEAN, RECORD, STD, TEST, TRAIN
from ebbing.errors import DataNotFoundError, InputError
from ebbing.models import cifar_cnn, resnet18

NAMES = (*TRAIN, *TEST)


def records(n: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(0, 256, size=(n, RECORD), dtype=np.uint8)
    drawn[:, 0] %= 10
    return drawn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        records(3, number).tofile(tmp_path / name)
    return tmp_path


def test_tensors_in_closed_form(folder: Path) -> None:
    bundle = cifar10(data_dir=folder)
    images, labels = bundle.train.tensors
    assert images.shape == (15, 3, 32, 32)
    assert (len(bundle.test), len(bundle.classes), bundle.name) == (3, 10, "cifar-10")
    second = records(3, 1)  # the fourth record of all is its first
    assert labels[3:6].tolist() == second[:, 0].tolist()
    green = second[0, 1 + 1024 : 1 + 2048].reshape(32, 32)
    wanted = (green[5, 7].astype(float) - MEAN[1]) / STD[1]
    assert images[3, 1, 5, 7].item() == pytest.approx(wanted, abs=1e-5)
    assert bundle.test.tensors[1].tolist() == records(3, 5)[:, 0].tolist()


def test_it_is_found_by_name_where_images_are_looked_for(folder: Path, tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "data"
    home.mkdir()
    (home / "cifar-10-batches-bin").symlink_to(folder)
    monkeypatch.setenv("EBBING_DATA", str(home))
    assert torch.equal(load("cifar-10").test.tensors[0], cifar10(data_dir=folder).test.tensors[0])
    assert len(load("cifar-10", train_size=4).train) == 4


def test_what_is_missing_is_named(folder: Path, tmp_path: Path, monkeypatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataNotFoundError, match="none was found"):
        cifar10(data_dir=empty)
    (folder / TRAIN[2]).unlink()
    with pytest.raises(InputError, match=r"has some and lacks data_batch_3\.bin"):
        cifar10(data_dir=folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (records(2, 0).tobytes()[:-1], "must hold whole records of 3,073 bytes"),
        (b"", "must hold whole records"),
        (b"\x0a" + bytes(RECORD - 1), r"labels must lie in \[0, 9\], but contain 10"),
    ],
)
def test_broken_files_are_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / TEST[0]).write_bytes(content)
    with pytest.raises(InputError, match=said):
        cifar10(data_dir=folder)


@pytest.mark.parametrize(("build", "parameters"), [(cifar_cnn, 307_786), (resnet18, 11_173_962)])
def test_the_networks_have_the_size_that_is_said(build, parameters: int) -> None:
    model = build()
    assert sum(p.numel() for p in model.parameters()) == parameters
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
