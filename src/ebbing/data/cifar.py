"""CIFAR-10 from the binary files that its authors publish, without trusting them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from ebbing.data.search import absolute, cache_folder
from ebbing.errors import DataNotFoundError, InputError

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
FOLDER = "cifar-10-batches-bin"  # as it is called in the authors' archive
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes: a label, then red, green and blue, row by row
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# of each channel of the 50,000 training images, on 0..255
MEAN, STD = (125.3069, 122.9504, 113.8654), (62.9932, 62.0887, 66.7049)


def read_cifar10(data_dir: str | os.PathLike[str] | None) -> tuple[TensorDataset, TensorDataset]:
    """Training and test set from the first place that holds the six files, standardised by channel.

    Raises:
        DataNotFoundError: if no place has any of the files.
        InputError: if a place has some of them only, or one is broken.
    """
    folder = _folder(data_dir)
    train, test = (_standardised(_read(folder, names)) for names in (TRAIN, TEST))
    return train, test


def cifar_places(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where the files may lie: ``cifar-10/`` and the folder of the archive in every place that is looked at for images.

    With ``data_dir`` there alone, the folder itself included; otherwise in ``$EBBING_DATA``, ``./data`` and the user's cache.
    """
    if data_dir is not None:
        root = absolute(data_dir)
        return [root, root / "cifar-10", root / FOLDER]
    roots = [absolute(os.environ["EBBING_DATA"])] if os.environ.get("EBBING_DATA") else []
    found = [root / name for root in roots for name in ("cifar-10", FOLDER)]
    return [*found, absolute("data") / FOLDER, cache_folder("cifar-10"), cache_folder("cifar-10") / FOLDER]


def _folder(data_dir: str | os.PathLike[str] | None) -> Path:
    looked = cifar_places(data_dir)
    for folder in looked:
        missing = [name for name in (*TRAIN, *TEST) if not (folder / name).is_file()]
        if not missing:
            return folder
        if len(missing) < len(TRAIN) + len(TEST):
            raise InputError(
                f"{folder}: the six files of cifar-10 must lie in one folder, but this one has some and lacks "
                f"{', '.join(missing)}. Add what is missing, or take the rest away."
            )
    raise DataNotFoundError(
        f"The files of cifar-10 must lie together in one folder ({TRAIN[0]} to {TRAIN[-1]} and {TEST[0]}), but none was found. "
        f"Looked at: {', '.join(map(str, looked))}. They are in the authors' archive cifar-10-binary.tar.gz: unpack it into "
        f"{looked[-1].parent} or name its folder by EBBING_DATA or data_dir. ebbing does not download it."
    )


def _read(folder: Path, names: Sequence[str]) -> np.ndarray:
    """(n, 3073) bytes of some files, one after the other."""
    parts = []
    for name in names:
        path = folder / name
        try:
            content = np.fromfile(path, dtype=np.uint8)
        except OSError as error:
            raise InputError(f"{path} must be readable, but: {error.strerror}.") from error
        if len(content) == 0 or len(content) % RECORD:
            raise InputError(
                f"{path} must hold whole records of {RECORD:,} bytes, at least one, but has {len(content):,} bytes. Take "
                "the file as it was published."
            )
        records = content.reshape(-1, RECORD)
        if records[:, 0].max() >= len(CLASSES):
            raise InputError(
                f"{path}: labels must lie in [0, {len(CLASSES) - 1}], but contain {records[:, 0].max()}. Take the file "
                "as it was published, of CIFAR-10, not of CIFAR-100."
            )
        parts.append(records)
    return np.concatenate(parts)


def _standardised(records: np.ndarray) -> TensorDataset:
    """Images float32 (n, 3, 32, 32) and labels int64 (n,)."""
    pixels = torch.from_numpy(records[:, 1:].astype(np.float32)).reshape(-1, *SHAPE)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return TensorDataset(pixels.sub_(mean).div_(std), torch.from_numpy(records[:, 0].astype(np.int64)))
