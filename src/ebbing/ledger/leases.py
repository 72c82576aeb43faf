"""Who processes: one worker holds the open batch, for as long as it is heard of."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.database import next_number
from ebbing.ledger.ledger import Ledger
from ebbing.ledger.schema import Batch, Request


class BusyError(InputError):
    """Another worker processes."""


class LeaseLostError(InputError):
    """The lease ran out, and another worker went on with the batch."""


@dataclass(frozen=True)
class Lease:
    """A batch that is held.

    Attributes:
        batch: its number.
        owner: who holds it.
        token: which taking it was; a later one has a higher.
    """

    batch: int
    owner: str
    token: int


def machine() -> str:
    """Where process numbers mean something: this computer since it started, and this namespace of processes."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8])
        parts.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    return "/".join(parts)


def own_name() -> str:
    """This process, as an owner of leases."""
    return f"{machine()} process {os.getpid()} started {_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process began, as numbers of processes are used again; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_lost(owner: str) -> bool:
    """Whether an owner is known to have ended, so that nobody need wait for its lease; False where that cannot be told."""
    where, _, rest = owner.partition(" process ")
    pid, _, started = rest.partition(" started ")
    if where != machine() or not pid.isdecimal() or not started:
        return False
    return _started(int(pid)) != started


def take(ledger: Ledger, session: Session, *, numbers: list[int] | None, started: str) -> tuple[Lease, bool] | None:
    """Take the open batch, or make one of requests that were received.

    Args:
        ledger: whose.
        session: of a transaction of `Database.writing`.
        numbers: the requests of a new batch; None makes none.
        started: when it began, for a new one.

    Returns:
        The lease, and whether the batch is new; None where there is nothing to take.

    Raises:
        BusyError: if another worker holds the open batch.
    """
    now, owner = ledger.database.now(session), own_name()
    until = now + ledger.settings.lease
    batch = session.scalars(select(Batch).where(Batch.open.is_(True))).one_or_none()
    if batch is None:
        if numbers is None:
            return None
        number = next_number(session, Batch.id)
        batch = Batch(id=number, open=True, owner=owner, until=until, token=1, kind="taken", started=started)
        session.add(batch)
        session.flush()  # refused by the database where there is an open one
        session.execute(update(Request).where(Request.id.in_(numbers)).values(batch_id=batch.id))
        return Lease(batch.id, owner, 1), True
    free = or_(Batch.owner.is_(None), Batch.owner == owner, Batch.until < now)
    if batch.owner is not None and is_lost(batch.owner):
        free = or_(free, Batch.owner == batch.owner)
    token = batch.token + 1  # now, as the row is brought up to date by what follows
    mine = update(Batch).where(Batch.id == batch.id, Batch.token == batch.token, free)
    taken = session.execute(mine.values(owner=owner, until=until, token=token))
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise BusyError(
            f"one worker at a time may process, but batch {batch.id} is held by {batch.owner}, for at most another "
            f"{(batch.until or now) - now:.0f} s. Wait for it, or stop it."
        )
    return Lease(batch.id, owner, token), False


def hold(ledger: Ledger, session: Session, lease: Lease) -> Batch:
    """The batch of a lease, its time begun anew, for a transaction to change.

    Raises:
        LeaseLostError: if another worker has taken it.
    """
    until = ledger.database.now(session) + ledger.settings.lease
    mine = (Batch.id == lease.batch, Batch.owner == lease.owner, Batch.token == lease.token, Batch.open.is_(True))
    held = session.execute(update(Batch).where(*mine).values(until=until))
    if held.rowcount != 1:  # type: ignore[attr-defined]
        raise LeaseLostError(
            f"this worker must hold batch {lease.batch}, but its lease of {ledger.settings.lease:.0f} s ran out and another "
            "one went on with it. Nothing of this step was written. Raise `lease` in ledger.json if steps take longer."
        )
    return session.get_one(Batch, lease.batch, populate_existing=True)


def release(ledger: Ledger, lease: Lease) -> None:
    """Let go of a batch that is not done, so that nobody need wait; a lost lease is no error."""
    with ledger.database.writing() as session:
        mine = (Batch.id == lease.batch, Batch.owner == lease.owner, Batch.token == lease.token)
        session.execute(update(Batch).where(*mine).values(owner=None, until=None))


@contextmanager
def kept(ledger: Ledger, lease: Lease) -> Iterator[None]:
    """Renew a lease from a thread of its own while something takes long. What goes wrong there, the next `hold` says."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(ledger.settings.lease / 3):
            with suppress(InputError), ledger.database.writing() as session:
                hold(ledger, session, lease)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
