"""What the chain says of batches, versions, audits and records, as values that JSON holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ebbing.ledger.chain import digest, marked
from ebbing.ledger.erasure import CLOSED, FAILED, RECEIVED
from ebbing.ledger.schema import REDACTED, Audit, Batch, Offer, Version


def records_digest(records: Iterable[tuple[str, str]]) -> str:
    """64 hexadecimal digits of the marks and contents of the records that a request names."""
    return digest(sorted([mark, contents] for mark, contents in records))


def request_body(known: Mapping[str, Any]) -> dict[str, Any]:
    """What a request's row must hold; ``known`` is what the chain tells of it, nothing while it was only received."""
    return {
        "state": known.get("state", RECEIVED),
        "why": known.get("why"),
        "by": known.get("by"),
        "retrain": known.get("retrain", False),
        "finished": known.get("time") if known.get("state") in (CLOSED, FAILED) else None,
    }


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
