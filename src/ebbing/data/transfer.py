"""One file from one address: gone on with after a stop, bounded, checked, and put in place as a whole.

What an address sends is collected in a hidden file beside its place, so that a run that was stopped goes on from there.
Nothing that a server says is trusted: the file gets into place only if its unpacked content has the SHA-256 expected.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ebbing.errors import InputError
from ebbing.files import write_whole

try:
    import fcntl
except ImportError:  # Windows: see `_lock`
    fcntl = None  # type: ignore[assignment]

Report = Callable[[int, int | None], None]  # packed bytes received so far, and of how many if that is known

_MOST_BYTES = 64 << 20  # accepted for one file, packed or unpacked; the largest has 45 MiB unpacked
_TRIES = 5  # requests for the bytes of one file
_CHUNK = 1 << 16  # bytes per read

log = logging.getLogger(__name__)


class FailedError(Exception):
    """What an address sent is no use; `again` says whether it is worth another request."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        # Some of it was written by the server: one line, nothing that steers a terminal, and not without end.
        super().__init__("".join(c if c.isprintable() else " " for c in reason)[:200])
        self.again = again


def fetch(address: str, target: Path, sha256: str, *, timeout: float, report: Report) -> None:
    """Put a file in place from one address.

    Args:
        address: Of the file, packed with gzip; http or https.
        target: Where the packed file belongs. Its folder is made if it is missing.
        sha256: Of the unpacked content, as hexadecimal digits.
        timeout: Seconds without a byte after which a connection is given up.
        report: Called as bytes come in.

    Raises:
        FailedError: If the address does not give the file. `target` is as it was.
        InputError: If the folder cannot be read and written.
    """
    with _open_part(target, address, sha256) as part:
        _fetch(address, part, timeout=timeout, report=report)


def has_content(path: Path, sha256: str) -> bool:
    """Whether there is such a file, plain or packed (its content decides), with this SHA-256 once unpacked."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    try:
        return _sha256_of(path, packed=packed) == sha256
    except FailedError:
        return False


def _fetch(address: str, part: _Part, *, timeout: float, report: Report) -> None:
    """Receive what is missing of a file from one address, and put it in place."""
    old = part.size()
    if old:  # perhaps all of it: the run before may have been stopped just then
        with suppress(FailedError):
            part.settle()
            report(old, old)
            return
    _receive(address, part, timeout=timeout, report=report)
    try:
        part.settle()
    except FailedError:
        part.clear()
        if not old:
            raise
        # The old bytes may be at fault, or belong to what the address gave before.
        _fetch(address, part, timeout=timeout, report=report)


def _receive(address: str, part: _Part, *, timeout: float, report: Report) -> None:
    """Append what is missing, in as many requests as that takes and `_TRIES` allows."""
    for left in reversed(range(_TRIES)):
        try:
            _request(address, part, timeout=timeout, report=report)
            return
        except FailedError as failed:
            if not (failed.again and left):
                raise
            log.info("%s: %s; asking for the rest", address, failed)


def _request(address: str, part: _Part, *, timeout: float, report: Report) -> None:
    """Append what one request for the rest brings; raises FailedError unless that is all of it."""
    arrived = 0
    with _open(address, part, timeout=timeout) as response:
        start, total = _extent(response)
        if start != part.size():
            again = part.size() > 0
            part.clear()
            if response.status != 200:
                raise FailedError("it sent another part of the file than it was asked for", again=again)
        report(start, total)
        while chunk := _read(response, timeout=timeout, again=arrived > 0):
            arrived += len(chunk)
            if max(start + arrived, total or 0) > _MOST_BYTES:
                part.clear()
                raise FailedError(f"it sends more than {_MOST_BYTES >> 20} MiB")
            part.append(chunk)
            report(start + arrived, total)
    if total is not None and start + arrived < total:
        reason = f"the connection was cut after {start + arrived} of {total} bytes"
        raise FailedError(reason, again=arrived > 0)


def _open(address: str, part: _Part, *, timeout: float) -> http.client.HTTPResponse:
    have = part.size()
    headers = {"User-Agent": "ebbing", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        # Not urlopen, which keeps the proxies that the environment named when it was first called.
        opener = urllib.request.build_opener()
        request = urllib.request.Request(address, headers=headers)
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # the file has no bytes from there on
            part.clear()
        raise FailedError(f"HTTP {error.code} ({error.reason})", again=error.code == 416 and have > 0) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FailedError(_reason(error, timeout=timeout)) from error
    return response


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where in the file the bytes of a response begin, -1 if it does not say; and the length of the file if known."""
    if response.status == 200:
        return 0, response.length
    if response.status != 206:  # as well after a redirection to ftp, which urllib follows
        raise FailedError(f"HTTP {response.status}, where 200 or 206 was to come")
    found = re.match(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)", response.headers.get("Content-Range", ""))
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _read(response: http.client.HTTPResponse, *, timeout: float, again: bool) -> bytes:
    """The next bytes, as they come in; none at the end, or where the connection ends."""
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise FailedError(_reason(error, timeout=timeout), again=again) from error


