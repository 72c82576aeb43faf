"""What leaves a ledger: the keys that must never be trained on again, and all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ebbing.ledger.chain import marked
from ebbing.ledger.erasure import RECEIVED
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.planning import all_keys
from ebbing.ledger.schema import Base, Fact, Personal, Record, Request

SCHEMA = "ebbing.ledger-export/1"
TABLES = ("requests", "batches", "versions", "audits", "entries")


@dataclass(frozen=True)
class Excluded:
    """What a training must leave out.

    Attributes:
        keys: of all records that are to be forgotten or were, sorted.
        redacted: how many more there are whose keys were taken away; `check` still finds them.
        waiting: requests for a person that are not planned yet, so that their records are not known.
    """

    keys: list[str]
    redacted: int
    waiting: int


def excluded(ledger: Ledger) -> Excluded:
    """The keys of every record that any request names, from the day it came in."""
    with ledger.database.reading() as session:
        planned, named = all_keys(session), _named(session)
        marks = session.scalar(select(func.count(Record.mark.distinct()))) or 0
    keys = sorted(planned | named.keys(), key=lambda key: (len(key), key) if key.isdecimal() else (0, key))
    return Excluded(keys, marks - len(planned), waiting_for_a_plan(ledger))


def waiting_for_a_plan(ledger: Ledger) -> int:
    """How many requests for a person were received and are not planned yet: only then their records are looked up."""
    with ledger.database.reading() as session:
        return sum(fields["subject"] is not None for _, fields in _received(session))


def _received(session: Session) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbers and personal fields of requests that were never planned; one that is tried again has its records."""
    found = select(Personal).join(Request, Request.id == Personal.request_id).where(Request.state == RECEIVED)
    for personal in session.scalars(found.where(Request.id.not_in(select(Record.request_id)))):
        yield personal.request_id, json.loads(personal.fields)


def _named(session: Session) -> dict[str, set[int]]:
    """Which requests that are not planned yet name which keys."""
    found: dict[str, set[int]] = {}
    for number, fields in _received(session):
        for key in fields["records"]:
            found.setdefault(str(key), set()).add(number)
    return found


@dataclass(frozen=True)
class Present:
    """A record of a data set that was to be forgotten.

    Attributes:
        name: its key, or position.
        by: "key", or "content" where the same inputs have another key.
        requests: that name it.
    """

    name: str
    by: str
    requests: tuple[int, ...]


def present(ledger: Ledger, keys: Iterable[str], contents: Mapping[str, str] | None = None) -> list[Present]:
    """Which of these records were to be forgotten.

    Args:
        ledger: whose.
        keys: of the records of a data set.
        contents: from names to digests of their inputs, see `ebbing.inspection.Inspection`; None where they are not known.
    """
    with ledger.database.reading() as session:
        salt = session.get_one(Fact, "salt").value
        by_mark: dict[str, set[int]] = {}
        by_content: dict[str, set[int]] = {}
        for record in session.scalars(select(Record)):
            by_mark.setdefault(record.mark, set()).add(record.request_id)
            for content in record.contents.split():
                by_content.setdefault(content, set()).add(record.request_id)
        named = _named(session)
    found = []
    for key in dict.fromkeys(keys):
        numbers = by_mark.get(marked(salt, "record", key), set()) | named.get(key, set())
        if numbers:
            found.append(Present(key, "key", tuple(sorted(numbers))))
    told = {one.name for one in found}
    for name, content in (contents or {}).items():
        numbers = by_content.get(marked(salt, "content", content), set())
        if numbers and name not in told:
            found.append(Present(name, "content", tuple(sorted(numbers))))
    return found


def exported(ledger: Ledger, *, personal: bool = False) -> dict[str, Any]:
    """All that a ledger holds, as JSON data: the chain with its public key, so that others can check it.

    Args:
        ledger: whose.
        personal: whether personal fields and record ids are among it.
    """
    with ledger.database.reading() as session:
        found: dict[str, Any] = {"schema": SCHEMA, "public-key": session.get_one(Fact, "public-key").value}
        for name in TABLES:
            table = Base.metadata.tables[name]
            rows = session.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            found[name] = [{column: _plain(value) for column, value in row.items()} for row in rows]
        if personal:
            known = session.scalars(select(Personal).order_by(Personal.request_id))
            found["personal"] = [{"request": p.request_id, **json.loads(p.fields)} for p in known]
            records = session.scalars(select(Record).order_by(Record.id))
            found["records"] = [{"request": r.request_id, "key": r.key} for r in records]
    return found


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
