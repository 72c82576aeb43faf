"""Drawing the weights of a module anew, as they were before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ebbing.errors import InputError

FLAG = "_is_hf_initialized"  # the transformers library leaves alone what bears it


def redraw(model: nn.Module, owner: str) -> None:
    """Draw the parameters that a module holds itself anew, in place, by torch's global generators.

    The Hugging Face model that it is part of does that, if there is one, else its own ``reset_parameters``. A low-rank adapter
    of the PEFT library begins as one that does nothing: A is what its layer draws, B zero, a magnitude that of the base; with
    embeddings, A is zero and B drawn (Hu et al., LoRA, 2021).

    Args:
        model: that the module is part of.
        owner: name of the module; "" for the model itself.

    Raises:
        InputError: if there is neither.
    """
    module = model.get_submodule(owner)
    if _draw_adapter(model, owner):
        return
    for name in _upwards(owner):
        around = model.get_submodule(name)
        if hasattr(around, "config_class") and hasattr(around, "_init_weights"):
            _draw_within(model, owner, around)
            return
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is None:
        raise InputError(
            f"to be drawn anew, {owner!r} ({type(module).__name__}) must have reset_parameters(), or be part of a transformers "
            "model, but it has none and is not. Give it one, or do without: leave it out of `layers`, take the anchor 'zero', "
            "or retrain with your own trainer."
        )
    reset()


def _draw_adapter(model: nn.Module, owner: str) -> bool:
    """Draw a part of a low-rank adapter as one that does nothing; False where the module is no such part."""
    around, _, part = f".{owner}".rpartition(".lora_")
    what, _, adapter = part.partition(".")
    module = model.get_submodule(owner)
    with torch.no_grad():
        if what in ("B", "embedding_A"):
            for parameter in module.parameters():
                parameter.zero_()
        elif what == "A":
            module.reset_parameters()  # type: ignore[operator]
        elif what == "embedding_B":
            for parameter in module.parameters():
                nn.init.normal_(parameter)
        elif what == "magnitude_vector":
            _measure_base(model.get_submodule(around[1:]), module, adapter)
        else:
            return False
    return True


def _measure_base(adapted: Any, magnitude: Any, adapter: str) -> None:
    """Set the magnitudes of an adapter (DoRA) to those of the base, as the PEFT library does it while B is zero."""
    own = magnitude.weight
    if adapter in adapted.lora_A:
        down, up = adapted.lora_A[adapter].weight, adapted.lora_B[adapter].weight
    else:
        down, up = adapted.lora_embedding_A[adapter], adapted.lora_embedding_B[adapter]
    magnitude.update_layer(
        base_layer=adapted.get_base_layer(), lora_A=down, lora_B=torch.zeros_like(up), scaling=adapted.scaling[adapter]
    )
    own.copy_(magnitude.weight)
    magnitude.weight = own


def _draw_within(model: nn.Module, owner: str, around: nn.Module) -> None:
    """Draw a module of a model of the transformers library as that does it.

    The module around it has a say too: GPT-2 draws output projections with a spread of their own when it comes to the attention
    or the MLP that they are part of. What else that draws stays as it was.
    """
    draw: Callable[[nn.Module], None] = around._init_weights  # type: ignore[assignment]
    module, outer = model.get_submodule(owner), model.get_submodule(owner.rpartition(".")[0])
    own = {id(parameter) for parameter in module.parameters(recurse=False)}
    others = [parameter for parameter in outer.parameters() if id(parameter) not in own]
    kept = [parameter.detach().clone() for parameter in others]
    for part in dict.fromkeys((module, outer)):
        for marked in (part, *module.parameters(recurse=False)):
            if hasattr(marked, FLAG):
                delattr(marked, FLAG)
        draw(part)
    with torch.no_grad():
        for parameter, value in zip(others, kept, strict=True):
            parameter.copy_(value)


def reinitialise(model: nn.Module, start: Callable[[], nn.Module] | None = None) -> None:
    """Give every parameter that is trained the value that it had before training, in place.

    Frozen modules keep their weights: training did not make them. Statistics that a normalisation keeps of what it was trained
    on go with its parameters, and where it has none.

    Args:
        model: changed where it is.
        start: gives the model that training started from, such as `ebbing.pretrained.Pretrained`; None where it was a fresh
            initialisation, which is then drawn, see `redraw`.

    Raises:
        InputError: if a module cannot be drawn anew, or ``start`` gives a model of other parameters.
    """
    if start is not None:
        begun = start()
        values = parameters_of_start(begun, model)
        for name, module in model.named_modules():
            trained = [n for n, p in module.named_parameters(recurse=False) if p.requires_grad]
            for own in trained:
                module.get_parameter(own).data.copy_(values[f"{name}.{own}" if name else own])
            if trained or _keeps_statistics_alone(module):
                for own, buffer in module.named_buffers(recurse=False):
                    buffer.copy_(begun.get_submodule(name).get_buffer(own))
        return
    for name, module in model.named_modules():
        if any(p.requires_grad for p in module.parameters(recurse=False)):
            redraw(model, name)
        elif _keeps_statistics_alone(module):
            module.reset_running_stats()


def _keeps_statistics_alone(module: nn.Module) -> bool:
    """Whether a module is a normalisation with statistics of what it was trained on, and without parameters."""
    return hasattr(module, "reset_running_stats") and not list(module.parameters(recurse=False))


def parameters_of_start(start: nn.Module, model: nn.Module) -> dict[str, Tensor]:
    """The parameters by name of the model that training started from.

    Raises:
        InputError: if they are not those of the model.
    """
    begun = {name: parameter.detach() for name, parameter in start.named_parameters()}
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found = {name: tuple(value.shape) for name, value in begun.items()}
    other = sorted(name for name in found.keys() | shapes.keys() if found.get(name) != shapes.get(name))
    if other:
        raise InputError(
            f"what training started from must have the parameters of the model, but {len(other)} differ, {other[:3]} first. "
            "Has it as many classes?"
        )
    return begun


def _upwards(name: str) -> Iterator[str]:
    """Names of a module and those around it, from the inside to the model itself, which is ''."""
    yield name
    while name:
        name = name.rpartition(".")[0]
        yield name
