"""Requests from a table: CSV with a header, or JSON lines. What is wrong is told by line, and the rest is kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ebbing.errors import InputError
from ebbing.ledger.erasure import FIELDS, ErasureRequest, request_of
from ebbing.ledger.ledger import Ledger

csv.field_size_limit(1 << 20)


@dataclass
class Imported:
    """What became of a table.

    Attributes:
        added: numbers of requests that are new.
        again: how many were there already.
        problems: of the rows that were refused, by line.
    """

    added: list[int] = field(default_factory=list)
    again: int = 0
    problems: dict[int, str] = field(default_factory=dict)


def import_table(ledger: Ledger, path: Path, *, today: date, strict: bool = False) -> Imported:
    """Take in the requests of a table, in one transaction.

    Args:
        ledger: takes them.
        path: ends in ``.csv``, ``.jsonl`` or ``.ndjson``.
        today: the day of those that do not say when they were received.
        strict: whether nothing is taken where anything is wrong.

    Raises:
        InputError: if the table cannot be read at all.
    """
    found = Imported()
    good: list[tuple[int, ErasureRequest]] = []
    for line, row in rows_of(path):
        if isinstance(row, str):
            found.problems[line] = row
            continue
        try:
            good.append((line, request_of(row, today=today, days=ledger.settings.due_days)))
        except InputError as error:
            found.problems[line] = str(error).rstrip(".")
    if not good or (strict and found.problems):
        return found
    for (line, _), added in zip(good, ledger.add([request for _, request in good], strict=strict), strict=True):
        if added.problem is not None:
            found.problems[line] = added.problem
        elif added.new and added.id is not None:
            found.added.append(added.id)
        elif added.id is not None:
            found.again += 1
    return found


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line and fields of each row; text where it cannot be read.

    Raises:
        InputError: if the file cannot be read, or is no table of requests.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".jsonl", ".ndjson"):
        raise InputError(f"a table of requests must end in .csv or .jsonl, but is {str(path)!r}.")
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{path} must be readable, but is not: {error.strerror}.") from None
    rows = _csv(text, path) if ending == ".csv" else _jsonl(text)
    whole = _writable(text)
    for line, row in rows:
        broken = not whole and isinstance(row, dict) and not all(_writable(str(value)) for value in row.values())
        yield line, "it holds bytes that are not UTF-8" if broken else row


def _writable(text: str) -> bool:
    """Whether all of it was UTF-8; what was not stands in it as halves of pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    lines = list(io.StringIO(text, newline=""))  # as editors count them, which do not end a line at a form feed
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise InputError(f"{path}: the first line must name columns, but is no line of a table ({error}).") from None
    unknown = [name for name in header if name not in FIELDS]
    if not header or unknown or len(set(header)) != len(header) or "basis" not in header:
        raise InputError(
            f"{path}: the first line must name columns, each once, of {', '.join(FIELDS)}, `basis` among them, but is {header}."
        )
    before = 0  # lines that the reader was not given
    while True:
        line = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"it is no line of a table ({error})"
            before = line  # a quote that is not closed may have taken in any number of good lines: go on after its own
            reader = csv.reader(map(lines.__getitem__, range(before, len(lines))), strict=True)
            continue
        if not row:
            continue
        if len(row) != len(header):
            yield line, f"it has {len(row)} fields, where the first line has {len(header)}"
        else:
            yield line, dict(zip(header, row, strict=True))


def _jsonl(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for line, words in enumerate(text.split("\n"), start=1):
        if not words.strip():
            continue
        try:
            row = json.loads(words)
        except (ValueError, RecursionError) as error:
            yield line, f"it is no JSON ({error})"
            continue
        yield line, row if isinstance(row, dict) else "it must be a JSON object"
