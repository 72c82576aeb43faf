"""Data kept on an accelerator: what is held as tensors travels there once, not once for every batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

SHARE = 0.25  # of the memory that is free: models, gradients and activations need the rest

# by the tensor that was copied: its version then, and the copy; both go when the tensor goes
_copies: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def kept_at(tensors: Sequence[Tensor], device: torch.device | None) -> tuple[Tensor, ...]:
    """Tensors as they are on a device, copied there at the first call; one that was changed since is copied again.

    Args:
        tensors: of a data set.
        device: where they are read; None or a CPU leaves them where they are, as do tensors of more than a quarter of the
            memory that is free there, which then travel batch by batch.
    """
    if device is None or device.type == "cpu" or any(tensor.is_inference() for tensor in tensors):
        return tuple(tensors)  # an inference tensor does not tell when it was changed
    away = [tensor for tensor in tensors if tensor.device != device and _known(tensor, device) is None]
    if away and not _fits(sum(t.numel() * t.element_size() for t in away), device):
        return tuple(tensors)
    return tuple(_at(tensor, device) for tensor in tensors)


def _at(tensor: Tensor, device: torch.device) -> Tensor:
    """One tensor there."""
    if tensor.device == device:
        return tensor
    known = _known(tensor, device)
    if known is None:
        known = tensor.to(device)
        _copies[tensor] = (tensor._version, known)
    return known


def _known(tensor: Tensor, device: torch.device) -> Tensor | None:
    """The copy of a tensor, if it is still one."""
    if tensor not in _copies:
        return None
    version, copy = _copies[tensor]
    return copy if version == tensor._version and copy.device == device else None


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes may be kept there; True where the device does not say how much is free."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size <= SHARE * free
