"""From ``--method`` and ``--set`` to methods by label."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ebbing import curves, methods, rankings, rates, sabotage
from ebbing.cli.names import find, made, members, nearest, with_setting
from ebbing.errors import InputError
from ebbing.methods import Unlearner
from ebbing.training import Recipe


def methods_of(
    words: tuple[str, ...],
    settings: tuple[str, ...],
    *,
    recipe: Recipe | None,
    adapted: Callable[[Unlearner], Unlearner] = lambda method: method,
    labels: Collection[str] = (),
) -> dict[str, Unlearner]:
    """The methods by label, with what --set says.

    Args:
        words: ``name[:preset][@label]``, each.
        settings: ``[method.]field[.sub]=value``, each.
        recipe: the original's, for the methods that go by it; None where it is not known.
        adapted: what becomes of each before its settings are set.
        labels: that the command knows besides; a word that is near one is told so.

    Raises:
        InputError: if a word cannot be read, or names what there is not.
    """
    known = members(methods, Unlearner) | members(sabotage, Unlearner)
    chosen: dict[str, Unlearner] = {}
    for word in words:
        spec, at, label = word.partition("@")
        method = _method(spec, known, labels)
        if recipe is not None and type(method) is methods.Retrain:
            method = replace(method, recipe=recipe)
        elif recipe is not None and isinstance(method, methods.Repairing):
            method = replace(method, training=recipe)
        method = adapted(method)
        if at and (not label or "=" in label or not label.isprintable()):
            raise InputError(f"--method {word!r}: a label must be printable and without '=', and have a character.")
        label = label or spec
        if label in chosen:
            raise InputError(f"--method: the label {label!r} is given twice. Add @label to tell them apart.")
        chosen[label] = method
    return _with_sets(chosen, settings)


def _method(spec: str, known: Mapping[str, Any], labels: Collection[str]) -> Unlearner:
    """The method of ``name[:preset]``."""
    name, preset = _split_preset(spec, known)
    kind = find(name, known, "--method", labels=labels)
    method: Unlearner = made(kind, Unlearner, f"--method {name!r}")
    if preset and preset not in method.presets:
        has = nearest(preset, method.presets) if method.presets else "It has no presets."
        raise InputError(f"--method {name!r} has no preset {preset!r}. {has}")
    return method.presets[preset] if preset else method


def _split_preset(spec: str, known: Mapping[str, Any]) -> tuple[str, str]:
    """``name[:preset]`` and ``pkg.mod:Name[:preset]`` apart."""
    first, _, rest = spec.partition(":")
    if first in known or not rest:
        return first, rest
    member, _, preset = rest.partition(":")
    return f"{first}:{member}", preset


def _with_sets(chosen: dict[str, Unlearner], words: tuple[str, ...]) -> dict[str, Unlearner]:
    """The methods with every --set applied, in whichever order makes sense.

    A setting may only fit once another one is there, such as a field of a curve that is chosen as well: what does not
    fit is tried again after the others.
    """
    while words:
        later, first = [], None
        for word in words:
            try:
                chosen = _with_set(chosen, word)
            except InputError as error:
                first = first or error
                later.append(word)
        if first is not None and len(later) == len(words):
            raise first
        words = tuple(later)
    return chosen


def _with_set(chosen: dict[str, Unlearner], word: str) -> dict[str, Unlearner]:
    """The methods with one --set applied, to the method it names or to every one that has the field."""
    left, equals, text = word.partition("=")
    if not equals:
        raise InputError(f"--set must be [method.]field[.sub]=value, but is {word!r}.")
    pieces = {
        **members(curves, curves.ForgettingCurve),
        **members(rankings, rankings.Ranking),
        **members(rates, rates.Rate),
    }
    label = max((n for n in chosen if left.startswith(n + ".")), key=len, default=None)
    if label is not None:
        path = left[len(label) + 1 :].split(".")
        return chosen | {label: with_setting(chosen[label], path, text, pieces=pieces, label=label)}
    path = left.split(".")
    having = [n for n, m in chosen.items() if path[0] in _settings(m)]
    if not having:
        known = sorted({*chosen, *(f for m in chosen.values() for f in _settings(m))})
        before = f" Before the dot stands a method's label: {', '.join(chosen)}." if len(path) > 1 else ""
        raise InputError(f"--set {word!r}: no method has a setting {path[0]!r}. {nearest(path[0], known)}{before}")
    return chosen | {n: with_setting(chosen[n], path, text, pieces=pieces, label=n) for n in having}


def refuse_idle_budgets(chosen: Mapping[str, Unlearner], words: tuple[str, ...]) -> None:
    """A budget that is set must count: it is a share of one retraining, and the length of that must be known.

    Args:
        chosen: the methods by label, with what --set says.
        words: of --set.

    Raises:
        InputError: naming the first that would change nothing.
    """
    set_ = [word.partition("=")[0] for word in words]
    for label, method in chosen.items():
        named = next((left for left in set_ if left in ("budget", f"{label}.budget")), None)
        if named is not None and isinstance(method, methods.Repairing) and method.training is None:
            raise InputError(
                f"--set {named}: a budget is a share of what one retraining processes, which must be known, but is not, so "
                "that the budget would change nothing. Say how the model was trained, such as --set training.epochs=20 (with "
                "--hf by --pretrained and --recipe, in a ledger by --recipe), or how long the repair is by --set "
                "repair.epochs=2."
            )


def _settings(method: Unlearner) -> list[str]:
    return [f.name for f in fields(method)] if is_dataclass(method) else []


def recipe_with(recipe: Recipe, words: tuple[str, ...]) -> Recipe:
    """The data set's recipe with what --recipe says."""
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--recipe must be key=value, but is {word!r}.")
        recipe = with_setting(recipe, [key], text, pieces={}, label="recipe")
    return recipe
