"""One batch in one worker's hands: what is known of it, and what its steps share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import nn

from ebbing import fingerprint
from ebbing.checkpoints import read_weights
from ebbing.errors import InputError
from ebbing.ledger.digests import file_digest
from ebbing.ledger.erasure import AUDITED, PLANNED, UNLEARNED
from ebbing.ledger.leases import Lease
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.planning import all_marks, covered_by
from ebbing.ledger.project import FromScratch, Project
from ebbing.ledger.schema import Batch, Fact, Record, Request, Version
from ebbing.methods import Unlearner
from ebbing.request import ForgetRequest
from ebbing.study import Progress, Study, silent
from ebbing.training import seeded

Step = Callable[[str], None]


def unwatched(step: str) -> None:
    """Let a step pass."""


@dataclass
class Work:
    """One batch in one worker's hands."""

    ledger: Ledger
    project: Project
    lease: Lease
    on_step: Step = unwatched
    progress: Progress = silent
    notes: list[str] = field(default_factory=list)

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
            own = in_work(session, batch.id)
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

    def methods(self) -> dict[str, Unlearner | None]:
        """What forgets, by the kind of a batch; None where ledger.json names nothing."""
        trainer = self.project.trainer
        scratch = None if trainer is None else FromScratch(trainer)
        return {"unlearn": self.project.method, "gone": self.project.gone_method, "retrain": scratch}

    def study(self, batch: Batch, request: ForgetRequest, model: nn.Module) -> Study:
        """The study of the batch, which finds again what was computed for it.

        Raises:
            InputError: if ledger.json no longer says what the batch was planned with.
        """
        method = self.methods()[batch.kind]
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


def in_work(session: Session, batch: int) -> list[Request]:
    """The requests of a batch that are neither finished nor failed."""
    states = (PLANNED, UNLEARNED, AUDITED)
    return list(
        session.scalars(
            select(Request).where(Request.batch_id == batch, Request.state.in_(states)).order_by(Request.id)
        )
    )
