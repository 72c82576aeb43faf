"""Reading files that name records: positions in a training set, or keys."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

from ebbing.errors import InputError

_LARGEST = 2**63 - 1  # of 64-bit positions
_SHOWN = 40  # characters of a line that is wrong


def read_ids(path: str | Path) -> list[int]:
    """Positions from a text file, one a line; blank lines and what follows a # are skipped.

    Whether they lie in the data set, and whether any is repeated, is for the request to say.

    Args:
        path: UTF-8 text, with or without a byte order mark, with the line ends of any system.

    Raises:
        InputError: if the file cannot be read as text or a line is no whole number; it names the file and the line.
    """
    ids = []
    for number, line in enumerate(_text(path, of="positions").splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if word:
            ids.append(_position(word, place=f"{path}, line {number}"))
    return ids


def read_keys(path: str | Path) -> list[str]:
    """Keys of records from a text file, one a line, without the white space around them; blank lines are skipped.

    There are no comments, because a key may hold any character; a line ends at a line feed and nowhere else.

    Args:
        path: UTF-8 text, with or without a byte order mark.

    Raises:
        InputError: if the file cannot be read as text; it names the file, and the line where there is one.
    """
    keys = (line.strip() for line in _text(path, of="keys").split("\n"))
    return [key for key in keys if key]


def _position(word: str, *, place: str) -> int:
    """A position, any whole number of 64 bits."""
    shown = word if len(word) <= _SHOWN else f"{word[:_SHOWN]}..."
    unsigned = word[1:] if word[0] in "+-" else word
    if not unsigned.isdecimal():  # int() takes 1_0 for 10, which is more likely a key
        raise InputError(
            f"{place}: an id must be a whole number, but is {shown!r}. Write one position a line, or pass keys (--keys)."
        )
    try:
        position = int(word)
    except ValueError:  # Python converts no more than some thousands of digits
        position = _LARGEST + 1
    if abs(position) > _LARGEST:
        raise InputError(
            f"{place}: an id must be a position in the training set, but {shown} is far outside. Count from 0."
        )
    return position


def _text(path: str | Path, *, of: str) -> str:
    """The text of a regular file; asked what it is before opening it, as opening a pipe would wait for ever."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
        content = file.read_bytes() if stat.S_ISREG(mode) else None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(file)!r}: a file of {of} must be readable, but: {reason}. Check the path and its permissions."
        ) from error
    if content is None:
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
        raise InputError(f"{file}: a file of {of} must be a regular file, but this is {kind}. Name the file itself.")
    content = content.removeprefix(codecs.BOM_UTF8)
    text, wrong, what = "", content.find(b"\0"), "a null byte"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        wrong, what = error.start, "bytes that are not UTF-8"
    if wrong >= 0:
        line = content.count(b"\n", 0, wrong) + 1
        raise InputError(
            f"{file}, line {line}: a file of {of} must be UTF-8 text, one a line, but this line holds {what}. "
            "Save it as UTF-8 text."
        )
    return text
