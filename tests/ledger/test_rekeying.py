"""A ledger goes on with another key, and what the one before signed still holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from clinic import erasure
from sqlalchemy import select
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger import Ledger
from ebbing.ledger.chain import START, canonical, link, signed_part
from ebbing.ledger.database import HEAD
from ebbing.ledger.exporting import exported
from ebbing.ledger.keys import SigningKey, make_key
from ebbing.ledger.reading import listed
from ebbing.ledger.rekeying import rekey
from ebbing.ledger.schema import Entry, Fact
from ebbing.ledger.settings import Settings, read_settings
from ebbing.ledger.verifying import verify
from ebbing.ledger.verifying_exports import verify_export

WHY = {"by": "Ada", "reason": "Bob leaves"}


def test_either_key_vouches_for_the_whole_chain(ledger, tmp_path) -> None:
    first = ledger.key()
    ledger.add([erasure("r1")])
    second = rekey(ledger, "second.key", **WHY)
    assert verify(ledger, public_key=second.public).problems == []  # at once
    assert (ledger.folder / "second.key").stat().st_mode & 0o777 == 0o600
    (ledger.folder / "signing.key").unlink()
    ledger = Ledger.open(ledger.folder)
    assert ledger.key().public == second.public != first.public
    ledger.add([erasure("r2")])
    for key in (None, first.public, second.public):
        assert verify(ledger, public_key=key).problems == []
        assert verify_export(exported(ledger), public_key=key).problems == []
    other = make_key(tmp_path / "other.key").public
    (problem,) = verify(ledger, public_key=other).problems
    assert problem.startswith("no entry is signed with the public key that was passed")


def test_the_key_before_signs_no_more(ledger) -> None:
    rekey(ledger, "second.key", **WHY)
    shutil.copy(ledger.folder / "signing.key", ledger.folder / "second.key")
    with pytest.raises(InputError, match="must be signed with the ledger's key"):
        ledger.add([erasure("r1")])
    assert listed(ledger) == []


def test_a_key_changes_more_than_once(ledger) -> None:
    keys = [ledger.key(), *(rekey(ledger, f"{n}.key", **WHY) for n in range(3))]
    ledger.add([erasure("r1")])
    assert len({key.public for key in keys}) == 4
    assert all(verify(ledger, public_key=key.public).problems == [] for key in keys)


def test_a_call_that_was_interrupted_is_made_again(ledger, monkeypatch) -> None:
    def failing(settings: Settings, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Settings, "save", failing)
        with pytest.raises(OSError, match="No space left"):
            rekey(ledger, "second.key", **WHY)
    ledger = Ledger.open(ledger.folder)
    with pytest.raises(InputError, match="must be signed with the ledger's key"):
        ledger.add([erasure("r1")])
    entries = verify(ledger).entries
    new = rekey(ledger, "second.key", **WHY)
    assert verify(ledger).entries == entries
    assert read_settings(ledger.folder).key == "second.key"
    assert Ledger.open(ledger.folder).key().public == new.public


@pytest.mark.parametrize(
    ("path", "why", "told"),
    [
        ("signing.key", WHY, "must be another than the ledger's own"),
        ("second.key", WHY | {"by": " "}, r"--by"),
        ("second.key", WHY | {"reason": ""}, r"--reason"),
    ],
)
def test_what_is_no_change_is_refused(ledger, path, why, told) -> None:
    before = verify(ledger).entries
    with pytest.raises(InputError, match=told):
        rekey(ledger, path, **why)
    assert verify(ledger).entries == before
    assert not (ledger.folder / "second.key").exists()


# ---------------------------------------------------------------- behind the library's back


def sign_anew(session: Session, keys: dict[str, SigningKey]) -> None:
    """Link and sign a chain again, each entry by the key that those before it name."""
    previous, key = START, None
    for entry in session.scalars(select(Entry).order_by(Entry.seq)):
        said = json.loads(entry.body)
        signer = key or said["public-key"]
        key = said["public-key"] if entry.kind in ("began", "rekeyed") else key
        entry.previous, entry.hash = previous, link(entry.seq, entry.kind, entry.body, previous)
        entry.signature = keys[signer].sign(signed_part(entry.hash))
        previous = entry.hash
    session.get_one(Fact, HEAD).value = f"{entry.seq} {previous}"


def test_a_forged_chain_that_only_names_the_true_key_shows(ledger, tmp_path) -> None:
    """Somebody begins with a key of their own, and hands over to the ledger's, whose public half everybody knows."""
    true, forged = ledger.key(), make_key(tmp_path / "forged.key")
    ledger.add([erasure("r1")])
    last = verify(ledger).entries
    with ledger.database.writing() as session:
        first = session.get_one(Entry, 1)
        first.body = canonical(json.loads(first.body) | {"public-key": forged.public})
        told = canonical({"public-key": true.public, "by": "Ada", "reason": "x", "time": "2026-01-01T00:00:00+00:00"})
        session.add(Entry(seq=last + 1, kind="rekeyed", body=told, previous="", hash="", signature=""))
        session.flush()
        sign_anew(session, {forged.public: forged})
    assert verify(ledger).problems == []  # the control: the ledger alone cannot tell
    (problem,) = verify(ledger, public_key=true.public).problems
    assert problem.startswith("no entry is signed with the public key that was passed")


def test_what_is_signed_with_the_key_before_shows(ledger) -> None:
    first = ledger.key()
    rekey(ledger, "second.key", **WHY)
    ledger.add([erasure("r1")])
    with ledger.database.writing() as session:
        last = session.get_one(Entry, 5)
        last.signature = first.sign(signed_part(last.hash))
    assert verify(ledger).problems == ["entry 5: its signature is not of the ledger's key"]
