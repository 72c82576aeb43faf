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
    for name, module in list(plain.named_modules()):
        inside = _inside(module)
        if inside is not None:
            around, _, last = name.rpartition(".")
            setattr(plain.get_submodule(around), last, inside)
    return plain


def _inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper holds; None if the module is none."""
    return module._modules.get(INSIDE)
