"""Is the ledger what was written? The chain is read from its beginning, and every table is held against it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ebbing.ledger.bodies import (
    batch_body,
    is_redacted,
    offer_mark,
    records_digest,
    request_body,
)
from ebbing.ledger.chain import commitment, digest, marked, receipt_of
from ebbing.ledger.database import HEAD
from ebbing.ledger.digests import file_digest, weights_digest
from ebbing.ledger.erasure import RECEIVED
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.manifest import is_manifest, read_manifest, record_beside, weights_of
from ebbing.ledger.schema import Audit, Batch, Entry, Fact, Offer, Personal, Record, Request, Version
from ebbing.ledger.told import (
    Expected,
    Verified,
    as_written,
    check_audits,
    check_chain,
    check_receipts,
    check_versions,
    compare,
    readable,
)


def verify(ledger: Ledger, *, public_key: str | None = None, head: str | None = None) -> Verified:
    """Check the chain, its signatures, the tables against it, and the files.

    Args:
        ledger: whose.
        public_key: that must have signed it, kept elsewhere: whoever can write the ledger could sign it anew with a key of
            their own, and exchange the one it names. One that was replaced by `rekey` will do. None takes the ledger's word.
        head: a hash that an earlier check gave: an entry must have it, or the end was cut off.

    Raises:
        InputError: if ``public_key`` or ``head`` cannot be one.
    """
    found = Verified()
    public_key, head = as_written(public_key, head)
    with ledger.database.reading() as session:
        facts = {fact.name: fact.value for fact in session.scalars(select(Fact))}
        lacking = {"salt", "public-key", HEAD} - facts.keys()
        if lacking:
            found.problems.append(
                f"the ledger no longer holds its {', '.join(sorted(lacking))}: nothing can be checked"
            )
            return found
        expected = Expected()
        with readable("the chain", found):
            entries = session.scalars(select(Entry).order_by(Entry.seq))
            check_chain(entries, facts["public-key"], expected, found, key=public_key, head=head)
            _check_facts(facts, expected, found)
        with readable("requests", found):
            _check_requests(session, facts["salt"], expected, found)
        with readable("records", found):
            _check_records(session, facts["salt"], expected, found)
        with readable("batches, versions and audits", found):
            _check_rows(session, facts["salt"], expected, found)
        with readable("the names of files", found):
            _check_files(session, ledger.folder, found)
    return found


def _check_facts(facts: dict[str, str], expected: Expected, found: Verified) -> None:
    if facts[HEAD] != f"{found.entries} {found.head}":
        found.problems.append("the head of the chain is not its last entry: entries were cut off the end")
    if expected.facts.get("salt") != digest(facts["salt"]):
        found.problems.append("the salt is not the one that the ledger began with")


def _check_requests(session: Session, salt: str, expected: Expected, found: Verified) -> None:
    rows = session.execute(select(Request, Personal).outerjoin(Personal, Personal.request_id == Request.id))
    receipts: dict[int, str] = {}
    taken = session.scalar(select(Batch.id).where(Batch.open.is_(True), Batch.kind == "taken"))  # and not planned yet
    for request, personal in rows:
        receipts[request.id] = receipt_of(request)
        name = marked(salt, "request", str(request.id))
        _check_personal(request, personal, salt, name in expected.redacted, found)
        known = expected.requests.get(name, {})
        for column, value in request_body(known).items():
            if getattr(request, column) != value:
                found.problems.append(f"request {request.id}: its `{column}` is not what the chain says")
        if request.batch_id not in (known.get("batch"), taken if request.state == RECEIVED else known.get("batch")):
            found.problems.append(f"request {request.id}: its `batch_id` is not what the chain says")
    check_receipts(receipts, expected, found)


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


def _check_rows(session: Session, salt: str, expected: Expected, found: Verified) -> None:
    offers: dict[int, list[Offer]] = {}
    for offer in session.scalars(select(Offer)):
        offers.setdefault(offer.batch_id, []).append(offer)
    batches = {
        b.id: batch_body(b, offers.get(b.id, ()), salt)
        for b in session.scalars(select(Batch).where(Batch.kind != "taken"))
    }
    _check_offers(session, salt, offers, expected, found)
    compare("batch", batches, expected.batches, found)
    check_versions(list(session.scalars(select(Version))), expected, found)
    check_audits(session.scalars(select(Audit)), expected, found)


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
