"""What people do in a ledger: decide on requests, and take personal fields away once a request is done."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.bodies import offer_mark
from ebbing.ledger.chain import Chain
from ebbing.ledger.erasure import CLOSED, FAILED, NEEDS_DECISION, NEXT, OPEN, RECEIVED
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.schema import REDACTED, Batch, Offer, Personal, Record, Request

Decision = Literal["close", "retrain", "retry", "fail"]
LEADS_TO = {"close": CLOSED, "retrain": RECEIVED, "retry": RECEIVED, "fail": FAILED}
COVERS = "Closing covers the weights of models alone: copies of the records elsewhere are not the ledger's."


def move(request: Request, state: str) -> None:
    """Let a request go to a state, if it may.

    Raises:
        InputError: if it may not.
    """
    if state not in NEXT[request.state]:
        may = ", ".join(sorted(NEXT[request.state])) or "nothing else"
        raise InputError(f"request {request.id} is {request.state} and may become {may}, but not {state}.")
    request.state = state


def decide(ledger: Ledger, number: int, decision: Decision, *, by: str, reason: str) -> None:
    """Decide on a request that needs a decision, take up one that failed, or give up one that waits.

    Args:
        ledger: whose.
        number: of the request.
        decision: "close" accepts what was reached, "retrain" has a model trained from scratch without the records, "retry"
            processes once more, "fail" gives up, as where it was taken back or is refused.
        by: the name of who decides.
        reason: in words.

    Raises:
        InputError: if the request is in no state to be decided on so, or name or reason is missing.
    """
    if not by.strip() or not reason.strip():
        raise InputError("a decision must have a name (--by) and a reason (--reason), but one is empty.")
    with ledger.writing() as (session, chain):
        request = _request(session, number)
        waits = request.state == RECEIVED and decision == "fail"
        if decision in ("close", "fail", "retrain") and not waits and request.state not in (NEEDS_DECISION, FAILED):
            raise InputError(f"request {number} must need a decision, or have failed, but is {request.state}.")
        if waits and request.batch_id is not None:
            raise InputError(
                f"request {number} must wait to be given up, but batch {request.batch_id} has begun with it. Finish that by "
                "`ebbing ledger process`, or give it up by `ebbing ledger abandon`."
            )
        move(request, LEADS_TO[decision])
        if LEADS_TO[decision] == RECEIVED and session.get(Personal, number) is None:
            raise InputError(
                f"request {number} must say whose records it is about to be processed, but that was redacted. Take it in anew "
                "by `ebbing ledger request add`, under another reference."
            )
        request.by, request.why = by, reason
        request.finished = chain.time if request.state in (CLOSED, FAILED) else None
        if request.state == RECEIVED:
            request.batch_id = None
        request.retrain = decision == "retrain"
        body = {"request": chain.name(number), "decision": decision, "by": by, "reason": reason, "state": request.state}
        chain.append("decided", body)


def redact(ledger: Ledger, number: int, *, by: str) -> int:
    """Take the personal fields of a finished request away, its record ids included; how many ids that were.

    The ids go wherever they stand, among the records that were offered as like those of other requests too; so do those that
    were offered as like the request's own. Salted hashes of the ids stay, so that `check` still finds the records.

    Raises:
        InputError: if the request is not finished, or was redacted before.
    """
    if not by.strip():
        raise InputError("a redaction must have a name (--by), but it is empty.")
    with ledger.writing() as (session, chain):
        request = _request(session, number)
        if request.state not in (CLOSED, FAILED):
            raise InputError(
                f"request {number} must be closed or failed before it is redacted, but is {request.state}."
            )
        if session.get(Personal, number) is None:
            raise InputError(f"request {number} has no personal fields: they were taken away before.")
        session.execute(delete(Personal).where(Personal.request_id == number))
        taken = session.execute(update(Record).where(Record.request_id == number).values(key=None))
        marks = set(session.scalars(select(Record.mark).where(Record.request_id == number)))
        for offer in session.scalars(select(Offer)):
            mark = offer_mark(offer, chain.salt)
            if marks & {mark, offer.like}:
                offer.key = REDACTED + mark
        chain.append("redacted", {"request": chain.name(number), "by": by})
    _sweep(ledger)
    return int(taken.rowcount)  # type: ignore[attr-defined]


def abandon(ledger: Ledger, *, by: str, reason: str) -> list[int]:
    """Give up the open batch, where nothing can be mended: its requests fail, and may be tried again; their numbers.

    A worker that still processes it finds its lease gone.

    Raises:
        InputError: if there is no open batch, or name or reason is missing.
    """
    if not by.strip() or not reason.strip():
        raise InputError("giving up must have a name (--by) and a reason (--reason), but one is empty.")
    with ledger.writing() as (session, chain):
        batch = session.scalars(select(Batch).where(Batch.open.is_(True))).one_or_none()
        if batch is None:
            raise InputError("there is no open batch to give up.")
        rows = session.scalars(select(Request).where(Request.batch_id == batch.id, Request.state.in_(OPEN))).all()
        given_up = [row for row in rows if row.state != NEEDS_DECISION]
        for row in given_up:
            move(row, FAILED)
            row.by, row.why, row.finished, row.retrain = by, reason, chain.time, False
            if batch.kind == "taken":  # and never planned, so that the chain knows nothing of it
                row.batch_id = None
            body = {"request": chain.name(row.id), "decision": "fail", "by": by, "reason": reason, "state": FAILED}
            chain.append("decided", body)
        batch.open, batch.owner, batch.until, batch.finished = None, None, None, chain.time
        return [row.id for row in given_up]


def _sweep(ledger: Ledger) -> None:
    """Have PostgreSQL give up the rows that were deleted; SQLite overwrites them at once (``secure_delete``)."""
    if ledger.database.url.get_backend_name() == "postgresql":
        with ledger.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("VACUUM personal, records, offers"))


def _request(session: Session, number: int) -> Request:
    found = session.get(Request, number)
    if found is None:
        raise InputError(f"there is no request {number}. `ebbing ledger request list` names them.")
    return found


def finish(chain: Chain, request: Request, state: str, why: str) -> None:
    """What a request comes to without anybody's decision."""
    move(request, state)
    request.why, request.by, request.retrain = why, None, False
    request.finished = chain.time if state in (CLOSED, FAILED) else None
