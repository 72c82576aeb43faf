"""Ledgers for tests: on SQLite and on a real PostgreSQL, with a small clinic's model behind them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clinic
import pytest
from ledgers import administer, of_database, postgres_url
from safetensors.torch import save_file
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from ebbing.cli import main, names
from ebbing.ledger import Ledger, Settings
from ebbing.ledger.deciding import decide, redact
from ebbing.ledger.processing import process
from ebbing.ledger.schema import REVISION, Base
from ebbing.ledger.settings import read_settings
from ebbing.ledger.verifying import verify
from ebbing.ledger.where import purge
from ebbing.methods import FineTune
from ebbing.training import Recipe


@pytest.fixture
def postgres() -> str:
    """The server that tests may use; without one the test is skipped."""
    return postgres_url()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clinic's weights, trained once."""
    path = tmp_path_factory.mktemp("clinic") / "model.safetensors"
    save_file(clinic.train(clinic.train_set(), seed=0).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pre-trained encoder and the classifier that was fine-tuned from it, made once."""
    import texts  # and transformers, which takes its time

    return texts.made_in(tmp_path_factory.mktemp("texts"))


@pytest.fixture(params=clinic.BOTH)
def kind(request: pytest.FixtureRequest) -> str:
    """Which database."""
    return str(request.param)


@pytest.fixture(scope="session")
def templates(
    tmp_path_factory: pytest.TempPathFactory, weights: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Path]]:
    """A new ledger on a database of each kind, made once; tests get copies, as migrations take their time."""
    made: dict[tuple[str, str], Path] = {}
    first = f"ebbing_{os.urandom(6).hex()}"

    def template(kind: str, model: str = "") -> Path:
        name, of = f"{first}{model}", (kind, model)
        if of not in made:
            url = "sqlite:///ledger.db"
            if kind == "postgres":
                administer(f"CREATE DATABASE {name}")
                url = of_database(name)
            folder = tmp_path_factory.mktemp(kind) / "ledger"
            new = Settings(database=url, key="signing.key", oracles=0, neighbours=0.0)
            original: Path | None = weights
            if model == "_shards":
                new, original = replace(new, **clinic.IN_SHARDS), None
            if model == "_folder":
                import texts

                found = request.getfixturevalue("folders")
                new = replace(new, **texts.IN_FOLDER, pretrained=str(found["pretrained"]))
                original = found["tuned"]
            keep_rows(Ledger.create(folder, new, weights=original))
            made[of] = folder
        return made[of]

    yield template
    for kind, model in made:
        if kind == "postgres":
            administer(f"DROP DATABASE {first}{model}")


def keep_rows(ledger: Ledger) -> None:
    """Note what is in a new database, for `put_back`."""
    with ledger.database.engine.connect() as connection:
        rows = {
            t.name: [dict(r) for r in connection.execute(t.select()).mappings()] for t in Base.metadata.sorted_tables
        }
    (ledger.folder.parent / "rows.json").write_text(json.dumps(rows))


def put_back(url: str, source: Path) -> None:
    """Make PostgreSQL's database as new as it was, which is sooner done than to make another."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)} RESTART IDENTITY CASCADE"))
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{REVISION}'"))
        found = json.loads((source.parent / "rows.json").read_text())
        versions = len(found["versions"])
        for name, rows in found.items():
            if rows:
                connection.execute(Base.metadata.tables[name].insert(), rows)
        if versions:
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('versions', 'id'), {versions})"))


@pytest.fixture
def make(
    tmp_path: Path, kind: str, templates: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ledger]:
    """A new ledger with some settings, in the test's folder; of one model unless it is said otherwise."""
    monkeypatch.delenv("EBBING_LEDGER_KEY", raising=False)

    def make_(*, in_shards: bool = False, in_folder: bool = False, **said: Any) -> Ledger:
        model = "_shards" if in_shards else "_folder" if in_folder else ""
        source, folder = templates(kind, model), tmp_path / "ledger"
        shutil.copytree(source, folder)
        settings = read_settings(folder)
        if kind == "postgres":
            put_back(settings.database, source)
        replace(settings, **said).save(folder)
        return Ledger.open(folder)

    return make_


@pytest.fixture
def ledger(make: Callable[..., Ledger]) -> Ledger:
    """A ledger in which nothing has happened."""
    return make()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``ebbing ledger`` in this process: its exit code and standard error."""
    monkeypatch.setenv("EBBING_DEBUG", "")
    monkeypatch.setattr(names, "OWN_MODULES", set())

    def typed_(ledger: Ledger | Path, *words: str) -> tuple[int, str]:
        folder = ledger.folder if isinstance(ledger, Ledger) else ledger
        monkeypatch.setattr(sys, "argv", ["ebbing", "ledger", *words, "--ledger", str(folder)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as done:
            main()
        return int(done.value.code or 0), capfd.readouterr().err

    return typed_


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB of its own, mounted; where that is not permitted, the test is skipped."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs to mount a disk, which is not permitted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, templates: Callable[[str], Path]) -> Path:
    """A ledger in which everything has happened: offers, a duplicate, a failure, decisions, a redaction, a purge."""
    folder = tmp_path_factory.mktemp("sample") / "ledger"
    shutil.copytree(templates("sqlite"), folder)
    ledger = Ledger.open(folder)
    quick = clinic.project(method=FineTune(repair=Recipe(epochs=0.2)), trainer=None)
    ledger.add(
        [
            clinic.erasure("r2", reference="T1", reason="asked"),
            clinic.erasure("r5"),
            clinic.erasure(subject="patient 999"),
        ]
    )
    process(ledger, quick)
    ledger.add([clinic.erasure("r2"), clinic.erasure("r9")])
    process(ledger, quick)
    decide(ledger, 1, "close", by="Ada", reason="small")
    decide(ledger, 4, "fail", by="Ada", reason="a duplicate")
    decide(ledger, 5, "retrain", by="Ada", reason="to be sure")
    redact(ledger, 1, by="Ada")
    decide(ledger, 2, "close", by="Ada", reason="small")
    purge(ledger, today=datetime.now(UTC).date(), days=0)
    assert verify(ledger).problems == []
    return folder
