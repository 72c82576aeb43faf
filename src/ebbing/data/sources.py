"""The image data sets of the experiments: scikit-learn's digits, MNIST, Fashion-MNIST and CIFAR-10, all as tensors.

Nothing is downloaded unless `download=True` asks for it. Images are standardised by constants of the whole
training set, so that a subset, or a copy without the forgotten records, is the same function of the pixels as
the full set.
"""

from __future__ import annotations

import difflib
import operator
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import TensorDataset

from ebbing.data import cifar
from ebbing.data.download import Progress
from ebbing.data.download import download as fetch_files
from ebbing.data.idx import read_idx
from ebbing.data.search import IdxFiles, download_folder, find_idx_files
from ebbing.errors import DataNotFoundError, InputError

NAMES = ("digits", "mnist", "fashion-mnist", "cifar-10")

_NUMERALS = tuple("0123456789")
_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_MNIST_MEAN, _MNIST_STD = 33.3184, 78.5675  # of all pixels of the 60,000 training images, on 0..255
_FASHION_MEAN, _FASHION_STD = 72.9404, 90.0212  # likewise
_DIGITS_MEAN, _DIGITS_STD = 0.305226, 0.375972  # of all pixels of the 1,297 training images, on 0..1
_DIGITS_TEST_SIZE, _DIGITS_SPLIT_SEED = 500, 0


@dataclass(frozen=True)
class DataBundle:
    """A data set for classification, with its split.

    Attributes:
        name: One of `NAMES`.
        train: TensorDataset(images, labels): float32 (n, channels, height, width), standardised to mean 0 and
            standard deviation 1 over the pixels of the full training set, of each channel; int64 (n,) in [0, len(classes)).
        test: The same for the test set, standardised by the constants of the training set.
        classes: What each label means.
    """

    name: str
    train: TensorDataset
    test: TensorDataset
    classes: tuple[str, ...]


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int | None = None,
    seed: int = 0,
    download: bool = False,
    on_progress: Progress | None = None,
) -> DataBundle:
    """Load a data set by name, with the training set cut to a random subset if asked for.

    The subset is the first `train_size` entries of a uniform random permutation of the training set drawn
    from `seed`, kept in the order of the full set. So it is not stratified by class; for one seed a smaller
    subset lies within each larger one; and train_size = n is the full set. The test set is never cut.

    Args:
        name: "digits", "mnist", "fashion-mnist" or "cifar-10".
        data_dir: Where the files are, see `ebbing.data.mnist` and `ebbing.data.cifar10`; the digits need none and ignore it.
        train_size: Training examples to keep, in [1, n]; None keeps all n.
        seed: Of the permutation, at least 0. Unused if `train_size` is None.
        download: Fetch the files if they are in none of the places looked at, see `ebbing.data.mnist`. CIFAR-10 is not
            fetched.
        on_progress: Called during a download, see `ebbing.data.download`.

    Returns:
        The data set.

    Raises:
        InputError: If the name is unknown, `train_size` or `seed` out of range, or a file broken.
        DataNotFoundError: If the files are in none of the places looked at, or cannot be downloaded.

    Example:
        >>> bundle = load("digits", train_size=100)
        >>> len(bundle.train), len(bundle.test)
        (100, 500)
    """
    if name not in NAMES:
        near = difflib.get_close_matches(str(name).lower(), NAMES, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"`name` must be one of {', '.join(NAMES)}, but is {name!r}.{hint}")
    if train_size is not None:
        _check_integer("train_size", train_size, least=1)
        _check_integer("seed", seed, least=0)
    if name == "digits":
        bundle = digits()
    elif name == "cifar-10":
        bundle = cifar10(data_dir=data_dir)
    else:
        source = mnist if name == "mnist" else fashion_mnist
        bundle = source(data_dir=data_dir, download=download, on_progress=on_progress)
    return bundle if train_size is None else _cut(bundle, train_size=train_size, seed=seed)


