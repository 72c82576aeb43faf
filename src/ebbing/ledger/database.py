"""The database behind a ledger: SQLite in a file, or PostgreSQL. One writer at a time, and errors in words."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, func, select, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from ebbing.errors import InputError
from ebbing.ledger.schema import REVISION, Fact

WAIT = 30.0  # seconds that a writer waits for another one
HEAD = "head"  # the fact that every writer locks first


class DatabaseError(InputError):
    """The database could not be reached, read or written; what was not committed is not in it."""


class Database:
    """A ledger's database.

    Args:
        url: as SQLAlchemy has it; ``sqlite:///FILE`` or ``postgresql+psycopg://...``. Passwords do not belong here: libpq
            finds them in ``PGPASSWORD`` or ``~/.pgpass``.
        create: whether a file of SQLite may be made.

    Raises:
        InputError: if it is no such URL.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = _checked(url)
        self.engine = _engine(self.url, create=create)

    @property
    def shown(self) -> str:
        """Where it is, for messages; never with a password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the ledger."""
        with self._told("read"), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is written whole or not at all; there is one at a time."""
        engine = self.engine.execution_options(writing=True)
        with self._told("written"), Session(engine, expire_on_commit=False) as session, session.begin():
            session.execute(select(Fact).where(Fact.name == HEAD).with_for_update()).all()
            yield session

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            goes_on = "What was not finished is not in it; the same command goes on from there."
            if _is_harmed(error):
                goes_on = "No command can mend that. Put a copy of the file back, with the ledger's folder of that day."
            raise DatabaseError(
                f"the ledger's database {self.shown} could not be {done}: {_words(error)}. {goes_on}"
            ) from None

    def now(self, session: Session) -> float:
        """Seconds since 1970, by the one clock that all workers share."""
        if self.url.get_backend_name() == "sqlite":
            return time.time()
        return float(session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def check_revision(self) -> None:
        """Refuse a database that holds no ledger, or one of another version of ebbing."""
        with self._told("read"), Session(self.engine) as session:
            try:
                found = session.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            except DBAPIError as error:
                if "alembic_version" not in str(error.orig):
                    raise
                found = None
        if found is None:
            raise InputError(f"{self.shown} must hold a ledger, but holds none. Make one by `ebbing ledger init`.")
        if found < REVISION:
            raise InputError(
                f"the ledger in {self.shown} has the tables of an earlier version ({found}, now {REVISION}). Bring it up to "
                "date by `ebbing ledger upgrade`."
            )
        if found > REVISION:
            raise InputError(
                f"the ledger in {self.shown} has the tables of a later version of ebbing ({found}, known are {REVISION}). "
                "Install that version."
            )

    def migrate(self) -> None:
        """Make the tables, or bring them up to date."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self._told("written"), self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def next_number(session: Session, column: Any) -> int:
    """One more than the highest number in a column, for a row that a transaction of `Database.writing` adds.

    A sequence of PostgreSQL leaves numbers out where a transaction was not finished, or the server crashed. Seeds and files go
    by these numbers, and there is one writer at a time.
    """
    return (session.scalar(select(func.max(column))) or 0) + 1


def _checked(url: str) -> URL:
    try:
        found = make_url(url)
    except ArgumentError:
        raise InputError(
            "--database must be sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME, but cannot be read as either."
        ) from None
    backend = found.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"--database must be of SQLite or PostgreSQL, but is of {backend!r}.")
    if backend == "sqlite" and not found.database:
        raise InputError("--database must name a file, as sqlite:///FILE does, but names none.")
    if backend == "postgresql":
        if found.password is not None:
            raise InputError(
                "--database must hold no password, as it is written to a file. Leave it out: it is found in PGPASSWORD or "
                "~/.pgpass."
            )
        found = found.set(drivername="postgresql+psycopg")
    return found


def _engine(url: URL, *, create: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args={"connect_timeout": 10})
        except ModuleNotFoundError:
            raise InputError("a ledger in PostgreSQL needs psycopg: pip install 'ebbing[postgres]'.") from None
    path = Path(str(url.database)).absolute()

    def connect() -> sqlite3.Connection:  # by URI, so that a file that is gone is not made anew, and empty
        mode = "rwc" if create else "rw"
        if path.exists() and not os.access(path, os.W_OK):
            mode = "ro"
        return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=WAIT, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where Python's driver thinks fit
        for pragma in ("foreign_keys = ON", "secure_delete = ON", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", create)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _is_harmed(error: SQLAlchemyError) -> bool:
    """Whether a file of SQLite is none any more: what can pass, as a lock or a full disk, is of a class of its own."""
    return type(getattr(error, "orig", None)) is sqlite3.DatabaseError


def _words(error: SQLAlchemyError) -> str:
    """The database's own words in one line, without the statement and its values, which may be personal."""
    said = str(getattr(error, "orig", None) or type(error).__name__)
    return " ".join(said.partition("DETAIL:")[0].split()).rstrip(".")
