"""Values and lists from files of strangers, as a message may show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMED = 5  # how many tensors of each kind a message names


def shown(value: Any) -> str:
    """A value from a file as a message may show it: one line, escaped, not too long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def few(lines: Sequence[str]) -> str:
    """The first of many."""
    return "; ".join(lines[:NAMED]) + (f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else "")
