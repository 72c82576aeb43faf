"""Reading IDX files, the format MNIST and Fashion-MNIST come in, without trusting them.

An IDX file is two zero bytes, one byte for the element type, one for the number of dimensions d, then d sizes
as big-endian unsigned 32-bit integers, then the elements in C order (http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import io
import math
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebbing.errors import InputError

_UINT8 = 0x08
_OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_MOST_DIMENSIONS = 8
_CHUNK = 1 << 20  # bytes per read: memory grows with what the file holds, not with what its header claims
_DEFLATE_RATIO = 1032  # the most bytes that one byte of deflate can become: 258 bytes from 2 bits
_AGAIN = "Download the file again, or make it anew."


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzipped (decided by its content, not by its name).

    Args:
        path: The file.

    Returns:
        A writable uint8 array with the shape in the header: (n, height, width) for images, (n,) for labels.
        Between 1 and 8 dimensions, each at least 1.

    Raises:
        InputError: If the file is missing, a folder, unreadable, empty, broken as gzip, not IDX, of another
            element type than unsigned bytes, or holds fewer or more bytes than its header says. The message
            names the file. Memory is only taken for bytes that are there, whatever the header claims.
    """
    file = Path(path)
    size = _size_on_disk(file)
    try:
        with file.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return _parse(raw, file, at_most=size)
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:
                return _parse(stream, file, at_most=size * _DEFLATE_RATIO)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{file}: it starts as a gzip file and must be a whole one, but it is cut short or damaged "
            f"({error}). {_AGAIN}"
        ) from error
    except OSError as error:
        raise InputError(_unreadable(file, error)) from error


def _size_on_disk(file: Path) -> int:
    """Bytes of a regular, non-empty file; asked before opening it, as opening a pipe would wait for ever."""
    try:
        status = file.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(_unreadable(file, error)) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise InputError(f"{file}: an IDX file must be a regular file, but this is {kind}. Name the file itself.")
    if status.st_size == 0:
        raise InputError(f"{file}: an IDX file has a header of at least 8 bytes, but this one is empty. {_AGAIN}")
    return status.st_size


def _unreadable(file: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return f"{str(file)!r}: an IDX file must be readable, but: {reason}. Check the path and its permissions."


def _parse(stream: io.BufferedIOBase, file: Path, *, at_most: int) -> npt.NDArray[np.uint8]:
    """The array in an open stream that cannot hold more than `at_most` bytes."""
    shape = _parse_header(stream, file)
    expected = math.prod(shape)
    claim = f"{file}: its header says shape {shape}, so {expected} bytes must follow it"
    if expected > at_most:
        raise InputError(f"{claim}, but a file of its size cannot hold more than {at_most}. {_AGAIN}")
    data = _read_up_to(stream, expected + 1)  # one more, to see the end and have gzip check its checksum there
    if len(data) < expected:
        raise InputError(f"{claim}, but only {len(data)} do. {_AGAIN}")
    if len(data) > expected:
        raise InputError(f"{claim}, but more do. {_AGAIN}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _parse_header(stream: io.BufferedIOBase, file: Path) -> tuple[int, ...]:
    """The shape, leaving the stream at the first element."""
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00":
        raise InputError(
            f"{file}: an IDX file must start with two zero bytes, its type and its number of dimensions, but "
            f"this one starts with {magic.hex(' ') or 'nothing'}. Name an IDX file, plain or gzipped."
        )
    kind, n_dimensions = magic[2], magic[3]
    if kind != _UINT8:
        found = _OTHER_TYPES.get(kind, "no type of the format")
        raise InputError(
            f"{file}: only IDX files of unsigned bytes (type 0x08) can be read, but this one has type "
            f"0x{kind:02x} ({found}). Convert it to unsigned bytes."
        )
    if not 1 <= n_dimensions <= _MOST_DIMENSIONS:
        raise InputError(
            f"{file}: an IDX file must have between 1 and {_MOST_DIMENSIONS} dimensions, but this one says "
            f"{n_dimensions}. {_AGAIN}"
        )
    sizes = _read_up_to(stream, 4 * n_dimensions)
    if len(sizes) < 4 * n_dimensions:
        raise InputError(
            f"{file}: its header must give {n_dimensions} sizes of 4 bytes each, but ends after {len(sizes)} "
            f"bytes. {_AGAIN}"
        )
    shape: tuple[int, ...] = struct.unpack(f">{n_dimensions}I", sizes)
    if 0 in shape:
        raise InputError(f"{file}: each dimension must be at least 1, but its header says {shape}. {_AGAIN}")
    return shape


def _read_up_to(stream: io.BufferedIOBase, n_bytes: int) -> bytearray:
    """The next `n_bytes` bytes, or fewer where the stream ends before."""
    data = bytearray()
    while len(data) < n_bytes:
        chunk = stream.read(min(_CHUNK, n_bytes - len(data)))
        if not chunk:
            break
        data += chunk
    return data
