"""Where the files of MNIST and Fashion-MNIST may lie, and which of those places has them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ebbing.errors import DataNotFoundError, InputError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_TORCHVISION = {"mnist": Path("MNIST", "raw"), "fashion-mnist": Path("FashionMNIST", "raw")}
_DEBIAN = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}


@dataclass(frozen=True)
class IdxFiles:
    """The four files of one data set, all from one folder."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


def find_idx_files(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, unfinished: Path | None = None
) -> IdxFiles:
    """Find the four IDX files of a data set; each may be plain or `.gz`, and plain wins where both are there.

    The first folder of `places` that holds any of the files is taken. It must then hold all four: a download
    that stopped half-way is reported, never passed over for another place.

    Args:
        name: "mnist" or "fashion-mnist".
        data_dir: Look only here: the folder itself, `<name>/` in it, or torchvision's layout in it.
        unfinished: A place that is passed over if it holds some of the files only, because the rest will be fetched.

    Returns:
        The paths of the files. Nothing but the folders has been read yet.

    Raises:
        DataNotFoundError: If no place holds any of the files. The message lists all places looked at.
        InputError: If the first folder with some of the files lacks others, or if a folder cannot be read.
    """
    looked = []
    for folder in places(name, data_dir=data_dir):
        present, finding = _list(folder)
        found = {file: _choose(file, present) for file in FILES}
        missing = [file for file, choice in found.items() if choice is None]
        if not missing:
            return IdxFiles(*(folder / choice for choice in found.values() if choice is not None))
        if len(missing) < len(FILES) and folder != unfinished:
            by_download = " (download=True does)" if folder == download_folder(name, data_dir=data_dir) else ""
            raise InputError(
                f"{folder}: the four files of {name} must lie in one folder, but this one has some and "
                f"lacks {', '.join(missing)} (plain or .gz). Add what is missing{by_download}, or take the rest away."
            )
        looked.append(f"  {folder} ({finding})")
    raise DataNotFoundError(_not_found(name, looked, explicit=data_dir is not None))


def places(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """The folders that may hold the files of a data set, in the order they are looked at, as absolute paths.

    With `data_dir`: that folder itself, `<data_dir>/<name>`, and torchvision's `<data_dir>/MNIST/raw` or
    `<data_dir>/FashionMNIST/raw`, and nowhere else.

    Without: the last two of these below `$EBBING_DATA`, torchvision's layout below `./data`, for
    Fashion-MNIST the folder of Debian's package dataset-fashion-mnist, and `<name>` in ebbing's folder of
    the user's cache. No folder itself is among them, because MNIST and Fashion-MNIST share their file
    names: only who names a folder for one of the two can say which of them it holds.
    """
    if data_dir is not None:
        root = absolute(data_dir)
        return [root, root / name, root / _TORCHVISION[name]]
    folders = []
    if os.environ.get("EBBING_DATA"):
        root = absolute(os.environ["EBBING_DATA"])
        folders += [root / name, root / _TORCHVISION[name]]
    folders.append(absolute("data") / _TORCHVISION[name])
    if name in _DEBIAN:
        folders.append(_DEBIAN[name])
    return [*folders, cache_folder(name)]


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path from the root on, with `~` expanded and links left as they are."""
    return Path(os.path.abspath(os.path.expanduser(path)))


def download_folder(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Which of the `places` a download fills: `<data_dir>/<name>`, or without `data_dir` the user's cache."""
    return cache_folder(name) if data_dir is None else absolute(data_dir) / name


def cache_folder(name: str) -> Path:
    """`<name>` in ebbing's folder of the user's cache: `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    return absolute(base if os.path.isabs(base) else "~/.cache") / "ebbing" / name


def _list(folder: Path) -> tuple[frozenset[str], str]:
    """The names in a folder, and what to say of it if the files are not among them."""
    try:
        return frozenset(os.listdir(folder)), "none of the files there"
    except FileNotFoundError:
        return frozenset(), "no such folder"
    except NotADirectoryError:
        return frozenset(), "not a folder"
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(folder)!r}: a folder that may hold the data must be readable, but: {reason}. Mend its "
            "permissions, or name another folder as data_dir."
        ) from error


def _choose(file: str, present: frozenset[str]) -> str | None:
    return next((name for name in (file, f"{file}.gz") if name in present), None)


def _not_found(name: str, looked: list[str], *, explicit: bool) -> str:
    only = "data_dir was given, so only there" if explicit else "in this order"
    return "\n".join(
        [
            f"The files of {name} must lie together in one folder ({', '.join(FILES)}; each plain or .gz), "
            f"but none was found. Looked at, {only}:",
            *looked,
            f"Put the four files into {cache_folder(name)}, or pass their folder as data_dir, or set "
            f"EBBING_DATA to a folder that has them in {name}/ or {_TORCHVISION[name].as_posix()}/. Where there is a "
            "network, download=True fetches them.",
        ]
    )
