import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ebbing.data import DataBundle, digits, fashion_mnist, load, mnist, read_idx
from ebbing.data import search as search_module
from ebbing.data import sources as sources_module
from ebbing.errors import DataNotFoundError, InputError

FILES = search_module.FILES
TORCHVISION = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}
SCALES = {"mnist": (33.3184, 78.5675), "fashion-mnist": (72.9404, 90.0212)}


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(folder: Path, *, n: int = 5, zipped: bool = False, mark: int = 0) -> Path:
    """Four small files; the first pixel is `mark`, to tell the folders apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        size = n if file.startswith("train") else 3
        images = (np.arange(size * 784) % 251).astype(np.uint8).reshape(size, 28, 28)
        images[0, 0, 0] = mark
        content = idx_bytes(images if "images" in file else (np.arange(size) % 10).astype(np.uint8))
        name, content = (f"{file}.gz", gzip.compress(content)) if zipped else (file, content)
        (folder / name).write_bytes(content)
    return folder


def mark_of(bundle: DataBundle) -> int:
    mean, std = SCALES[bundle.name]
    return round(bundle.train.tensors[0][0, 0, 0, 0].item() * std + mean)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data: work/ to stand in, home/, no variables, Debian's folder in usr/."""
    for folder in ("work", "home"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EBBING_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(search_module, "_DEBIAN", {"fashion-mnist": tmp_path / "usr"})
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("zipped", [False, True])
def test_tensors_in_closed_form(world: Path, name: str, zipped: bool) -> None:
    bundle = load(name, data_dir=write(world / "x", zipped=zipped))
    images, labels = bundle.train.tensors
    mean, std = SCALES[name]
    pixels = (np.arange(5 * 784) % 251).reshape(5, 1, 28, 28)
    np.testing.assert_allclose(images.numpy(), (pixels - mean) / std, rtol=0, atol=1e-6)  # float32 near 3
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2, 3, 4]
    assert bundle.name == name
    assert len(bundle.test) == 3
    assert len(bundle.classes) == 10


def test_the_first_place_with_files_wins(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(folder: str, mark: int) -> None:
        write(world / folder, mark=mark, zipped=bool(mark % 2))

    monkeypatch.setenv("EBBING_DATA", str(world / "env"))
    put("home/.cache/ebbing/fashion-mnist", 10)
    assert mark_of(fashion_mnist()) == 10
    put("cache/ebbing/fashion-mnist", 11)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert mark_of(fashion_mnist()) == 10
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "cache"))
    assert mark_of(fashion_mnist()) == 11
    put("usr", 12)
    assert mark_of(fashion_mnist()) == 12
    put("work/data/FashionMNIST/raw", 13)
    assert mark_of(fashion_mnist()) == 13
    put("env/FashionMNIST/raw", 14)
    assert mark_of(fashion_mnist()) == 14
    put("env/fashion-mnist", 15)
    assert mark_of(fashion_mnist()) == 15
    put("given/FashionMNIST/raw", 16)
    assert mark_of(fashion_mnist(data_dir=world / "given")) == 16
    put("given/fashion-mnist", 17)
    assert mark_of(fashion_mnist(data_dir=world / "given")) == 17
    put("given", 18)
    assert mark_of(fashion_mnist(data_dir=str(world / "given"))) == 18
    with pytest.raises(DataNotFoundError):
        mnist()


def test_data_dir_is_the_only_place(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBING_DATA", str(write(world / "env" / "mnist").parent))
    assert len(mnist().train) == 5
    (world / "empty").mkdir()
    for given in (world / "empty", world / "absent", world / "env" / "mnist" / FILES[0]):
        with pytest.raises(DataNotFoundError, match="only there") as caught:
            mnist(data_dir=given)
        assert f"{given}/MNIST/raw" in str(caught.value)
        assert f"{world / 'env'}/mnist (" not in str(caught.value)


def test_data_dir_and_variable_expand_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world / "home" / "sets" / "mnist", mark=3)
    assert mark_of(mnist(data_dir="~/sets")) == 3
    monkeypatch.setenv("EBBING_DATA", "~/sets")
    assert mark_of(mnist()) == 3