def _reason(error: Exception, *, timeout: float) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no byte came for {timeout:g} seconds"
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__


@dataclass(frozen=True)
class _Part:
    """The packed bytes of a file received so far from one address, and where the file belongs."""

    stream: IO[bytes]
    target: Path
    sha256: str

    def size(self) -> int:
        return self.stream.seek(0, os.SEEK_END)

    def append(self, chunk: bytes) -> None:
        with local(self.target.parent):
            self.stream.seek(0, os.SEEK_END)
            self.stream.write(chunk)
            self.stream.flush()  # so that they outlast this process, however it ends

    def clear(self) -> None:
        self.stream.truncate(0)

    def settle(self) -> None:
        """Put a copy in place; raises FailedError if the content of the copy is not the published one."""

        def write(name: str) -> None:
            self.stream.seek(0)
            with open(name, "wb") as copy:
                shutil.copyfileobj(self.stream, copy, _CHUNK)
            if _sha256_of(Path(name), packed=True) != self.sha256:
                raise FailedError("it sent other content than was published (another SHA-256)")

        with local(self.target.parent):
            write_whole(self.target, write)


def part_file(target: Path, address: str) -> Path:
    """Where the bytes from an address are kept; each has its own, as packed files differ between mirrors."""
    return target.with_name(f".{target.name}.{hashlib.sha256(address.encode()).hexdigest()[:12]}.partial")


def remove_parts(target: Path) -> None:
    """Remove what was received of a file from any address, once the file is in place."""
    with local(target.parent):
        for part in target.parent.glob(f".{target.name}.{'[0-9a-f]' * 12}.partial"):  # not those of `write_whole`
            part.unlink(missing_ok=True)


@contextmanager
def _open_part(target: Path, address: str, sha256: str) -> Iterator[_Part]:
    """What was received from an address, for one process at a time.

    Where another process is at it, or the system has no such locks, it is an empty file without a name instead, which
    no later run can go on with.
    """
    file = part_file(target, address)
    with local(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        stream, shared = _lock(file)
    with stream:
        part = _Part(stream, target, sha256)
        try:
            yield part
        finally:
            if shared and part.size() == 0:
                file.unlink(missing_ok=True)


def _lock(file: Path) -> tuple[IO[bytes], bool]:
    """The file, locked, and True; or one without a name, and False."""
    if fcntl is not None:
        stream = file.open("a+b")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
        else:
            return stream, True
    return tempfile.TemporaryFile(dir=file.parent), False


@contextmanager
def local(folder: Path) -> Iterator[None]:
    """Tells errors of the disk from those of the network."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(folder)!r}: a folder to download into must be readable, writable and have room, but: {reason}. "
            "Mend that, or name another folder."
        ) from error


def _sha256_of(path: Path, *, packed: bool) -> str:
    """SHA-256 of the content, unpacked; raises FailedError if that cannot be had, or has no end."""
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > _MOST_BYTES:
                    raise FailedError(f"it sent what unpacks to more than {_MOST_BYTES >> 20} MiB")
                digest.update(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FailedError(f"it sent no whole gzip file ({error})") from error
    return digest.hexdigest()
