"""What a ledger exports can be checked by those who have nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebbing.errors import InputError
from ebbing.ledger import Ledger
from ebbing.ledger.chain import START, canonical, link, signed_part
from ebbing.ledger.exporting import TABLES, exported
from ebbing.ledger.keys import make_key
from ebbing.ledger.schema import Base
from ebbing.ledger.verifying import verify
from ebbing.ledger.verifying_exports import read_export, verify_export

# who holds a batch is no evidence, and a reference's hash is bound by what stays with the ledger
UNTOLD = {f"batches.{name}" for name in ("open", "owner", "until", "token", "finished")} | {"requests.mark"}
COLUMNS = [
    f"{name}.{column}"
    for name in TABLES
    for column in Base.metadata.tables[name].columns.keys()  # noqa: SIM118 - no mapping
    if f"{name}.{column}" not in UNTOLD
]
DEEP = "[" * 100_000
NO_MORE = "import sys; from ebbing.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"


@pytest.fixture
def ledger(sample: Path) -> Ledger:
    """One in which everything has happened."""
    return Ledger.open(sample)


@pytest.fixture
def export(ledger: Ledger, tmp_path: Path) -> dict[str, Any]:
    """What it exports, read from a file."""
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported(ledger)))
    return read_export(path)


def test_an_untouched_export_is_as_it_was_written(ledger, export) -> None:
    whole = verify(ledger)
    found = verify_export(export, public_key=ledger.key().public, head=whole.head)
    assert found.problems == []
    assert (found.entries, found.head) == (whole.entries, whole.head)


def test_personal_fields_are_no_hindrance(ledger) -> None:
    assert verify_export(exported(ledger, personal=True)).problems == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_of_any_column_shows(export, column) -> None:
    table, name = column.split(".")
    for row in export[table][-4:]:
        before = row[name]
        for other in ("2020-01-01", 7, None, True):
            row[name] = other
            if other != before:
                assert verify_export(export).problems, (row, other)
        row[name] = before
    assert verify_export(export).problems == []


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_is_removed_or_there_twice_shows(export, table) -> None:
    for number in range(len(export[table])):
        fewer = [row for i, row in enumerate(export[table]) if i != number]
        for rows in (fewer, [*export[table], export[table][number]]):
            assert verify_export({**export, table: rows}).problems, number


def test_an_end_that_is_cut_off_shows_to_whoever_kept_the_head(export) -> None:
    found = verify_export(export)
    *rest, last = export["entries"]
    assert last["kind"] == "purged"
    versions = [row | {"purged": None} if row["purged"] else row for row in export["versions"]]
    shorter = {**export, "entries": rest, "versions": versions}
    assert verify_export(shorter).problems == []  # the control: the export alone cannot tell
    (problem,) = verify_export(shorter, head=found.head).problems
    assert problem.startswith(f"no entry has the hash {found.head}")


def test_an_export_signed_anew_with_another_key_shows_to_whoever_kept_the_public_key(ledger, export, tmp_path) -> None:
    other, previous = make_key(tmp_path / "other.key"), START
    for row in export["entries"]:
        if row["kind"] == "began":
            row["body"] = canonical(json.loads(row["body"]) | {"public-key": other.public})
        row["previous"], row["hash"] = previous, link(row["seq"], row["kind"], row["body"], previous)
        row["signature"] = other.sign(signed_part(row["hash"]))
        previous = row["hash"]
    changed = {**export, "public-key": other.public}
    assert verify_export(changed).problems == []  # the control
    assert any("the chain is another's" in p for p in verify_export(changed, public_key=ledger.key().public).problems)
    (problem,) = verify_export({**changed, "public-key": ledger.key().public}).problems
    assert problem == "the ledger names another public key than its chain"


@pytest.mark.parametrize(
    "change",
    [
        *({"entries": value} for value in (None, [], [{}], ["x"], 3)),
        *({"requests": value} for value in (None, [], [{"id": 1}])),
        *({"public-key": value} for value in (None, "", "zz", 3)),
        *({"versions": None}, {"audits": [[]]}, {"batches": {}}),
    ],
)
def test_what_cannot_be_read_is_told_as_well(export, change) -> None:
    assert verify_export(export | change).problems


@pytest.mark.parametrize("forged", [{"count": 10**30}, {"first": -(10**30), "count": 10**30}, DEEP])
def test_what_is_forged_is_told_however_large_or_deep_it_is(export, forged) -> None:
    row = next(row for row in export["entries"] if row["kind"] == "received")
    row["body"] = forged if isinstance(forged, str) else canonical(json.loads(row["body"]) | forged)
    problems = verify_export(export).problems
    assert any("its hash is not that of its content" in p for p in problems)
    assert any("requests were" in p for p in problems)


def test_what_was_kept_elsewhere_may_be_written_in_capitals_and_must_be_whole(ledger, export) -> None:
    public, head = ledger.key().public, verify(ledger).head
    for check in (lambda **kept: verify(ledger, **kept), lambda **kept: verify_export(export, **kept)):
        assert check(public_key=public.upper(), head=f" {head.upper()}\n").problems == []
        assert check(head="0" * 64).problems  # the control
        with pytest.raises(InputError, match=r"a head must be the 64 hexadecimal digits .* but is '09ab\.\.\.'"):
            check(head="09ab...")
        with pytest.raises(InputError, match="a public key must be 64 hexadecimal digits"):
            check(public_key=public[:-2])


@pytest.mark.parametrize("text", ["", "[]", DEEP, "{}", '{"schema": "ebbing.report/1"}', "\xff"])
def test_what_is_no_export_is_refused(tmp_path, text) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"must be what `ebbing ledger export` wrote"):
        read_export(path)
    with pytest.raises(InputError, match=r"must be what `ebbing ledger export` wrote"):
        read_export(tmp_path / "nowhere.json")


def test_the_command_needs_neither_ledger_nor_torch(ledger, export, tmp_path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", NO_MORE, "ledger", "verify", "--export", "export.json", *words]
        return subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False)

    good = run("--public-key", ledger.key().public)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.endswith("All is as it was written.\n")
    export["audits"][0]["outcome"] = "no-memory-found"
    (tmp_path / "export.json").write_text(json.dumps(export))
    bad = run()
    assert bad.returncode == 3
    assert "tampered: audit of batch" in bad.stdout
    assert "pass the ledger's --public-key" in bad.stdout
    assert run("--public-key", "zz").returncode == 2
