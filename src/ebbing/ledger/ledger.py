"""`Ledger`: a folder with a database, the versions of a model, and the evidence of what was done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.files import write_whole
from ebbing.ledger.chain import START, Chain, canonical, commitment, digest, marked, receipt
from ebbing.ledger.database import HEAD, Database
from ebbing.ledger.digests import file_digest
from ebbing.ledger.erasure import ErasureRequest
from ebbing.ledger.keys import SigningKey, is_given, make_key, read_key
from ebbing.ledger.manifest import SHARDS, Manifest, cell_of, digests_of, digests_of_version, record_beside
from ebbing.ledger.schema import Base, Fact, Personal, Request, Version
from ebbing.ledger.settings import FILE, Settings, read_settings

CHUNK = 500  # values in one IN (...)
NONCE = 16  # bytes
PUBLIC = ("basis", "received", "due", "gone")  # fields that redaction leaves
TABLES = Base.metadata.tables["requests"], Base.metadata.tables["personal"]


@dataclass(frozen=True)
class Added:
    """What became of a request that was handed in.

    Attributes:
        id: its number; None where it was refused.
        new: whether it was not there before.
        problem: why it was refused.
    """

    id: int | None
    new: bool = False
    problem: str | None = None


class Ledger:
    """A ledger of erasure requests. `open` one that is there, or `create` one.

    Attributes:
        folder: holds ``ledger.json``, ``models/``, ``reports/``, ``work/``, and the database if that is a file.
        settings: of ``ledger.json``.
        database: where requests are kept.
    """

    def __init__(self, folder: Path, settings: Settings, database: Database) -> None:
        self.folder, self.settings, self.database = folder, settings, database

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """The ledger in a folder.

        Raises:
            InputError: if there is none, or its database is of another version.
        """
        settings = read_settings(folder)
        database = Database(located(settings.database, folder))
        database.check_revision()
        return cls(folder, settings, database)

    @classmethod
    def create(
        cls, folder: Path, settings: Settings, *, weights: Path | None, checkpoints: Path | None = None
    ) -> Ledger:
        """A new ledger; ``ledger.json`` is written last, so that an interrupted creation can be made again.

        Args:
            folder: made if it is missing.
            settings: how requests will be processed.
            weights: of the model as it is in production, which is copied: a file, or with ``settings.hf`` the folder. None
                for an ensemble in shards that `process` is to train.
            checkpoints: the folder of an ensemble's shards and slices, which are copied as well; None for any other model.

        Raises:
            InputError: if there is a ledger already, the weights are no file of safetensors, the folder is no model that the
                transformers library knows, or weights and checkpoints are not what such a model needs.
        """
        if (folder / FILE).exists():
            raise InputError(f"{folder} must not hold a ledger yet, but does. Choose another folder.")
        _check_parts(settings, weights, checkpoints)
        path = beside(folder, settings.key)
        key = read_key(path) if is_given() else make_key(path)
        folder.mkdir(parents=True, exist_ok=True)
        database = Database(located(settings.database, folder), create=True)
        database.migrate()
        ledger = cls(folder, settings, database)
        ledger._begin(key, None if weights is None else _taken_in(folder, settings, weights, checkpoints))
        settings.save(folder)
        return cls.open(folder)

    def _begin(self, key: SigningKey, file: str | None) -> None:
        with self.database.writing() as session:
            if session.get(Fact, HEAD) is not None:
                if session.scalar(select(func.count()).select_from(Request)):
                    raise InputError(f"{self.database.shown} must hold no ledger yet, but holds one with requests.")
                first = session.scalars(select(Version.weights).order_by(Version.id).limit(1)).one_or_none()
                same = first == (None if file is None else file_digest(self.folder / file))
                if not same or session.get_one(Fact, "public-key").value != key.public:
                    raise InputError(
                        f"{self.database.shown} must hold no ledger yet, but holds one that began with another model or key. "
                        "Choose another --database."
                    )
                return
            salt = os.urandom(32).hex()
            session.add_all(
                [
                    Fact(name="salt", value=salt),
                    Fact(name="public-key", value=key.public),
                    Fact(name=HEAD, value=f"0 {START}"),
                ]
            )
            session.flush()
            chain = Chain(session, key)
            chain.append("began", {"public-key": key.public, "salt": digest(salt)})
            if file is None:
                return
            digests = digests_of_version(self.folder, file)
            session.add(Version(id=1, kind="original", file=file, made=chain.time, **digests))
            session.flush()
            body = {"version": 1, "parent": None, "batch": None, "kind": "original", "file": file}
            chain.append("version", body | {name: found for name, found in digests.items() if found is not None})

    def key(self) -> SigningKey:
        """The key that evidence is signed with."""
        return read_key(beside(self.folder, self.settings.key))

    @contextmanager
    def writing(self) -> Iterator[tuple[Session, Chain]]:
        """A transaction, with the chain to add to; its key is looked for before anything is begun."""
        key = self.key()
        with self.database.writing() as session:
            yield session, Chain(session, key)

    # ---------------------------------------------------------------- requests come in

    def add(self, requests: Sequence[ErasureRequest], *, strict: bool = False) -> list[Added]:
        """Take requests in, all in one transaction.

        One with a reference that is there already, and says the same, is not taken twice; one that says something else is
        refused.

        Args:
            requests: to take in.
            strict: whether none is taken where any is refused; those have neither number nor problem then.

        Returns:
            What became of each, in their order.
        """
        with self.writing() as (session, chain):
            marks = [None if r.reference is None else marked(chain.salt, "reference", r.reference) for r in requests]
            known = self._known(session, [mark for mark in marks if mark is not None])
            first = number = (session.scalar(select(func.max(Request.id))) or 0) + 1
            nonces = os.urandom(NONCE * len(requests)).hex()
            found: list[Added] = []
            rows: list[dict[str, Any]] = []
            personal: list[dict[str, Any]] = []
            receipts: list[str] = []
            for i, request in enumerate(requests):
                mark = marks[i]
                if mark is not None and mark in known:
                    other, before = known[mark]
                    found.append(_again(other, same=before is None or _says_the_same(request, before)))
                    continue
                nonce = nonces[i * 2 * NONCE : (i + 1) * 2 * NONCE]
                binding = commitment(nonce, request.personal)
                public: dict[str, Any] = {name: getattr(request, name) for name in PUBLIC}
                rows.append({"id": number, "mark": mark, "commitment": binding, **public})
                personal.append({"request_id": number, "nonce": nonce, "fields": canonical(request.personal)})
                receipts.append(receipt(number, binding=binding, **public))
                if mark is not None:
                    known[mark] = number, _said(request)
                found.append(Added(number, new=True))
                number += 1
            if strict and any(added.problem is not None for added in found):
                return [Added(None) if added.new else added for added in found]
            if rows:
                session.execute(insert(TABLES[0]), rows)  # the tables, as objects would cost as much again
                session.execute(insert(TABLES[1]), personal)
                chain.append("received", {"first": first, "count": len(rows), "digest": digest(receipts)})
        return found

    def _known(self, session: Session, marks: Sequence[str]) -> dict[str, tuple[int, dict[str, Any] | None]]:
        """Requests that are there, by the mark of their reference: number and what they said, None if that is redacted."""
        known: dict[str, tuple[int, dict[str, Any] | None]] = {}
        for start in range(0, len(marks), CHUNK):
            some = marks[start : start + CHUNK]
            query = select(Request, Personal).outerjoin(Personal, Personal.request_id == Request.id)
            for row, personal in session.execute(query.where(Request.mark.in_(some))):
                said = None
                if personal is not None:
                    said = {"personal": json.loads(personal.fields)} | {name: getattr(row, name) for name in PUBLIC}
                known[str(row.mark)] = row.id, said
        return known


def _said(request: ErasureRequest) -> dict[str, Any]:
    return {"personal": request.personal} | {name: getattr(request, name) for name in PUBLIC}


def _says_the_same(request: ErasureRequest, before: dict[str, Any]) -> bool:
    """Whether a request says what an earlier one said, days aside that it does not say."""
    return all(before[name] == value for name, value in _said(request).items() if name not in request.assumed)


def _again(number: int, *, same: bool) -> Added:
    if same:
        return Added(number)
    return Added(None, problem=f"its reference is that of request {number}, which says something else")


def beside(folder: Path, name: str) -> Path:
    """A path of ``ledger.json``: relative ones begin at the ledger's folder."""
    return folder / Path(name).expanduser()


