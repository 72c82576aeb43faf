"""Fingerprints: what was computed from what. Content is hashed, never names or dates."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from ebbing.batches import gathered, held, iterate, names_of


def _digest() -> Any:
    return hashlib.blake2b(digest_size=16)


def _update(digest: Any, tensor: Tensor) -> None:
    array = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(np.ascontiguousarray(array).data)


def of_dataset(dataset: Dataset[Any]) -> str:
    """32 hexadecimal digits of the content of a data set, in its order.

    A data set with a ``fingerprint`` attribute (a string) is taken at its word, so that one that cannot be read
    twice alike (augmentation) can still be named.
    """
    own = named(dataset)
    if own is not None:
        return own
    digest = _digest()
    source = held(dataset)
    if source is not None and source[1] is None:
        for name in names_of(dataset) or ():
            digest.update(name.encode())
        for tensor in source[0]:
            _update(digest, tensor)
        return str(digest.hexdigest())
    for batch in iterate(dataset, batch_size=4096 if source or gathered(dataset) else 1):
        parts = batch.items() if isinstance(batch, Mapping) else enumerate(batch)
        for name, part in sorted(parts, key=lambda pair: str(pair[0])):
            digest.update(str(name).encode())
            if isinstance(part, Mapping):
                for key in sorted(part):
                    digest.update(str(key).encode())
                    _update(digest, torch.as_tensor(part[key]))
            else:
                _update(digest, torch.as_tensor(part))
    return str(digest.hexdigest())


def of_part(dataset: Dataset[Any], ids: Sequence[int]) -> str:
    """32 hexadecimal digits of the records at some positions, in that order; no other is read.

    A data set that can name a part of itself, by a method ``fingerprint_of(ids)``, is taken at its word.
    """
    own = getattr(dataset, "fingerprint_of", None)
    return str(own(ids)) if callable(own) else of_dataset(Subset(dataset, list(ids)))


def named(dataset: Dataset[Any]) -> str | None:
    """What a data set with a ``fingerprint`` attribute, or a subset of one, goes by; None for any other."""
    own = getattr(dataset, "fingerprint", None)
    if isinstance(own, str):
        return own
    below = named(dataset.dataset) if isinstance(dataset, Subset) else None
    return None if below is None else of_settings([below, list(dataset.indices)])  # type: ignore[attr-defined]


def of_model(model: nn.Module) -> str:
    """32 hexadecimal digits of a model's structure and of every parameter and buffer."""
    return of_settings([as_in_caller(repr(model)), of_tensors(model.state_dict())])


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """32 hexadecimal digits of tensors by name, whatever their order."""
    digest = _digest()
    for name in sorted(tensors):
        digest.update(name.encode())
        _update(digest, tensors[name])
    return str(digest.hexdigest())


def as_in_caller(text: str) -> str:
    """Text in which the script that was started is ``__main__``, as in its own process; in a worker's it is ``__mp_main__``."""
    return text.replace("__mp_main__", "__main__")


def source_of(kind: Any) -> list[str]:
    """Names and text of a class or function from outside ebbing and torch; nothing for theirs, which go by their versions.

    A user who rewrites a curve or a forward pass does not want the old one's result. The text is that of the class, of the
    bases it has from outside, and of what each names of its own module: functions, other classes, constants, and what those
    name in turn. What a module imports is not looked at.
    """
    if kind.__module__.partition(".")[0] in ("ebbing", "torch", "builtins"):
        return []
    return list(_read_source(kind))


def sources_of(piece: Any) -> list[str]:
    """Source and state of a piece, and of the pieces within, that come from outside ebbing; ours add nothing."""
    found = source_of(piece if inspect.isfunction(piece) else type(piece))
    if found and not is_dataclass(piece) and not inspect.isfunction(piece):
        state = repr(sorted(vars(piece).items())) if hasattr(piece, "__dict__") else repr(piece)
        found.append(as_in_caller(state))
    if is_dataclass(piece) and not isinstance(piece, type):
        for part in fields(piece):
            found += sources_of(getattr(piece, part.name))
    return found


