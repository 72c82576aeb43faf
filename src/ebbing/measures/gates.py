"""Copies of a model as it might be deployed, in which what was forgotten must stay forgotten. Needs the weights."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.units.kinds.kind import is_transposed, out_axis

ROUNDED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
FEWEST, MOST = 2, 8  # bits

Model = TypeVar("Model", bound=nn.Module)


def rounded(model: Model, *, bits: int) -> Model:
    """A copy of a model whose weights are rounded to the nearest point of a grid of ``bits`` bits.

    Unlearning that moves weights less than half a step of the grid is undone by rounding: the copy is then the rounded
    original. Observe the copy and judge it as any other model. For each output channel c of a linear or convolutional
    layer, with weights W_c (of GPT-2 a column, as the transformers library lays its linear layers out),

        scale_c = max abs(W_c) / (2^(bits - 1) - 1)
        W'_c = scale_c * round(W_c / scale_c)

    where halves are rounded to the even number. So the grid is symmetrical, the integers are in
    [-(2^(bits - 1) - 1), 2^(bits - 1) - 1], and the largest weight of a channel stays as it is; channels of zeros
    stay zeros. bits = 8 and 4 are int8 and int4. Biases, normalisation, embeddings (unless tied to such a layer),
    transposed convolutions and the joint input projection of ``nn.MultiheadAttention`` are kept. Weights are stored as
    before, only their values are rounded; nothing is calibrated. Why: Zhang et al., arXiv 2410.16454 (forgotten
    knowledge from 21 % back to 83 % in 4 bits).

    Args:
        model: is left as it is.
        bits: in 2 to 8.

    Returns:
        The copy, in the same mode and on the same device.

    Raises:
        InputError: if ``bits`` is out of range, or the model has no such layer, or one whose weight is not finite or is
            computed from others (weight normalisation, pruning masks).
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not FEWEST <= bits <= MOST:
        raise InputError(
            f"`bits` must be a whole number from {FEWEST} to {MOST}, but is {bits!r}. 8 and 4 are what models are deployed in."
        )
    copy = deepcopy(model)
    layers = {n: layer for n, layer in copy.named_modules() if isinstance(layer, ROUNDED) or is_transposed(layer)}
    if not layers:
        raise InputError(
            f"a model must have a linear or convolutional layer to be rounded, but {type(model).__name__} has none. Round "
            "its weights yourself and observe the result."
        )
    weights = {
        name: layer.weight for name, layer in layers.items() if "weight" in dict(layer.named_parameters(recurse=False))
    }
    computed = sorted(set(layers) - set(weights))
    if computed:
        raise InputError(
            f"weights must be parameters of their own to be rounded, but those of {computed[:3]} are computed from others. "
            "Fold it in first, as torch.nn.utils.parametrize.remove_parametrizations does."
        )
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise InputError(
            f"weights must be finite to be rounded, but those of {broken[:3]} are not. Leave the model out."
        )
    with torch.no_grad():
        for name, weight in {
            id(weight): (name, weight) for name, weight in weights.items()
        }.values():  # a tied one once
            channels = weight.movedim(out_axis(layers[name]), 0)  # a view
            channels.copy_(_on_grid(channels, levels=2 ** (bits - 1) - 1))
    return copy


def _on_grid(weight: Tensor, *, levels: int) -> Tensor:
    """A weight (channels, ...) rounded to -levels to levels steps for each channel."""
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))  # half precision has no room for the quotient
    largest = wide.abs().amax(dim=tuple(range(1, wide.ndim)), keepdim=True)
    step = largest / levels
    whole = (wide / torch.where(step > 0, step, 1.0)).round().clamp(-levels, levels)
    return whole * step
