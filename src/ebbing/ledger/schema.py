"""The tables of a ledger. They hold ids, states and figures; never a record of the training data."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Boolean, Date, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0002"  # of the migrations in `migrations/versions`, the newest


REDACTED = "redacted "


class Base(DeclarativeBase):
    """What all tables share."""


class Fact(Base):
    """What holds for the ledger as a whole: its salt, its public key, the head of its chain."""

    __tablename__ = "facts"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Request(Base):
    """An erasure request without its personal fields.

    ``mark`` is a salted hash of the sender's reference, ``commitment`` one of the personal fields; both outlive redaction.
    """

    __tablename__ = "requests"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    mark: Mapped[str | None] = mapped_column(String(64), unique=True)
    commitment: Mapped[str] = mapped_column(String(64))
    basis: Mapped[str] = mapped_column(Text)
    received: Mapped[date] = mapped_column(Date)
    due: Mapped[date] = mapped_column(Date)
    gone: Mapped[bool] = mapped_column(Boolean, default=False)
    state: Mapped[str] = mapped_column(String(16), default="received")
    why: Mapped[str | None] = mapped_column(Text, default=None)
    by: Mapped[str | None] = mapped_column(Text, default=None)
    retrain: Mapped[bool] = mapped_column(Boolean, default=False)
    finished: Mapped[str | None] = mapped_column(String(32), default=None)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"), default=None)
    __table_args__ = (Index("requests_state_due", "state", "due"), Index("requests_batch", "batch_id"))


class Personal(Base):
    """The personal fields of a request; redaction deletes the row, the nonce included."""

    __tablename__ = "personal"
    request_id: Mapped[int] = mapped_column(ForeignKey("requests.id"), primary_key=True, autoincrement=False)
    nonce: Mapped[str] = mapped_column(String(64))
    fields: Mapped[str] = mapped_column(Text)  # JSON


class Record(Base):
    """A record that a request names, once planned: a salted hash of its key, and the key itself until redaction.

    ``contents`` are salted hashes of the inputs of the records with that key, by spaces.
    """

    __tablename__ = "records"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    request_id: Mapped[int] = mapped_column(ForeignKey("requests.id"))
    mark: Mapped[str] = mapped_column(String(64))
    key: Mapped[str | None] = mapped_column(Text)
    contents: Mapped[str] = mapped_column(Text, default="")
    __table_args__ = (UniqueConstraint("request_id", "mark"), Index("records_mark", "mark"))


class Batch(Base):
    """Requests that are processed together, from the model that was current then. One at most is open."""

    __tablename__ = "batches"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    open: Mapped[bool | None] = mapped_column(Boolean, unique=True)  # None once it is done: only one row holds true
    owner: Mapped[str | None] = mapped_column(Text, default=None)
    until: Mapped[float | None] = mapped_column(Float, default=None)  # seconds since 1970 until which the lease holds
    token: Mapped[int] = mapped_column(Integer, default=0)  # counts who took it, so that a lost worker is refused
    kind: Mapped[str] = mapped_column(String(16))  # unlearn, gone, retrain or nothing
    why: Mapped[str | None] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(Integer, default=0)
    method: Mapped[str | None] = mapped_column(Text)
    settings: Mapped[str | None] = mapped_column(Text)  # JSON
    before_id: Mapped[int | None] = mapped_column(Integer)  # the version it begins with; versions name their batch
    started: Mapped[str] = mapped_column(String(32))
    finished: Mapped[str | None] = mapped_column(String(32))


class Version(Base):
    """A version of the model: a file, the digest of its bytes, and which version it was made from."""

    __tablename__ = "versions"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id"))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"), unique=True)
    kind: Mapped[str] = mapped_column(String(16))  # original, unlearned or retrained
    file: Mapped[str] = mapped_column(Text)
    weights: Mapped[str] = mapped_column(String(64))
    record: Mapped[str | None] = mapped_column(
        String(64)
    )  # of the bytes of what is written beside weights, where there is any
    made: Mapped[str] = mapped_column(String(32))
    purged: Mapped[str | None] = mapped_column(String(32))


class Audit(Base):
    """What the audit of a batch found."""

    __tablename__ = "audits"
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"), primary_key=True, autoincrement=False)
    outcome: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    figures: Mapped[str] = mapped_column(Text)  # JSON
    report: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str | None] = mapped_column(String(64))  # of the report's bytes
    made: Mapped[str] = mapped_column(String(32))


class Offer(Base):
    """A record of the retain set that is like a forgotten one; nothing is done with it unless somebody asks.

    Redaction puts `REDACTED` and the mark of the key in its place.
    """

    __tablename__ = "offers"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"))
    key: Mapped[str] = mapped_column(Text)
    like: Mapped[str] = mapped_column(String(64))  # the mark of the forgotten record
    kind: Mapped[str] = mapped_column(String(8))  # exact or near
    distance: Mapped[float] = mapped_column(Float)
    __table_args__ = (UniqueConstraint("batch_id", "key"),)


class Entry(Base):
    """A link of the chain of evidence."""

    __tablename__ = "entries"
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    body: Mapped[str] = mapped_column(Text)  # JSON, canonical
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    signature: Mapped[str] = mapped_column(String(128))
