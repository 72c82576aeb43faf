"""What is wrong with a data set: records that another one has too, numbers that are not finite, unsteady reading."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ebbing.batches import Gathering, gathered, held, names_of, size
from ebbing.errors import InputError
from ebbing.fingerprint import named

BLOCK = 16 << 20  # bytes of tensors that are gathered and looked at together
SAMPLE = 64  # records that are read twice
TOKENS, MASK = "/input_ids", "/attention_mask"  # of texts, among their parts


@dataclass(frozen=True)
class Inspection:
    """What one reading of a data set of n records found.

    Attributes:
        digests: (n,) 16 bytes each, the content of each record's inputs: names of their parts, dtypes, shapes and
            bytes, labels left out. 0.0 and -0.0 are equal numbers but different bytes, so they count as different;
            so do equal numbers of another dtype. Of texts, dicts with ``input_ids``, what their ``attention_mask`` leaves
            out is left out, so that one text is one text however far it is filled up. None where the data set is taken at
            its word (it has a ``fingerprint``).
        not_finite: ascending positions of the records whose inputs hold NaN or infinity.
    """

    digests: tuple[bytes, ...] | None
    not_finite: tuple[int, ...]


def inspect(
    dataset: Dataset[Any], *, on_advance: Callable[[int], None] | None = None, name: str = "data"
) -> Inspection:
    """Read every record once.

    The inputs of a record are all but ``labels`` of a dict, all but the last part of a tuple, and anything else as it
    is; they may be numbers, arrays, tensors, and dicts, lists or tuples of these. A Python float counts as float64,
    which is what batches make of it. Digests do not depend on how the data set is held.

    Args:
        dataset: map-style data set.
        on_advance: called with the number of records each time some were read.
        name: of the data set, for messages.

    Raises:
        InputError: if a record cannot be read or holds something else than numbers.
    """
    digests: list[bytes] | None = [] if named(dataset) is None else None
    not_finite: list[int] = []
    before = 0
    with _generators_kept():
        for n, parts in _blocks(dataset, name=name):
            if digests is not None:
                digests += _digests(parts, n)
            found = {position for _, part in parts for position in _not_finite(part)}
            not_finite += [before + position for position in sorted(found)]
            before += n
            if on_advance is not None:
                on_advance(n)
    return Inspection(None if digests is None else tuple(digests), tuple(not_finite))


def changing(dataset: Dataset[Any], *, sample: int = SAMPLE, name: str = "data") -> tuple[int, ...]:
    """Positions of records that are not the same, inputs or labels, when they are read twice.

    An evenly spaced sample is read through, then read through again. A flip that comes with probability p at each
    reading is overlooked in n records with probability (p^2 + (1 - p)^2)^n: 3e-6 for p = 0.1 and n = 64.

    Args:
        dataset: map-style data set. One that is held as tensors is steady, and not read.
        sample: the most records to read, >= 1.
        name: of the data set, for messages.

    Raises:
        InputError: if a record cannot be read.
    """
    if _held(dataset) is not None:
        return ()
    places = _sample(size(dataset), sample)

    def read() -> list[bytes]:  # digests, not items: an item may be a buffer that the next reading writes into
        return [digest for i in places for digest in _digests(_read(dataset, i, name=name, labels=True), 1)]

    with _generators_kept():  # kept for the caller; set back between the readings, chance would look like none
        first, second = read(), read()
    return tuple(i for i, a, b in zip(places, first, second, strict=True) if a != b)


def require_steady(dataset: Dataset[Any], *, name: str) -> None:
    """Refuse a data set that differs when it is read twice, unless it has a ``fingerprint``.

    Raises:
        InputError: if records of a sample differ, see `changing`; or if one cannot be read.
    """
    if named(dataset) is not None:
        return
    differ = changing(dataset, name=name)
    if differ:
        read = len(_sample(size(dataset), SAMPLE))
        raise InputError(
            f"`{name}` must be the same each time it is read, but {len(differ)} of {read} records that were read twice "
            "differ, as random augmentation makes them. Either pass an unaugmented view for reading, and your own "
            "(augmented) one as `training_view` (on the command line --training-view) for training; or give the data "
            "set a `fingerprint` attribute, a string that names its content, if it must be read as it is."
        )


def require_finite(found: Inspection, *, name: str) -> None:
    """Refuse a data set whose inputs hold NaN or infinity.

    Raises:
        InputError: if any do; it names the first five positions and how many there are.
    """
    if found.not_finite:
        raise InputError(
            f"the inputs of `{name}` must be finite, but {len(found.not_finite)} of its records hold NaN or infinity, "
            f"{list(found.not_finite[:5])} first. Mend these records or leave them out."
        )


def shared(one: Inspection, other: Inspection) -> tuple[int, ...]:
    """Ascending positions in ``one`` of the records whose inputs occur in ``other``; () where either has no digests."""
    if one.digests is None or other.digests is None:
        return ()
    there = set(other.digests)
    return tuple(i for i, digest in enumerate(one.digests) if digest in there)


# ---------------------------------------------------------------- reading

_Parts = list[tuple[str, Tensor]]  # the parts of n records by name, (n, ...) each


def _sample(n: int, most: int) -> list[int]:
    """At most ``most`` of the positions in [0, n), evenly spaced, both ends among them."""
    spaced: list[int] = torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).long().tolist()
    return spaced


@contextmanager
def _generators_kept() -> Iterator[None]:
    """The global generators of torch, numpy and random are afterwards what they were, whatever reading drew."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - users' augmentation draws from it
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)


