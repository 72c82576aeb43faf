"""Single weights as units, for methods that decay them one by one."""

from __future__ import annotations

from torch import nn

from ebbing.errors import InputError
from ebbing.units.group import Slice, UnitGroup


def single_weights(model: nn.Module) -> list[UnitGroup]:
    """One group for each parameter that is trained, in the model's order; its units are the elements, row by row.

    Single weights have no activity: they can be decayed and baked, but neither gated nor read.

    Args:
        model: left as it was.

    Raises:
        InputError: if no parameter is trained.
    """
    groups = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = (Slice(name, None),)
            groups.append(UnitGroup(name, "weights", parameter.numel(), None, 0, part, part))
    if not groups:
        raise InputError("at least one parameter must be trainable for its weights to decay, but all are frozen.")
    return groups
