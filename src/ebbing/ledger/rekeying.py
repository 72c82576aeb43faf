"""Another key for the evidence, such as when whoever held the one before leaves."""

from __future__ import annotations

from dataclasses import replace

from ebbing.errors import InputError
from ebbing.ledger.chain import Chain
from ebbing.ledger.keys import SigningKey, make_key
from ebbing.ledger.ledger import Ledger, beside
from ebbing.ledger.schema import Fact


def rekey(ledger: Ledger, path: str, *, by: str, reason: str) -> SigningKey:
    """Sign with another key from now on; what was signed with the one before stays as it is.

    The entry that names the new key is signed with the old one, the next with the new one: either vouches for the chain.
    Interrupted, it is done by the same call.

    Args:
        ledger: whose; ``key`` of its ``ledger.json`` becomes ``path``.
        path: of the new key, made with mode 0600 unless there is one; a relative one begins at the ledger's folder.
        by: who does it.
        reason: why.

    Returns:
        The new key.

    Raises:
        InputError: if name or reason is missing, the old key is not there, or ``path`` holds that.
    """
    if not by.strip() or not reason.strip():
        raise InputError("another key must have a name (--by) and a reason (--reason), but one is empty.")
    with ledger.database.reading() as session:
        current = session.get_one(Fact, "public-key").value
    new = make_key(beside(ledger.folder, path))
    if new.public != current:
        with ledger.writing() as (session, chain):
            chain.append("rekeyed", {"public-key": new.public, "by": by, "reason": reason})
            session.get_one(Fact, "public-key").value = new.public
            session.flush()
            Chain(session, new).append("took-over", {"public-key": new.public})
    elif ledger.settings.key == path:
        raise InputError(
            f"the new key must be another than the ledger's own, but {path} holds that. Choose another file."
        )
    ledger.settings = replace(ledger.settings, key=path)
    ledger.settings.save(ledger.folder)
    return new
