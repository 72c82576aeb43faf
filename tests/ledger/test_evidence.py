"""Whatever is changed in a ledger shows: every column, every field of every entry, every file. Redaction is no tampering."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Integer

from ebbing.ledger import Ledger
from ebbing.ledger.chain import canonical, commitment, link, marked, signed_part
from ebbing.ledger.keys import PublicKey, make_key
from ebbing.ledger.schema import Base, Entry, Fact
from ebbing.ledger.told import Expected, Verified, check_chain
from ebbing.ledger.verifying import verify

# Bookkeeping of leases and numbers of rows that nothing else names: no evidence of what was done.
UNTOLD = {
    *("batches.open", "batches.owner", "batches.until", "batches.token", "batches.finished"),
    *("records.id", "offers.id"),
}
COLUMNS = [
    f"{table.name}.{column.name}"
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if f"{table.name}.{column.name}" not in UNTOLD
]


def column_of(name: str) -> Column[Any]:
    """By the names of its table and its own."""
    table, column = name.split(".")
    return Base.metadata.tables[table].columns[column]


@pytest.fixture
def kind() -> str:
    """SQLite: what is changed is changed behind the library's back."""
    return "sqlite"


@pytest.fixture
def copy(sample: Path, tmp_path: Path) -> Iterator[tuple[Ledger, sqlite3.Connection]]:
    """A copy of it, and a way behind its back."""
    shutil.copytree(sample, tmp_path / "ledger")
    connection = sqlite3.connect(tmp_path / "ledger" / "ledger.db", isolation_level=None)
    yield Ledger.open(tmp_path / "ledger"), connection
    connection.close()


def test_an_untouched_ledger_is_as_it_was_written(copy) -> None:
    ledger, _ = copy
    found = verify(ledger)
    assert (found.problems, found.redacted, found.weights) == ([], [1], 2)
    assert verify(ledger, head=found.head, public_key=ledger.key().public).problems == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_of_any_column_shows(copy, column) -> None:
    ledger, connection = copy
    table, name = column.split(".")
    kind = column_of(column).type
    (value,) = connection.execute(f"SELECT max({name}) FROM {table}").fetchone() if name != "like" else ("x",)
    other = (value or 0) + 7 if isinstance(kind, Integer) or isinstance(value, (int, float)) else f"{value}x"
    if isinstance(kind, Boolean):
        other = 1 - int(value)
    if name in ("received", "due"):
        other = "2020-01-01"
    if isinstance(value, str) and column == "audits.figures":
        other = '{"retain": 1}'
    line = f'UPDATE {table} SET "{name}" = ? WHERE rowid = (SELECT max(rowid) FROM {table})'
    connection.execute(line, (other,))
    assert verify(ledger).problems


@pytest.mark.parametrize("column", [c for c in COLUMNS if column_of(c).nullable])
def test_a_value_that_is_taken_away_shows(copy, column) -> None:
    ledger, connection = copy
    table, name = column.split(".")
    there = connection.execute(f"SELECT rowid, {name} FROM {table} WHERE {name} IS NOT NULL").fetchall()
    assert there
    for row, value in there:
        if (column, row) == ("requests.mark", 1):
            continue  # the hash of a reference is bound by the personal fields, which were redacted
        connection.execute(f"UPDATE {table} SET {name} = NULL WHERE rowid = ?", (row,))
        assert verify(ledger).problems, row
        connection.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", (value, row))
    assert verify(ledger).problems == []


def test_a_change_of_what_is_written_beside_weights_shows(copy) -> None:
    ledger, _ = copy
    record = max((ledger.folder / "models").glob("*.safetensors.json"))
    before = json.loads(record.read_text())
    assert before["forgotten"]
    record.write_text(json.dumps(before | {"forgotten": []}))
    (problem,) = verify(ledger).problems
    assert problem.startswith("the record of version 3")
    record.unlink()
    assert "cannot be read" in verify(ledger).problems[0]


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_a_row_that_is_removed_shows(copy, table) -> None:
    ledger, connection = copy
    if table == "facts":
        connection.execute("UPDATE facts SET value = '0' WHERE name = 'head'")
    else:
        connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    assert verify(ledger).problems


def bodies(connection: sqlite3.Connection) -> list[tuple[int, str, str]]:
    return connection.execute("SELECT seq, kind, body FROM entries ORDER BY seq").fetchall()


def test_a_change_of_any_field_of_any_entry_shows_also_where_the_hash_was_made_anew(copy) -> None:
    ledger, connection = copy
    kinds = set()
    for seq, kind, body in bodies(connection):
        if kind in kinds:
            continue
        kinds.add(kind)
        for field in json.loads(body):
            changed = canonical(json.loads(body) | {field: "other"})
            (previous, found) = connection.execute(
                "SELECT previous, hash FROM entries WHERE seq = ?", (seq,)
            ).fetchone()
            for value in (found, link(seq, kind, changed, previous)):
                connection.execute("UPDATE entries SET body = ?, hash = ? WHERE seq = ?", (changed, value, seq))
                assert any(f"entry {seq}" in p for p in chain_problems(ledger)), (kind, field)
            connection.execute("UPDATE entries SET body = ?, hash = ? WHERE seq = ?", (body, found, seq))
    assert kinds == {"began", "version", "received", "planned", "finished", "audited", "decided", "redacted", "purged"}
    assert verify(ledger).problems == []


def chain_problems(ledger: Ledger) -> list[str]:
    """What is wrong with the chain alone; its bodies may be past reading for the rest."""
    found = Verified()
    with ledger.database.reading() as session:
        key = session.get_one(Fact, "public-key").value
        check_chain(session.query(Entry).order_by(Entry.seq), key, Expected(), found)
    return found.problems


