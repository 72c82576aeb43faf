"""From received requests to a new version of the model, in steps that each are written whole before the next begins.

taken -> planned -> weights -> unlearned -> audited -> finished. Whatever stops a worker, what the ledger holds says which
step comes next; what was computed is found again by content, so that nothing is done twice and the same bits come out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import nn

from ebbing import __version__, fingerprint
from ebbing.auditing import AuditReport
from ebbing.batches import size
from ebbing.checkpoints import WeightsRecord, read_record, read_weights, write_weights
from ebbing.errors import InputError
from ebbing.journal import RunRecord
from ebbing.ledger.chain import marked
from ebbing.ledger.deciding import move
from ebbing.ledger.digests import file_digest
from ebbing.ledger.drift import measured, spent
from ebbing.ledger.erasure import AUDITED, CLOSED, FAILED, NEEDS_DECISION, PLANNED, RECEIVED, UNLEARNED
from ebbing.ledger.leases import Lease, hold, kept, release, take
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.neighbours import Offered, alike
from ebbing.ledger.planning import Known, Plan, UnresolvedError, all_keys, all_marks, covered_by, end, plan, resolve
from ebbing.ledger.project import FromScratch, Project
from ebbing.ledger.schema import Audit, Batch, Fact, Offer, Personal, Record, Request, Version
from ebbing.ledger.verifying import audit_body, version_body
from ebbing.methods import Unlearner
from ebbing.request import ForgetRequest
from ebbing.study import Progress, Study, silent
from ebbing.training import seeded
from ebbing.verdict import INCONCLUSIVE

Step = Callable[[str], None]
STEPS = ("taken", "planned", "weights", "unlearned", "judged", "audited", "finished")


def unwatched(step: str) -> None:
    """Let a step pass."""


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


class _RolledBackError(Exception):
    """The method's run was undone; there are no weights to keep."""


