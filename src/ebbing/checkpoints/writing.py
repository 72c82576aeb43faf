"""The weights of a model into a file, whole or not at all, and their record beside it."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ebbing.checkpoints.parts import digest_of
from ebbing.checkpoints.record import WeightsRecord, put_record, record_path
from ebbing.checkpoints.tensors import distinct, refuse_not_finite, state_of
from ebbing.errors import InputError
from ebbing.files import write_whole


def write_weights(
    path: Path,
    model: nn.Module,
    *,
    data: str | None = None,
    records: int | None = None,
    forgotten: Iterable[int] = (),
    training_seconds: float | None = None,
    made_by: Mapping[str, Any] | None = None,
) -> WeightsRecord:
    """Write a model's weights as safetensors, whole or not at all, and the record beside them.

    Both files are made and flushed before either is put in place, so that a full disk leaves the old pair. The record
    goes first: a process that is killed between the two leaves a record of weights that are not there, which
    `read_record` refuses, rather than weights without a record, which would pass for weights of which nothing was ever
    forgotten. Writing once more mends it. The same weights give the same bytes.

    Args:
        path: the file; what it held is replaced.
        model: finite parameters and buffers. Of tied weights one is written.
        data: see `WeightsRecord`, as the others.
        records: see there.
        forgotten: positions in any order, each once.
        training_seconds: see there.
        made_by: see there.

    Returns:
        The record, as `read_record` will return it.

    Raises:
        InputError: if the weights are not finite, the record cannot be said, or ``path`` is no place for a file.
        OSError: if the disk is full or fails.
    """
    for place in (path, record_path(path)):
        if place.exists() and not place.is_file():
            raise InputError(f"weights and their record must go into files, but {place} is none. Name another.")
    try:
        places = tuple(sorted(place if isinstance(place, bool) else operator.index(place) for place in forgotten))
    except TypeError as error:
        raise InputError(f"`forgotten` must be positions, whole numbers, but is not: {error}.") from None
    record = WeightsRecord("0" * 32, data, records, places, training_seconds, made_by or {})
    state = state_of(model)
    refuse_not_finite(state, "the model's weights")
    before = record_path(path).read_bytes() if record_path(path).exists() else None

    def write(name: str) -> None:
        nonlocal record
        _save(distinct(state), name)
        record = replace(record, weights=digest_of(Path(name)))
        put_record(path, record)

    try:
        write_whole(path, write)
    except BaseException:
        if not path.is_file() or digest_of(path) != record.weights:  # else both were in place already
            _put_back(record_path(path), before)
        raise
    return record


def _save(state: dict[str, Tensor], name: str) -> None:
    try:
        save_file(state, name, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"the weights could not be written: {error}") from error
    except KeyError as error:
        raise InputError(f"weights must be of a dtype that safetensors knows, but some are {error}.") from None
    with open(name, "rb") as file:  # before the record is put in place: this is where a full disk may show at last
        os.fsync(file.fileno())


def _put_back(beside: Path, before: bytes | None) -> None:
    """The record as it was, where it was already replaced when something failed."""
    if before is None:
        beside.unlink(missing_ok=True)
    elif beside.read_bytes() != before:
        content = before

        def write(name: str) -> None:
            Path(name).write_bytes(content)

        write_whole(beside, write)
