"""The tensors of a model: by name, tied ones once, and finite."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ebbing.checkpoints.shown import few, shown
from ebbing.errors import InputError


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers for a file, by name: of tied ones the first, each on the CPU and in memory of its own."""
    return distinct(state_of(model))


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, in the model's own memory."""
    state: dict[str, Any] = model.state_dict()
    odd = [shown(name) for name, value in state.items() if not isinstance(value, Tensor) or not is_plain(value)]
    if odd:
        raise InputError(
            f"the model's state must be dense tensors with values, but {len(odd)} of {len(state)} are not ({few(odd)}): "
            "lazy, sparse, quantised, on the meta device or no tensors at all. Such models cannot be read or written here."
        )
    return state


def elements(tensor: Tensor) -> Hashable:
    """The same for tensors of the same elements in memory, as tied weights are, transposed ones included."""
    steps = sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, *steps) if tensor.numel() else object()


def distinct(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors for a file: of tied ones the first by name; each on the CPU, packed, in memory of its own."""
    kept = {elements(state[name]): name for name in sorted(state, reverse=True)}
    packed = {name: state[name].detach().cpu().contiguous() for name in kept.values()}
    return {n: t if t.untyped_storage().nbytes() == t.nbytes else t.clone() for n, t in packed.items()}


def refuse_not_finite(state: Mapping[str, Tensor], whose: str) -> None:
    """Weights must be numbers."""
    wrong = [shown(name) for name, tensor in state.items() if not torch.isfinite(wide(tensor)).all()]
    if wrong:
        raise InputError(
            f"{whose} must be finite, but {len(wrong)} of {len(state)} tensors hold NaN or infinite values ({few(wrong)}). "
            "The training that made them diverged, or they are too large for the model's dtype."
        )


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and has values."""
    return not (is_lazy(tensor) or tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided)


def wide(tensor: Tensor) -> Tensor:
    """Numbers of one byte as float32, for which more is implemented."""
    return tensor.float() if tensor.dtype.itemsize == 1 else tensor
