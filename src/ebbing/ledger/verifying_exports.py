"""Is an export what a ledger wrote? For those who have neither its database nor its files, such as an auditor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ebbing.errors import InputError
from ebbing.ledger.bodies import batch_body, request_body
from ebbing.ledger.chain import receipt_of
from ebbing.ledger.erasure import RECEIVED
from ebbing.ledger.exporting import SCHEMA
from ebbing.ledger.schema import Audit, Base, Batch, Entry, Request, Version
from ebbing.ledger.told import (
    Expected,
    Verified,
    as_written,
    check_audits,
    check_chain,
    check_receipts,
    check_versions,
    compare,
    one_of,
    readable,
)

DAYS = ("received", "due")


def read_export(path: str | Path) -> dict[str, Any]:
    """An export, as `exported` made it.

    Raises:
        InputError: if the file is none.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise InputError(f"{path} must be what `ebbing ledger export` wrote, but cannot be read: {error}.") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} must be what `ebbing ledger export` wrote, of the schema {SCHEMA!r}, but its schema is {schema!r}."
        )
    return dict(content)


def verify_export(export: Mapping[str, Any], *, public_key: str | None = None, head: str | None = None) -> Verified:
    """Check an export's chain, its signatures, and what it says of requests, batches, versions and audits against it.

    The chain speaks of requests by salted hashes, and the salt stays with the ledger. So what cannot be told here is which of
    several requests of one batch an entry is about, and nothing is known of personal fields, of record ids, and of the hash of
    a reference, ``mark``. Who holds a batch and until when is no evidence, nor is when it was ``finished``: the chain says that
    of requests alone.

    Args:
        export: from `read_export`.
        public_key: that must have signed it, kept elsewhere; None takes the export's word.
        head: a hash that an earlier check gave: an entry must have it, or the end was cut off.

    Returns:
        What was found; no weights are looked at, and nobody's redaction can be told.

    Raises:
        InputError: if ``public_key`` or ``head`` cannot be one.
    """
    found, expected = Verified(), Expected()
    public_key, head = as_written(public_key, head)
    with readable("the chain", found):
        entries = [Entry(**row) for row in _rows(export, "entries")]
        check_chain(entries, export["public-key"], expected, found, key=public_key, head=head)
    with readable("requests", found):
        _check_requests(export, expected, found)
    with readable("batches, versions and audits", found):
        planned = [batch for batch in (Batch(**row) for row in _rows(export, "batches")) if batch.kind != "taken"]
        told = {number: _without_offers(body) for number, body in expected.batches.items()}
        compare("batch", {b.id: _without_offers(batch_body(b, (), salt="")) for b in planned}, told, found)
        check_versions([Version(**row) for row in _rows(export, "versions")], expected, found)
        check_audits([Audit(**row) for row in _rows(export, "audits")], expected, found)
    return found


def _rows(export: Mapping[str, Any], table: str) -> list[dict[str, Any]]:
    """The rows of a table, each with all of its columns and no other, and none twice."""
    columns = Base.metadata.tables[table].columns
    (key,) = Base.metadata.tables[table].primary_key.columns.keys()
    rows: list[dict[str, Any]] = export[table]
    if any(set(row) != set(columns.keys()) for row in rows):
        raise ValueError(f"{table} must have the columns {', '.join(columns.keys())}")
    if len({row[key] for row in rows}) < len(rows):
        raise ValueError(f"{table} has a row twice")
    return rows


def _without_offers(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "alike"}


def _check_requests(export: Mapping[str, Any], expected: Expected, found: Verified) -> None:
    requests = [
        Request(**row | {day: date.fromisoformat(row[day]) for day in DAYS}) for row in _rows(export, "requests")
    ]
    check_receipts({request.id: receipt_of(request) for request in requests}, expected, found)
    waiting = len(requests) - len(expected.requests)
    told = Counter(_standing(request_body(known), known.get("batch")) for known in expected.requests.values())
    told[_standing(request_body({}), None)] += waiting
    taken = {row["id"] for row in _rows(export, "batches") if row["kind"] == "taken"}  # and not planned yet
    by_standing: dict[str, list[int]] = {}
    for request in requests:
        row = {column: getattr(request, column) for column in request_body({})}
        batch = None if request.state == RECEIVED and request.batch_id in taken else request.batch_id
        by_standing.setdefault(_standing(row, batch), []).append(request.id)
    for standing, numbers in by_standing.items():
        if len(numbers) > told[standing]:
            found.problems.append(f"{one_of(numbers)}: how it stands is not what the chain says")


def _standing(row: Mapping[str, Any], batch: int | None) -> str:
    return json.dumps([row, batch], sort_keys=True)
