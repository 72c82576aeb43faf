"""Two workers never take the same request, and a lost one is not waited for for ever: on both databases."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from clinic import erasure
from sqlalchemy import update

from ebbing.ledger import Ledger
from ebbing.ledger import leases as module
from ebbing.ledger.leases import BusyError, Lease, LeaseLostError, hold, is_lost, own_name, release, take
from ebbing.ledger.schema import Batch, Request

ELSEWHERE = "another machine process 1 started 1"


def taken(ledger: Ledger, numbers: list[int]) -> Lease:
    with ledger.database.writing() as session:
        found = take(ledger, session, numbers=numbers, started="now")
    assert found is not None
    return found[0]


def hand_over(ledger: Ledger, **values: object) -> None:
    with ledger.database.writing() as session:
        session.execute(update(Batch).values(**values))


def test_while_one_holds_the_batch_another_is_told_who(ledger, monkeypatch) -> None:
    ledger.add([erasure("r1"), erasure("r2")])
    lease = taken(ledger, [1])
    hand_over(ledger, owner=ELSEWHERE)
    with pytest.raises(BusyError, match=f"batch {lease.batch} is held by {ELSEWHERE}"):
        taken(ledger, [2])
    with ledger.database.reading() as session:
        assert session.get_one(Request, 2).batch_id is None


def test_a_lease_that_ran_out_is_taken_and_its_owner_refused(ledger) -> None:
    ledger.add([erasure("r1")])
    old = taken(ledger, [1])
    hand_over(ledger, owner=ELSEWHERE, until=0.0)
    new = taken(ledger, [1])
    assert (new.batch, new.token) == (old.batch, old.token + 1)
    with ledger.database.writing() as session:
        assert hold(ledger, session, new).id == new.batch
    with pytest.raises(LeaseLostError, match="Nothing of this step was written"), ledger.database.writing() as session:
        hold(ledger, session, Lease(old.batch, ELSEWHERE, old.token))


def test_a_process_of_this_machine_that_ended_is_not_waited_for(ledger) -> None:
    ledger.add([erasure("r1")])
    lease = taken(ledger, [1])
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert not is_lost(own_name())
    assert not is_lost(ELSEWHERE)
    gone = own_name().replace(f"process {os.getpid()} ", f"process {pid} ")
    assert is_lost(gone)
    hand_over(ledger, owner=gone)
    assert taken(ledger, [1]).token == lease.token + 1


def test_what_was_let_go_is_free(ledger) -> None:
    ledger.add([erasure("r1")])
    lease = taken(ledger, [1])
    release(ledger, lease)
    with ledger.database.reading() as session:
        assert session.get_one(Batch, lease.batch).owner is None
    assert taken(ledger, [1]).token == lease.token + 1


def test_of_several_processes_one_takes_the_requests(ledger) -> None:
    ledger.add([erasure("r1"), erasure("r2")])
    read, write = os.pipe()
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            code = 3
            try:
                os.close(write)
                os.read(read, 1)  # until the parent lets all go at once
                taken(Ledger.open(ledger.folder), [1, 2])
                code = 0
            except BusyError:
                code = 1
            finally:
                os._exit(code)
        children.append(pid)
    os.close(write)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    os.close(read)
    assert set(codes) <= {0, 1}
    with ledger.database.reading() as session:
        (batch,) = session.query(
            Batch
        ).all()  # whoever came after one had ended went on with its batch; no second was made
        assert batch.token == codes.count(0)
        assert {r.batch_id for r in session.query(Request)} == {batch.id}


def test_of_several_workers_that_live_exactly_one_holds_it(ledger, monkeypatch) -> None:
    ledger.add([erasure("r1")])
    names = iter([f"machine {i} process 1 started 1" for i in range(8)])
    monkeypatch.setattr(module, "own_name", lambda: next(names))

    def one(_: int) -> bool:
        try:
            taken(Ledger.open(ledger.folder), [1])
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(one, range(8))) == [False] * 7 + [True]
