"""MNIST and Fashion-MNIST from public mirrors: which files, from where, and what to say if that fails."""

from __future__ import annotations

import logging
import math
import os
import re
import urllib.parse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ebbing.data.search import absolute, cache_folder
from ebbing.data.transfer import FailedError, Report, fetch, has_content, local, remove_parts
from ebbing.errors import DataNotFoundError, InputError

Progress = Callable[[str, int, int | None], None]

# Where the publishers and the large libraries keep the files, by https: PyTorch's and the Common Visual Data
# Foundation's copies of MNIST; the repository of Fashion-MNIST's authors and the copy that Keras reads.
MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
}
# Of the unpacked files: packed ones differ between mirrors, in the time and the name that gzip writes into them.
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}

log = logging.getLogger(__name__)


def download(
    name: str,
    *,
    directory: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    on_progress: Progress | None = None,
    timeout: float = 20.0,
) -> Path:
    """Fetch the four files of a data set, packed with gzip, into a folder.

    A file that is there already, plain or packed, with the published content is kept and not fetched. The others are
    asked of one mirror after the other, as `<mirror>/<file>.gz`, beginning with the one that gave the last file. A
    mirror that sends nothing for `timeout` seconds, or cuts the connection, is asked for the rest, in up to 5 requests
    for as long as each brings bytes. What came from a mirror stays in the folder, as a hidden `.partial` file, until
    the file is in place; a later run goes on from there. Only content with the published SHA-256 gets into place, in
    one step: a run that is stopped at any moment leaves of each file a right one or none. Several runs may share a
    folder. The proxies of the environment (`https_proxy`, `no_proxy`) are used.

    Args:
        name: "mnist" or "fashion-mnist".
        directory: The folder, made if it is missing; None is `<name>` in ebbing's folder of the user's cache.
        mirrors: Addresses to ask instead of the public ones, http or https. With None, `$EBBING_MIRROR/<name>` is asked
            before the public ones, where that variable is set.
        on_progress: Called with the name of the file, the packed bytes of it received so far, and how many there will
            be (None if the server does not say). The bytes fall where a file is started over or another mirror takes
            its turn. Not called for files that are kept.
        timeout: Seconds without a byte after which a connection is given up, above 0.

    Returns:
        The folder, as an absolute path.

    Raises:
        DataNotFoundError: If no mirror gives one of the files. The message lists each address and what was wrong.
        InputError: If `name`, `mirrors` or `timeout` cannot be used, if the folder cannot be read and written, or if a
            plain file in it has one of the four names and other content: it would be read first, and may be wanted.
    """
    if name not in SHA256:
        raise InputError(f"`name` must be one of {', '.join(SHA256)} to be downloaded, but is {name!r}.")
    if not 0 < timeout < math.inf:
        raise InputError(f"`timeout` must be a number of seconds above 0, but is {timeout!r}.")
    bases = _bases(name, mirrors)
    folder = cache_folder(name) if directory is None else absolute(directory)
    with local(folder):
        missing = _missing(folder, SHA256[name])
    for file in missing:
        addresses = [f"{base}/{file}.gz" for base in bases]
        report = partial(on_progress, file) if on_progress else _report_nothing
        reasons = _fetch_from_any(addresses, folder / f"{file}.gz", SHA256[name][file], timeout=timeout, report=report)
        if len(reasons) == len(bases):
            raise DataNotFoundError(_no_mirror(name, file, folder, reasons))
        bases = bases[len(reasons) :] + bases[: len(reasons)]  # those that failed wait a stall each: ask them last
    for file in SHA256[name]:
        remove_parts(folder / f"{file}.gz")
    return folder


def _bases(name: str, mirrors: Sequence[str] | None) -> list[str]:
    """The addresses to ask, in order, without a slash at the end."""
    if mirrors is None:
        own = os.environ.get("EBBING_MIRROR", "")
        mirrors = [*([f"{own.rstrip('/')}/{name}"] if own else []), *MIRRORS[name]]
    wrong = [mirror for mirror in mirrors if not _is_address(mirror)]
    if wrong or not mirrors:
        raise InputError(
            "`mirrors` (or $EBBING_MIRROR) must be addresses that begin with https:// or http://, at least one, but "
            f"{f'contain {wrong[0]!r}' if wrong else 'are none'}. Leave them out to ask the public mirrors."
        )
    return [mirror.rstrip("/") for mirror in mirrors]


def _is_address(mirror: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(mirror)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket without its other half
        return False
    return named and parts.scheme in ("http", "https") and re.fullmatch("[!-~]+", mirror) is not None


def _missing(folder: Path, published: dict[str, str]) -> list[str]:
    """Which files the folder lacks, plain and packed, or has packed with other content."""
    plain = [file for file in published if (folder / file).is_file()]
    strange = [str(folder / file) for file in plain if not has_content(folder / file, published[file])]
    if strange:
        raise InputError(
            f"{', '.join(strange)}: in a folder to download into, a file of this name must have the published content, "
            "but has other content. It would be read in place of what is downloaded: take it away, or name another "
            "folder."
        )
    return [
        file
        for file, sha256 in published.items()
        if file not in plain and not has_content(folder / f"{file}.gz", sha256)
    ]


def _no_mirror(name: str, file: str, folder: Path, reasons: list[str]) -> str:
    return "\n".join(
        [
            f"One of the mirrors of {name} must give {file}.gz, but none does. Asked in this order:",
            *reasons,
            "Try again later: what was received is kept, and gone on with. "
            f"Or put the four files ({', '.join(SHA256[name])}; each plain or .gz) into {folder}, or name a folder "
            f"that has them in {name}/ by EBBING_DATA or --data-dir (`data_dir`). A mirror of your own is asked first "
            f"if EBBING_MIRROR names it, for {name}/{file}.gz.",
        ]
    )


def _report_nothing(received: int, total: int | None) -> None:
    pass


def _fetch_from_any(addresses: list[str], target: Path, sha256: str, *, timeout: float, report: Report) -> list[str]:
    """Put the file in place from the first address that gives it; return what was wrong with those before it."""
    reasons: list[str] = []
    for address in addresses:
        try:
            fetch(address, target, sha256, timeout=timeout, report=report)
        except FailedError as failed:
            log.info("%s: %s", address, failed)
            reasons.append(f"  {address}: {failed}")
        else:
            break
    return reasons
