"""From received requests to a new version of the model, in steps that each are written whole before the next begins.

taken -> planned -> weights -> unlearned -> audited -> finished. Whatever stops a worker, what the ledger holds says which
step comes next; what was computed is found again by content, so that nothing is done twice and the same bits come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.erasure import CLOSED, FAILED, NEEDS_DECISION, RECEIVED
from ebbing.ledger.judging import judge
from ebbing.ledger.landing import RolledBackError, begin, unlearn
from ebbing.ledger.leases import hold, kept, release, take
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.planning import covered_by, end, few, found_before
from ebbing.ledger.preparing import prepare
from ebbing.ledger.project import Project
from ebbing.ledger.schema import Audit, Batch, Offer, Record, Request, Version
from ebbing.ledger.settings import Settings
from ebbing.ledger.work import Step, Work, in_work, unwatched
from ebbing.pool import Workers
from ebbing.study import Progress, silent

STEPS = ("taken", "planned", "weights", "unlearned", "judged", "audited", "finished")

TOGETHER = 10_000  # requests in a batch: databases take so many values in one statement, and not many more


@dataclass(frozen=True)
class Processed:
    """What became of a batch.

    Attributes:
        batch: its number.
        requests: their numbers with the states they have now.
        kind: "unlearn", "gone", "retrain" or "nothing".
        why: in words.
        notes: on requests that cost nothing or failed.
        outcome: of the audit; None where there was none.
        reason: of the outcome.
        alike: how many records that stay are like those that went; they are offered, see ``request show``.
    """

    batch: int
    requests: dict[int, str]
    kind: str
    why: str
    notes: tuple[str, ...]
    outcome: str | None
    reason: str | None
    alike: int


def process(
    ledger: Ledger,
    project: Project,
    *,
    numbers: Sequence[int] | None = None,
    limit: int | None = None,
    on_step: Step = unwatched,
    progress: Progress = silent,
    workers: Workers | None = None,
) -> Processed | None:
    """Go on with the open batch; where there is none, take received requests together and process them.

    Where the model is an ensemble in shards that was not taken in, the first call trains it.

    Args:
        ledger: whose.
        project: the user's network, data and training.
        numbers: only these requests; None for all that were received.
        limit: at most so many, those that are due first; never more than `TOGETHER`.
        on_step: called after each of `STEPS`.
        progress: see `ebbing.study.Study.run`.
        workers: where references are retrained, a number of processes or an executor; None for what ``ledger.json`` says.
            Each run has one thread: the same bits come out wherever that is, and in this process with one thread.

    Returns:
        What became of the batch; None where there was nothing to do.

    Raises:
        BusyError: if another worker processes.
        LeaseLostError: if this one took so long that another went on.
        InputError: if something is amiss; what was finished is kept, and the next call goes on.
    """
    with ledger.writing() as (session, chain):
        chosen = _received(session, numbers, limit)
        current = session.scalar(select(Version.id).order_by(Version.id.desc()).limit(1))
        taken = take(ledger, session, numbers=chosen if chosen or current is None else None, started=chain.time)
        if taken is None:
            return None
        lease, new = taken
        if new:
            session.get_one(Batch, lease.batch).before_id = current
    if workers is None:
        workers = ledger.settings.workers or None
    work = Work(ledger, project, lease, on_step, progress, workers)
    on_step("taken")
    try:
        with kept(ledger, lease):
            _run(work)
    except BaseException:
        with suppress(InputError):  # where the database is gone as well, what went wrong first is what is told
            release(ledger, lease)
        raise
    return _outcome(work)


def next_requests(ledger: Ledger, *, numbers: Sequence[int] | None = None, limit: int | None = None) -> list[Request]:
    """The requests that `process` would take together, those that are due first, where no batch is open; nothing is changed.

    Raises:
        InputError: if one of ``numbers`` is not received, or was begun.
    """
    with ledger.database.reading() as session:
        chosen = _received(session, numbers, limit)
        return [session.get_one(Request, number) for number in chosen]


def _received(session: Session, numbers: Sequence[int] | None, limit: int | None) -> list[int]:
    """Requests to take, due first; those whose records are gone at the source are never taken with others."""
    query = select(Request.id, Request.gone).where(Request.state == RECEIVED).order_by(Request.due, Request.id)
    if numbers is not None:
        query = query.where(Request.id.in_(list(numbers)))
        strange = set(numbers) - {number for number, _ in session.execute(query)}
        if strange:
            raise InputError(f"requests to process must be received and not begun, but {min(strange)} is not.")
    rows = list(session.execute(query))
    of_one_kind = [number for number, gone in rows if gone == rows[0][1]]
    return of_one_kind[: TOGETHER if limit is None else min(limit, TOGETHER)]


def _run(work: Work) -> None:
    """Every step that is not done yet."""
    if work.batch().before_id is None:
        begin(work)
    if work.batch().kind == "taken":
        work.notes += prepare(work).notes
    work.on_step("planned")
    with work.ledger.database.reading() as session:
        waiting = bool(in_work(session, work.lease.batch))
        landed = session.scalars(select(Version.id).where(Version.batch_id == work.lease.batch)).one_or_none()
        audited = session.get(Audit, work.lease.batch)
    if waiting and landed is None:
        try:
            unlearn(work)
        except RolledBackError as error:
            _fail(work, f"the run was rolled back: {error}")
            return
    if waiting:
        work.on_step("unlearned")
    if waiting and audited is None:
        judge(work)
        work.on_step("audited")
    _finish(work)
    work.on_step("finished")


def _finish(work: Work) -> None:
    """Close what the policy accepts; the rest needs a decision. The batch is done."""
    settings = work.ledger.settings
    with work.ledger.writing() as (session, chain):
        batch = hold(work.ledger, session, work.lease)
        audit = session.get(Audit, batch.id)
        version = session.scalars(select(Version).where(Version.batch_id == batch.id)).one_or_none()
        rows = in_work(session, batch.id)
        earlier = covered_by(session, exclude=[row.id for row in rows])
        for row in rows:
            outcome = "inconclusive" if audit is None else audit.outcome
            accepted = outcome in settings.accept
            told = (
                "which the policy accepts"
                if accepted
                else f"which the policy does not accept ({', '.join(settings.accept)})"
            )
            doubt = None if batch.kind == "retrain" else _doubt(session, row, earlier, settings)
            if accepted and doubt is not None:
                accepted, told = False, f"{told}; but {doubt}"
            state = CLOSED if accepted else NEEDS_DECISION
            end(
                session,
                chain,
                batch,
                row,
                state,
                f"the audit found {outcome}, {told}",
                outcome=outcome,
                after=None if version is None else version.id,
            )
        batch.open, batch.owner, batch.until, batch.finished = None, None, None, chain.time


def _doubt(session: Session, request: Request, earlier: Mapping[str, set[int]], settings: Settings) -> str | None:
    """Why the records of a request that were forgotten before keep it from being closed, as this audit looked at none."""
    marks = session.scalars(select(Record.mark).where(Record.request_id == request.id)).all()
    before = [mark for mark in marks if mark in earlier]
    if not before:
        return None
    others = sorted({number for mark in before for number in earlier[mark]})
    outcome, still = found_before(session, others)
    told = f"{len(before)} of its {len(marks)} record ids were forgotten before, for requests {few(others)}"
    if outcome not in settings.accept:
        return f"{told}, and the audits found {outcome} then"
    return f"{told}, and requests {few(still)} still need a decision" if still else None


def _fail(work: Work, why: str) -> None:
    with work.ledger.writing() as (session, chain):
        batch = hold(work.ledger, session, work.lease)
        for row in in_work(session, batch.id):
            end(session, chain, batch, row, FAILED, why)
        batch.open, batch.owner, batch.until, batch.finished = None, None, None, chain.time


def _outcome(work: Work) -> Processed:
    """What became of it, read back."""
    with work.ledger.database.reading() as session:
        batch = session.get_one(Batch, work.lease.batch)
        rows = session.execute(select(Request.id, Request.state).where(Request.batch_id == batch.id))
        audit = session.get(Audit, batch.id)
        offers = session.scalars(select(Offer.id).where(Offer.batch_id == batch.id)).all()
        return Processed(
            batch.id,
            dict(sorted(rows)),
            batch.kind,
            batch.why or "",
            tuple(work.notes),
            None if audit is None else audit.outcome,
            None if audit is None else audit.reason,
            len(offers),
        )
