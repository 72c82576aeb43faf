"""From words on the command line to pieces of the library, and back."""

from __future__ import annotations

import ast
import difflib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ebbing.errors import InputError

OWN_MODULES: set[str] = set()  # packages of the user's, whose errors are not ours


def spelled(name: str) -> str:
    """A class or function name as it is written on the command line.

    Example:
        >>> spelled("ForgettingNetwork"), spelled("TopK"), spelled("paper_cnn")
        ('forgetting-network', 'top-k', 'paper-cnn')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()


def _bare(name: str) -> str:
    """A name without what is easily spelled otherwise."""
    return name.replace("-", "").replace("_", "").lower()


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


def find(name: str, known: Mapping[str, Any], what: str, *, labels: Iterable[str] = ()) -> Any:
    """A known piece by name, or ``pkg.mod:Name`` from anywhere that Python or the working directory has it.

    Hyphens and capitals do not count, so that SalUn, salun and sal-un are one.

    Args:
        name: as it was typed.
        known: pieces by name.
        what: for messages.
        labels: that the command knows besides, so that the nearest may be one of them.

    Raises:
        InputError: if there is neither, or the module cannot be imported; the nearest known name is said.
    """
    if name in known:
        return known[name]
    alike = [member for spelling, member in known.items() if _bare(spelling) == _bare(name)]
    if len(alike) == 1:
        return alike[0]
    if not re.fullmatch(r"[\w.]+:\w+", name):
        if not known:
            raise InputError(f"{what} must be named pkg.mod:name, but is {name!r}.{_of_a_file(name)}")
        raise InputError(
            f"{what} {name!r} is unknown. {nearest(name, {*known, *labels})} Your own is named pkg.mod:Name."
        )
    module_name, _, member = name.partition(":")
    if os.getcwd() not in sys.path:  # where an installed command does not look by itself
        sys.path.append(os.getcwd())
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a module raises while it is imported is its author's to mend
        close = difflib.get_close_matches(module_name, list(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        reason = f"{type(error).__name__}: {_one_line(error)}"
        raise InputError(
            f"{what} {name!r}: {module_name!r} cannot be imported ({reason}).{hint or _of_a_file(name)}"
        ) from error
    if module_name.partition(".")[0] not in ("ebbing", *sys.stdlib_module_names):
        OWN_MODULES.add(module_name.partition(".")[0])
    if not hasattr(module, member):
        has = [n for n in vars(module) if not n.startswith("_")]
        where = (
            f" ({module.__file__})" if getattr(module, "__file__", None) else ""
        )  # perhaps not the one that is meant
        raise InputError(
            f"{what} {name!r}: {module_name!r}{where} has no {member!r}. {nearest(member, has) if has else ''}"
        )
    return getattr(module, member)


def _of_a_file(name: str) -> str:
    """What to write where a file was named instead of a module."""
    file, _, member = name.partition(":")
    if not file.endswith(".py"):
        return ""
    module = file.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    return f" Name the module, not its file: {module}:{member or 'name'}."


def made(kind: Any, base: type | tuple[type, ...], what: str) -> Any:
    """A piece from what a name stands for: an instance as it is, or a class called without arguments.

    Raises:
        InputError: if that gives no instance of ``base``.
    """
    names = " or ".join(b.__name__ for b in (base if isinstance(base, tuple) else (base,)))
    wanted = f"{'an' if names[0] in 'AEIOU' else 'a'} {names}"
    if isinstance(kind, type) and issubclass(kind, base):
        try:
            return kind()
        except Exception as error:
            raise InputError(
                f"{what} must be {wanted} that can be made without arguments, but {kind.__name__}() raised "
                f"{type(error).__name__}: {_one_line(error).rstrip('.')}. Give them defaults, or name an instance in "
                "its module."
            ) from error
    if not isinstance(kind, base) or isinstance(kind, type):
        raise InputError(f"{what} must be {wanted}, but is {_one_line(repr(kind))}.")
    return kind


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
    now, hint, full = getattr(piece, name), _hint(piece, name), f"{label}.{name}"
    kinds = _piece_kinds(hint)
    if rest:
        inner = made(kinds[0], kinds[0], full) if now is None and kinds else now
        new = with_setting(inner, rest, text, pieces=pieces, label=full)
    elif kinds or is_dataclass(now):
        new = _piece(text, now, hint, pieces=pieces, label=full)
    else:
        new = _plain_value(text, now, hint, label=full)
    try:
        return replace(piece, **{name: new})
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{full} cannot be {text!r} ({_one_line(error)}).") from error


def _piece(text: str, now: Any, hint: Any, *, pieces: Mapping[str, Any], label: str) -> Any:
    """A curve, a ranking or a rate by name, for a field that holds one."""
    kinds = _piece_kinds(hint) or (object,)
    if _fits(None, hint) and value_of(text) is None:
        return None
    fitting = {n: p for n, p in pieces.items() if not isinstance(p, type) or issubclass(p, kinds)}
    if not fitting and ":" not in text:
        inside = [f.name for f in fields(now)] if is_dataclass(now) else ["field"]
        raise InputError(f"{label} is set field by field, such as {label}.{inside[0]}=..., but is {text!r}.")
    new = made(find(text, fitting, label), kinds, label)
    # a rate that goes by another law keeps the ranking that was chosen; one that its law alone came with goes with it
    ranking = getattr(now, "ranking", None)
    if ranking is not None and type(new) is not type(now) and ranking != type(now)().ranking:
        new = replace(new, ranking=ranking) if "ranking" in {f.name for f in fields(new)} else new
    return new


def _plain_value(text: str, now: Any, hint: Any, *, label: str) -> Any:
    """A number, a word and so on, for a field that holds one."""
    for value in (value_of(text), text):
        if _fits(value, hint):
            break
    else:
        raise InputError(f"{label} must be {_wanted(hint)}, but is {text!r}.")
    if type(value) not in (int, float) or not _fits(0.5, hint):
        return value
    # 3 and 3.0 are one setting and must have one key in the store: a whole number is written as the present one is
    try:
        return int(value) if type(now) is int and float(value).is_integer() else float(value)
    except OverflowError:
        raise InputError(f"{label} must be a number that a float can hold, but is {text!r}.") from None


def _hint(piece: Any, name: str) -> Any:
    """The declared type of a field; what it now holds where that cannot be told."""
    try:
        return get_type_hints(type(piece))[name]
    except Exception:  # names that only type checkers import
        now = getattr(piece, name)
        return Any if now is None or is_dataclass(now) else type(now)


def _arms(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _piece_kinds(hint: Any) -> tuple[type, ...]:
    """The dataclasses, and the families of them, that a field may hold."""
    return tuple(a for a in _arms(hint) if isinstance(a, type) and (is_dataclass(a) or inspect.isabstract(a)))


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a declared type; a whole number is a number, true and false are none."""
    if len(_arms(hint)) > 1:
        return any(_fits(value, arm) for arm in _arms(hint))
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if hint in (None, type(None)):
        return value is None
    if origin is Literal:
        return any(value == allowed and type(value) is type(allowed) for allowed in inside)
    if hint in (int, float):
        return isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
    if origin is tuple and isinstance(value, tuple):
        each = [inside[0]] * len(value) if inside[-1] is Ellipsis else list(inside)
        return len(each) == len(value) and all(map(_fits, value, each))
    kind = origin or hint
    return isinstance(value, kind) if isinstance(kind, type) else True


def _wanted(hint: Any) -> str:
    """A declared type in words."""
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a word", type(None): "none"}
    found: list[str] = []
    for arm in _arms(hint):
        allowed = [repr(a) for a in get_args(arm)] if get_origin(arm) is Literal else []
        found += allowed or [words.get(arm, f"a {getattr(get_origin(arm) or arm, '__name__', 'value')}")]
    return " or ".join(found)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
