"""The files that weights lie in, and what tells whether they are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ebbing.errors import InputError

INDEX_ENDING = ".safetensors.index.json"  # of what names the files of weights that lie in several


def digest_of(path: Path) -> str:
    """32 hexadecimal digits of the bytes of a file (BLAKE2b of 16 bytes); of an index, of the files that it names as well.

    Raises:
        InputError: if there is no such file, or it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts_of(path):
        refuse_what_is_no_file(part)
        try:
            with open(part, "rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise unreadable(part, error) from None
    return digest.hexdigest()


def parts_of(path: Path) -> list[Path]:
    """The files that weights lie in: the file itself, or an index (``*.safetensors.index.json``) and those that it names.

    Raises:
        InputError: if an index cannot be read, or names a file that does not lie beside it.
    """
    if not path.name.endswith(INDEX_ENDING):
        return [path]
    refuse_what_is_no_file(path)
    try:
        named = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} must be the index of weights in parts, JSON with a `weight_map`, but cannot be read: {error}. Write the "
            "model anew by model.save_pretrained(FOLDER)."
        ) from None
    odd = [name for name in named if not isinstance(name, str) or Path(name).name != name]
    if odd or not named:
        raise InputError(f"{path} must name files that lie beside it, but names {odd[:3] or 'none'}.")
    parts = [path.parent / name for name in sorted(named)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise InputError(f"{path} names {len(parts)} files, but {missing[:3]} are not there. Copy the whole folder.")
    return [path, *parts]


def refuse_what_is_no_file(path: Path) -> None:
    """Weights must be a file that is there: no folder, no pipe."""
    try:
        if not path.exists():
            raise InputError(f"weights must be a file, but there is no {path}. Check the path.")
        if not path.is_file():  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "a pipe or a device"
            raise InputError(f"weights must be a file, but {path} is {kind}. Name the file itself.")
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> InputError:
    """What to say where the system does not let a file be read."""
    return InputError(f"{path} must be readable, but is not: {error.strerror}. Check the path and its permissions.")
