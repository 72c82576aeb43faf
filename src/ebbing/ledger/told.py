"""What the chain tells, read from its beginning: its own soundness, and what every table must hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ebbing.errors import InputError
from ebbing.ledger.bodies import audit_body, version_body
from ebbing.ledger.chain import START, digest, link, signed_part
from ebbing.ledger.erasure import AUDITED, PLANNED, RECEIVED, UNLEARNED
from ebbing.ledger.keys import PublicKey
from ebbing.ledger.schema import Audit, Entry, Version


@dataclass
class Verified:
    """What was found.

    Attributes:
        problems: what is not as it was written, in words; empty if all is well.
        redacted: requests whose personal fields were taken away, as the chain says.
        entries: how many were checked.
        weights: how many versions were found on the disk as they were written.
        head: the hash of the last entry.
    """

    problems: list[str] = field(default_factory=list)
    redacted: list[int] = field(default_factory=list)
    entries: int = 0
    weights: int = 0
    head: str = START


@dataclass
class Expected:
    """What the tables must hold, as the chain tells it; requests go by their names in the chain.

    Attributes:
        key: the public key that the next entry must be signed with; None before the first.
    """

    key: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    audits: dict[int, dict[str, Any]] = field(default_factory=dict)
    redacted: set[str] = field(default_factory=set)
    purged: dict[int, str] = field(default_factory=dict)

    def take(self, kind: str, body: dict[str, Any]) -> None:
        """Go on by one entry."""
        if kind == "began":
            self.facts, self.key = body, body["public-key"]
        elif kind == "rekeyed":
            self.key = body["public-key"]
        elif kind == "received":
            self.receipts.append(body)
        elif kind == "planned":
            self.batches[body["batch"]] = body
            for name, records in body["requests"].items():
                flagged = self.requests.get(name, {}).get("retrain", False)
                known = {"state": PLANNED, "batch": body["batch"], "records": records, "retrain": flagged}
                self.requests[name] = known
        elif kind == "version":
            self.versions[body["version"]] = body
            self._all_of(body["batch"], UNLEARNED)
        elif kind == "audited":
            self.audits[body["batch"]] = body
            self._all_of(body["batch"], AUDITED)
        elif kind == "finished":
            said = {"state": body["state"], "why": body["reason"], "batch": body["batch"], "by": None, "retrain": False}
            self.requests.setdefault(body["request"], {}).update(said | {"time": body["time"]})
        elif kind == "decided":
            said = {"state": body["state"], "why": body["reason"], "by": body["by"], "time": body["time"]}
            again: dict[str, Any] = {"batch": None} if body["state"] == RECEIVED else {}
            again["retrain"] = body["decision"] == "retrain"
            self.requests.setdefault(body["request"], {}).update(said | again)
        elif kind == "redacted":
            self.redacted.add(body["request"])
        elif kind == "purged":
            self.purged |= dict.fromkeys(body["versions"], body["time"])

    def _all_of(self, batch: int | None, state: str) -> None:
        for name in [] if batch is None else self.batches[batch]["requests"]:
            known = self.requests[name]
            if known["batch"] == batch and known["state"] in (PLANNED, UNLEARNED):  # a duplicate is finished already
                known["state"] = state


def as_written(public_key: str | None, head: str | None) -> tuple[str | None, str | None]:
    """Public key and head that were kept elsewhere, as a ledger writes them: a slip of the pen is no tampering.

    Raises:
        InputError: if either cannot be one.
    """
    if public_key is not None:
        public_key = PublicKey(public_key).digits
    if head is not None:
        kept, head = head, head.strip().lower()
        if not re.fullmatch("[0-9a-f]{64}", head):
            raise InputError(
                f"a head must be the {len(START)} hexadecimal digits that an earlier `ebbing ledger verify` printed, but is "
                f"{kept[:80]!r}."
            )
    return public_key, head


@contextmanager
def readable(what: str, found: Verified) -> Iterator[None]:
    """Tell of what is so unlike anything that a ledger writes that its check cannot go on."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        found.problems.append(f"{what} cannot be read as a ledger writes them ({type(error).__name__})")