def test_a_folder_itself_only_serves_if_named_by_hand(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBING_DATA", str(write(world / "ambiguous")))
    write(world / "work" / "data")
    with pytest.raises(DataNotFoundError):
        mnist()
    assert len(mnist(data_dir=world / "ambiguous").train) == 5


def test_not_found_lists_every_place(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBBING_DATA", str(world / "env"))
    (world / "env").write_text("a file")
    (world / "usr").mkdir()
    with pytest.raises(DataNotFoundError) as caught:
        fashion_mnist()
    text = str(caught.value)
    for line in (
        f"  {world}/env/fashion-mnist (not a folder)",
        f"  {world}/env/FashionMNIST/raw (not a folder)",
        f"  {world}/work/data/FashionMNIST/raw (no such folder)",
        f"  {world}/usr (none of the files there)",
        f"  {world}/home/.cache/ebbing/fashion-mnist (no such folder)",
    ):
        assert line in text.splitlines()
    for word in (*FILES, "EBBING_DATA", "data_dir"):
        assert word in text


@pytest.mark.parametrize("missing", FILES)
def test_a_partial_folder_is_not_passed_over(world: Path, missing: str) -> None:
    write(world / "home" / ".cache" / "ebbing" / "mnist")
    partial = write(world / "work" / "data" / "MNIST" / "raw")
    (partial / missing).unlink()
    with pytest.raises(InputError, match=rf"{partial}: .* lacks {missing} ") as caught:
        mnist()
    assert not isinstance(caught.value, DataNotFoundError)


def test_a_corrupt_file_is_not_passed_over(world: Path) -> None:
    write(world / "home" / ".cache" / "ebbing" / "mnist")
    folder = write(world / "work" / "data" / "MNIST" / "raw", zipped=True)
    broken = folder / f"{FILES[2]}.gz"
    broken.write_bytes(broken.read_bytes()[:-5])
    with pytest.raises(InputError, match=f"{broken}: .*cut short"):
        mnist()
    broken.unlink()
    broken.symlink_to(world / "nowhere")
    with pytest.raises(InputError, match=f"{broken}.*No such file"):
        mnist()


@pytest.fixture
def fetched(world: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each download that was asked for, as (name, folder in the world); it is a pretended one that writes mark 99."""
    calls = []

    def pretend(name: str, *, directory: Path, on_progress: object) -> None:
        calls.append((name, str(directory.relative_to(world))))
        if on_progress:
            on_progress("a file", 1, 2)
        write(directory, zipped=True, mark=99)

    monkeypatch.setattr(sources_module, "fetch_files", pretend)
    return calls


def test_nothing_is_downloaded_unasked(world: Path, fetched: list[tuple[str, str]]) -> None:
    for read in (mnist, fashion_mnist):
        with pytest.raises(DataNotFoundError, match="download=True"):
            read()
    assert fetched == []


def test_a_download_goes_into_the_cache_or_the_folder_given(world: Path, fetched: list[tuple[str, str]]) -> None:
    seen = []
    for _ in range(2):
        assert mark_of(load("mnist", download=True, on_progress=lambda *step: seen.append(step))) == 99
        assert mark_of(fashion_mnist(data_dir=world / "x", download=True)) == 99
    assert fetched == [("mnist", "home/.cache/ebbing/mnist"), ("fashion-mnist", "x/fashion-mnist")]
    assert seen == [("a file", 1, 2)]
    assert len(load("digits", download=True).test) == 500


def test_files_that_are_found_are_not_downloaded(world: Path, fetched: list[tuple[str, str]]) -> None:
    write(world / "work" / "data" / "MNIST" / "raw", mark=5)
    assert mark_of(mnist(download=True)) == 5
    write(world / "x", mark=6)
    assert mark_of(mnist(data_dir=world / "x", download=True)) == 6
    assert fetched == []


@pytest.mark.parametrize("given", [None, "x"])
def test_a_download_that_stopped_half_way_is_completed(
    world: Path, fetched: list[tuple[str, str]], given: str | None
) -> None:
    folder, data_dir = ("home/.cache/ebbing/mnist", None) if given is None else (f"{given}/mnist", world / given)
    write(world / folder, zipped=True)
    for file in FILES[2:]:
        (world / folder / f"{file}.gz").unlink()
    with pytest.raises(InputError, match=r"lacks .*\(download=True does\)"):
        mnist(data_dir=data_dir)
    assert mark_of(mnist(data_dir=data_dir, download=True)) == 99
    assert fetched == [("mnist", folder)]


def test_a_partial_folder_elsewhere_is_not_passed_over_for_a_download(
    world: Path, fetched: list[tuple[str, str]]
) -> None:
    (write(world / "work" / "data" / "MNIST" / "raw") / FILES[0]).unlink()
    with pytest.raises(InputError, match=f"lacks {FILES[0]}") as caught:
        mnist(download=True)
    assert "download=True" not in str(caught.value)
    assert fetched == []


def test_plain_files_win_over_gzipped_ones_and_mix(world: Path) -> None:
    folder = write(world / "x", zipped=True, mark=1)
    write(folder, mark=2)
    assert mark_of(mnist(data_dir=folder)) == 2
    (folder / FILES[0]).unlink()
    assert mark_of(mnist(data_dir=folder)) == 1


def test_an_unreadable_folder_is_not_passed_over(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(search_module.os, "listdir", deny)  # not chmod: root may read everything
    with pytest.raises(InputError, match=r"data/MNIST/raw.*Permission denied"):
        mnist()
    monkeypatch.undo()
    with pytest.raises(InputError, match="null"):
        mnist(data_dir="a\0b")


@pytest.mark.parametrize(
    ("file", "array", "text"),
    [
        (FILES[0], np.zeros((5, 8, 8)), r"must have shape \(n, 28, 28\), but have \(5, 8, 8\)"),
        (FILES[0], np.zeros((4, 28, 28)), "5 labels for the 4 images"),
        (FILES[3], np.zeros(2), "2 labels for the 3 images"),
        (FILES[3], np.zeros((3, 28, 28)), r"must have shape \(n,\), but have \(3, 28, 28\)"),
        (FILES[1], np.array([0, 1, 10, 3, 4]), r"in \[0, 9\], but contain 10"),
    ],
)
def test_files_that_do_not_fit_each_other(world: Path, file: str, array: np.ndarray, text: str) -> None:
    folder = write(world / "x")
    (folder / file).write_bytes(idx_bytes(array.astype(np.uint8)))
    with pytest.raises(InputError, match=text) as caught:
        mnist(data_dir=folder)
    assert str(folder / file) in str(caught.value)


def test_digits_are_a_split_of_the_original() -> None:
    bundle = digits()
    (train, train_labels), (test, test_labels) = bundle.train.tensors, bundle.test.tensors
    assert train.shape == (1297, 1, 8, 8)
    assert test.shape == (500, 1, 8, 8)
    original = load_digits()

    def rows(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, ...]]:
        flat = np.asarray(images).reshape(len(labels), -1).round().astype(int)
        return sorted((*pixels, label) for pixels, label in zip(flat.tolist(), labels.tolist(), strict=True))

    images = (torch.cat([train, test]) * 0.375972 + 0.305226) * 16
    assert rows(images.numpy(), torch.cat([train_labels, test_labels])) == rows(original.images, original.target)


def test_digits_constants_and_strata() -> None:
    bundle = digits()
    images, labels = bundle.train.tensors
    assert images.double().mean().item() == pytest.approx(0, abs=2e-6)  # constants have six decimals
    assert images.double().std(correction=0).item() == pytest.approx(1, abs=2e-6)
    assert labels.bincount().tolist() == [128, 131, 128, 132, 131, 131, 131, 129, 126, 130]
    assert bundle.test.tensors[1].bincount().tolist() == [50, 51, 49, 51, 50, 51, 50, 50, 48, 50]


def test_digits_split_never_moves() -> None:
    # Positions 10 and 21 are the first of the original in the test set for the documented seed.
    original = torch.from_numpy(load_digits().images / 16)
    expected = (original[[10, 21, 24, 25]] - 0.305226) / 0.375972
    torch.testing.assert_close(digits().test.tensors[0][:4, 0].double(), expected, rtol=0, atol=1e-6)


def test_train_size_takes_a_nested_subset_in_order() -> None:
    full, half, small = (
        load("digits"),
        load("digits", train_size=600),
        load("digits", train_size=np.int64(50)),
    )
    kept = np.sort(np.random.default_rng(0).permutation(1297)[:50])
    for part, whole in zip(small.train.tensors, full.train.tensors, strict=True):
        assert torch.equal(part, whole[torch.from_numpy(kept)])

    def images(bundle: DataBundle) -> set[bytes]:
        return {image.numpy().tobytes() for image in bundle.train.tensors[0]}

    assert images(small) < images(half) < images(full)
    assert images(load("digits", train_size=50, seed=1)) != images(small)
    assert torch.equal(load("digits", train_size=1297).train.tensors[0], full.train.tensors[0])
    assert len(small.test) == 500


@pytest.mark.parametrize("size", [0, -1, 1298, 2.5, "10", True])
def test_train_size_out_of_range(size: object) -> None:
    with pytest.raises(InputError, match=r"`train_size` must .*but is"):
        load("digits", train_size=size)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_seed_out_of_range(seed: object) -> None:
    with pytest.raises(InputError, match="`seed` must"):
        load("digits", train_size=10, seed=seed)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("minst", "mnist"),
        ("FASHION_MNIST", "fashion-mnist"),
        ("fashion", "fashion-mnist"),
        ("digit", "digits"),
    ],
)
def test_unknown_name_offers_the_nearest(name: str, near: str) -> None:
    with pytest.raises(
        InputError, match=f"digits, mnist, fashion-mnist, cifar-10, but is '{name}'. Did you mean '{near}'"
    ):
        load(name)


def test_unknown_name_with_nothing_near() -> None:
    with pytest.raises(InputError, match=r"but is 'wikipedia'\.$"):
        load("wikipedia")


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_files(ebbing_data: Path, name: str) -> None:
    pixels = read_idx(ebbing_data / name / f"{FILES[0]}.gz")
    mean, std = SCALES[name]
    assert pixels.mean() == pytest.approx(mean, abs=5e-5)  # published to four decimals
    assert pixels.std() == pytest.approx(std, abs=5e-5)

    bundle = load(name)
    images, labels = bundle.train.tensors
    assert images.shape == (60000, 1, 28, 28)
    assert bundle.test.tensors[0].shape == (10000, 1, 28, 28)
    assert images.mean(dtype=torch.float64).item() == pytest.approx(0, abs=1e-5)
    counts = {
        "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "fashion-mnist": [6000] * 10,
    }
    assert labels.bincount().tolist() == counts[name]
    assert labels[:5].tolist() == {"mnist": [5, 0, 4, 1, 9], "fashion-mnist": [9, 0, 0, 3, 0]}[name]


@pytest.mark.data
def test_the_real_files_unzipped_in_torchvisions_layout(ebbing_data: Path, world: Path) -> None:
    raw = world / "work" / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in FILES:
        with gzip.open(ebbing_data / "mnist" / f"{file}.gz") as source, (raw / file).open("wb") as target:
            shutil.copyfileobj(source, target)
    found, direct = mnist(), mnist(data_dir=ebbing_data)
    assert torch.equal(found.train.tensors[1], direct.train.tensors[1])
    assert torch.equal(found.test.tensors[0], direct.test.tensors[0])
