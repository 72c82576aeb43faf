"""Is the ledger what was written? The chain is read from its beginning, and every table is held against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ebbing.ledger.chain import START, commitment, digest, link, marked, receipt_of, signed_part
from ebbing.ledger.database import HEAD
from ebbing.ledger.digests import file_digest, weights_digest
from ebbing.ledger.erasure import AUDITED, CLOSED, FAILED, PLANNED, RECEIVED, UNLEARNED
from ebbing.ledger.keys import PublicKey
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.manifest import is_manifest, read_manifest, record_beside, weights_of
from ebbing.ledger.schema import REDACTED, Audit, Batch, Entry, Fact, Offer, Personal, Record, Request, Version


@dataclass
class Verified:
    """What was found.

    Attributes:
        problems: what is not as it was written, in words; empty if all is well.
        redacted: requests whose personal fields were taken away, as the chain says.
        entries: how many were checked.
        weights: how many versions were found on the disk as they were written.
        head: the hash of the last entry.
    """

    problems: list[str] = field(default_factory=list)
    redacted: list[int] = field(default_factory=list)
    entries: int = 0
    weights: int = 0
    head: str = START


@dataclass
class Expected:
    """What the tables must hold, as the chain tells it; requests go by their names in the chain."""

    facts: dict[str, str] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    audits: dict[int, dict[str, Any]] = field(default_factory=dict)
    redacted: set[str] = field(default_factory=set)
    purged: dict[int, str] = field(default_factory=dict)

    def take(self, kind: str, body: dict[str, Any]) -> None:
        """Go on by one entry."""
        if kind == "began":
            self.facts = body
        elif kind == "received":
            self.receipts.append(body)
        elif kind == "planned":
            self.batches[body["batch"]] = body
            for name, records in body["requests"].items():
                flagged = self.requests.get(name, {}).get("retrain", False)
                known = {"state": PLANNED, "batch": body["batch"], "records": records, "retrain": flagged}
                self.requests[name] = known
        elif kind == "version":
            self.versions[body["version"]] = body
            self._all_of(body["batch"], UNLEARNED)
        elif kind == "audited":
            self.audits[body["batch"]] = body
            self._all_of(body["batch"], AUDITED)
        elif kind == "finished":
            said = {"state": body["state"], "why": body["reason"], "batch": body["batch"], "by": None, "retrain": False}
            self.requests.setdefault(body["request"], {}).update(said | {"time": body["time"]})
        elif kind == "decided":
            said = {"state": body["state"], "why": body["reason"], "by": body["by"], "time": body["time"]}
            again: dict[str, Any] = {"batch": None} if body["state"] == RECEIVED else {}
            again["retrain"] = body["decision"] == "retrain"
            self.requests.setdefault(body["request"], {}).update(said | again)
        elif kind == "redacted":
            self.redacted.add(body["request"])
        elif kind == "purged":
            self.purged |= dict.fromkeys(body["versions"], body["time"])

    def _all_of(self, batch: int | None, state: str) -> None:
        for name in [] if batch is None else self.batches[batch]["requests"]:
            known = self.requests[name]
            if known["batch"] == batch and known["state"] in (PLANNED, UNLEARNED):  # a duplicate is finished already
                known["state"] = state


def verify(ledger: Ledger, *, public_key: str | None = None, head: str | None = None) -> Verified:
    """Check the chain, its signatures, the tables against it, and the files.

    Args:
        ledger: whose.
        public_key: that must have signed it, kept elsewhere: whoever can write the ledger could sign it anew with a key of
            their own, and exchange the one it names. None takes the ledger's word.
        head: a hash that an earlier check gave: an entry must have it, or the end was cut off.
    """
    found = Verified()
    if public_key is not None:
        PublicKey(public_key)  # a slip of the pen is no tampering
    with ledger.database.reading() as session:
        facts = {fact.name: fact.value for fact in session.scalars(select(Fact))}
        lacking = {"salt", "public-key", HEAD} - facts.keys()
        if lacking:
            found.problems.append(
                f"the ledger no longer holds its {', '.join(sorted(lacking))}: nothing can be checked"
            )
            return found
        expected = Expected()
        hashes: set[str] = set()
        with _readable("the chain", found):
            hashes = _check_chain(session, facts, expected, found, key=public_key)
        if head is not None and head not in hashes:
            found.problems.append(
                f"no entry has the hash {head}: entries were cut off the end, or the chain was replaced"
            )
        with _readable("requests", found):
            _check_requests(session, facts["salt"], expected, found)
        with _readable("records", found):
            _check_records(session, facts["salt"], expected, found)
        with _readable("batches, versions and audits", found):
            _check_rows(session, facts["salt"], expected, found)
        with _readable("the names of files", found):
            _check_files(session, ledger.folder, found)
    return found


@contextmanager
def _readable(what: str, found: Verified) -> Iterator[None]:
    """Tell of what is so unlike anything that a ledger writes that its check cannot go on."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        found.problems.append(f"{what} cannot be read as a ledger writes them ({type(error).__name__})")


