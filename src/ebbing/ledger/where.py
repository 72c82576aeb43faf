"""What was trained on a request's records: versions, checkpoints, references, caches; and taking them away in time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.digests import LARGEST_HEADER
from ebbing.ledger.erasure import CLOSED
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.manifest import (
    SHARDS,
    Cell,
    Manifest,
    cell_of,
    has_seen,
    is_manifest,
    place_of,
    read_manifest,
    record_beside,
)
from ebbing.ledger.planning import covered_by
from ebbing.ledger.schema import Batch, Record, Request, Version


@dataclass(frozen=True)
class Place:
    """Where records still are, in what was learned from them.

    Attributes:
        what: "version" of the model, "checkpoint" of a shard and slice, retrained "reference" or "cache".
        path: of the file or folder, in the ledger's folder.
        told: what it is, in words.
        version: number of a version.
        kept: why it is not purged; None where it may be.
    """

    what: str
    path: Path
    told: str
    version: int | None = None
    kept: str | None = None


def where(ledger: Ledger, number: int) -> list[Place]:
    """Everything in the ledger's folder that was trained on the records of a request.

    That is every version and every retrained reference from before the request was done: references of earlier requests
    were retrained without those requests' records, but with these. Of an ensemble it is also every checkpoint of a stage that
    had seen the records; where a record's shard and slice are not known, every one that no later version has. Of a request
    whose records are not known, as it was not planned, it is everything there is.

    Raises:
        InputError: if there is no such request.
    """
    with ledger.database.reading() as session:
        request = session.get(Request, number)
        if request is None:
            raise InputError(f"there is no request {number}. `ebbing ledger request list` names them.")
        since = _since(session, request)
        marks = set(session.scalars(select(Record.mark).where(Record.request_id == number)))
        return _places(ledger, session, since, marks)


def _since(session: Session, request: Request) -> int | None:
    """The batch from which on nothing is trained on a request's records; None while it has not been done.

    Of a duplicate that is the batch of the last of the requests that forgot its records before.
    """
    batch = None if request.batch_id is None else session.get(Batch, request.batch_id)
    landed = batch is not None and session.scalar(select(Version.id).where(Version.batch_id == batch.id)) is not None
    own = set(session.scalars(select(Record.mark).where(Record.request_id == request.id)))
    if not own:
        return None
    earlier = covered_by(session, exclude=[request.id])
    numbers = {n for mark in own for n in earlier.get(mark, ())}
    if all(mark in earlier for mark in own):
        found = select(func.max(Request.batch_id)).join(Version, Version.batch_id == Request.batch_id)
        return session.scalar(found.where(Request.id.in_(numbers)))
    return batch.id if landed and batch is not None else None


def _places(ledger: Ledger, session: Session, since: int | None, marks: Collection[str] | None = None) -> list[Place]:
    """What was trained on the records with these marks, or on any that were forgotten up to a batch (``marks`` None)."""
    versions = list(session.scalars(select(Version).order_by(Version.id)))
    current = versions[-1].id if versions else None
    open_batch = session.scalars(select(Batch).where(Batch.open.is_(True))).one_or_none()
    found = []
    for version in versions:
        if version.purged is None and (since is None or (version.batch_id or 0) < since):
            kept = "it is the current version" if version.id == current else None
            if open_batch is not None and open_batch.before_id == version.id:
                kept = "the open batch begins with it"
            told = f"version {version.id}, {version.kind}, made {version.made}"
            found.append(Place("version", _shown(ledger.folder, version.file), told, version.id, kept))
    found += _checkpoints(
        ledger.folder, versions, since, marks, "the batch is open" if open_batch is not None else None
    )
    for folder in sorted((ledger.folder / "work").glob("batch-*")):
        batch = int(folder.name.removeprefix("batch-"))
        if since is None or batch < since:
            busy = "its batch is open" if open_batch is not None and open_batch.id == batch else None
            for path in sorted(folder.rglob("[!.]*.safetensors")):
                what = "reference" if _role(path) == "trained" else "cache"
                found.append(Place(what, path, f"kept while batch {batch} was processed and judged", None, busy))
    return found


def _shown(folder: Path, file: str) -> Path:
    """What is named of a version: its weights or its folder, where what they are can be read."""
    try:
        return place_of(folder, file)
    except InputError:
        return folder / file


def _checkpoints(
    folder: Path, versions: Sequence[Version], since: int | None, marks: Collection[str] | None, busy: str | None
) -> list[Place]:
    """Checkpoints of an ensemble's shards and slices that were trained on records; see `_places`."""
    before: dict[str, tuple[Version, Manifest]] = {}
    after: set[str] = set()
    owned: set[str] = set()
    cells: dict[str, list[Cell]] = {}
    sharding = None
    for version in versions:
        manifest = _manifest(folder, version)
        if manifest is None:
            continue
        cells |= {mark: manifest.cells[mark] for mark in marks or () if mark in manifest.cells}
        sharding = manifest.sharding if any(mark in manifest.cells for mark in marks or ()) else sharding
        if version.purged is not None:
            continue
        owned |= set(manifest.checkpoints)
        if since is None or (version.batch_id or 0) < since:
            before |= {name: before.get(name, (version, manifest)) for name in manifest.checkpoints}
        else:
            after |= set(manifest.checkpoints)
    known = (
        None if marks is None or since is None or marks - cells.keys() else [c for mark in marks for c in cells[mark]]
    )
    found = []
    for name, (version, manifest) in sorted(before.items()):
        unsure = known is None or manifest.sharding != sharding
        if name not in after and (unsure or has_seen(name, known or ())) and (folder / name).exists():
            found.append(Place("checkpoint", folder / name, f"of version {version.id}, {_stage(name)}"))
    for path in sorted((folder / SHARDS).rglob("[!.]*.safetensors")):
        name = path.relative_to(folder).as_posix()
        if name not in owned and (known is None or has_seen(name, known)):
            found.append(Place("checkpoint", path, f"of no version, {_stage(name)}", None, busy))
    return found


