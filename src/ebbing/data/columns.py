"""Columns of a file of JSON lines, as a data set of the datasets library is written by ``to_json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebbing.errors import InputError

ENDINGS = (".jsonl", ".ndjson")
OTHERS = (".parquet", ".arrow", ".feather")


class Columns:
    """Records as columns: ``column_names``, a length, and a list of values for each name.

    Args:
        columns: values by name, of one length.
    """

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns

    @property
    def column_names(self) -> list[str]:
        """The names, in the order of the first record."""
        return list(self._columns)

    def __getitem__(self, name: str) -> list[Any]:
        """The values of a column."""
        return self._columns[name]

    def __len__(self) -> int:
        """Number of records."""
        return len(next(iter(self._columns.values())))


def is_file_of_columns(name: str) -> bool:
    """Whether a name is that of a file of records, and no ``pkg.mod:name``."""
    return name.endswith(ENDINGS + OTHERS)


def read_columns(path: Path) -> Columns:
    """The records of a file of JSON lines: one object a line, with the same keys in each.

    Raises:
        InputError: if the file is of another kind, cannot be read, is empty, or a line is no such object.
    """
    if path.name.endswith(OTHERS):
        raise InputError(
            f"a file of records must be of JSON lines ({' or '.join(ENDINGS)}), but is {path.name!r}. Write it by "
            'dataset.to_json("records.jsonl"), or name a function that gives the data set (pkg.mod:name).'
        )
    records = list(_records(path))
    if not records:
        raise InputError(f"{path} must hold at least one record, but is empty.")
    return Columns({name: [record[name] for record in records] for name in records[0]})


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of the lines; lines without anything are passed over."""
    keys: set[str] | None = None
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict) or not record or (keys is not None and record.keys() != keys):
                    found = sorted(record) if isinstance(record, dict) else type(record).__name__
                    wanted = "an object" if keys is None else f"an object with the keys {sorted(keys)}"
                    raise InputError(f"each line of {path} must be {wanted}, but line {number} has {found}.")
                keys = set(record)
                yield record
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} must be a file of JSON lines, but cannot be read: {error}.") from error