def _check_chain(
    session: Session, facts: dict[str, str], expected: Expected, found: Verified, *, key: str | None
) -> set[str]:
    if key is not None and key != facts["public-key"]:
        found.problems.append("the ledger names another public key than the one that was passed")
    public = PublicKey(key or facts["public-key"])
    previous, hashes = START, set()
    for seq, entry in enumerate(session.scalars(select(Entry).order_by(Entry.seq)), start=1):
        where = f"entry {entry.seq}"
        if entry.seq != seq:
            found.problems.append(f"{where}: an entry is missing before it, as it should be number {seq}")
            break
        if entry.previous != previous:
            found.problems.append(f"{where}: it does not follow on the entry before it")
        if entry.hash != link(entry.seq, entry.kind, entry.body, entry.previous):
            found.problems.append(f"{where}: its hash is not that of its content")
        if not public.verifies(entry.signature, signed_part(entry.hash)):
            found.problems.append(f"{where}: its signature is not of the ledger's key")
        try:
            expected.take(entry.kind, json.loads(entry.body))
        except (KeyError, TypeError, ValueError, AttributeError):
            found.problems.append(f"{where}: its content cannot be read")
        previous = entry.hash
        hashes.add(previous)
        found.entries = seq
    found.head = previous
    if facts[HEAD] != f"{found.entries} {previous}":
        found.problems.append("the head of the chain is not its last entry: entries were cut off the end")
    said = {"public-key": facts["public-key"], "salt": digest(facts["salt"])}
    if {name: expected.facts.get(name) for name in said} != said:
        found.problems.append("public key or salt are not those that the ledger began with")
    return hashes


def _check_requests(session: Session, salt: str, expected: Expected, found: Verified) -> None:
    rows = session.execute(select(Request, Personal).outerjoin(Personal, Personal.request_id == Request.id))
    receipts: dict[int, str] = {}
    taken = session.scalar(select(Batch.id).where(Batch.open.is_(True), Batch.kind == "taken"))  # and not planned yet
    for request, personal in rows:
        receipts[request.id] = receipt_of(request)
        name = marked(salt, "request", str(request.id))
        _check_personal(request, personal, salt, name in expected.redacted, found)
        known = expected.requests.get(name, {})
        wanted = {
            "state": known.get("state", RECEIVED),
            "why": known.get("why"),
            "by": known.get("by"),
            "retrain": known.get("retrain", False),
            "finished": known.get("time") if known.get("state") in (CLOSED, FAILED) else None,
        }
        for column, value in wanted.items():
            if getattr(request, column) != value:
                found.problems.append(f"request {request.id}: its `{column}` is not what the chain says")
        if request.batch_id not in (known.get("batch"), taken if request.state == RECEIVED else known.get("batch")):
            found.problems.append(f"request {request.id}: its `batch_id` is not what the chain says")
    covered = 0
    for body in expected.receipts:
        numbers = range(body["first"], body["first"] + body["count"])
        covered += len(numbers)
        missing = [n for n in numbers if n not in receipts]
        if missing:
            found.problems.append(f"{len(missing)} requests were removed, number {missing[0]} first")
        elif digest([receipts[n] for n in numbers]) != body["digest"]:
            which = (
                f"request {numbers[0]}" if len(numbers) == 1 else f"one of the requests {numbers[0]} to {numbers[-1]}"
            )
            found.problems.append(f"{which}: it does not say what it said when it was received")
    if covered < len(receipts):
        found.problems.append(f"{len(receipts) - covered} requests were never received, as far as the chain knows")