def _manifest(folder: Path, version: Version) -> Manifest | None:
    """What an ensemble's version consists of; None for any other, and where that cannot be read."""
    try:
        return read_manifest(folder / version.file) if is_manifest(version.file) else None
    except InputError:
        return None


def _stage(name: str) -> str:
    found = cell_of(name)
    return "a checkpoint" if found is None else f"shard {found[0]} after slice {found[1]}"


def _role(path: Path) -> str | None:
    """What the header of a file of safetensors says that it is for; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LARGEST_HEADER)))
        return str(header["__metadata__"]["role"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Purged:
    """What was taken away, and what was not though its time has come."""

    gone: list[Place]
    kept: list[Place]


def _days(since: str, today: date) -> int:
    """From a time to a day; no date is made, which could lie past the calendar's end."""
    return (today - datetime.fromisoformat(since).date()).days


def purge(ledger: Ledger, *, today: date, days: int | None = None, dry_run: bool = False) -> Purged:
    """Take away what was trained on records of closed requests, once their retention is over.

    The current version stays, and what the open batch needs. What goes is written into the chain before it is deleted, so
    that a purge that is stopped half-way is gone on with by the next one.

    Args:
        ledger: whose.
        today: the day that retention is counted to.
        days: of retention; None takes ledger.json's.
        dry_run: whether only to say what would go.
    """
    retention = ledger.settings.retention_days if days is None else days
    with ledger.database.reading() as session:
        closed = session.scalars(select(Request).where(Request.state == CLOSED)).all()
        over = [r for r in closed if r.finished and _days(r.finished, today) >= retention]
        done = [since for request in over if (since := _since(session, request)) is not None]
        places = _places(ledger, session, max(done)) if done else []
        again = [
            path.relative_to(ledger.folder).as_posix()
            for version in session.scalars(select(Version).where(Version.purged.is_not(None)))
            if (path := _shown(ledger.folder, version.file)).exists()
        ]
    gone, kept = [p for p in places if p.kept is None], [p for p in places if p.kept is not None]
    if dry_run:
        return Purged(gone, kept)
    numbers = sorted(p.version for p in gone if p.version is not None)
    if numbers:
        with ledger.writing() as (session, chain):
            for version in session.scalars(select(Version).where(Version.id.in_(numbers))):
                version.purged = chain.time
            chain.append("purged", {"versions": numbers})
    for path in sorted({*(ledger.folder / file for file in again), *(p.path for p in gone)}):
        if path.is_dir():
            shutil.rmtree(path)
            continue
        for file in (path, record_beside(path)):
            file.unlink(missing_ok=True)
    for folder in (ledger.folder / "work").glob("batch-*"):
        if not any(folder.rglob("*.safetensors")):
            shutil.rmtree(folder, ignore_errors=True)
    return Purged(gone, kept)
