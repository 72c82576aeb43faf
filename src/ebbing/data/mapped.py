"""Training sets that do not fit in memory: arrays in .npy files, and tables of the datasets library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import torch
from torch import Tensor

from ebbing.batches import Gathering
from ebbing.errors import InputError


class MappedArrays(Gathering):
    """Records in a .npy file that is read where it lies: a batch is in memory, never the file.

    Record i is ``(x, label)``, with x row i of the file, (...) as it is, or in float32 times ``scale``. The file must not
    change while it is in use.

    Args:
        inputs: a .npy file of numbers, (n, ...), in C order, as `numpy.save` writes.
        labels: (n,) whole numbers, or a .npy file of them, which is read into memory.
        scale: what inputs are multiplied by, in float32: 1 / 255 makes pixels of eight bits lie in [0, 1]. None leaves
            their dtype.

    Raises:
        InputError: if a file cannot be read or holds something else, or the numbers of records differ.

    Example:
        >>> import tempfile, numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.arange(12, dtype=np.uint8).reshape(4, 3))
        ...     data = MappedArrays(f"{folder}/x.npy", [0, 1, 0, 1], scale=0.5)
        ...     len(data), data[2]
        (4, (tensor([3.0000, 3.5000, 4.0000]), tensor(0)))
    """

    def __init__(
        self, inputs: Path | str, labels: Path | str | Sequence[int] | Tensor, *, scale: float | None = None
    ) -> None:
        self.path, self.scale = Path(inputs).absolute(), scale
        self.labels = _labels(labels)
        self._open()
        if self._shape[0] != len(self.labels):
            raise InputError(
                f"there must be one label for each record, but {self.path} holds {self._shape[0]} records, and there are "
                f"{len(self.labels)} labels."
            )

    def gather(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and labels at (m,) int64 positions.

        Raises:
            InputError: if the file is no longer as long as it was.
        """
        rows = np.empty((len(positions), *self._shape[1:]), self._dtype)
        size = rows.nbytes // max(1, len(rows))
        into = rows.reshape(-1).view(np.uint8)
        first = 0
        for start, stop in _runs(positions.numpy()):  # mapping the file would be faster, and fill memory with its pages
            count = (stop - start) * size
            self._read(into[first : first + count], self._offset + start * size)
            first += count
        inputs = torch.from_numpy(rows)
        return inputs if self.scale is None else inputs.to(torch.float32).mul_(self.scale), self.labels[positions]

    def _read(self, into: np.ndarray[Any, Any], offset: int) -> None:
        """Fill an array of bytes from a place in the file."""
        view = memoryview(into)  # type: ignore[arg-type]
        while len(view):
            got = os.preadv(self._file, [view], offset)
            if not got:
                raise InputError(f"{self.path} must stay as it is while it is in use, but has become shorter.")
            view, offset = view[got:], offset + got

    def _open(self) -> None:
        """Open the file, and see that it holds what its header says."""
        try:
            with open(self.path, "rb") as file:
                self._shape, self._dtype, self._offset = _header(file)
            wanted = self._offset + int(np.prod(self._shape, dtype=np.int64)) * self._dtype.itemsize
            found = self.path.stat().st_size
            if found < wanted:
                raise ValueError(f"it has {found:,} bytes where its header speaks of {wanted:,}")
            self._file = os.open(self.path, os.O_RDONLY)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path} must be a .npy file of numbers, of shape (n, ...) and in C order, but {error}. Write it by "
                "numpy.save(path, numpy.ascontiguousarray(array))."
            ) from error
        finalize(self, os.close, self._file)

    def __getstate__(self) -> dict[str, Any]:
        """Where the records lie, not what they hold."""
        return {"path": self.path, "scale": self.scale, "labels": self.labels}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again, in another process."""
        self.__dict__.update(state)
        self._open()


def _runs(positions: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Where stretches of positions that follow one another start and stop, in order."""
    cuts = np.flatnonzero(np.diff(positions) != 1) + 1
    firsts = positions[[0, *cuts]].tolist() if len(positions) else []
    lengths = np.diff([0, *cuts, len(positions)]).tolist()
    for first, length in zip(firsts, lengths, strict=False):
        yield first, first + length


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, dtype and where the numbers begin."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"it has the format's version {version}")
    shape, fortran, dtype = readers[version](file)
    if fortran or not shape or not shape[0] or dtype.kind not in "biuf" or dtype.newbyteorder("=") != dtype:
        order = "Fortran's" if fortran else "C's"
        raise ValueError(f"it holds {dtype.str} of shape {shape} in {order} order")
    return shape, dtype, file.tell()


def _labels(given: Path | str | Sequence[int] | Tensor) -> Tensor:
    """Labels in memory."""
    if not isinstance(given, (str, Path)):
        return torch.as_tensor(given)
    try:
        return torch.from_numpy(np.load(given, allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{given} must be a .npy file of labels, but cannot be read: {error}.") from error


class TableRecords(Gathering):
    """Records of a `datasets.Dataset` (Hugging Face), whose Arrow files stay on the disk.

    Args:
        table: a data set of the datasets library: one split, not a ``DatasetDict``, not a stream.
        inputs: the columns that go in. One name makes records ``(x, label)``; several make dicts by name, with ``labels``,
            which models of the transformers library take as keywords.
        label: the column of the labels.
        scale: what a single column of inputs is multiplied by, in float32; None leaves its dtype.

    Raises:
        InputError: if a column is not there, or holds lists of several lengths.

    Example:
        >>> from datasets import Dataset
        >>> table = Dataset.from_dict({"pixels": [[0, 1], [2, 3], [4, 5]], "digit": [7, 8, 9]})
        >>> TableRecords(table, inputs="pixels", label="digit", scale=0.5)[1]
        (tensor([1.0000, 1.5000]), tensor(8))
    """

    def __init__(self, table: Any, *, inputs: str | Sequence[str], label: str, scale: float | None = None) -> None:
        self.inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        self.single, self.scale = isinstance(inputs, str), scale
        known = list(getattr(table, "column_names", None) or [])
        if not hasattr(table, "with_format") or not hasattr(table, "__len__") or isinstance(table, dict):
            raise InputError(
                f"`table` must be one split of the datasets library, but is a {type(table).__name__}. Take "
                'load_from_disk(folder)["train"], not a dict of splits nor a stream.'
            )
        missing = [name for name in (*self.inputs, label) if name not in known]
        if missing or not self.inputs:
            raise InputError(
                f"`inputs` and `label` must name columns of the table, {known}, but {missing} are not there."
            )
        self._table = table.select_columns([*self.inputs, label]).with_format("numpy")
        self.label = label
        self.labels = self._tensor(label, self._table.select_columns([label])[:][label])

    def gather(self, positions: Tensor) -> tuple[Tensor, Tensor] | dict[str, Tensor]:
        """The records at (m,) int64 positions."""
        rows = self._table[positions.tolist()]
        parts = {name: self._tensor(name, rows[name]) for name in self.inputs}
        labels = self.labels[positions]
        if not self.single:
            return parts | {"labels": labels}
        (part,) = parts.values()
        return part if self.scale is None else part.to(torch.float32).mul_(self.scale), labels

    def _tensor(self, name: str, values: Any) -> Tensor:
        """The values of a column as (m, ...) numbers."""
        array = np.asarray(values)
        if array.dtype == object:
            raise InputError(
                f"the column {name!r} must hold numbers of one shape in every record, but holds others. Pad lists to one "
                "length when the table is made (tokenizer(..., padding='max_length'))."
            )
        return torch.from_numpy(np.ascontiguousarray(array))
