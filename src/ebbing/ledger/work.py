"""One batch in one worker's hands: what is known of it, and what its steps share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session
from torch import nn

from ebbing import fingerprint
from ebbing.checkpoints import read_weights
from ebbing.errors import InputError
from ebbing.ledger.digests import file_digest, weights_digest
from ebbing.ledger.erasure import AUDITED, PLANNED, UNLEARNED
from ebbing.ledger.leases import Lease
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.manifest import ONE, Manifest, is_manifest, read_manifest
from ebbing.ledger.planning import all_marks, covered_by
from ebbing.ledger.project import FromScratch, Project
from ebbing.ledger.schema import Batch, Fact, Record, Request, Version
from ebbing.ledger.shards import AnewInShards
from ebbing.methods import Unlearner
from ebbing.pool import Workers
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
    workers: Workers | None = None
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
        _refuse_other(path, version.weights, version)
        manifest = read_manifest(path) if is_manifest(version.file) else None
        self._refuse_other_kind(manifest, version)
        if self.project.folders is not None and manifest is not None:
            return version, self.project.folders.load(manifest).to(self.project.device)
        weights, model = (path, self._untrained()) if manifest is None else self._ensemble(manifest, version)
        read_weights(weights, model)
        return version, model.to(self.project.device)

    def _refuse_other_kind(self, manifest: Manifest | None, version: Version) -> None:
        """A version must be of the kind that ledger.json says."""
        found = ONE if manifest is None else manifest.kind
        if found != self.project.kind:
            raise InputError(
                f"`sisa` and `hf` in ledger.json must be as they were when version {version.id} was made, which is {found}. "
                "Change them back."
            )

    def _untrained(self) -> nn.Module:
        """A single model to load weights into."""
        with seeded(0):
            return self.project.build()

    def _ensemble(self, manifest: Manifest, version: Version) -> tuple[Path, nn.Module]:
        """The file of an ensemble's weights, which is as it was written, and a model to load them into."""
        shards = self.project.shards
        assert shards is not None and manifest.sharding is not None  # noqa: S101, PT018 - by `_refuse_other_kind`
        own = shards.of_records(None) | {"records": manifest.sharding["records"]}
        if own != manifest.sharding:
            raise InputError(
                f"`sisa` and `seed` in ledger.json must be those of version {version.id}, {manifest.sharding}, but say {own}. "
                "Change them back."
            )
        weights = self.ledger.folder / manifest.weights
        _refuse_other(weights, manifest.files[manifest.weights], version, digest=weights_digest)
        return weights, shards.ensemble(manifest.seed)

    def ensemble_seed(self, batch: Batch) -> int:
        """The seed of the ensemble that a batch ends with: a new one where it is trained from scratch."""
        if batch.kind == "retrain":
            return AnewInShards.seed(batch.seed)
        with self.ledger.database.reading() as session:
            version = session.get_one(Version, batch.before_id)
        return read_manifest(self.ledger.folder / version.file).seed

    def places(self) -> tuple[list[int], list[int], dict[int, list[int]]]:
        """Positions to forget now, positions that went before, and those by earlier batch."""
        with self.ledger.database.reading() as session:
            salt = session.get_one(Fact, "salt").value
            batch = session.get_one(Batch, self.lease.batch)
            own = {row.id for row in in_work(session, batch.id)}
            rows = session.execute(
                select(Record.mark, Request.batch_id, Request.id, Request.retrain).join(
                    Request, Request.id == Record.request_id
                )
            )
            earlier = covered_by(session, exclude=own)
            everything = all_marks(session)
            by_batch: dict[int, set[str]] = {}
            now: set[str] = set()
            for mark, number, request_id, again in rows:
                if request_id in own:
                    if mark not in earlier or again:
                        now.add(mark)
                elif number is not None and mark in earlier:
                    by_batch.setdefault(number, set()).add(mark)
        marks = self.project.marks(salt)
        forget = sorted(i for mark in now for i in marks.get(mark, ()))
        gone = sorted({i for mark in everything - now for i in marks.get(mark, ())})
        found = {b: sorted(i for m in of for i in marks.get(m, ())) for b, of in sorted(by_batch.items())}
        return forget, gone, {b: positions for b, positions in found.items() if positions}

    def marks(self) -> dict[str, list[int]]:
        """Positions of the records of the requests in work, by mark; records that are not in the data have none."""
        with self.ledger.database.reading() as session:
            salt = session.get_one(Fact, "salt").value
            own = [row.id for row in in_work(session, self.lease.batch)]
            named = set(session.scalars(select(Record.mark).where(Record.request_id.in_(own))))
        return {mark: places for mark, places in self.project.marks(salt).items() if mark in named}

    @cached_property
    def request(self) -> ForgetRequest:
        """What must be forgotten, of the data set as it is now; the data are checked once."""
        forget, gone, _ = self.places()
        batch = self.batch()
        reads = batch.kind != "gone" and bool(forget)
        if not reads:
            gone = sorted({*gone, *forget})
        return self.project.request(forget if reads else [], gone, description=f"batch {batch.id} of the ledger")

    def methods(self) -> dict[str, Unlearner | None]:
        """What forgets, by the kind of a batch; None where ledger.json names nothing."""
        trainer = self.project.trainer
        scratch: Unlearner | None = None if trainer is None else FromScratch(trainer)
        if self.project.shards is not None:
            scratch = AnewInShards()
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
        if described(method) != batch.settings:
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
            workers=self.workers,
            provenance={"ledger-batch": batch.id},
        )


def _refuse_other(path: Path, wanted: str, version: Version, *, digest: Callable[[Path], str] = file_digest) -> None:
    try:
        same = digest(path) == wanted
    except OSError as error:
        raise InputError(
            f"{path} must be version {version.id}, but cannot be read: {error.strerror}. Restore it."
        ) from None
    if not same:
        raise InputError(f"{path} must be version {version.id}, but is not what was written. Restore it.")


def described(method: Unlearner) -> str:
    """A method with its settings, as JSON; a checkpoint that is among them goes by its content."""
    return json.dumps(fingerprint.as_plain(method, by_content=True))


def in_work(session: Session, batch: int) -> list[Request]:
    """The requests of a batch that are neither finished nor failed."""
    states = (PLANNED, UNLEARNED, AUDITED)
    return list(
        session.scalars(
            select(Request).where(Request.batch_id == batch, Request.state.in_(states)).order_by(Request.id)
        )
    )
