"""From words on the command line to pieces of the library, and back."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any

from ebbing.errors import InputError


def spelled(name: str) -> str:
    """A class or function name as it is written on the command line.

    Example:
        >>> spelled("ForgettingNetwork"), spelled("TopK"), spelled("paper_cnn")
        ('forgetting-network', 'top-k', 'paper-cnn')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()


def members(family: ModuleType, base: type | None = None) -> dict[str, Any]:
    """What a folder exports, by command-line name: the concrete subclasses of ``base``, or its functions."""
    found: dict[str, Any] = {}
    for name in family.__all__:
        member = getattr(family, name)
        if base is None:
            if inspect.isfunction(member):
                found[spelled(name)] = member
        elif inspect.isclass(member) and issubclass(member, base) and not inspect.isabstract(member):
            found[spelled(name)] = member
    return found


def find(name: str, known: Mapping[str, Any], what: str) -> Any:
    """A known piece by name, or ``pkg.mod:Name`` from anywhere.

    Raises:
        InputError: if there is neither; the nearest known name is said.
    """
    if name in known:
        return known[name]
    if re.fullmatch(r"[\w.]+:\w+", name):
        module_name, _, member = name.partition(":")
        try:
            module = import_module(module_name)
        except ImportError as error:
            raise InputError(f"{what} {name!r}: {module_name!r} cannot be imported ({error}).") from error
        if not hasattr(module, member):
            raise InputError(f"{what} {name!r}: {module_name!r} has no {member!r}.")
        return getattr(module, member)
    raise InputError(f"{what} {name!r} is unknown. {nearest(name, known)} Your own is named pkg.mod:Name.")


def nearest(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, or all of them, as a sentence."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(sorted(known))}."


def value_of(text: str) -> Any:
    """A word as a Python literal (number, None, tuple, string in quotes), ``true``, ``false``, ``inf``, or a string."""
    words = {"true": True, "false": False, "none": None, "inf": float("inf")}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def with_setting(piece: Any, path: list[str], text: str, *, pieces: Mapping[str, Any], label: str) -> Any:
    """A frozen dataclass with one field, perhaps of a field of it, replaced.

    Args:
        piece: the dataclass.
        path: names of fields, outermost first.
        text: the value as written.
        pieces: by name, the curves, rankings and rates that a field which holds such a piece may be set to.
        label: for messages.

    Raises:
        InputError: if there is no such field or the value does not fit.
    """
    name, rest = path[0], path[1:]
    known = [f.name for f in fields(piece)] if is_dataclass(piece) else []
    if name not in known:
        raise InputError(f"{label} has no setting {name!r}. {nearest(name, known) if known else 'It has none.'}")
    now = getattr(piece, name)
    if rest:
        new = with_setting(now, rest, text, pieces=pieces, label=f"{label}.{name}")
    elif is_dataclass(now):
        new = find(text, pieces, f"{label}.{name}")()
        # a rate that goes by another law keeps the ranking, and so on: only what is named changes
        shared = {f.name for f in fields(new)} & {f.name for f in fields(now)} if type(new) is not type(now) else set()
        new = replace(new, **{f: getattr(now, f) for f in shared if f == "ranking"})
    else:
        new = value_of(text)
        if isinstance(now, float) and isinstance(new, int) and not isinstance(new, bool):
            new = float(new)
        fits = now is None or new is None or isinstance(new, type(now)) or isinstance(now, str | tuple)
        if not fits or (isinstance(now, str) and not isinstance(new, str | tuple)):
            raise InputError(f"{label}.{name} must be {_kind(now)} like {now!r}, but is {text!r}.")
    try:
        return replace(piece, **{name: new})
    except TypeError as error:
        raise InputError(f"{label}.{name} cannot be {text!r} ({error}).") from error


def _kind(value: Any) -> str:
    return {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}.get(type(value), "a value")
