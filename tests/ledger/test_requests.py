"""Requests come in, are found again, and are not lost: on both databases."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from clinic import TODAY, erasure, number_of, project

from ebbing.cli.erasures import bring_up_to_date
from ebbing.errors import InputError
from ebbing.ledger import Ledger, Settings
from ebbing.ledger.database import Database, DatabaseError
from ebbing.ledger.importing import import_table
from ebbing.ledger.keys import make_key
from ebbing.ledger.processing import process
from ebbing.ledger.reading import listed, shown, status
from ebbing.ledger.schema import Base
from ebbing.ledger.settings import OUTCOMES, read_settings
from ebbing.ledger.verifying import verify
from ebbing.methods import FineTune
from ebbing.training import Recipe

GOOD = "reference,subject,records,basis,received\nT1,Ada,,GDPR,2026-02-01\nT2,,r1;r2,GDPR,\n"


def imported(ledger: Ledger, text: str | bytes, name: str = "table.csv", *, strict: bool = False, today: date = TODAY):
    path = ledger.folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return import_table(ledger, path, today=today, strict=strict)


def test_the_outcomes_written_down_are_those_of_the_judge() -> None:
    from ebbing import verdict

    assert verdict.OUTCOMES == OUTCOMES


def test_the_migrations_make_what_the_models_say(ledger) -> None:
    with ledger.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": own_tables})
        assert compare_metadata(context, Base.metadata) == []


def test_a_ledger_of_the_first_tables_is_brought_up_to_date_and_goes_on(ledger) -> None:
    with ledger.database.engine.execution_options(writing=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE versions DROP COLUMN record")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(InputError, match="ebbing ledger upgrade"):
        Ledger.open(ledger.folder)
    bring_up_to_date(ledger.folder)
    later = Ledger.open(ledger.folder)
    assert verify(later).problems == []
    later.add([erasure("r1")])
    process(later, project(method=FineTune(repair=Recipe(epochs=0.2)), trainer=None))
    assert verify(later).problems == []


def own_tables(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or name != "alembic_version"


def test_a_request_is_there_once_it_was_added(ledger) -> None:
    number = number_of(ledger.add([erasure("r1", "r2", reason="asked", reference="T1")]))
    found = shown(Ledger.open(ledger.folder), number)
    assert found["state"] == "received"
    assert found["personal"] == {"reference": "T1", "subject": None, "records": ["r1", "r2"], "reason": "asked"}
    assert [row.id for row in listed(ledger)] == [number]


def test_the_same_reference_is_the_same_request(ledger) -> None:
    first = number_of(ledger.add([erasure("r1", reference="T1")]))
    (again,) = ledger.add([erasure("r1", reference="T1")])
    assert (again.id, again.new) == (first, False)
    (other,) = ledger.add([erasure("r2", reference="T1")])
    assert other.id is None
    assert f"that of request {first}, which says something else" in str(other.problem)
    assert len(listed(ledger)) == 1


def test_two_alike_without_a_reference_are_two(ledger) -> None:
    assert [added.new for added in ledger.add([erasure("r1"), erasure("r1")])] == [True, True]


def test_a_table_is_taken_in_once(ledger) -> None:
    assert imported(ledger, GOOD).added == [1, 2]
    again = imported(ledger, GOOD)
    assert (again.added, again.again, again.problems) == ([], 2, {})
    assert verify(ledger).problems == []


def test_a_table_that_is_imported_again_on_another_day_is_the_same(ledger) -> None:
    imported(ledger, GOOD)
    later = date(2026, 3, 4)
    again = imported(ledger, GOOD, today=later)
    assert (again.added, again.again, again.problems) == ([], 2, {})
    assert shown(ledger, 2)["received"] == TODAY.isoformat()
    other = imported(ledger, GOOD.replace("GDPR,\n", f"GDPR,{later}\n"), today=later)
    assert "request 2, which says something else" in other.problems[3]


def test_rows_that_are_wrong_are_told_by_line_and_the_others_are_kept(ledger) -> None:
    text = (
        GOOD.encode()
        + b"T3,Bob,,,\nT4,Bob,,GDPR\nT5,\xff\xfe,,GDPR,\nT1,Other,,GDPR,\n\nT6,Eve,,GDPR,2026-13-01\nT7,Zoe,,GDPR,\n"
    )
    found = imported(ledger, text)
    assert found.added == [1, 2, 3]
    assert sorted(found.problems) == [4, 5, 6, 7, 9]
    assert "`basis`" in found.problems[4]
    assert "has 4 fields" in found.problems[5]
    assert "not UTF-8" in found.problems[6]
    assert "says something else" in found.problems[7]


def test_a_quote_that_is_not_closed_costs_no_line_but_its_own(ledger) -> None:
    text = GOOD + 'T3,"Bob,,GDPR,\nT4,Eve,,GDPR,\n' + 'T5,"Zoe,,GDPR,\nT6,"Max",,GDPR,\nT7,Kim,,GDPR,\n'
    found = imported(ledger, text)
    assert sorted(found.problems) == [4, 6]
    assert found.added == [1, 2, 3, 4, 5]


def test_lines_are_counted_as_editors_count_them(ledger) -> None:
    found = imported(ledger, GOOD + "T3,a\u2028b\x0c\x85,,GDPR,\nT4,Bob,,,\r\nT5,Eve,,GDPR,\n")
    assert sorted(found.problems) == [4, 5]
    assert "`subject` must be printable" in found.problems[4]
    assert found.added == [1, 2, 3]


def test_strict_takes_none_where_a_row_is_wrong(ledger) -> None:
    found = imported(ledger, GOOD + "T3,Bob,,,\n", strict=True)
    assert list(found.problems) == [4]
    assert found.added == []
    assert listed(ledger) == []


def test_strict_takes_none_where_a_reference_says_something_else(ledger) -> None:
    ledger.add([erasure("r1", reference="T1")])
    found = imported(ledger, GOOD, strict=True)
    assert (found.added, list(found.problems)) == ([], [2])
    assert len(listed(ledger)) == 1
    assert verify(ledger).problems == []


def test_lines_of_json_do_as_well(ledger) -> None:
    rows = [{"basis": "GDPR", "records": ["a;b", "c"]}, [1], {"basis": "GDPR", "subject": 7}]
    text = "\n".join(json.dumps(row) for row in rows) + "\n{\n"
    found = imported(ledger, text, "table.jsonl")
    assert found.added == [1, 2]
    assert list(found.problems) == [2, 4]
    assert shown(ledger, 1)["personal"]["records"] == ["a;b", "c"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.txt", "", "must end in .csv"),
        ("t.csv", "", "must name columns"),
        ("t.csv", "subject,records\n", "`basis` among them"),
        ("t.csv", "basis,image\n", "must name columns"),
        ("t.csv", '"basis,subject\nGDPR,Ada\n', r"must name columns.*unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused_whole(ledger, name, text, told) -> None:
    with pytest.raises(InputError, match=told):
        imported(ledger, text, name)


def test_the_status_counts_and_tells_what_is_late(ledger) -> None:
    ledger.add([erasure("r1", due=date(2026, 3, 2)), erasure("r2")])
    found = status(ledger, today=date(2026, 3, 10))
    assert found.counts["received"] == 2
    assert (found.overdue, found.next_due, found.current) == (1, date(2026, 3, 2), 1)
    assert [row.id for row in listed(ledger, overdue=date(2026, 3, 10))] == [1]
    assert listed(ledger, states=("closed",)) == []
    assert [row.id for row in listed(ledger, after=1)] == [2]


# ---------------------------------------------------------------- keys


def test_without_the_key_nothing_is_written(ledger, monkeypatch) -> None:
    (ledger.folder / "signing.key").rename(ledger.folder / "elsewhere.key")
    with pytest.raises(InputError, match="there is no key in"):
        ledger.add([erasure("r1")])
    monkeypatch.setenv("EBBING_LEDGER_KEY", (ledger.folder / "elsewhere.key").read_text())
    ledger.add([erasure("r1")])
    assert len(listed(ledger)) == 1


def test_another_key_is_refused(ledger, tmp_path) -> None:
    os.replace(make_key_at(tmp_path / "other.key"), ledger.folder / "signing.key")
    with pytest.raises(InputError, match="must be signed with the ledger's key"):
        ledger.add([erasure("r1")])
    assert listed(ledger) == []


def make_key_at(path: Path) -> Path:
    make_key(path)
    return path


def test_a_key_that_others_may_read_is_refused(ledger) -> None:
    os.chmod(ledger.folder / "signing.key", 0o640)
    with pytest.raises(InputError, match=r"mode 0600.*0640"):
        ledger.add([erasure("r1")])


def test_the_key_is_its_owners_alone_and_is_never_shown(ledger, monkeypatch) -> None:
    path = ledger.folder / "signing.key"
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    assert secret not in repr(ledger.key())
    monkeypatch.setenv("EBBING_LEDGER_KEY", secret + "zz")
    with pytest.raises(InputError) as told:
        ledger.key()
    assert secret not in str(told.value)


def test_a_ledger_begins_with_the_key_of_the_environment(tmp_path, weights, monkeypatch) -> None:
    key = make_key(tmp_path / "a.key")
    monkeypatch.setenv("EBBING_LEDGER_KEY", (tmp_path / "a.key").read_text())
    ledger = Ledger.create(tmp_path / "ledger", Settings("sqlite:///ledger.db", key="signing.key"), weights=weights)
    assert not (tmp_path / "ledger" / "signing.key").exists()
    ledger.add([erasure("r1")])
    assert verify(ledger, public_key=key.public).problems == []


# ---------------------------------------------------------------- databases that fail


def test_no_password_is_written_down(tmp_path, weights) -> None:
    with pytest.raises(InputError, match="PGPASSWORD") as told:
        Database("postgresql://ada:secret@host/ledger")
    assert "secret" not in str(told.value)
    with pytest.raises(InputError, match="of SQLite or PostgreSQL"):
        Database("mysql://host/ledger")


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_database_that_is_gone_is_not_made_anew(ledger) -> None:
    (ledger.folder / "ledger.db").unlink()
    with pytest.raises(DatabaseError, match="unable to open database file"):
        ledger.add([erasure("r1")])
    assert not (ledger.folder / "ledger.db").exists()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("harm", "told"), [(b"", "malformed"), (b"no database" * 1000, "not a database")])
def test_a_database_that_was_harmed_is_to_be_put_back(ledger, harm, told) -> None:
    file = ledger.folder / "ledger.db"
    file.write_bytes(harm or file.read_bytes()[:20_000])
    with pytest.raises(DatabaseError, match=f"{told}.*Put a copy of the file back") as found:
        verify(Ledger.open(ledger.folder))
    assert "goes on" not in str(found.value)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
def test_a_failed_write_keeps_all_that_was_there(ledger) -> None:
    ledger.add([erasure("r1", subject=None, reason="a private reason")])
    connection = sqlite3.connect(ledger.folder / "ledger.db")
    connection.execute("CREATE TRIGGER full BEFORE INSERT ON personal BEGIN SELECT raise(ABORT, 'disk is full'); END")
    connection.commit()
    with pytest.raises(DatabaseError, match=r"disk is full.*the same command goes on") as told:
        ledger.add([erasure("r2", reason="another private reason")])
    assert "private" not in str(told.value)
    connection.execute("DROP TRIGGER full")
    connection.commit()
    assert len(listed(ledger)) == 1
    assert verify(ledger).problems == []
    assert ledger.add([erasure("r2")])[0].new


def test_a_ledger_is_made_once_and_opened_only_where_there_is_one(ledger, weights, tmp_path) -> None:
    with pytest.raises(InputError, match="must not hold a ledger yet"):
        Ledger.create(ledger.folder, ledger.settings, weights=weights)
    with pytest.raises(InputError, match=r"there is no .*ledger\.json"):
        Ledger.open(tmp_path)
    (tmp_path / "w.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match="must be a file of safetensors"):
        Ledger.create(tmp_path / "other", ledger.settings, weights=tmp_path / "w.pt")


def test_a_ledger_is_not_begun_in_the_database_of_another(ledger, weights, tmp_path) -> None:
    (ledger.folder / "ledger.json").unlink()
    Ledger.create(ledger.folder, ledger.settings, weights=weights)  # as after an interruption
    (ledger.folder / "ledger.json").unlink()
    other = tmp_path / "other.safetensors"
    other.write_bytes(weights.read_bytes() + b" ")
    for settings, model in ((ledger.settings, other), (replace(ledger.settings, key="other.key"), weights)):
        with pytest.raises(InputError, match="began with another model or key"):
            Ledger.create(ledger.folder, settings, weights=model)
        assert not (ledger.folder / "ledger.json").exists()


def test_a_database_of_another_version_is_refused(ledger) -> None:
    for found, told in (("0000", "ebbing ledger upgrade"), ("9999", "a later version of ebbing")):
        with ledger.database.engine.execution_options(writing=True).begin() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{found}'")
        with pytest.raises(InputError, match=told):
            Ledger.open(ledger.folder)


def test_settings_are_read_back_and_strange_ones_refused(ledger) -> None:
    assert read_settings(ledger.folder) == ledger.settings
    path = ledger.folder / "ledger.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"methd": "ebb"}))
    with pytest.raises(InputError, match="no setting 'methd'"):
        read_settings(ledger.folder)
    path.write_text("{")
    with pytest.raises(InputError, match="must be JSON"):
        read_settings(ledger.folder)
