"""What methods are called, in tables and in names of files, and what tells two of them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebbing.errors import InputError
from ebbing.fingerprint import as_plain, is_plain_of, sources_of
from ebbing.methods import Unlearner

REFERENCE = "reference"  # the name of a file that is of no method


def check_label(label: str) -> None:
    """A label becomes the name of a file and a word in tables.

    Raises:
        InputError: if it is not fit for either.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.:+-]*", label) or label == REFERENCE:
        raise InputError(
            f"a label must begin with a letter or digit, hold letters, digits and . : + - _ alone, and not be {REFERENCE!r}, "
            f"but is {label!r}."
        )


def file_of(label: str, budget: float | None) -> str:
    """The name of a file about a method within a budget: a colon of the label, which not every system allows, is a dot."""
    at = "" if budget is None else f"-{100 * budget:g}"
    return f"{label.replace(':', '.')}{at}.json"


def refuse_other_label(held: Mapping[str, Any], label: str, path: Path) -> None:
    """Refuse a file of another label that is spelled alike.

    Args:
        held: what the file holds.
        label: that is asked for.
        path: the file.

    Raises:
        InputError: if it is of such a label.
    """
    other = held.get("label", label)
    if other != label and file_of(other, None) == file_of(label, None):
        raise InputError(
            f"{str(path)!r} must be of the label {label!r}, but is of {other!r}: in names of files a colon is a dot. "
            "Take another label, or delete the file."
        )


def identity_of(method: Unlearner) -> dict[str, Any]:
    """What tells two methods apart: settings, where the class lives and, of what is from elsewhere, the text."""
    return {"class": as_plain(type(method)), "source": sources_of(method), "settings": as_plain(method)}


def is_identity_of(saved: Mapping[str, Any], method: Unlearner) -> bool:
    """Whether what `identity_of` once gave is that of a method today, see `ebbing.fingerprint.is_plain_of`."""
    now = identity_of(method)
    same = all(saved.get(name) == now[name] for name in ("class", "source"))  # what was made elsewhere has neither
    return same and is_plain_of(saved["settings"], method)
