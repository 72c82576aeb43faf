"""A worker is killed at every named step and at random moments: the ledger comes to the same end, and nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinic import BOTH, erasure, in_shards, project
from ledgers import administer, of_database
from sqlalchemy import make_url
from texts import in_folder

from ebbing.ledger import Ledger
from ebbing.ledger.processing import STEPS, process
from ebbing.ledger.project import Project
from ebbing.ledger.schema import Audit, Entry, Request, Version
from ebbing.ledger.settings import read_settings
from ebbing.ledger.verifying import verify

MANY = [("sqlite", 200), pytest.param("postgres", 40, marks=pytest.mark.postgres)]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """SQLite alone, but for the tests that say otherwise."""
    return str(getattr(request, "param", "sqlite"))


def work(folder: Path, kill_at: str | None = None, *, of: Callable[[Path], Project] = lambda folder: project()) -> int:
    """Start a worker in a process of its own; its number."""
    pid = os.fork()
    if pid:
        return pid

    def on_step(step: str) -> None:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        while process(Ledger.open(folder), of(folder), limit=2, on_step=on_step) is not None:
            pass
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def without_time(value: Any) -> Any:
    """JSON data without times and what depends on them."""
    if isinstance(value, dict):
        return {k: without_time(v) for k, v in value.items() if k not in ("time", "started", "digest", "cost", "salt")}
    return value


def end_of(ledger: Ledger) -> dict[str, Any]:
    """Everything that a ledger comes to, without times and without what is drawn anew in each ledger."""
    with ledger.database.reading() as session:
        entries = [
            without_time(json.loads(e.body)) | {"kind": e.kind} for e in session.query(Entry).order_by(Entry.seq)
        ]
        finished = Counter(e["request"] for e in entries if e["kind"] == "finished")
        assert set(finished.values()) == {1}, "a request was finished twice"
        return {
            "requests": [(r.id, r.state, r.why, r.batch_id) for r in session.query(Request).order_by(Request.id)],
            "versions": [
                (v.id, v.parent_id, v.kind, v.file, v.weights) for v in session.query(Version).order_by(Version.id)
            ],
            "audits": [(a.batch_id, a.outcome, without_time(json.loads(a.figures))) for a in session.query(Audit)],
            "entries": entries,
        }


def filled(ledger: Ledger) -> None:
    ledger.add([erasure("r0", "r1"), erasure("r5"), erasure("r1"), erasure(subject="patient 999"), erasure("r9")])


@pytest.mark.parametrize(
    ("of", "oracles"),
    [(lambda folder: project(), 1), (in_shards, 1), (in_folder, 0)],
    ids=["one model", "in shards", "a folder"],
)
@pytest.mark.parametrize("kind", BOTH, indirect=True)
def test_a_worker_that_is_killed_at_every_step_comes_to_the_same_end(make, tmp_path, of, oracles) -> None:
    ledger = make(oracles=oracles, in_shards=of is in_shards, in_folder=of is in_folder)
    filled(ledger)
    undisturbed = None
    if ledger.database.url.get_backend_name() == "sqlite":
        shutil.copytree(ledger.folder, tmp_path / "undisturbed")
        while process(Ledger.open(tmp_path / "undisturbed"), of(tmp_path / "undisturbed"), limit=2) is not None:
            pass  # in this process, so that those that are killed need not import what it has
        undisturbed = end_of(Ledger.open(tmp_path / "undisturbed"))
    for step in STEPS:
        assert ended(work(ledger.folder, kill_at=step, of=of)) == -signal.SIGKILL, step
        assert verify(ledger).problems == [], step
    assert ended(work(ledger.folder, of=of)) == 0
    found = end_of(ledger)
    assert [state for _, state, _, _ in found["requests"]] == ["needs-decision"] * 3 + ["failed", "needs-decision"]
    assert verify(ledger).problems == []
    assert verify(ledger).weights == 3  # of both batches
    if undisturbed is not None:
        assert found == undisturbed


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Callable[[Path, str], Path]]:
    """Copies of a ledger, each with a database of its own."""
    made = []

    def copy(source: Path, name: str) -> Path:
        folder = shutil.copytree(source, tmp_path / name)
        settings = read_settings(folder)
        if settings.database.startswith("postgresql"):
            new, old = f"ebbing_{os.urandom(6).hex()}", make_url(settings.database).database
            administer(f"CREATE DATABASE {new} TEMPLATE {old}")
            made.append(new)
            replace(settings, database=of_database(new)).save(folder)
        return folder

    yield copy
    for name in made:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "wanted_kills"), MANY, indirect=["kind"])
def test_a_worker_that_is_killed_at_random_moments_comes_to_the_same_end(make, copied, wanted_kills) -> None:
    ledger = make(oracles=1)
    filled(ledger)
    template = ledger.folder
    undisturbed = copied(template, "undisturbed")
    begun = time.monotonic()
    assert ended(work(undisturbed)) == 0
    length = time.monotonic() - begun
    wanted = end_of(Ledger.open(undisturbed))
    kills = rounds = 0
    generator = np.random.default_rng(0)
    while kills < wanted_kills:
        folder = copied(template, f"round-{rounds}")
        rounds += 1
        for moment in (
            generator.uniform(0, 0.4, size=20) * length
        ):  # until it is done: each goes on where the last was killed
            pid = work(folder)
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)
            if ended(pid) == 0:
                break
            kills += 1
            found = verify(Ledger.open(folder)).problems
            assert found == [], f"kill {kills} after {moment:.3f} s: {found}"
        assert ended(work(folder)) == 0
        assert end_of(Ledger.open(folder)) == wanted, f"round {rounds}"
        assert verify(Ledger.open(folder)).problems == []
        shutil.rmtree(folder)
    assert kills >= wanted_kills