def _held(dataset: Dataset[Any]) -> tuple[tuple[Tensor, ...], Tensor | None] | None:
    """`held`, but None as well where only reading record by record tells which record is wrong."""
    try:
        source = held(dataset)
    except IndexError:  # a subset of a subset, at positions that are not there
        return None
    if source is None or any(tensor.layout is not torch.strided for tensor in source[0]):
        return None
    tensors, positions = source
    n = len(tensors[0])
    if positions is not None and bool(((positions < -n) | (positions >= n)).any()):
        return None
    return source


def _blocks(dataset: Dataset[Any], *, name: str) -> Iterator[tuple[int, _Parts]]:
    """The inputs of a data set in its order, many records at a time where they are held as tensors, else one."""
    source = _held(dataset)
    elsewhere = gathered(dataset) if source is None else None
    if elsewhere is not None:
        yield from _gathered_blocks(*elsewhere)
        return
    if source is None:
        for position in range(size(dataset)):
            yield 1, _read(dataset, position, name=name, labels=False)
        return
    tensors, positions = source
    names = names_of(dataset)
    n = len(tensors[0]) if positions is None else len(positions)
    widest = max(tensor.nbytes // max(1, len(tensor)) for tensor in tensors)
    step = max(1, min(n, BLOCK // max(1, widest)))
    for start in range(0, n, step):
        rows = slice(start, start + step) if positions is None else positions[start : start + step]
        parts = tuple(tensor[rows] for tensor in tensors)
        item = parts if names is None else dict(zip(names, parts, strict=True))
        yield min(step, n - start), list(_flat(_inputs(item)))


def _gathered_blocks(there: Gathering, positions: Tensor) -> Iterator[tuple[int, _Parts]]:
    """The inputs of records that are gathered, as many at a time as their size allows."""
    if not len(positions):
        return
    first = sum(part.nbytes for _, part in _flat(_inputs(there.gather(positions[:1]))))
    step = max(1, BLOCK // max(1, first))
    for start in range(0, len(positions), step):
        rows = positions[start : start + step]
        yield len(rows), list(_flat(_inputs(there.gather(rows))))


def _read(dataset: Dataset[Any], position: int, *, name: str, labels: bool) -> _Parts:
    """The parts of one record, (1, ...) each, with or without its labels."""
    try:
        item = dataset[position]
        return [(part, tensor.unsqueeze(0)) for part, tensor in _flat(item if labels else _inputs(item))]
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"record {position} of `{name}` cannot be read: {type(error).__name__}: {reason}. "
            "Mend the record or leave it out; positions count from 0."
        ) from error


def _inputs(item: Any) -> Any:
    """A record, or tensors of many, without the labels."""
    if isinstance(item, Mapping):
        return {key: value for key, value in item.items() if key != "labels"}
    if isinstance(item, (tuple, list)):
        return item[:-1] if len(item) > 2 else item[0] if item else ()
    return item


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested dicts, lists and tuples, by name and in an order that is no matter of insertion."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _flat(value[key], f"{name}/{key}")
    elif isinstance(value, (tuple, list)):
        for place, part in enumerate(value):
            yield from _flat(part, f"{name}/{place}")
    else:
        yield name, _tensor(value)


def _tensor(value: Any) -> Tensor:
    """A number, array or tensor as a dense tensor in main memory, with the dtype that it has in a batch."""
    if isinstance(value, Tensor):
        dense = value.detach() if value.layout is torch.strided else value.detach().to_dense()
        return dense.cpu().resolve_conj().resolve_neg()
    if isinstance(value, (np.ndarray, np.generic)):  # copied: torch warns of read-only arrays, refuses reversed ones
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    if isinstance(value, int):
        return torch.tensor(value)
    raise TypeError(f"records must hold numbers, arrays or tensors, but this one holds a {type(value).__name__}")


# ---------------------------------------------------------------- looking at what was read


def _digests(parts: _Parts, n: int) -> list[bytes]:
    """(n,) 16 bytes for each record: names, dtypes and shapes of its parts, then their bytes; of texts, without padding."""
    if any(name == TOKENS and part.ndim == 2 for name, part in parts):
        return [_digests_as_they_are(_unpadded(parts, record), 1)[0] for record in range(n)]
    return _digests_as_they_are(parts, n)


def _unpadded(parts: _Parts, record: int) -> _Parts:
    """The parts of one text, (1, ...) each, without the places that its mask leaves out, and without the mask."""
    named = dict(parts)
    tokens = named[TOKENS][record]
    mask = named.get(MASK)
    if mask is None or mask.shape[1:] != tokens.shape:
        mask = torch.ones_like(named[TOKENS])
    kept = mask[record] != 0
    return [
        (name, (part[record][kept] if part.shape[1:2] == tokens.shape else part[record]).unsqueeze(0))
        for name, part in parts
        if name != MASK
    ]


def _digests_as_they_are(parts: _Parts, n: int) -> list[bytes]:
    header = repr([(name, str(part.dtype), tuple(part.shape[1:])) for name, part in parts])
    start = hashlib.blake2b(header.encode(), digest_size=16)
    rows = [part.contiguous().reshape(-1).view(torch.uint8).numpy().reshape(n, part.nbytes // n) for _, part in parts]
    digests = []
    for record in range(n):
        digest = start.copy()
        for row in rows:
            digest.update(row[record])
        digests.append(digest.digest())
    return digests


def _not_finite(part: Tensor) -> list[int]:
    """Rows of a tensor (n, ...) that hold NaN or infinity."""
    if not (part.is_floating_point() or part.is_complex()):
        return []
    numbers = part.float() if part.dtype.itemsize == 1 else part  # torch cannot add numbers of eight bits
    if bool(numbers.sum().isfinite()):  # NaN and infinity never leave a sum; finite numbers may overflow, so look
        return []
    found: list[int] = (~numbers.isfinite()).reshape(len(part), -1).any(dim=1).nonzero().flatten().tolist()
    return found