@dataclass
class Work:
    """One batch in one worker's hands."""

    ledger: Ledger
    project: Project
    lease: Lease
    on_step: Step = unwatched
    progress: Progress = silent
    notes: list[str] = field(default_factory=list)

    # ------------------------------------------------------------ what is known

    def batch(self) -> Batch:
        """Its row."""
        with self.ledger.database.reading() as session:
            return session.get_one(Batch, self.lease.batch)

    @property
    def folder(self) -> Path:
        """Where its references and finished parts are kept."""
        return self.ledger.folder / "work" / f"batch-{self.lease.batch:04d}"

    def current(self) -> tuple[Version, nn.Module]:
        """The version that the batch begins with, loaded."""
        with self.ledger.database.reading() as session:
            version = session.get_one(Version, session.get_one(Batch, self.lease.batch).before_id)
        path = self.ledger.folder / version.file
        if file_digest(path) != version.weights:
            raise InputError(f"{path} must be version {version.id}, but is not what was written. Restore it.")
        with seeded(0):
            model = self.project.build()
        read_weights(path, model)
        return version, model.to(self.project.device)

    def places(self) -> tuple[list[int], list[int], dict[int, list[int]]]:
        """Positions to forget now, positions that went before, and those by earlier batch."""
        with self.ledger.database.reading() as session:
            salt = session.get_one(Fact, "salt").value
            batch = session.get_one(Batch, self.lease.batch)
            own = _in_work(session, batch.id)
            rows = session.execute(
                select(Record.mark, Request.batch_id, Request.id, Request.retrain).join(
                    Request, Request.id == Record.request_id
                )
            )
            earlier = covered_by(session, exclude=[r.id for r in own])
            everything = all_marks(session)
            by_batch: dict[int, set[str]] = {}
            now: set[str] = set()
            for mark, number, request_id, again in rows:
                if request_id in {r.id for r in own}:
                    if mark not in earlier or again:
                        now.add(mark)
                elif number is not None and mark in earlier:
                    by_batch.setdefault(number, set()).add(mark)
        marks = self.project.marks(salt)
        forget = sorted(i for mark in now for i in marks.get(mark, ()))
        gone = sorted({i for mark in everything - now for i in marks.get(mark, ())})
        found = {b: sorted(i for m in of for i in marks.get(m, ())) for b, of in sorted(by_batch.items())}
        return forget, gone, {b: positions for b, positions in found.items() if positions}

    def request(self) -> ForgetRequest:
        """What must be forgotten, of the data set as it is now."""
        forget, gone, _ = self.places()
        batch = self.batch()
        reads = batch.kind != "gone" and bool(forget)
        if not reads:
            gone = sorted({*gone, *forget})
        return self.project.request(forget if reads else [], gone, description=f"batch {batch.id} of the ledger")

    # ------------------------------------------------------------ the steps

    def plan(self) -> Plan:
        """Resolve the requests, find what is left, and write it down."""
        with self.ledger.database.reading() as session:
            salt = session.get_one(Fact, "salt").value
            batch = session.get_one(Batch, self.lease.batch)
            requests = session.scalars(select(Request).where(Request.batch_id == batch.id)).all()
            known = Known(set(self.project.places), self.project.subjects)
            known.method, known.gone_method = (self.ledger.settings.method, self.ledger.settings.gone_method)
            known.described = {
                k: json.dumps(fingerprint.as_plain(m)) for k, m in self._methods().items() if m is not None
            }
            known.spent = spent(session, self.ledger.settings.budget, self.ledger.settings.accept)
            named = _named(session, requests, known)
            gone = all_keys(session)
        known.contents = _remembered(self.project.contents(salt, [k for k in named if k in known.keys]))
        offers = self._alike(named, gone) if named else []
        known.alike = lambda keys, gone: [o for o in offers if o[0] not in gone and o[1] in set(keys)]
        self._refuse_what_cannot_be_done(known, any(r.retrain for r in requests), any(r.gone for r in requests))
        with self.ledger.writing() as (session, chain):
            batch = hold(self.ledger, session, self.lease)
            return plan(session, chain, batch, known, self.ledger.settings)

    def _methods(self) -> dict[str, Unlearner | None]:
        trainer = self.project.trainer
        scratch = None if trainer is None else FromScratch(trainer)
        return {"unlearn": self.project.method, "gone": self.project.gone_method, "retrain": scratch}

    def _refuse_what_cannot_be_done(self, known: Known, again: bool, gone: bool) -> None:
        if self.project.trainer is None and (again or known.spent is not None):
            why = known.spent or "that was decided"
            raise InputError(
                f"the model must be retrained ({why}), but ledger.json names no training function (`train_fn`). Name one, or "
                "raise `budget`."
            )
        if self.project.method is None and not gone:
            raise InputError("`method` in ledger.json must name an unlearning method, but names none.")

    def _alike(self, keys: Sequence[str], gone: set[str]) -> list[Offered]:
        _, model = self.current()
        return alike(self.project, model, keys, gone, nearness=self.ledger.settings.neighbours)

    def unlearn(self) -> None:
        """Make the new weights, put them in place, and write them down; a run that was rolled back fails the requests."""
        batch = self.batch()
        request = self.request()
        version, model = self.current()
        self._check_data(version, request)
        study = self._study(batch, request, model)
        name, method = next(iter(study.methods.items()))
        made, run = study.unlearn(name, method, model, progress=self.progress)
        if run.rolled_back is not None:
            self._fail(f"the run was rolled back: {run.rolled_back}")
            raise _RolledBackError(run.rolled_back)
        self._land(batch, version, request, made, run)

    def _study(self, batch: Batch, request: ForgetRequest, model: nn.Module) -> Study:
        method = self._methods()[batch.kind]
        if method is None:
            raise InputError(
                f"batch {batch.id} is to be processed by {batch.kind}, but ledger.json no longer says how."
            )
        if json.dumps(fingerprint.as_plain(method)) != batch.settings:
            raise InputError(
                f"batch {batch.id} was planned with {batch.method} ({batch.settings}), but ledger.json says another now. "
                "Change it back until the batch is done."
            )
        oracles = self.ledger.settings.oracles if self.project.trainer is not None else 0
        return Study(
            trainer=self.project.trainer,
            request=request,
            methods={str(batch.method): method},
            oracles=oracles,
            directory=self.folder,
            seed=batch.seed,
            given=model,
            task=self.project.task,
            report=self.ledger.folder / "reports" / f"batch-{batch.id:04d}",
            workers=self.ledger.settings.workers or None,
            provenance={"ledger-batch": batch.id},
        )

    def _check_data(self, version: Version, request: ForgetRequest) -> None:
        record = read_record(self.ledger.folder / version.file)
        if record is None or record.data in (None, request.data_fingerprint):
            return
        if self.project.keys is None:
            raise InputError(
                f"`data` must be what version {version.id} was trained on, but its fingerprint is {request.data_fingerprint}, "
                f"not {record.data}. Records go by their positions: pass the same data, or name them by `keys`."
            )
        self.notes.append(
            f"The data set is not what version {version.id} was made from ({record.records} records then, "
            f"{size(request.dataset)} now); records are found by their keys."
        )

    def _land(self, batch: Batch, before: Version, request: ForgetRequest, made: nn.Module, run: RunRecord) -> None:
        file = f"models/v{batch.id:04d}.safetensors"
        stays = set(request.retain_ids.tolist())
        record = WeightsRecord(
            "0" * 32,
            data=request.data_fingerprint,
            records=size(request.dataset),
            forgotten=tuple(i for i in range(size(request.dataset)) if i not in stays),
            made_by={
                "ebbing": __version__,
                "method": batch.method,
                "settings": run.settings,
                "seed": batch.seed,
                "from": before.file,
                "request": request.fingerprint,
                "ledger-batch": batch.id,
            },
        )
        path = self.ledger.folder / file
        write_weights(path, made, **{f.name: getattr(record, f.name) for f in fields(record)[1:]})
        self.on_step("weights")
        with self.ledger.writing() as (session, chain):
            hold(self.ledger, session, self.lease)
            version = Version(
                parent_id=None if batch.kind == "retrain" else before.id,
                batch_id=batch.id,
                kind="retrained" if batch.kind == "retrain" else "unlearned",
                file=file,
                weights=file_digest(path),
                made=chain.time,
            )
            session.add(version)
            session.flush()
            for row in _in_work(session, batch.id):
                move(row, UNLEARNED)
            chain.append("version", version_body(version))

    def audit(self) -> None:
        """Judge the new weights beside retrained ones, and write down what was found."""
        batch = self.batch()
        request = self.request()
        _, model = self.current()
        study = self._study(batch, request, model)
        figures: dict[str, Any] = {}
        digest = name = None
        if len(request.forget_ids):
            report = study.run(progress=self.progress)
            outcome, reason = report.verdict.outcome, report.verdict.reason
            figures = _figures(report)
            name = f"reports/batch-{batch.id:04d}.json"
            digest = file_digest(self.ledger.folder / name)
        else:
            outcome = INCONCLUSIVE
            reason = "The records are gone at the source: no test could look for what the model keeps of them."
        made, _ = study.unlearn(*next(iter(study.methods.items())), model)
        retrained = list(study.bank(progress=self.progress)) if len(request.forget_ids) else []
        figures |= measured(self.project, made, retrained, request, self.places()[2])
        self.on_step("judged")
        with self.ledger.writing() as (session, chain):
            hold(self.ledger, session, self.lease)
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
            for row in _in_work(session, batch.id):
                move(row, AUDITED)
            chain.append("audited", audit_body(found))

    def finish(self) -> None:
        """Close what the policy accepts; the rest needs a decision. The batch is done."""
        settings = self.ledger.settings
        with self.ledger.writing() as (session, chain):
            batch = hold(self.ledger, session, self.lease)
            audit = session.get(Audit, batch.id)
            version = session.scalars(select(Version).where(Version.batch_id == batch.id)).one_or_none()
            for row in _in_work(session, batch.id):
                outcome = "inconclusive" if audit is None else audit.outcome
                accepted = outcome in settings.accept
                told = (
                    "which the policy accepts"
                    if accepted
                    else f"which the policy does not accept ({', '.join(settings.accept)})"
                )
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

    def _fail(self, why: str) -> None:
        with self.ledger.writing() as (session, chain):
            batch = hold(self.ledger, session, self.lease)
            for row in _in_work(session, batch.id):
                end(session, chain, batch, row, FAILED, why)
            batch.open, batch.owner, batch.until, batch.finished = None, None, None, chain.time

    def run(self) -> None:
        """Every step that is not done yet."""
        if self.batch().kind == "taken":
            self.notes += self.plan().notes
        self.on_step("planned")
        with self.ledger.database.reading() as session:
            waiting = bool(_in_work(session, self.lease.batch))
            landed = session.scalars(select(Version.id).where(Version.batch_id == self.lease.batch)).one_or_none()
            audited = session.get(Audit, self.lease.batch)
        if waiting and landed is None:
            try:
                self.unlearn()
            except _RolledBackError:
                return
        if waiting:
            self.on_step("unlearned")
        if waiting and audited is None:
            self.audit()
            self.on_step("audited")
        self.finish()
        self.on_step("finished")

    def outcome(self) -> Processed:
        """What became of it, read back."""
        with self.ledger.database.reading() as session:
            batch = session.get_one(Batch, self.lease.batch)
            rows = session.execute(select(Request.id, Request.state).where(Request.batch_id == batch.id))
            audit = session.get(Audit, batch.id)
            offers = session.scalars(select(Offer.id).where(Offer.batch_id == batch.id)).all()
            return Processed(
                batch.id,
                dict(sorted(rows)),
                batch.kind,
                batch.why or "",
                tuple(self.notes),
                None if audit is None else audit.outcome,
                None if audit is None else audit.reason,
                len(offers),
            )


