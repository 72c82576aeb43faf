"""The disk is full, a folder may only be read, the database goes away: one line says so, and the next call goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clinic import erasure
from test_kills import end_of

from ebbing.cli import erasing
from ebbing.ledger import Ledger, database
from ebbing.ledger.processing import STEPS, process
from ebbing.ledger.verifying import verify

POSTGRES = Path(__file__).parents[2] / ".ci" / "postgres"
NAMED = {
    **{"model": "clinic:build", "data": "clinic:train_set", "holdout": "clinic:test_set"},
    **{"matched": "clinic:like_the_wrong", "keys": "clinic:keys", "subjects": "clinic:subjects"},
    **{"train_fn": "clinic:train", "method": "fine-tune", "settings": ("repair.epochs=2",), "oracles": 1},
}


@pytest.fixture
def kind() -> str:
    """SQLite, but for the test that has a server of its own."""
    return "sqlite"


def is_one_line(said: tuple[int, str], *told: str) -> bool:
    """Whether a command failed with one line that says all this."""
    code, text = said
    assert code == 2, said
    assert text.startswith("Error: "), said
    assert text.count("\n") == 1, said
    assert "Traceback" not in text
    assert all(word in text for word in told), said
    return True


@pytest.fixture
def waiting(make) -> Ledger:
    """A ledger with two requests that wait."""
    ledger = make(**NAMED)
    ledger.add([erasure("r0", "r1"), erasure("r5")])
    return ledger


@pytest.fixture
def wanted(waiting: Ledger, tmp_path: Path, typed: Any) -> dict[str, Any]:
    """What it comes to where nothing goes wrong."""
    undisturbed = shutil.copytree(waiting.folder, tmp_path / "undisturbed")
    assert typed(undisturbed, "process")[0] == 0
    return end_of(Ledger.open(undisturbed))


def remounted(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def at(monkeypatch: pytest.MonkeyPatch, step: str, happens: Callable[[], object]) -> None:
    """Have something happen once, when processing has come to a step."""
    left = [happens]

    def on_step(name: str) -> None:
        if name == step and left:
            left.pop()()

    monkeypatch.setattr(erasing, "process", partial(process, on_step=on_step))


def comes_to(ledger: Ledger, wanted: dict[str, Any], typed: Any) -> None:
    """The same command goes on, and the end is the same."""
    assert verify(ledger).problems == []
    assert typed(ledger, "process")[0] == 0
    assert end_of(ledger) == wanted
    assert verify(ledger).problems == []


# ---------------------------------------------------------------- disks


def filled(place: Path, left: int) -> Path:
    """Fill a disk up, but for some bytes; the file that does."""
    stuffing = place / "stuffing"
    free = os.statvfs(place)
    with open(stuffing, "wb") as file:
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - left)))
    return stuffing


@pytest.mark.parametrize("step", ["nothing", *STEPS[:-1]])
def test_a_full_disk_is_one_line_and_nothing_is_lost(waiting, wanted, disk, typed, step, monkeypatch) -> None:
    ledger = Ledger.open(shutil.copytree(waiting.folder, disk / "ledger"))
    left: list[Path] = []
    if step == "nothing":
        left.append(filled(disk, 0))
    else:
        at(monkeypatch, step, lambda: left.append(filled(disk, 0)))
    assert is_one_line(typed(ledger, "process"), "the same command goes on from there")
    left.pop().unlink()
    monkeypatch.setattr(erasing, "process", process)
    comes_to(ledger, wanted, typed)


def test_a_disk_with_ever_less_room_never_leaves_half_a_file(waiting, wanted, disk, typed) -> None:
    failed = 0
    for room in range(0, 240_000, 40_000):
        ledger = Ledger.open(shutil.copytree(waiting.folder, disk / "ledger"))
        stuffing = filled(disk, room)
        said = typed(ledger, "process")
        failed += said[0] != 0
        assert said[0] == 0 or is_one_line(said)
        stuffing.unlink()
        comes_to(ledger, wanted, typed) if said[0] else None
        assert end_of(ledger) == wanted
        shutil.rmtree(ledger.folder)
    assert failed >= 2


def test_a_disk_that_may_only_be_read_is_read(waiting, wanted, disk, typed) -> None:
    ledger = Ledger.open(shutil.copytree(waiting.folder, disk / "ledger"))
    remounted(disk, "ro")
    for words in (["status"], ["verify"], ["request", "list"]):
        assert typed(ledger, *words)[0] == 0
    for words in (["process"], ["request", "add", "--basis", "GDPR", "--record", "r9"]):
        assert is_one_line(typed(ledger, *words), "ledger.db could not be written", "readonly")
    remounted(disk, "rw")
    comes_to(ledger, wanted, typed)


@pytest.mark.parametrize("step", ["taken", "planned", "weights", "judged"])
def test_a_disk_that_may_only_be_read_from_some_moment_on(waiting, wanted, disk, typed, step, monkeypatch) -> None:
    ledger = Ledger.open(shutil.copytree(waiting.folder, disk / "ledger"))
    at(monkeypatch, step, lambda: remounted(disk, "ro"))
    assert is_one_line(typed(ledger, "process"), "the same command goes on from there")
    remounted(disk, "rw")
    monkeypatch.setattr(erasing, "process", process)
    comes_to(ledger, wanted, typed)


def test_a_new_ledger_on_a_disk_that_may_only_be_read(weights, disk, typed) -> None:
    remounted(disk, "ro")
    words = ["--weights", str(weights), "--model", "clinic:build", "--data", "clinic:train_set", "--holdout", "x:y"]
    assert is_one_line(typed(disk / "ledger", "init", *words), "Read-only file system", str(disk))


# ---------------------------------------------------------------- the database goes away


@pytest.mark.parametrize("step", STEPS[:-1])
def test_a_database_that_is_taken_away_mid_way(waiting, wanted, typed, step, monkeypatch) -> None:
    file, aside = waiting.folder / "ledger.db", waiting.folder / "aside.db"
    at(monkeypatch, step, lambda: file.rename(aside))
    assert is_one_line(typed(waiting, "process"), "ledger.db could not be", "unable to open database file")
    assert not file.exists()  # no empty one was made in its place
    aside.rename(file)
    monkeypatch.setattr(erasing, "process", process)
    comes_to(waiting, wanted, typed)


@pytest.mark.parametrize("step", ["taken", "weights", "audited"])
def test_a_database_that_another_program_locks(waiting, wanted, typed, step, monkeypatch) -> None:
    monkeypatch.setattr(database, "WAIT", 0.2)
    other = sqlite3.connect(waiting.folder / "ledger.db", isolation_level=None)
    at(monkeypatch, step, lambda: other.execute("BEGIN EXCLUSIVE"))
    assert is_one_line(typed(waiting, "process"), "ledger.db could not be", "database is locked")
    other.execute("ROLLBACK")
    other.close()
    monkeypatch.setattr(erasing, "process", process)
    comes_to(waiting, wanted, typed)


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A PostgreSQL server of the test's own, to be crashed."""
    request.getfixturevalue("postgres")  # skips where there is none to be had
    folder = tmp_path_factory.mktemp("server")
    for parent in folder.parents:  # it runs as another user where this one is root
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    url = subprocess.run([POSTGRES, "start", folder], check=True, capture_output=True, text=True).stdout.strip()
    yield folder, url
    subprocess.run([POSTGRES, "crash", folder], check=False, capture_output=True)


@pytest.mark.postgres
def test_a_server_that_crashes_at_every_step_and_comes_back(
    waiting, wanted, server, weights, typed, monkeypatch
) -> None:
    folder, url = server
    settings = replace(waiting.settings, database=url, key="key")
    ledger = Ledger.create(waiting.folder.parent / "on-postgres", settings, weights=weights)
    ledger.add([erasure("r0", "r1"), erasure("r5")])
    for step in STEPS[:-1]:
        at(monkeypatch, step, lambda: subprocess.run([POSTGRES, "crash", folder], check=True))
        assert is_one_line(typed(ledger, "process"), "the ledger's database", "could not be")
        assert is_one_line(typed(ledger, "status"), "could not be read")
        subprocess.run([POSTGRES, "start", folder], check=True, capture_output=True)
        assert verify(ledger).problems == []
    monkeypatch.setattr(erasing, "process", process)
    assert typed(ledger, "process")[0] == 0
    assert verify(ledger).problems == []
    found = end_of(ledger)
    assert found["requests"] == wanted["requests"]
    assert found["audits"] == wanted["audits"]
    assert found["versions"] == wanted["versions"]
    assert [e["kind"] for e in found["entries"]] == [e["kind"] for e in wanted["entries"]]
