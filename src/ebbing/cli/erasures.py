"""What the commands of ``ebbing ledger`` do that only read and write the ledger: none of it loads torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import typer

from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.ids import read_keys
from ebbing.ledger import Ledger, Settings
from ebbing.ledger.database import Database
from ebbing.ledger.deciding import COVERS, Decision, abandon, decide, redact
from ebbing.ledger.erasure import STATES, request_of
from ebbing.ledger.exporting import Present, excluded, exported, present, waiting_for_a_plan
from ebbing.ledger.importing import import_table
from ebbing.ledger.keys import VARIABLE, is_given
from ebbing.ledger.ledger import located
from ebbing.ledger.reading import listed, shown, status
from ebbing.ledger.rekeying import rekey
from ebbing.ledger.settings import read_settings
from ebbing.ledger.told import Verified
from ebbing.ledger.verifying import verify
from ebbing.ledger.verifying_exports import read_export, verify_export
from ebbing.ledger.where import purge, where

FOUND = 3  # the exit code of a check that found something


def today() -> date:
    """The day in UTC, as all times of a ledger are."""
    return datetime.now(UTC).date()


def make(
    folder: Path, weights: Path | None, checkpoints: Path | None, hf: Path | None, said: Mapping[str, Any]
) -> None:
    """``init``."""
    if hf is not None and (weights is not None or said["model"] is not None):
        raise InputError(
            "--hf stands for both --model and --weights, but some of them are given as well. Leave them out."
        )
    if hf is None and said["model"] is None:
        raise InputError("--model must be given, or --hf with a folder of the transformers library.")
    settings = Settings(**said, hf=hf is not None)
    made = Ledger.create(folder, settings, weights=hf or weights, checkpoints=checkpoints)
    key = made.key()
    typer.echo(f"A ledger is in {folder}, its database is {made.database.shown}.")
    typer.echo(f"Public key: {key.public}")
    if weights is None and hf is None:
        typer.echo("The next `ebbing ledger process` trains the model.")
    if not is_given():
        typer.echo(f"The signing key is {folder / made.settings.key}: keep it where the database is not.")


def bring_up_to_date(folder: Path) -> None:
    """``upgrade``."""
    database = Database(located(read_settings(folder).database, folder))
    database.migrate()
    typer.echo(f"The tables in {database.shown} are up to date.")


def show_status(folder: Path) -> None:
    """``status``."""
    found = status(Ledger.open(folder), today=today())
    for state, count in found.counts.items():
        typer.echo(f"{state:<15}{count:>9}")
    late = f"{found.overdue} overdue" if found.overdue else "none overdue"
    typer.echo(f"{late}; next due {found.next_due}" if found.next_due else "nothing is open")
    if found.trouble is not None:
        typer.echo(f"Current model: version {found.current}, but {found.trouble}")
    elif found.file is None:
        typer.echo("Current model: none yet, `ebbing ledger process` trains it")
    else:
        typer.echo(f"Current model: version {found.current}, {folder / found.file}")
    if found.working is not None:
        typer.echo(f"In work: {found.working}")
    typer.echo(f"Chain: {found.entries} entries, head {found.head}")


def add(folder: Path, said: Mapping[str, Any], named: list[str], file: Path | None, alike: int | None) -> None:
    """``request add``."""
    ledger = Ledger.open(folder)
    ids = named + (read_keys(file) if file is not None else [])
    if alike is not None:
        ids += [offer["key"] for offer in shown(ledger, alike)["alike"]]
        if not ids:
            raise InputError(f"no record was offered as like those of request {alike}.")
    request = request_of({**said, "records": ids}, today=today(), days=ledger.settings.due_days)
    (found,) = ledger.add([request])
    if found.problem is not None:
        raise InputError(f"{found.problem}. Use another --reference.")
    typer.echo(
        f"Request {found.id} received, due {request.due}." if found.new else f"Request {found.id} is there already."
    )


def import_requests(folder: Path, table: Path, *, strict: bool) -> int:
    """``request import``; the exit code."""
    found = import_table(Ledger.open(folder), table, today=today(), strict=strict)
    for line, problem in sorted(found.problems.items()):
        typer.echo(f"{table}, line {line}: {problem}.", err=True)
    numbers = f", numbers {found.added[0]} to {found.added[-1]}" if found.added else ""
    typer.echo(f"{len(found.added)} requests received{numbers}; {found.again} were there already.")
    if found.problems:
        kept = "none was taken (--strict)" if strict else "the others were taken"
        typer.echo(f"{len(found.problems)} rows were refused, {kept}.", err=True)
    return 2 if found.problems else 0


def list_requests(folder: Path, states: Sequence[str], *, overdue: bool, limit: int, after: int) -> None:
    """``request list``."""
    strange = [state for state in states if state not in STATES]
    if strange:
        raise InputError(f"--state {strange[0]!r} is no state. There are {', '.join(STATES)}.")
    found = listed(
        Ledger.open(folder), states=states, overdue=today() if overdue else None, limit=limit + 1, after=after
    )
    for row in found[:limit]:
        typer.echo(f"{row.id:>8}  {row.state:<15}received {row.received}  due {row.due}  {row.basis}")
    if len(found) > limit:
        typer.echo(f"There are more: --after {found[limit - 1].id}")


def show_request(folder: Path, number: int) -> None:
    """``request show``."""
    typer.echo(json.dumps(shown(Ledger.open(folder), number), indent=1, ensure_ascii=False))


def decide_on(folder: Path, number: int, decision: Decision, *, by: str, reason: str) -> None:
    """``decide``."""
    ledger = Ledger.open(folder)
    decide(ledger, number, decision, by=by, reason=reason)
    state = shown(ledger, number)["state"]
    typer.echo(f"Request {number} is {state}, decided by {by}." + (f" {COVERS}" if decision == "close" else ""))


def give_up(folder: Path, *, by: str, reason: str) -> None:
    """``abandon``."""
    numbers = abandon(Ledger.open(folder), by=by, reason=reason)
    typer.echo(f"{len(numbers)} requests failed: {', '.join(map(str, numbers))}.")


def redact_request(folder: Path, number: int, *, by: str) -> None:
    """``redact``."""
    taken = redact(Ledger.open(folder), number, by=by)
    typer.echo(f"Request {number} is redacted: its personal fields and {taken} record ids are gone.")


def change_key(folder: Path, path: str, *, by: str, reason: str) -> None:
    """``rekey``."""
    new = rekey(Ledger.open(folder), path, by=by, reason=reason)
    typer.echo(f"Public key: {new.public}")
    typer.echo(f"The signing key is {folder / path}: keep it where the database is not. The one before signs no more.")
    if is_given():
        typer.echo(f"${VARIABLE} still holds the one before: hand over the new one there, or nothing.")


def verify_all(folder: Path, public_key: str | None, head: str | None) -> int:
    """``verify``; the exit code."""
    found = verify(Ledger.open(folder), public_key=public_key, head=head)
    return _tell_verified(found, f"{found.entries} entries and the weights of {found.weights} versions were checked.")


def verify_exported(path: Path, public_key: str | None, head: str | None) -> int:
    """``verify --export``; the exit code."""
    found = verify_export(read_export(path), public_key=public_key, head=head)
    code = _tell_verified(found, f"{found.entries} entries were checked, and no file but {path}.")
    if public_key is None:
        typer.echo("Whoever wrote the file may have signed it: pass the ledger's --public-key.")
    return code


def _tell_verified(found: Verified, checked: str) -> int:
    for problem in found.problems:
        typer.echo(f"tampered: {problem}")
    for number in found.redacted:
        typer.echo(f"redacted: request {number}")
    typer.echo(f"{checked} Head: {found.head}")
    typer.echo(f"{len(found.problems)} problems." if found.problems else "All is as it was written.")
    return FOUND if found.problems else 0


def export_all(folder: Path, out: Path | None, *, exclude: bool, personal: bool) -> None:
    """``export``."""
    ledger = Ledger.open(folder)
    if exclude:
        found = excluded(ledger)
        text = "".join(f"{key}\n" for key in found.keys)
        if found.redacted:
            typer.echo(
                f"{found.redacted} more keys were redacted and cannot be listed; `ebbing ledger check` finds them.",
                err=True,
            )
        _tell_waiting(found.waiting)
    else:
        text = json.dumps(exported(ledger, personal=personal), indent=1, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)


def check_keys(folder: Path, path: Path) -> int:
    """``check`` of a file of keys; the exit code."""
    ledger = Ledger.open(folder)
    return tell_present(ledger, present(ledger, read_keys(path)))


def tell_present(ledger: Ledger, found: Sequence[Present]) -> int:
    """Say which records should not be there; the exit code."""
    for one in found:
        numbers = ", ".join(map(str, one.requests))
        typer.echo(f"{one.name}: to be forgotten by request {numbers}, found by its {one.by}")
    _tell_waiting(waiting_for_a_plan(ledger))
    typer.echo(f"{len(found)} records that were to be forgotten." if found else "No record that was to be forgotten.")
    return FOUND if found else 0


def _tell_waiting(count: int) -> None:
    if count:
        typer.echo(
            f"{count} requests for a person are not planned yet, so their records are not known here: `ebbing ledger process` "
            "first.",
            err=True,
        )


def show_where(folder: Path, number: int) -> None:
    """``where``."""
    ledger = Ledger.open(folder)
    found = where(ledger, number)
    for place in found:
        typer.echo(f"{place.what:<10} {place.path}  {place.told}" + (f" ({place.kept})" if place.kept else ""))
    if shown(ledger, number)["records"]:
        typer.echo(f"{len(found)} files were trained on the records of request {number}.")
    else:
        typer.echo(
            f"The records of request {number} are not known, as it was not planned or failed: these are all files."
        )
    typer.echo(
        "Files outside the ledger's folder, such as the weights that version 1 was copied from, are yours to delete."
    )


def run_purge(folder: Path, days: int | None, *, dry_run: bool) -> None:
    """``purge``."""
    found = purge(Ledger.open(folder), today=today(), days=days, dry_run=dry_run)
    for place in found.gone:
        typer.echo(f"{'would go' if dry_run else 'purged'}: {place.path}")
    for place in found.kept:
        typer.echo(f"kept: {place.path}, {place.kept}")
    typer.echo(f"{len(found.gone)} files {'would be' if dry_run else 'were'} purged.")