def mnist(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    on_progress: Progress | None = None,
) -> DataBundle:
    """MNIST: handwritten numerals, images (n, 1, 28, 28), x = (pixel - 33.3184) / 78.5675, pixels in 0..255.

    The four IDX files, plain or gzipped, are looked for in `data_dir` alone if it is given (the folder
    itself, `mnist/` or `MNIST/raw/` in it). Otherwise in `mnist/` and `MNIST/raw/` of `$EBBING_DATA`,
    `./data/MNIST/raw` (where torchvision puts them), and `ebbing/mnist` in `$XDG_CACHE_HOME` or `~/.cache`.
    The full set has 60,000 training and 10,000 test images; files with fewer are accepted and standardised
    by the same constants. Source: LeCun, Cortes and Burges.

    Args:
        data_dir: The only place to look.
        download: If the files are in none of these places, have `ebbing.data.download` fetch them into
            `<data_dir>/mnist` if `data_dir` is given, else into the last of the places, and read them from there.
            Files that are found are read as they are, and nothing is fetched.
        on_progress: Called during a download, see `ebbing.data.download`.

    Returns:
        The data set.

    Raises:
        DataNotFoundError: If the files are in none of these places, or cannot be downloaded.
        InputError: If a folder has some of the four files only, a file is broken, images are not 28x28, the
            numbers of images and labels differ, or a label is outside [0, 9].
    """
    files = _find("mnist", data_dir=data_dir, download=download, on_progress=on_progress)
    return _from_idx("mnist", files, mean=_MNIST_MEAN, std=_MNIST_STD, classes=_NUMERALS)


def fashion_mnist(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = False,
    on_progress: Progress | None = None,
) -> DataBundle:
    """Fashion-MNIST: garments, images (n, 1, 28, 28), x = (pixel - 72.9404) / 90.0212, pixels in 0..255.

    Looked for as `mnist` is, with `fashion-mnist/` and `FashionMNIST/raw/` for the names of the folders, and
    after `./data` also in `/usr/share/datasets/fashion-mnist`, where Debian's package dataset-fashion-mnist
    puts the files. Source: arXiv 1708.07747.

    Args:
        data_dir: The only place to look.
        download: As for `mnist`, into `<data_dir>/fashion-mnist` if `data_dir` is given.
        on_progress: Called during a download, see `ebbing.data.download`.

    Returns:
        The data set.

    Raises:
        DataNotFoundError: If the files are in none of these places, or cannot be downloaded.
        InputError: As for `mnist`.
    """
    files = _find("fashion-mnist", data_dir=data_dir, download=download, on_progress=on_progress)
    return _from_idx("fashion-mnist", files, mean=_FASHION_MEAN, std=_FASHION_STD, classes=_GARMENTS)


def cifar10(*, data_dir: str | os.PathLike[str] | None = None) -> DataBundle:
    """CIFAR-10: photographs, images (n, 3, 32, 32), x = (pixel - mean_c) / std_c by channel c, pixels in 0..255.

    mean (125.3069, 122.9504, 113.8654), std (62.9932, 62.0887, 66.7049), of the 50,000 training images. The six binary files
    of the authors' archive are looked for in `data_dir` alone if it is given (the folder itself, `cifar-10/` or
    `cifar-10-batches-bin/` in it); otherwise in these two of `$EBBING_DATA`, in `./data/cifar-10-batches-bin`, and in
    `ebbing/cifar-10` of the user's cache. Files with fewer records are accepted. Source: Krizhevsky, 2009.

    Args:
        data_dir: The only place to look.

    Raises:
        DataNotFoundError: If the files are in none of these places.
        InputError: If a folder has some of the six files only, a file is not made of whole records, or a label is outside
            [0, 9].
    """
    train, test = cifar.read_cifar10(data_dir)
    return DataBundle("cifar-10", train, test, cifar.CLASSES)


