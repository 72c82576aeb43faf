"""What a ledger says: its state as a whole, its requests, and one of them with all that belongs to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.bodies import is_redacted
from ebbing.ledger.chain import marked
from ebbing.ledger.database import HEAD
from ebbing.ledger.erasure import OPEN, STATES
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.manifest import place_of
from ebbing.ledger.schema import Audit, Batch, Entry, Fact, Offer, Personal, Record, Request, Version


@dataclass(frozen=True)
class Status:
    """A ledger at a glance.

    Attributes:
        counts: requests by state, every state named.
        overdue: open requests that were due before today.
        next_due: the earliest day on which an open request is due; None without any.
        current: number of the current version of the model; None where `process` is still to train the first.
        file: its weights, or the folder that it is, in the ledger's folder; None likewise, and where the list of what belongs
            to it cannot be read.
        trouble: why that cannot be read; None where it can.
        working: who processes now, or whose lease is over; None where nothing is being processed.
        entries: in the chain of evidence.
        head: the hash of the last; kept elsewhere, it shows where entries were cut off the end.
    """

    counts: dict[str, int]
    overdue: int
    next_due: date | None
    current: int | None
    file: str | None
    working: str | None
    entries: int
    head: str
    trouble: str | None = None


def status(ledger: Ledger, *, today: date) -> Status:
    """The ledger at a glance, in a few queries that read indexes alone."""
    with ledger.database.reading() as session:
        by_state = session.execute(select(Request.state, func.count()).group_by(Request.state))
        counted = {row[0]: row[1] for row in by_state}
        still = Request.state.in_(OPEN)
        overdue = session.scalar(select(func.count()).select_from(Request).where(still, Request.due < today)) or 0
        # one seek into the index for each state, where a minimum over all of them would walk through it
        firsts = [session.scalar(select(func.min(Request.due)).where(Request.state == state)) for state in OPEN]
        version = session.scalars(select(Version).order_by(Version.id.desc()).limit(1)).one_or_none()
        batch = session.scalars(select(Batch).where(Batch.open.is_(True))).one_or_none()
        head = session.get_one(Fact, HEAD).value.partition(" ")
        now = ledger.database.now(session)
    file, trouble = None, None
    if version is not None:
        try:
            file = place_of(ledger.folder, version.file).relative_to(ledger.folder).as_posix()
        except InputError as error:  # all else can be told
            trouble = str(error)
    working = None
    if batch is not None:
        held = batch.owner is not None and (batch.until or 0) > now
        working = (
            f"batch {batch.id}, {batch.owner}" if held else f"batch {batch.id}, by nobody: `process` goes on with it"
        )
    return Status(
        {state: counted.get(state, 0) for state in STATES},
        overdue,
        min((d for d in firsts if d is not None), default=None),
        None if version is None else version.id,
        file,
        working,
        int(head[0]),
        head[2],
        trouble,
    )


def listed(
    ledger: Ledger, *, states: Sequence[str] = (), overdue: date | None = None, limit: int = 50, after: int = 0
) -> list[Request]:
    """Requests in the order of their numbers.

    Args:
        ledger: whose.
        states: only these; all if none is named.
        overdue: only open ones that were due before this day.
        limit: the most that are returned.
        after: only those with a higher number.
    """
    query = select(Request).where(Request.id > after).order_by(Request.id).limit(limit)
    if states:
        query = query.where(Request.state.in_(states))
    if overdue is not None:
        query = query.where(Request.state.in_(OPEN), Request.due < overdue)
    with ledger.database.reading() as session:
        return list(session.scalars(query))


def shown(ledger: Ledger, number: int) -> dict[str, Any]:
    """A request with all that belongs to it, as JSON data; ``personal`` is None after redaction.

    What others of its batch came to is not its own: of one for which nothing was done, ``after``, ``finding`` and ``report``
    are None, and ``outcome`` is what was found when its records were forgotten, None where it failed.

    Raises:
        InputError: if there is none of the number.
    """
    with ledger.database.reading() as session:
        request = session.get(Request, number)
        if request is None:
            raise InputError(f"there is no request {number}. `ebbing ledger request list` names them.")
        personal = session.get(Personal, number)
        keys = session.execute(select(Record.mark, Record.key).where(Record.request_id == number)).all()
        batch = None if request.batch_id is None else session.get(Batch, request.batch_id)
        after = audit = None
        offers: Sequence[Offer] = ()
        idle = _ended_idle(session, request)
        if batch is not None and idle is None:
            after = session.scalars(select(Version).where(Version.batch_id == batch.id)).one_or_none()
            audit = session.get(Audit, batch.id)
        if batch is not None:
            offers = session.scalars(select(Offer).where(Offer.batch_id == batch.id)).all()
        own = {mark for mark, _ in keys}
        return {
            "request": request.id,
            "state": request.state,
            "basis": request.basis,
            "received": request.received.isoformat(),
            "due": request.due.isoformat(),
            "gone": request.gone,
            "why": request.why,
            "by": request.by,
            "finished": request.finished,
            "personal": None if personal is None else json.loads(personal.fields),
            "records": len(keys),
            "batch": None if batch is None else batch.id,
            "kind": None if batch is None else batch.kind,
            "method": None if batch is None else batch.method,
            "before": None if batch is None else batch.before_id,
            "after": None if after is None else after.id,
            "outcome": idle["outcome"] if idle is not None else None if audit is None else audit.outcome,
            "finding": None if audit is None else audit.reason,
            "report": None if audit is None else audit.report,
            "alike": [
                {"key": offer.key, "kind": offer.kind, "distance": offer.distance}
                for offer in offers
                if offer.like in own and not is_redacted(offer)
            ],
        }


def _ended_idle(session: Session, request: Request) -> dict[str, Any] | None:
    """What the chain says of a request for which its batch made no version; None for any other, and while it is in work."""
    if request.batch_id is None:
        return None
    name = marked(session.get_one(Fact, "salt").value, "request", str(request.id))
    query = select(Entry.body).where(Entry.kind == "finished", Entry.body.contains(name))
    said = session.scalar(query.order_by(Entry.seq.desc()).limit(1))
    found: dict[str, Any] = {} if said is None else json.loads(said)
    return found if found.get("batch") == request.batch_id and found["after"] == found["before"] else None
