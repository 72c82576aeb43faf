"""Models behind `torch.compile`: compiled code runs past the hooks by which activity is read."""

from __future__ import annotations

from copy import deepcopy

from torch import nn

INSIDE = "_orig_mod"  # what the wrapper calls the module that was compiled; importing its class would take a second


def is_compiled(model: nn.Module) -> bool:
    """Whether a model or a part of it is the wrapper that `torch.compile` returns."""
    return any(_inside(module) is not None for module in model.modules())


def uncompiled(model: nn.Module) -> nn.Module:
    """The model that was compiled; a copy without the wrappers where parts of it were, and the model itself where none was."""
    while (inside := _inside(model)) is not None:
        model = inside
    if not is_compiled(model):
        return model
    plain = deepcopy(model)
    _unwrap(plain)
    return plain


def _unwrap(module: nn.Module) -> None:
    """Take the wrappers off the parts of a module, in place."""
    for name, part in list(module._modules.items()):
        while part is not None and (inside := _inside(part)) is not None:
            module._modules[name] = part = inside
        if part is not None:
            _unwrap(part)


def _inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper holds; None if the module is none."""
    return module._modules.get(INSIDE)
