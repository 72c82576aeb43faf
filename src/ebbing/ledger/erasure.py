"""What an erasure request says, and the states it goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ebbing.errors import InputError

RECEIVED, PLANNED, UNLEARNED, AUDITED = "received", "planned", "unlearned", "audited"
NEEDS_DECISION, CLOSED, FAILED = "needs-decision", "closed", "failed"

STATES = (RECEIVED, PLANNED, UNLEARNED, AUDITED, NEEDS_DECISION, CLOSED, FAILED)
OPEN = (RECEIVED, PLANNED, UNLEARNED, AUDITED, NEEDS_DECISION)

#: From which state a request may go to which.
NEXT: Mapping[str, frozenset[str]] = {
    RECEIVED: frozenset({PLANNED, CLOSED, NEEDS_DECISION, FAILED}),  # a duplicate is done as soon as it is planned
    PLANNED: frozenset({UNLEARNED, FAILED}),
    UNLEARNED: frozenset({AUDITED, FAILED}),
    AUDITED: frozenset({CLOSED, NEEDS_DECISION, FAILED}),
    NEEDS_DECISION: frozenset({CLOSED, RECEIVED, FAILED}),
    CLOSED: frozenset(),
    FAILED: frozenset({RECEIVED}),
}

LONGEST = {"reference": 200, "subject": 500, "basis": 200, "reason": 2000}  # characters: a ledger holds no data
LONGEST_ID = 500
IN_NAMES = (
    "\u00a0\u202f\u200c\u200d"  # spaces that do not break, and what joins letters or keeps them apart, as in Persian
)
DAYS = frozenset({"received", "due"})
FIELDS = ("reference", "subject", "records", "basis", "reason", "received", "due", "gone")


@dataclass(frozen=True)
class ErasureRequest:
    """A person's or a department's request that records be forgotten: who or which, never the records themselves.

    Attributes:
        basis: the legal basis, such as ``GDPR Art. 17(1)(b)``; it stays readable after redaction.
        subject: whose records, a name or number that the user's own map knows; None where ``records`` name them.
        records: opaque ids of records (keys, or positions as text), each once; () where ``subject`` names them.
        reason: in words; None if it is not said.
        received: the day it came in.
        due: the day by which it must be done, not before ``received``.
        reference: the sender's own number for it: the same one twice is the same request.
        gone: whether the records are gone at the source already, so that no method may read them.
        assumed: of ``received`` and ``due``, those that nobody said: where the same reference comes again on another day, they
            make it no other request.
    """

    basis: str
    received: date
    due: date
    subject: str | None = None
    records: tuple[str, ...] = ()
    reason: str | None = None
    reference: str | None = None
    gone: bool = False
    assumed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what cannot be a request, all problems at once."""
        wrong = [f"`{name}` {problem}" for name in LONGEST if (problem := self._text_problem(name)) is not None]
        if bool(self.subject) == bool(self.records):
            found = "both" if self.subject else "neither"
            wrong.append(f"either `subject` or `records` must say what is to be forgotten, but {found} did")
        if len(set(self.records)) != len(self.records):
            wrong.append(f"`records` must name each id once, but {len(self.records)} ids are {len(set(self.records))}")
        odd = [r for r in self.records if not r.strip() or r != r.strip() or len(r) > LONGEST_ID or _unwritable(r)]
        if odd:
            wrong.append(f"`records` must be ids of 1 to {LONGEST_ID} printable characters, but {len(odd)} are not")
        if self.due < self.received:
            wrong.append(f"`due` must not be before `received` ({self.received}), but is {self.due}")
        if wrong:
            raise InputError("; ".join(wrong) + ".")

    def _text_problem(self, name: str) -> str | None:
        text = getattr(self, name)
        if text is None:
            return None
        if not text.strip():
            return "must not be empty"
        if len(text) > LONGEST[name]:
            return f"must have at most {LONGEST[name]} characters, but has {len(text)}: a ledger holds no data"
        return "must be printable text on one line" if _unwritable(text) else None

    @property
    def personal(self) -> dict[str, Any]:
        """The fields that redaction takes away."""
        return {
            "reference": self.reference,
            "subject": self.subject,
            "records": list(self.records),
            "reason": self.reason,
        }


def _unwritable(text: str) -> bool:
    return not all(character.isprintable() or character in IN_NAMES for character in text)


def request_of(row: Mapping[str, Any], *, today: date, days: int) -> ErasureRequest:
    """A request from the words of a command, or of a row of a table.

    Args:
        row: by `FIELDS`; empty text and None count as not said. ``records`` is a list, or text with ``;`` between ids.
        today: what ``received`` is where it is not said.
        days: after ``received`` it is due, where it is not said when.

    Raises:
        InputError: if a field is unknown, or cannot be read.
    """
    unknown = [str(name) for name in row if name not in FIELDS]
    if unknown:
        raise InputError(f"there is no field {unknown[0]!r}; there are {', '.join(FIELDS)}.")
    said = {name: value for name, value in row.items() if value is not None and value != "" and value != []}
    received = _day(said["received"], "received") if "received" in said else today
    if received > today:
        raise InputError(f"`received` must be a day that has come, but is {received}, and in UTC it is {today}.")
    texts = {name: _text(said[name], name) for name in LONGEST if name in said}
    if "basis" not in texts:
        raise InputError("`basis` must say the legal basis or reason, but is missing.")
    return ErasureRequest(
        received=received,
        due=_day(said["due"], "due") if "due" in said else _later(received, days),
        records=_ids(said.get("records", ())),
        gone=_truth(said.get("gone", False)),
        assumed=frozenset(DAYS - said.keys()),
        **texts,
    )


def _text(value: Any, name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InputError(f"`{name}` must be text, but is a {type(value).__name__}.")
    return str(value).strip()


def _ids(value: Any) -> tuple[str, ...]:
    listed: Sequence[Any]
    if isinstance(value, str):
        listed = [part for part in (p.strip() for p in value.split(";")) if part]
    elif isinstance(value, (list, tuple)):
        listed = value
    else:
        listed = [value]
    return tuple(_text(each, "records") for each in listed)


def _day(value: Any, name: str) -> date:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InputError(f"`{name}` must be a day as YYYY-MM-DD, but is {value!r}.") from None


def _later(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise InputError(
            f"`due` must be a day of the calendar, but is {days} days (`due_days` in ledger.json) after {day}. Say it, or "
            "lower that."
        ) from None


def _truth(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    found = words.get(str(value).lower())
    if found is None:
        raise InputError(f"`gone` must be yes or no, but is {value!r}.")
    return found
