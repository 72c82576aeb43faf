"""The chain of evidence: entries that each hold the hash of the one before, signed, and commitments to personal fields.

An entry's hash is SHA-256 of canonical JSON of its number, kind, body and the hash before it; its signature is Ed25519 over
that hash. A commitment is SHA-256 of a random nonce and the personal fields: it binds the ledger to them without showing
them, and once the nonce is deleted nobody can find out by trying whether a guess was right.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ebbing.errors import InputError
from ebbing.ledger.database import HEAD
from ebbing.ledger.keys import SigningKey
from ebbing.ledger.schema import Entry, Fact, Request

DOMAIN = b"ebbing.ledger/1\n"  # before what is signed, so that a signature is never taken for one of something else
START = "0" * 64

# made once: json.dumps would make an encoder for each of a hundred thousand requests
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> str:
    """JSON that is the same for equal values: keys in order, no white space, no NaN.

    Example:
        >>> canonical({"b": [1, None], "a": "ü"})
        '{"a":"ü","b":[1,null]}'
    """
    return _encode(value)


def digest(value: Any) -> str:
    """64 hexadecimal digits of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def marked(salt: str, *words: str) -> str:
    """A salted hash of words: the same words in the same ledger have the same, and nobody without the salt can tell."""
    return hmac.digest(bytes.fromhex(salt), canonical(words).encode(), "sha256").hex()


def commitment(nonce: str, personal: Mapping[str, Any]) -> str:
    """What binds a ledger to personal fields without showing them."""
    return digest([nonce, dict(personal)])


def receipt(request_id: int, *, binding: str, basis: str, received: date, due: date, gone: bool) -> str:
    """64 hexadecimal digits of all that a request said when it came in; ``binding`` is its `commitment`."""
    return digest([request_id, binding, basis, received.isoformat(), due.isoformat(), gone])


def receipt_of(request: Request) -> str:
    """The `receipt` of a row."""
    return receipt(
        request.id,
        binding=request.commitment,
        basis=request.basis,
        received=request.received,
        due=request.due,
        gone=request.gone,
    )


def stamp() -> str:
    """Now, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def link(seq: int, kind: str, body: str, previous: str) -> str:
    """The hash of an entry."""
    return digest([seq, kind, body, previous])


def signed_part(found: str) -> bytes:
    """The bytes that are signed, of an entry's hash."""
    return DOMAIN + found.encode()


class Chain:
    """Appends to the chain within a transaction of `Database.writing`.

    Args:
        session: of the transaction.
        key: signs.

    Raises:
        InputError: if the key is not the ledger's.
    """

    def __init__(self, session: Session, key: SigningKey) -> None:
        facts = {fact.name: fact.value for fact in session.scalars(select(Fact))}
        if facts["public-key"] != key.public:
            raise InputError(
                f"evidence must be signed with the ledger's key, whose public half is {facts['public-key']}, but this key's is "
                f"{key.public}. Nothing was written. Pass the ledger's own key."
            )
        self._session, self._key = session, key
        self.salt = facts["salt"]
        self.time = stamp()  # of the whole transaction, in its entries and in its rows
        number, _, self._previous = facts[HEAD].partition(" ")
        self._seq = int(number)

    def append(self, kind: str, body: Mapping[str, Any]) -> str:
        """Add an entry; its hash."""
        self._seq += 1
        text = canonical({**body, "time": self.time})
        found = link(self._seq, kind, text, self._previous)
        self._session.add(
            Entry(
                seq=self._seq,
                kind=kind,
                body=text,
                previous=self._previous,
                hash=found,
                signature=self._key.sign(signed_part(found)),
            )
        )
        self._session.execute(update(Fact).where(Fact.name == HEAD).values(value=f"{self._seq} {found}"))
        self._previous = found
        return found

    def name(self, request_id: int) -> str:
        """How the chain speaks of a request."""
        return marked(self.salt, "request", str(request_id))
