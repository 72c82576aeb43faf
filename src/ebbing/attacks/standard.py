"""The attacks that every report has, and others beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ebbing.attacks.attack import MIN_RECORDS, Attack
from ebbing.attacks.confidence import ConfidenceThreshold
from ebbing.attacks.entropy import EntropyThreshold
from ebbing.attacks.logistic import LossLogistic
from ebbing.attacks.loss import LossThreshold
from ebbing.attacks.modified_entropy import ModifiedEntropyThreshold
from ebbing.batches import evenly
from ebbing.errors import InputError
from ebbing.observations import observe
from ebbing.request import ForgetRequest
from ebbing.task import Task

STANDARD: tuple[Attack, ...] = (
    LossThreshold(),
    ConfidenceThreshold(),
    EntropyThreshold(),
    ModifiedEntropyThreshold(),
    LossLogistic(),
)


def with_standard(more: Sequence[Attack]) -> tuple[Attack, ...]:
    """The standard attacks and others, in this order.

    Args:
        more: attacks whose names no standard one has.

    Raises:
        InputError: if they are no list, or one is no attack, has no name, or has that of another.
    """
    if not isinstance(more, Sequence):  # what can be read once would be gone at the second reading
        raise InputError(f"`attacks` must be a list of attacks, but is {more!r}. Write [...] around a single one.")
    found = list(STANDARD)
    for attack in more:
        if not isinstance(attack, Attack):
            raise InputError(
                f"`attacks` must hold instances of Attack, but {attack!r} is none. Derive your class from "
                "ebbing.attacks.Attack, and pass one, not the class."
            )
        name = getattr(attack, "name", None)
        if not isinstance(name, str) or not name or not name.isprintable():
            raise InputError(
                f"an attack must have a printable `name`, but that of {type(attack).__name__} is {name!r}. Give its class one."
            )
        if name in [other.name for other in found]:
            raise InputError(
                f"attacks must have different names, but {name!r} is that of "
                f"{'a standard one, which every report has' if name in [s.name for s in STANDARD] else 'two'}. Name yours "
                "otherwise, or leave it out."
            )
        found.append(attack)
    return tuple(found)


def try_attacks(attacks: Sequence[Attack], model: nn.Module, request: ForgetRequest, *, task: Task) -> None:
    """Run attacks on 20 records of each split, the fewest that they have figures of: what is wrong with them is found early.

    Args:
        attacks: what they find is not looked at.
        model: may be untrained; left as it was.
        request: what it is tried on; without matched records no attack is run.
        task: turns batches into outputs.

    Raises:
        InputError: if one gives no number for each record, or no result; whatever its own code raises comes through.
    """
    if not attacks or request.matched is None:
        return
    few = replace(
        request,
        forget_ids=request.forget_ids[:MIN_RECORDS],
        retain_ids=request.retain_ids[:MIN_RECORDS],
        holdout=evenly(request.holdout, MIN_RECORDS),
        matched=evenly(request.matched, MIN_RECORDS),
    )
    seen = observe([model], few, task=task, logits=True)
    for attack in attacks:
        attack.run(seen)