@cache
def _read_source(kind: Any) -> tuple[str, ...]:
    """Names and text of a class. A class that is rewritten is another object; to find its text takes a tenth of a second."""
    found = [as_in_caller(f"{kind.__module__}:{kind.__qualname__}")]
    with suppress(OSError, TypeError):  # made at a prompt
        text = inspect.getsource(kind)
        found += [text, *_named_beside(kind, text)]
    for base in getattr(kind, "__mro__", (kind,))[1:]:
        found += [] if base.__module__.partition(".")[0] in sys.stdlib_module_names else source_of(base)
    return tuple(dict.fromkeys(found))


def _named_beside(kind: Any, text: str) -> list[str]:
    """The text of what a class or function names of its own module, and of what that names in turn, in the module's order."""
    module = inspect.getmodule(kind)
    if module is None:
        return []
    try:
        statements = _statements(inspect.getsource(module))
        wanted = _names(ast.parse(textwrap.dedent(text)))
    except SyntaxError:  # a function within an expression
        return []
    reached: set[int] = set()
    while new := {i for i, one in enumerate(statements) if i not in reached and wanted & one.defines}:
        reached |= new
        wanted = wanted.union(*(statements[i].names for i in new))
    return [statements[i].text for i in sorted(reached) if statements[i].text != text]


@dataclass(frozen=True)
class _Statement:
    """A statement of a module: its text, what it gives a name to, and what it reads by name."""

    text: str
    defines: frozenset[str]
    names: frozenset[str]


@lru_cache(maxsize=16)
def _statements(text: str) -> list[_Statement]:
    """Those of a module that import nothing."""
    lines = text.splitlines(keepends=True)
    return [
        _Statement("".join(lines[_first_line(one) - 1 : one.end_lineno]), _defines(one), _names(one))
        for one in ast.parse(text).body
        if not isinstance(one, (ast.Import, ast.ImportFrom))
    ]


def _names(tree: ast.AST) -> frozenset[str]:
    """What code reads by name."""
    return frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    )


def _defines(statement: ast.stmt) -> frozenset[str]:
    """What a statement of a module gives a name to."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(statement, kinds):
        return frozenset({statement.name})
    inside = list(ast.walk(statement))
    stored = {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return frozenset(stored | {node.name for node in inside if isinstance(node, kinds)})


def _first_line(statement: ast.stmt) -> int:
    """Where it begins, its decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def module_source_of(function: Any) -> str:
    """Text of the module that a function or object comes from; its qualified name alone where there is no text."""
    with suppress(OSError, TypeError):
        module = inspect.getmodule(function)
        if module is not None:
            return inspect.getsource(module)
    return str(as_plain(function))


def of_settings(value: Any) -> str:
    """32 hexadecimal digits of nested settings, see `as_plain`.

    A piece with a ``fingerprint`` attribute (a string) goes by it: what it names by a path may move, or change in its place.
    """
    text = json.dumps(as_plain(value, by_content=True), sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def as_plain(value: Any, *, by_content: bool = False) -> Any:
    """Settings as JSON data: a dataclass becomes a dict with its ``type``, a function its qualified name.

    Args:
        value: the settings.
        by_content: whether a piece with a ``fingerprint`` goes by that in place of its fields.
    """
    if is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "fingerprint", None) if by_content else None
        if isinstance(own, str):
            return {"type": type(value).__name__, "fingerprint": own}
        named = {f.name: as_plain(getattr(value, f.name), by_content=by_content) for f in fields(value)}
        return {"type": type(value).__name__} | named
    if isinstance(value, Mapping):
        return {str(k): as_plain(v, by_content=by_content) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v, by_content=by_content) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return as_in_caller(f"{getattr(value, '__module__', '')}:{name}")


def is_plain_of(saved: Any, value: Any) -> bool:
    """Whether settings that `as_plain` once gave are those of a value today: a setting that was added since has its default."""
    if is_dataclass(value) and not isinstance(value, type):
        names = {"type", *(f.name for f in fields(value))}
        if not isinstance(saved, dict) or saved.get("type") != type(value).__name__ or not saved.keys() <= names:
            return False
        return all(
            is_plain_of(saved[f.name], getattr(value, f.name)) if f.name in saved else _has_default(value, f)
            for f in fields(value)
        )
    return bool(saved == as_plain(value))


def _has_default(value: Any, field: Field[Any]) -> bool:
    """Whether a field of a dataclass holds what it would hold if nothing were said."""
    if field.default_factory is not MISSING:
        return bool(getattr(value, field.name) == field.default_factory())
    return field.default is not MISSING and bool(getattr(value, field.name) == field.default)