def located(url: str, folder: Path) -> str:
    """A URL of SQLite with a relative file, which lies in the ledger's folder."""
    prefix = "sqlite:///"
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return f"{prefix}{(folder / url.removeprefix(prefix)).absolute()}"
    return url


def _taken_in(folder: Path, settings: Settings, weights: Path, checkpoints: Path | None) -> str:
    """Copy the first version into the ledger's folder; the file that stands for it."""
    if settings.hf:
        from ebbing.ledger.folders import take_in

        return take_in(folder, weights, "v0000")
    file = "models/v0000.safetensors"
    write_whole(folder / file, lambda name: _copied(weights, name))
    record = record_beside(weights)
    if record.is_file():
        write_whole(record_beside(folder / file), lambda name: _copied(record, name))
    if checkpoints is None or settings.sharding is None:
        return file
    names = [file]
    for path in _checkpoints_in(checkpoints):
        names.append(f"{SHARDS}/{path.relative_to(checkpoints).as_posix()}")
        write_whole(folder / names[-1], partial(_copied, path))
    sharding: dict[str, int | None] = {**asdict(settings.sharding), "records": None}
    manifest = Manifest(file, digests_of(folder, names, {}), sharding, settings.seed)
    manifest.save(folder / "models" / "v0000.json")
    return "models/v0000.json"


def _checkpoints_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("shard-*/slice-*.safetensors")) if cell_of(path.as_posix()) is not None]


def _check_parts(settings: Settings, weights: Path | None, checkpoints: Path | None) -> None:
    if settings.hf:
        if weights is None or checkpoints is not None:
            raise InputError("--hf must name the folder of the model, and --shards is not for it.")
        from ebbing.ledger.folders import check_source  # loads torch, as nothing else here does

        check_source(weights, settings.pretrained)
        return
    if settings.sharding is None:
        if weights is None or checkpoints is not None:
            raise InputError(
                "--weights must be given, and --shards only with --sisa: nothing but an ensemble in shards is trained by the "
                "ledger, or has checkpoints."
            )
    elif (weights is None) != (checkpoints is None):
        raise InputError(
            "--weights and --shards must both be given, for an ensemble that is there already, or neither, for one that "
            "`ebbing ledger process` is to train, but one was."
        )
    elif checkpoints is not None and not _checkpoints_in(checkpoints):
        raise InputError(f"--shards must be the folder of an ensemble's checkpoints, but {checkpoints} holds none.")
    if weights is not None:
        _check_safetensors(weights)


def _copied(source: Path, name: str) -> None:
    shutil.copyfile(source, name)


def _check_safetensors(path: Path) -> None:
    """By the first bytes, as safetensors itself would have to load a tensor library."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise InputError(f"--weights {path} must be readable, but is not: {error.strerror}.") from None
    if head[4:9] != b"\0\0\0\0{":
        raise InputError(f"--weights must be a file of safetensors, but {path} is none.")