def check_chain(
    entries: Iterable[Entry],
    named: str,
    expected: Expected,
    found: Verified,
    *,
    key: str | None = None,
    head: str | None = None,
) -> None:
    """Read the chain.

    Args:
        entries: in their order.
        named: the public key that whoever holds the entries names as the present one.
        expected: is told what they say.
        found: is told what is wrong with them.
        key: a public key that must have signed one of them, from `as_written`: it vouches for all before, and by what it handed
            over to for all after. None takes the word of whoever holds the entries.
        head: a hash that one of them must have, likewise; None for any.
    """
    public: dict[str, PublicKey] = {}
    signers, hashes = set(), set()
    for seq, entry in enumerate(entries, start=1):
        where, signer = f"entry {entry.seq}", expected.key
        if entry.seq != seq:
            found.problems.append(f"{where}: an entry is missing before it, as it should be number {seq}")
            break
        if entry.previous != found.head:
            found.problems.append(f"{where}: it does not follow on the entry before it")
        if entry.hash != link(entry.seq, entry.kind, entry.body, entry.previous):
            found.problems.append(f"{where}: its hash is not that of its content")
        try:
            expected.take(entry.kind, json.loads(entry.body))
        except (KeyError, RecursionError, TypeError, ValueError, AttributeError):
            found.problems.append(f"{where}: its content cannot be read")
        signer = signer or expected.key or named  # a key hands over to the next one itself
        if _is_signed(entry, signer, public):
            signers.add(signer)
        else:
            found.problems.append(f"{where}: its signature is not of the ledger's key")
        found.entries, found.head = seq, entry.hash
        hashes.add(entry.hash)
    if named != expected.key:
        found.problems.append("the ledger names another public key than its chain")
    if key is not None and key not in signers:  # that it is named is not enough: anybody may name it
        found.problems.append("no entry is signed with the public key that was passed: the chain is another's")
    if head is not None and head not in hashes:
        found.problems.append(f"no entry has the hash {head}: entries were cut off the end, or the chain was replaced")


def _is_signed(entry: Entry, signer: str, known: dict[str, PublicKey]) -> bool:
    """Whether an entry is signed with a key, which need not be one; those that are go into ``known``."""
    try:
        if signer not in known:
            known[signer] = PublicKey(signer)
        return known[signer].verifies(entry.signature, signed_part(entry.hash))
    except (InputError, TypeError):
        return False


def check_receipts(receipts: Mapping[int, str], expected: Expected, found: Verified) -> None:
    """Hold what requests say against what they said when they were received; ``receipts`` are by their numbers."""
    covered = 0
    for body in expected.receipts:
        numbers, count = range(body["first"], body["first"] + body["count"]), max(0, body["count"])
        covered += count
        # by the fewer of the two, as a count that was forged may be any
        there = sum(n in numbers for n in receipts) if count > len(receipts) else sum(n in receipts for n in numbers)
        if there < count:
            first = next(n for n in numbers if n not in receipts)
            found.problems.append(f"{count - there} requests were removed, number {first} first")
        elif digest([receipts[n] for n in numbers]) != body["digest"]:
            found.problems.append(f"{one_of(numbers)}: it does not say what it said when it was received")
    if covered < len(receipts):
        found.problems.append(f"{len(receipts) - covered} requests were never received, as far as the chain knows")


def one_of(numbers: Sequence[int]) -> str:
    """Which request it is, as far as that is known."""
    return f"request {numbers[0]}" if len(numbers) == 1 else f"one of the requests {numbers[0]} to {numbers[-1]}"


def compare(what: str, rows: dict[int, dict[str, Any]], told: dict[int, dict[str, Any]], found: Verified) -> None:
    """Hold rows against what the chain tells of them; both are by their numbers."""
    for number in sorted(rows.keys() | told.keys()):
        if number not in rows:
            found.problems.append(f"{what} {number}: it was removed")
        elif number not in told:
            found.problems.append(f"{what} {number}: the chain knows nothing of it")
        else:
            wrong = [name for name, value in rows[number].items() if told[number].get(name) != value]
            if wrong:
                found.problems.append(f"{what} {number}: its `{'`, `'.join(wrong)}` is not what the chain says")


def check_versions(versions: Sequence[Version], expected: Expected, found: Verified) -> None:
    """Hold versions of the model against what the chain tells of them."""
    # of a record that was taken away the body would not speak
    rows = {v.id: version_body(v) | {"record": v.record, "time": v.made} for v in versions}
    compare("version", rows, expected.versions, found)
    for version in versions:
        if version.purged != expected.purged.get(version.id):
            found.problems.append(f"version {version.id}: the chain does not say that it was purged then")


def check_audits(audits: Iterable[Audit], expected: Expected, found: Verified) -> None:
    """Hold audits against what the chain tells of them."""
    compare("audit of batch", {a.batch_id: audit_body(a) | {"time": a.made} for a in audits}, expected.audits, found)
