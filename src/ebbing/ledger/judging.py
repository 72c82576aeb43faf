"""New weights are judged beside retrained ones, and what was found is written down."""

from __future__ import annotations

import json
from typing import Any

from ebbing.auditing import AuditReport
from ebbing.ledger.bodies import audit_body
from ebbing.ledger.deciding import move
from ebbing.ledger.digests import file_digest
from ebbing.ledger.drift import measured
from ebbing.ledger.erasure import AUDITED
from ebbing.ledger.leases import hold
from ebbing.ledger.schema import Audit
from ebbing.ledger.verifying import page_of
from ebbing.ledger.work import Work, in_work
from ebbing.verdict import INCONCLUSIVE

EXACT = (
    "Whatever was found, by its making the ensemble is, bit for bit, what training in shards without the records gives."
)


def judge(work: Work) -> None:
    """Judge the new weights beside retrained ones, and write down what was found."""
    batch = work.batch()
    request = work.request
    _, model = work.current()
    study = work.study(batch, request, model)
    figures: dict[str, Any] = {}
    digest = name = None
    if len(request.forget_ids):
        report = study.run(progress=work.progress)
        outcome, reason = report.verdict.outcome, report.verdict.reason
        figures = _figures(report)
        name = f"reports/batch-{batch.id:04d}.json"
        digest = file_digest(work.ledger.folder / name)
        figures["page"] = {"digest": file_digest(page_of(work.ledger.folder / name))}
    else:
        outcome = INCONCLUSIVE
        reason = "The records are gone at the source: no test could look for what the model keeps of them."
    made, _ = study.unlearn(*next(iter(study.methods.items())), model)
    retrained = list(study.bank(progress=work.progress)) if len(request.forget_ids) else []
    figures |= measured(work.project, made, retrained, request, work.places()[2])
    if work.project.shards is not None:
        figures["exact"] = work.project.shards.is_exact(made, work.ensemble_seed(batch), request)
        if figures["exact"]:
            reason = f"{reason} {EXACT}"
    work.on_step("judged")
    with work.ledger.writing() as (session, chain):
        hold(work.ledger, session, work.lease)
        found = Audit(
            batch_id=batch.id,
            outcome=outcome,
            reason=reason,
            figures=json.dumps(figures),
            report=name,
            digest=digest,
            made=chain.time,
        )
        session.add(found)
        for row in in_work(session, batch.id):
            move(row, AUDITED)
        chain.append("audited", audit_body(found))


def _figures(report: AuditReport) -> dict[str, Any]:
    """The numbers of an audit that its record keeps; the report has all."""
    subject = next(iter(report.data["methods"].values()))
    original = report.data["original"]
    return {
        "accuracy": subject["accuracy"],
        "memory": None if subject["memory"] is None else {k: subject["memory"][k] for k in ("m", "w")},
        "memory-before": None if original["memory"] is None else original["memory"]["m"],
        "drift": subject["drift"],
        "bands": report.data["bands"],
        "references": report.data["oracles"]["count"],
        "cost": subject["cost"],
    }
