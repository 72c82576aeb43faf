"""What planning a batch needs of the user's data and of the current model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.chain import marked
from ebbing.ledger.drift import spent
from ebbing.ledger.leases import hold
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.neighbours import Offered, alike
from ebbing.ledger.planning import Known, Plan, UnresolvedError, all_marks, covered_by, plan, resolve, resolved
from ebbing.ledger.project import Project
from ebbing.ledger.schema import Batch, Fact, Personal, Request
from ebbing.ledger.work import Work, described


def prepare(work: Work) -> Plan:
    """Resolve the requests, find what is left, and write it down."""
    with work.ledger.database.reading() as session:
        salt = session.get_one(Fact, "salt").value
        batch = session.get_one(Batch, work.lease.batch)
        requests = session.scalars(select(Request).where(Request.batch_id == batch.id)).all()
        known = Known(set(work.project.places), subjects=work.project.subjects)
        known.method, known.gone_method = (work.ledger.settings.method, work.ledger.settings.gone_method)
        known.described = {k: described(m) for k, m in work.methods().items() if m is not None}
        known.spent = spent(session, work.ledger.settings.budget, work.ledger.settings.accept)
        named = _named(session, requests, known)
        marks = all_marks(session)
    places = work.project.marks(salt)
    gone = {work.project.names[places[mark][0]] for mark in marks & places.keys()}  # of redacted requests as well
    known.marks = places.keys()
    known.contents = _remembered(work.project.contents(salt, [k for k in named if k in known.keys]))
    offers = _alike(work, named, gone) if named else []
    known.alike = lambda keys, gone: [o for o in offers if o[0] not in gone and o[1] in set(keys)]
    _refuse_what_cannot_be_done(work, known, any(r.retrain for r in requests), any(r.gone for r in requests))
    with work.ledger.writing() as (session, chain):
        batch = hold(work.ledger, session, work.lease)
        return plan(session, chain, batch, known, work.ledger.settings)


def foreseen(ledger: Ledger, project: Project, requests: Sequence[Request]) -> dict[int, str]:
    """Why requests would fail if they were processed now, by number, as far as that can be told; nothing is changed.

    Args:
        ledger: that they are in.
        project: what ``ledger.json`` names.
        requests: none of them begun.
    """
    with ledger.database.reading() as session:
        salt = session.get_one(Fact, "salt").value
        known = Known(set(project.places), project.marks(salt).keys(), project.subjects)
        earlier = covered_by(session, exclude=[request.id for request in requests])
        _, failing = resolved(session, salt, requests, known, earlier)
    return failing


def _refuse_what_cannot_be_done(work: Work, known: Known, again: bool, gone: bool) -> None:
    if work.project.trainer is None and (again or known.spent is not None):
        why = known.spent or "that was decided"
        raise InputError(
            f"the model must be retrained ({why}), but ledger.json names no training function (`train_fn`). Name one, or "
            "raise `budget`."
        )
    if work.project.method is None and not gone:
        raise InputError("`method` in ledger.json must name an unlearning method, but names none.")


def _alike(work: Work, keys: Sequence[str], gone: set[str]) -> list[Offered]:
    _, model = work.current()
    return alike(work.project, model, keys, gone, nearness=work.ledger.settings.neighbours)


def _named(session: Session, requests: Sequence[Request], known: Known) -> list[str]:
    """The keys that requests name and that are not forgotten yet, as far as they can be resolved."""
    salt = session.get_one(Fact, "salt").value
    earlier = covered_by(session, exclude=[r.id for r in requests])
    found: dict[str, None] = {}
    for request in requests:
        try:
            keys = resolve(json.loads(session.get_one(Personal, request.id).fields), known)
        except UnresolvedError:
            continue
        found |= dict.fromkeys(k for k in keys if request.retrain or marked(salt, "record", k) not in earlier)
    return list(found)


def _remembered(found: dict[str, str]) -> Callable[[Sequence[str]], dict[str, str]]:
    return lambda keys: {key: found[key] for key in keys if key in found}
