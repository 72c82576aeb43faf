"""Finding the units of a model that can be decayed faithfully and effectively."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ebbing.compiled import is_compiled
from ebbing.errors import InputError
from ebbing.task import Task, evaluation_mode
from ebbing.units.fitness import Fitness
from ebbing.units.group import UnitGroup
from ebbing.units.kinds import KINDS
from ebbing.units.kinds.kind import is_linear

log = logging.getLogger(__name__)

LAYERS = ("conv", "linear")  # the kinds whose groups are single layers
Layers = str | Sequence[str] | Callable[[UnitGroup], bool]
MANY = 6  # names that a warning lists


def find_units(model: nn.Module, *, task: Task, batch: Any, layers: Layers = "all") -> list[UnitGroup]:
    """The units of a model that can be decayed faithfully and effectively, group by group, in the order they run.

    *Faithful*: the gated forward equals the baked one, checked by running both. *Effective*: the gate changes the
    output although a normalisation follows; where it does not, the gate moves to that normalisation's scale and shift.
    (One that follows further on may undo a factor that all units share, but not factors that differ from unit to unit.)
    Groups that fail either, run more than once, share a parameter with another module, or do not run at all are
    skipped with a warning. Where all are asked for, another one names attentions of no known layout, whose layers are taken
    row by row.

    Kinds are those of `ebbing.units.kinds.KINDS`: components of adapters ("lora"), attention heads ("heads"), hidden units of
    the MLPs of transformers ("mlp"), channels ("conv") and rows of linear layers ("linear"). Where several are asked for, no
    weight belongs to two groups: a layer that is part of an attention or MLP is not taken row by row as well.

    Args:
        model: left as it was.
        task: runs the model on ``batch``.
        batch: a few examples, at least 2 (for batch statistics).
        layers: "all", a kind, the name of a group or a pattern of names such as ``encoder.*``, or several of these; or a
            function that says of each group whether it is wanted.

    Raises:
        InputError: if something that is named does not exist, if nothing can be decayed, or if the model is compiled.
    """
    if is_compiled(model):
        raise InputError(
            "the units of a compiled model cannot be read or gated, as compiled code runs past hooks. Pass "
            "ebbing.compiled.uncompiled(model); methods do that of themselves."
        )
    groups: list[UnitGroup] = []
    skipped: dict[str, list[str]] = {}
    with evaluation_mode(model):  # in training, a spectral norm goes on with its iteration wherever a weight is read
        candidates = _wanted(model, layers)
        fitness = Fitness(model, task=task, batch=batch)
        for candidate in sorted(candidates, key=lambda group: fitness.order(group)):
            found = fitness.of(candidate)
            if isinstance(found, UnitGroup):
                groups.append(found)
            else:
                skipped.setdefault(found, []).append(candidate.name)
    for why, names in skipped.items():
        log.warning("%s: %s.", "; ".join(f"{name!r} is not decayed" for name in names[:MANY]) + _more(names), why)
    if not groups:
        wanted = sorted(group.name for group in candidates)
        raise InputError(
            f"at least one layer must be fit for decay, but of {wanted[:MANY] or 'no layer of a known kind'}{_more(wanted)} "
            f"none is: {'; '.join(skipped) or 'there are none'}. Name other layers."
        )
    if layers == "all":
        _warn_of_attentions(
            model, groups, [group.name.rpartition(":")[0] for group in candidates if group.kind == "heads"]
        )
    return groups


def _warn_of_attentions(model: nn.Module, groups: Sequence[UnitGroup], known: Sequence[str]) -> None:
    """Name the classes of attentions whose layers are taken row by row, as no layout of heads matches them.

    Args:
        model: that they are part of.
        groups: that were found.
        known: names of the attentions whose heads are known: what is around them or part of them is not named.
    """
    found = []
    for name, module in model.named_modules():
        below = any(group.kind == "linear" and group.name.startswith(f"{name}.") for group in groups)
        related = any(f"{each}.".startswith(f"{name}.") or name.startswith(f"{each}.") for each in known)
        if type(module).__name__.endswith("Attention") and below and not related:
            found.append(type(module).__name__)
    if found:
        log.warning(
            "%s: no known layout of attention, so that its linear layers are decayed row by row as fully connected ones, no "
            "head as a whole. To leave them out, freeze them (requires_grad_(False)), or name `layers` where one may.",
            ", ".join(dict.fromkeys(found)),
        )


def layers_in_order(model: nn.Module, *, task: Task, batch: Any) -> list[str]:
    """Names of the linear and convolutional layers that run, whether they can be decayed or not, in the order they run.

    Args:
        model: left as it was.
        task: runs the model on ``batch``.
        batch: a few examples.
    """
    order: dict[str, None] = {}
    with ExitStack() as stack, evaluation_mode(model):
        for name, module in model.named_modules():
            if is_linear(module) or isinstance(module, nn.modules.conv._ConvNd):
                handle = module.register_forward_hook(lambda *_, name=name: order.setdefault(name))
                stack.callback(handle.remove)
        task.forward(model, batch)
    return list(order)


def _wanted(model: nn.Module, layers: Layers) -> list[UnitGroup]:
    """The groups that are asked for, so that no layer is in two of them."""
    have = [group for kind in KINDS.values() for group in kind.find(model)]
    if callable(layers):
        chosen = [group for group in have if layers(group)]
    else:
        asked = [layers] if isinstance(layers, str) else list(layers)
        unknown = [each for each in asked if each != "all" and not any(_is_meant(group, each) for group in have)]
        if [each for each in unknown if each not in KINDS]:
            raise InputError(
                f"`layers` must be 'all', a kind among {', '.join(KINDS)}, or names or patterns of names among "
                f"{sorted(group.name for group in have)}, but contains {unknown}."
            )
        chosen = [group for group in have if any(each == "all" or _is_meant(group, each) for each in asked)]
    claimed: set[str] = set()
    free = []
    for group in chosen:
        if claimed.isdisjoint(group.claims):
            claimed.update(group.claims)
            free.append(group)
    return free


def _is_meant(group: UnitGroup, asked: str) -> bool:
    """Whether a kind, a name or a pattern means a group."""
    return asked in (group.kind, group.name) or fnmatchcase(group.name, asked)


def _more(names: Sequence[str]) -> str:
    """How many names a list leaves out."""
    return f" and {len(names) - MANY} more" if len(names) > MANY else ""
