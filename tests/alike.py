"""Models that should have the same weights."""

from __future__ import annotations

import torch
from torch import nn


def require_same(found: nn.Module, wanted: nn.Module) -> None:
    """Every parameter is that of the other model, but for the order in which single precision adds."""
    for (name, one), other in zip(found.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