def _check_personal(request: Request, personal: Personal | None, salt: str, redacted: bool, found: Verified) -> None:
    if personal is None:
        if redacted:
            found.redacted.append(request.id)
        else:
            found.problems.append(f"request {request.id}: its personal fields are gone, and nobody redacted them")
        return
    if redacted:
        found.problems.append(f"request {request.id}: it was redacted, but has personal fields again")
    try:
        fields = json.loads(personal.fields)
        binding = commitment(personal.nonce, fields)
    except (TypeError, ValueError):
        fields, binding = {}, ""
    reference = fields.get("reference")
    mark = None if reference is None else marked(salt, "reference", reference)
    if binding != request.commitment or mark != request.mark:
        found.problems.append(f"request {request.id}: its personal fields are not those that were received")


def records_digest(records: Iterable[tuple[str, str]]) -> str:
    """64 hexadecimal digits of the marks and contents of the records that a request names."""
    return digest(sorted([mark, contents] for mark, contents in records))


def _check_records(session: Session, salt: str, expected: Expected, found: Verified) -> None:
    by_request: dict[int, list[tuple[str, str]]] = {}
    for record in session.scalars(select(Record).order_by(Record.id)):
        by_request.setdefault(record.request_id, []).append((record.mark, record.contents))
        name = marked(salt, "request", str(record.request_id))
        if record.key is None and name not in expected.redacted:
            found.problems.append(f"request {record.request_id}: the key of a record is gone, and nobody redacted it")
        if record.key is not None and marked(salt, "record", record.key) != record.mark:
            found.problems.append(f"request {record.request_id}: the key of a record is not the one that was planned")
    names = {marked(salt, "request", str(number)): number for number in by_request}
    for name, number in names.items():
        if expected.requests.get(name, {}).get("records") != records_digest(by_request[number]):
            found.problems.append(f"request {number}: its records are not those that were planned")
    planned = {
        name for name, known in expected.requests.items() if known.get("records") not in (None, records_digest([]))
    }
    if planned - names.keys():
        found.problems.append(f"the records of {len(planned - names.keys())} planned requests were removed")


def batch_body(batch: Batch, offers: Iterable[Offer], salt: str) -> dict[str, Any]:
    """What the chain says of a batch when it is planned; offered records go by their marks, which outlive redaction."""
    alike = sorted([offer_mark(o, salt), o.like, o.kind, o.distance] for o in offers)
    return {
        "batch": batch.id,
        "kind": batch.kind,
        "why": batch.why,
        "seed": batch.seed,
        "method": batch.method,
        "settings": batch.settings,
        "before": batch.before_id,
        "started": batch.started,
        "alike": digest(alike),
    }


def offer_mark(offer: Offer, salt: str) -> str:
    """The salted hash of the key of an offered record, redacted or not."""
    return offer.key.removeprefix(REDACTED) if is_redacted(offer) else marked(salt, "record", offer.key)


def is_redacted(offer: Offer) -> bool:
    """Whether the key of an offered record was taken away."""
    return offer.key.startswith(REDACTED) and len(offer.key) == len(REDACTED) + 64


def version_body(version: Version) -> dict[str, Any]:
    """What the chain says of a version."""
    return {
        "version": version.id,
        "parent": version.parent_id,
        "batch": version.batch_id,
        "kind": version.kind,
        "file": version.file,
        "weights": version.weights,
    } | ({} if version.record is None else {"record": version.record})


def audit_body(audit: Audit) -> dict[str, Any]:
    """What the chain says of an audit."""
    return {
        "batch": audit.batch_id,
        "outcome": audit.outcome,
        "reason": audit.reason,
        "figures": json.loads(audit.figures),
        "report": audit.report,
        "digest": audit.digest,
    }


