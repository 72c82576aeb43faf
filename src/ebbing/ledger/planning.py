"""From requests to records: whose they are, which were forgotten before, and what is left to do."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.bodies import batch_body, records_digest
from ebbing.ledger.chain import Chain, marked
from ebbing.ledger.deciding import finish, move
from ebbing.ledger.erasure import AUDITED, CLOSED, FAILED, NEEDS_DECISION, PLANNED, UNLEARNED
from ebbing.ledger.schema import Audit, Batch, Offer, Personal, Record, Request
from ebbing.ledger.settings import OUTCOMES, Settings

Subjects = Callable[[str], Sequence[str]]
FORGOTTEN = (UNLEARNED, AUDITED, NEEDS_DECISION, CLOSED)  # states whose records a current model has forgotten


@dataclass(frozen=True)
class Plan:
    """What a batch comes to.

    Attributes:
        kind: "nothing", "unlearn", "gone" or "retrain".
        why: in words.
        keys: of the records that are forgotten now.
        notes: for whoever watches, one for each request that costs nothing or failed.
    """

    kind: str
    why: str
    keys: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass
class Known:
    """What planning needs to know of the data, without holding any.

    Attributes:
        keys: of the data set, each once.
        marks: salted hashes of these keys.
        subjects: from a subject to keys; None where there is no map.
        contents: from keys to salted hashes of the records with them, by spaces.
        alike: from keys that go, and keys that are to go or have gone, to keys that stay and are like them, with the key they
            are like, kind and distance.
        spent: why the model is to be retrained; None where it is not.
        method: that unlearns.
        gone_method: for records that are gone at the source.
        described: settings by the kind of a batch, as JSON.
        answers: what the map said of each subject that it was asked about, and what was wrong with that.
    """

    keys: Collection[str]
    marks: Collection[str] = ()
    subjects: Subjects | None = None
    contents: Callable[[Sequence[str]], Mapping[str, str]] = lambda keys: {}
    alike: Callable[[Sequence[str], Collection[str]], Sequence[tuple[str, str, str, float]]] = lambda keys, gone: ()
    spent: str | None = None
    method: str | None = None
    gone_method: str | None = None
    described: Mapping[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[list[str], str | None]] = field(default_factory=dict)


class UnresolvedError(Exception):
    """Why a request cannot be resolved to records; the text names no person and no record."""


def subjects_of(path: Path) -> Subjects:
    """The map of a table with the columns ``subject`` and ``record``, one record a line.

    Raises:
        InputError: if it cannot be read, or has other columns.
    """
    found: dict[str, list[str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"subject", "record"} <= set(rows.fieldnames or ()):
                raise InputError(f"{path} must have the columns subject and record, but has {rows.fieldnames}.")
            for row in rows:
                found.setdefault((row["subject"] or "").strip(), []).append((row["record"] or "").strip())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the map of subjects {path} must be a table, but cannot be read: {error}.") from None
    return lambda subject: found.get(subject, ())


def resolve(fields: Mapping[str, object], known: Known) -> list[str]:
    """The keys that a request names; the map of subjects is asked once about each.

    Raises:
        UnresolvedError: if the subject is unknown; an empty answer of the map counts as that.
    """
    if fields.get("subject") is None:
        return [str(key) for key in fields["records"]]  # type: ignore[attr-defined]
    subject = str(fields["subject"])
    if subject not in known.answers:
        known.answers[subject] = _asked(known.subjects, subject)
    keys, problem = known.answers[subject]
    if problem is not None:
        raise UnresolvedError(problem)
    return keys


def _asked(subjects: Subjects | None, subject: str) -> tuple[list[str], str | None]:
    """The keys of a subject, and what is wrong with the map or its answer."""
    if subjects is None:
        return [], "it names a subject, and ledger.json has no map of subjects (`subjects`)"
    try:
        found = subjects(subject)
        keys = list(dict.fromkeys(str(key) for key in (() if found is None else found)))
    except Exception as error:  # of the user's own function; its text may name the person
        return [], f"the map of subjects raised {type(error).__name__}"
    if isinstance(found, str):  # each of its characters may be an id
        return [], "the map of subjects must give a list of ids, but gave text"
    return keys, None if keys else "its subject is not in the map of subjects"


def resolved(
    session: Session, salt: str, requests: Sequence[Request], known: Known, earlier: Collection[str]
) -> tuple[dict[int, dict[str, str]], dict[int, str]]:
    """The records of requests as keys by salted hash, and why others cannot be done, both by number; nothing is changed.

    Args:
        session: to read with.
        salt: of the ledger.
        requests: in their order; they are taken one after the other until no record would stay.
        known: of the data.
        earlier: hashes of records that have gone already.
    """
    staying = set(known.marks) - all_marks(session)
    named: dict[int, dict[str, str]] = {}
    failed: dict[int, str] = {}
    for request in requests:
        try:
            keys = resolve(json.loads(session.get_one(Personal, request.id).fields), known)
            own = {marked(salt, "record", key): key for key in keys}
            strange = [mark for mark, key in own.items() if key not in known.keys and mark not in earlier]
            if strange and not request.gone:
                raise UnresolvedError(
                    f"{len(strange)} of its {len(keys)} record ids are not in the data set; if they are gone at the source "
                    "already, the request must say so (--gone)"
                )
            if staying and not staying - own.keys():
                raise UnresolvedError(
                    "with its records gone no record of the data set would stay, and nothing can be learned from none"
                )
        except UnresolvedError as error:
            failed[request.id] = str(error)
        else:
            named[request.id] = own
            staying -= own.keys()
    return named, failed


def plan(session: Session, chain: Chain, batch: Batch, known: Known, settings: Settings) -> Plan:
    """Resolve a batch's requests and say what is to be done; duplicates and failures are finished.

    Everything is written in the transaction of ``session``.
    """
    requests = list(session.scalars(select(Request).where(Request.batch_id == batch.id).order_by(Request.id)))
    own = [request.id for request in requests]
    session.execute(
        delete(Record).where(Record.request_id.in_(own))
    )  # of an earlier planning, where one is tried again
    earlier = covered_by(session, exclude=own)
    named, failed = resolved(session, chain.salt, requests, known, earlier)
    notes: list[str] = []
    left = {
        m: key for r in requests if r.id in named for m, key in named[r.id].items() if m not in earlier or r.retrain
    }
    contents = known.contents([key for key in left.values() if key in known.keys])
    for number, keys_by_mark in named.items():
        session.add_all(
            Record(request_id=number, mark=mark, key=key, contents=contents.get(key, ""))
            for mark, key in keys_by_mark.items()
        )
    session.flush()
    again = any(r.retrain for r in requests if r.id in named)
    batch.kind, batch.why = _kind(left, requests, known, again=again)
    batch.method = {"unlearn": known.method, "gone": known.gone_method, "retrain": "retrain"}.get(batch.kind)
    batch.settings = known.described.get(batch.kind)
    batch.seed = settings.seed + batch.id
    offers = [
        Offer(batch_id=batch.id, key=key, like=marked(chain.salt, "record", like), kind=kind, distance=distance)
        for key, like, kind, distance in known.alike(list(left.values()), all_keys(session))
    ]
    session.add_all(offers)
    digests = {
        chain.name(r.id): records_digest((m, contents.get(k, "")) for m, k in named.get(r.id, {}).items())
        for r in requests
    }
    chain.append("planned", {**batch_body(batch, offers, chain.salt), "requests": digests})
    for request in requests:
        if request.id in failed:
            end(session, chain, batch, request, FAILED, failed[request.id])
            notes.append(f"Request {request.id} failed: {failed[request.id]}.")
        elif all(mark in earlier for mark in named[request.id]) and not request.retrain:
            notes.append(_duplicate(session, chain, batch, request, named[request.id], earlier, settings))
        else:
            move(request, PLANNED)
            request.why = request.by = None
    return Plan(batch.kind, batch.why or "", tuple(left.values()), tuple(notes))


def _kind(left: Mapping[str, str], requests: Sequence[Request], known: Known, *, again: bool) -> tuple[str, str]:
    if not left:
        return "nothing", "no record is left to forget"
    if again:
        return "retrain", "it was decided that the model is retrained"
    if known.spent is not None:
        return "retrain", f"the budget of drift is spent: {known.spent}"
    if requests[0].gone:
        return "gone", "the records are gone at the source: only methods that never read them may be used"
    return "unlearn", f"{len(left)} record ids are to be forgotten"


def _duplicate(
    session: Session,
    chain: Chain,
    batch: Batch,
    request: Request,
    marks: Collection[str],
    earlier: Mapping[str, set[int]],
    settings: Settings,
) -> str:
    """Finish a request whose records were all forgotten before: by what the audits of that time found."""
    others = sorted({number for mark in marks for number in earlier[mark]})
    outcome, open_ = found_before(session, others)
    told = (
        f"all {len(marks)} record ids were forgotten before, for requests {few(others)}: nothing was done, at no cost"
    )
    state = CLOSED if outcome in settings.accept and not open_ else NEEDS_DECISION
    doubt = f"; still to be decided: requests {few(open_)}" if open_ else ""
    end(session, chain, batch, request, state, f"{told}; found then: {outcome}{doubt}", outcome=outcome)
    return f"Request {request.id}: {told}."


def found_before(session: Session, numbers: Sequence[int]) -> tuple[str, list[int]]:
    """The worst that the audits of earlier requests found, and which of these requests still need a decision."""
    found = session.scalars(
        select(Audit.outcome).join(Request, Request.batch_id == Audit.batch_id).where(Request.id.in_(numbers))
    ).all()
    still = select(Request.id).where(Request.id.in_(numbers), Request.state == NEEDS_DECISION).order_by(Request.id)
    return min(found, key=OUTCOMES.index, default="inconclusive"), list(session.scalars(still))


def few(numbers: Sequence[int]) -> str:
    """The first five numbers of requests, and how many more there are."""
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def covered_by(session: Session, *, exclude: Iterable[int] = ()) -> dict[str, set[int]]:
    """The marks of records that the current model has forgotten, with the requests they were forgotten for."""
    query = (
        select(Record.mark, Record.request_id)
        .join(Request, Request.id == Record.request_id)
        .join(Audit, Audit.batch_id == Request.batch_id)
        .where(Request.state.in_(FORGOTTEN), Request.id.not_in(list(exclude)))
    )
    found: dict[str, set[int]] = {}
    for mark, number in session.execute(query):
        found.setdefault(mark, set()).add(number)
    return found


def all_keys(session: Session) -> set[str]:
    """The keys of all records that any request names, where they are not redacted."""
    return set(session.scalars(select(Record.key).where(Record.key.is_not(None)).distinct()))


def all_marks(session: Session) -> set[str]:
    """The marks of all records that any request names, redacted or not."""
    return set(session.scalars(select(Record.mark).distinct()))


def end(
    session: Session,
    chain: Chain,
    batch: Batch,
    request: Request,
    state: str,
    why: str,
    *,
    outcome: str | None = None,
    after: int | None = None,
) -> None:
    """Finish a request, and add its record to the chain."""
    finish(chain, request, state, why)
    chain.append(
        "finished",
        {
            "request": chain.name(request.id),
            "batch": batch.id,
            "kind": batch.kind,
            "before": batch.before_id,
            "after": batch.before_id if after is None else after,
            "method": batch.method,
            "settings": batch.settings,
            "outcome": outcome,
            "state": state,
            "reason": why,
            "covers": "model weights only",
        },
    )
