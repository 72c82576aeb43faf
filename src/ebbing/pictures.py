"""Forgotten records as pictures, for a report whose owner asked to have them in it."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from ebbing.batches import size
from ebbing.request import ForgetRequest
from ebbing.task import Task

SHOWN = 24
LARGEST = 128  # pixels along a side; larger images are thinned
NOT_IMAGES = "They were asked for, but their inputs are no images of 1 or 3 channels, so that none is shown."


def pictures_of(request: ForgetRequest, *, task: Task) -> dict[str, Any]:
    """At most 24 forgotten records as PNG data URIs, evenly spaced, each stretched from its darkest to its brightest value.

    Returns:
        ``{"note", "images": [{"uri", "label", "position"}]}``; no images, and a note, where inputs are none.
    """
    places = torch.linspace(0, size(request.forget) - 1, min(SHOWN, size(request.forget)), dtype=torch.float64).long()
    chosen = Subset(request.forget, places.tolist())
    inputs = [record[0] for record in (chosen[i] for i in range(len(chosen)))]
    if not all(isinstance(x, torch.Tensor) and _is_image(x) for x in inputs):
        return {"note": NOT_IMAGES, "images": []}
    positions = request.forget_ids[places].tolist()
    labels = task.targets(chosen).tolist()
    images = [
        {"uri": _uri(x), "label": str(label), "position": int(position)}
        for x, label, position in zip(inputs, labels, positions, strict=True)
    ]
    return {
        "note": f"{len(images)} of the {size(request.forget)} forgotten records, as was asked for.",
        "images": images,
    }


def _is_image(x: torch.Tensor) -> bool:
    return (x.ndim == 2 or (x.ndim == 3 and x.shape[0] in (1, 3))) and min(x.shape[-2:]) >= 4


def _uri(x: torch.Tensor) -> str:
    """A tensor (height, width) or (channels, height, width) as a PNG."""
    planes = x.detach().cpu().double().reshape(-1, *x.shape[-2:])
    step = -(-max(planes.shape[-2:]) // LARGEST)
    planes = planes[:, ::step, ::step]
    low, high = planes.min(), planes.max()
    grey = ((planes - low) / (high - low if high > low else 1.0)).numpy()
    picture = np.repeat(grey, 3, axis=0) if len(grey) == 1 else grey  # (3, height, width)
    from matplotlib.image import imsave  # here, because few reports show pictures

    buffer = BytesIO()
    imsave(buffer, np.ascontiguousarray(picture.transpose(1, 2, 0)), format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