def _check_rows(session: Session, salt: str, expected: Expected, found: Verified) -> None:
    offers: dict[int, list[Offer]] = {}
    for offer in session.scalars(select(Offer)):
        offers.setdefault(offer.batch_id, []).append(offer)
    batches = {
        b.id: batch_body(b, offers.get(b.id, ()), salt)
        for b in session.scalars(select(Batch).where(Batch.kind != "taken"))
    }
    _check_offers(session, salt, offers, expected, found)
    _compare("batch", batches, expected.batches, found)
    versions = list(session.scalars(select(Version)))
    _compare("version", {v.id: version_body(v) | {"time": v.made} for v in versions}, expected.versions, found)
    audits = session.scalars(select(Audit))
    _compare("audit of batch", {a.batch_id: audit_body(a) | {"time": a.made} for a in audits}, expected.audits, found)
    for version in versions:
        if version.purged != expected.purged.get(version.id):
            found.problems.append(f"version {version.id}: the chain does not say that it was purged then")


def _check_offers(
    session: Session, salt: str, offers: dict[int, list[Offer]], expected: Expected, found: Verified
) -> None:
    """Only what has to do with a redacted request may be without its key."""
    gone = {
        record.mark
        for record in session.scalars(select(Record))
        if marked(salt, "request", str(record.request_id)) in expected.redacted
    }
    for batch, rows in offers.items():
        for offer in filter(is_redacted, rows):
            if not gone & {offer.like, offer_mark(offer, salt)}:
                found.problems.append(f"batch {batch}: the key of an offered record is gone, and nobody redacted it")


def _compare(what: str, rows: dict[int, dict[str, Any]], told: dict[int, dict[str, Any]], found: Verified) -> None:
    for number in sorted(rows.keys() | told.keys()):
        if number not in rows:
            found.problems.append(f"{what} {number}: it was removed")
        elif number not in told:
            found.problems.append(f"{what} {number}: the chain knows nothing of it")
        else:
            wrong = [name for name, value in rows[number].items() if told[number].get(name) != value]
            if wrong:
                found.problems.append(f"{what} {number}: its `{'`, `'.join(wrong)}` is not what the chain says")


def _check_files(session: Session, folder: Path, found: Verified) -> None:
    seen: dict[str, bool] = {}  # versions of an ensemble share the checkpoints of shards that were not hit
    for version in session.scalars(select(Version).where(Version.purged.is_(None)).order_by(Version.id)):
        if _is_whole(folder, version, found, seen):
            found.weights += 1
    for audit in session.scalars(select(Audit).where(Audit.report.is_not(None)).order_by(Audit.batch_id)):
        report, what = folder / str(audit.report), f"the report on batch {audit.batch_id}"
        _sound(report, audit.digest, what, found)
        page = _page_digest(audit)
        if page is not None:
            _sound(page_of(report), page, what, found)


def page_of(report: Path) -> Path:
    """The page that people read, beside a report."""
    return report.with_suffix(".html")


def _page_digest(audit: Audit) -> str | None:
    """What the figures say of the page's bytes; None where they say nothing, as those of earlier ledgers."""
    try:
        return str(json.loads(audit.figures)["page"]["digest"])
    except (KeyError, TypeError, ValueError):  # changed figures are told elsewhere
        return None


def _is_whole(folder: Path, version: Version, found: Verified, seen: dict[str, bool]) -> bool:
    """Whether every file of a version is as it was written."""
    what = f"the weights of version {version.id}"
    if not _sound(folder / version.file, version.weights, what, found):
        return False
    if version.record is not None:
        record = record_beside(weights_of(folder, version.file))
        if not _sound(record, version.record, f"the record of version {version.id}", found):
            return False
    if not is_manifest(version.file):
        return True
    manifest = read_manifest(folder / version.file)
    parts = manifest.files
    for name, wanted in parts.items():
        if f"{name} {wanted}" not in seen:
            seen[f"{name} {wanted}"] = _sound(folder / name, wanted, what, found, digest=weights_digest)
    more = manifest.strangers(folder)
    found.problems += [f"{what}: {path} was not written with it" for path in more]
    return not more and all(seen[f"{name} {wanted}"] for name, wanted in parts.items())


def _sound(
    path: Path, wanted: str | None, what: str, found: Verified, *, digest: Callable[[Path], str] = file_digest
) -> bool:
    try:
        same = digest(path) == wanted
    except OSError as error:
        found.problems.append(f"{what}: {path} cannot be read ({error.strerror})")
        return False
    if not same:
        found.problems.append(f"{what}: {path} is not what was written")
    return same