def digits() -> DataBundle:
    """The digits of scikit-learn: images (n, 1, 8, 8), x = (pixel / 16 - 0.305226) / 0.375972.

    1,797 images with pixels in 0..16, in a fixed split that is stratified by class: 1,297 to train and 500 to
    test, drawn by scikit-learn's `train_test_split(..., test_size=500, stratify=labels, random_state=0)`,
    each part in the order of the original. They come with scikit-learn and need no files.

    Returns:
        The data set.
    """
    # Here, because importing scikit-learn takes a second that nobody else's data should cost.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source = load_digits()
    images = np.asarray(source.images) / 16.0  # (1797, 8, 8), 0..1
    labels = np.asarray(source.target)
    parts = train_test_split(
        np.arange(len(labels)),
        test_size=_DIGITS_TEST_SIZE,
        stratify=labels,
        random_state=_DIGITS_SPLIT_SEED,
    )
    train, test = (
        _as_tensors(images[part], labels[part], mean=_DIGITS_MEAN, std=_DIGITS_STD) for part in map(np.sort, parts)
    )
    return DataBundle("digits", train, test, _NUMERALS)


def _find(
    name: str, *, data_dir: str | os.PathLike[str] | None, download: bool, on_progress: Progress | None
) -> IdxFiles:
    """The files, fetched if that is asked for and needed."""
    if download:
        folder = download_folder(name, data_dir=data_dir)
        with suppress(DataNotFoundError):
            return find_idx_files(name, data_dir=data_dir, unfinished=folder)
        fetch_files(name, directory=folder, on_progress=on_progress)
    return find_idx_files(name, data_dir=data_dir)


def _from_idx(name: str, files: IdxFiles, *, mean: float, std: float, classes: tuple[str, ...]) -> DataBundle:
    train, test = (
        _as_tensors(*_read_pair(images, labels, n_classes=len(classes)), mean=mean, std=std)
        for images, labels in (
            (files.train_images, files.train_labels),
            (files.test_images, files.test_labels),
        )
    )
    return DataBundle(name, train, test, classes)


def _read_pair(
    images_file: Path, labels_file: Path, *, n_classes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,) that belong together."""
    images, labels = read_idx(images_file), read_idx(labels_file)
    problems = []
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        problems.append(f"{images_file}: images must have shape (n, 28, 28), but have {images.shape}.")
    if labels.ndim != 1:
        problems.append(f"{labels_file}: labels must have shape (n,), but have {labels.shape}.")
    elif len(labels) != len(images):
        problems.append(
            f"{labels_file}: there must be one label for each image, but there are {len(labels)} labels for "
            f"the {len(images)} images of {images_file}."
        )
    if labels.max() >= n_classes:
        problems.append(f"{labels_file}: labels must lie in [0, {n_classes - 1}], but contain {labels.max()}.")
    if problems:
        raise InputError("\n".join([*problems, "Take the files of one data set, as they were published."]))
    return images, labels


def _as_tensors(
    images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic], *, mean: float, std: float
) -> TensorDataset:
    pixels = torch.from_numpy(images.astype(np.float32)).unsqueeze(1)  # (n, h, w) -> (n, 1, h, w)
    return TensorDataset(
        pixels.sub_(mean).div_(std).contiguous(),
        torch.from_numpy(labels.astype(np.int64)),
    )


def _cut(bundle: DataBundle, *, train_size: int, seed: int) -> DataBundle:
    n = len(bundle.train)
    if train_size > n:
        raise InputError(f"`train_size` must lie in [1, {n}] for {bundle.name}, but is {train_size}. None keeps all.")
    kept = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(n)[:train_size]))
    return replace(bundle, train=TensorDataset(*(tensor[kept] for tensor in bundle.train.tensors)))


def _check_integer(name: str, value: int, *, least: int) -> None:
    try:
        fits = not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise InputError(f"`{name}` must be an integer of at least {least}, but is {value!r}.")