def test_entries_that_change_places_or_are_left_out_show(copy) -> None:
    ledger, connection = copy
    connection.execute("DELETE FROM entries WHERE seq = 3")
    assert any("an entry is missing" in p for p in verify(ledger).problems)


def test_an_end_that_is_cut_off_shows_to_whoever_kept_the_head(copy) -> None:
    ledger, connection = copy
    head = verify(ledger).head
    last, (previous,) = (
        bodies(connection)[-1][0],
        connection.execute("SELECT previous FROM entries ORDER BY seq DESC").fetchone(),
    )
    connection.execute("DELETE FROM entries WHERE seq = ?", (last,))
    assert any("cut off the end" in p for p in verify(ledger).problems)
    connection.execute("UPDATE facts SET value = ? WHERE name = 'head'", (f"{last - 1} {previous}",))
    assert any(f"no entry has the hash {head}" in p for p in verify(ledger, head=head).problems)


def test_a_chain_signed_anew_with_another_key_shows_to_whoever_kept_the_public_key(copy, tmp_path) -> None:
    ledger, connection = copy
    own, other = ledger.key().public, make_key(tmp_path / "other.key")
    previous = "0" * 64
    for seq, kind, body in bodies(connection):
        said = json.loads(body)
        text = canonical(said | {"public-key": other.public}) if kind == "began" else body
        found = link(seq, kind, text, previous)
        values = (text, previous, found, other.sign(signed_part(found)), seq)
        connection.execute("UPDATE entries SET body = ?, previous = ?, hash = ?, signature = ? WHERE seq = ?", values)
        previous = found
    connection.execute("UPDATE facts SET value = ? WHERE name = 'head'", (f"{seq} {previous}",))
    connection.execute("UPDATE facts SET value = ? WHERE name = 'public-key'", (other.public,))
    assert verify(ledger).problems == []  # the control: the ledger alone cannot tell
    assert any("the chain is another's" in p for p in verify(ledger, public_key=own).problems)


def test_files_that_were_changed_or_are_gone_show(copy) -> None:
    ledger, _ = copy
    path = max((ledger.folder / "models").glob("*.safetensors"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert any("is not what was written" in p for p in verify(ledger).problems)
    path.unlink()
    assert any("cannot be read" in p for p in verify(ledger).problems)


def test_fields_that_vanish_without_a_redaction_show(copy) -> None:
    ledger, connection = copy
    connection.execute("DELETE FROM personal WHERE request_id = 2")
    assert "request 2: its personal fields are gone, and nobody redacted them" in verify(ledger).problems


def test_after_redaction_no_guess_can_be_tried(copy) -> None:
    ledger, connection = copy
    assert verify(ledger).redacted == [1]
    (nonces,) = connection.execute("SELECT count(*) FROM personal WHERE request_id = 1").fetchone()
    assert nonces == 0
    content = (ledger.folder / "ledger.db").read_bytes()
    assert b'"T1"' not in content  # as JSON has it: two letters alone come about by chance
    assert b"asked" not in content


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=3), max_size=4)
)
def test_a_commitment_binds_and_its_nonce_hides(fields) -> None:
    one = commitment("00" * 16, fields)
    assert one == commitment("00" * 16, dict(reversed(fields.items())))
    assert one != commitment("01" * 16, fields)
    assert one != commitment("00" * 16, {**fields, "another": ""})


def test_marks_are_of_one_ledger_and_one_word() -> None:
    assert marked("00" * 32, "record", "1") == marked("00" * 32, "record", "1")
    assert (
        len(
            {
                marked(salt, *words)
                for salt in ("00", "01")
                for words in (("record", "1"), ("record1",), ("recor", "d1"))
            }
        )
        == 6
    )


def test_signatures_are_of_one_key_and_one_message(tmp_path) -> None:
    key = make_key(tmp_path / "a.key")
    public = PublicKey(key.public)
    assert public.verifies(key.sign(b"one"), b"one")
    assert not public.verifies(key.sign(b"one"), b"two")
    assert not public.verifies("zz", b"one")
    assert not PublicKey(make_key(tmp_path / "b.key").public).verifies(key.sign(b"one"), b"one")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("audits", "figures = '{'"),
        ("requests", "received = 'x'"),
        ("facts", "value = 'zz' WHERE name = 'salt'"),
        ("facts", "value = 'zz' WHERE name = 'public-key'"),
        ("facts", "value = x'ff' WHERE name = 'salt'"),
        ("requests", "commitment = x'ff'"),
        ("personal", "fields = '[]'"),
        ("personal", "fields = 'null'"),
        ("personal", "nonce = x'ff'"),
        ("records", "contents = x'ff'"),
        ("records", "key = x'ff'"),
        ("batches", "started = x'ff'"),
        ("batches", "before_id = 'x'"),
        ("entries", "body = x'ff'"),
        ("entries", "body = '[]'"),
        ("entries", "body = '{}'"),
        ("entries", "hash = x'ff'"),
        ("entries", "signature = 'zz'"),
        ("entries", "kind = 'purged'"),
        ("entries", "kind = 'received'"),
        ("offers", "distance = 'x'"),
        ("versions", "file = '../../etc'"),
        ("versions", "file = '/etc'"),
        ("versions", "file = 'models/v0000.json'"),
        ("audits", "report = '/'"),
    ],
)
def test_what_cannot_be_read_is_told_as_well(copy, table, change) -> None:
    ledger, connection = copy
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"UPDATE {table} SET {change}")
    assert verify(ledger).problems