def process(
    ledger: Ledger,
    project: Project,
    *,
    numbers: Sequence[int] | None = None,
    limit: int | None = None,
    on_step: Step = unwatched,
    progress: Progress = silent,
) -> Processed | None:
    """Go on with the open batch; where there is none, take received requests together and process them.

    Args:
        ledger: whose.
        project: the user's network, data and training.
        numbers: only these requests; None for all that were received.
        limit: at most so many, those that are due first.
        on_step: called after each of `STEPS`.
        progress: see `ebbing.study.Study.run`.

    Returns:
        What became of the batch; None where there was nothing to do.

    Raises:
        BusyError: if another worker processes.
        LeaseLostError: if this one took so long that another went on.
        InputError: if something is amiss; what was finished is kept, and the next call goes on.
    """
    with ledger.writing() as (session, chain):
        chosen = _received(session, numbers, limit)
        taken = take(ledger, session, numbers=chosen, started=chain.time)
        if taken is None:
            return None
        lease, new = taken
        if new:
            session.get_one(Batch, lease.batch).before_id = session.scalar(
                select(Version.id).order_by(Version.id.desc()).limit(1)
            )
    work = Work(ledger, project, lease, on_step, progress)
    on_step("taken")
    try:
        with kept(ledger, lease):
            work.run()
    except BaseException:
        release(ledger, lease)
        raise
    return work.outcome()


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
    return of_one_kind[:limit]


def _in_work(session: Session, batch: int) -> list[Request]:
    """The requests of a batch that are neither finished nor failed."""
    states = (PLANNED, UNLEARNED, AUDITED)
    return list(
        session.scalars(
            select(Request).where(Request.batch_id == batch, Request.state.in_(states)).order_by(Request.id)
        )
    )


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
