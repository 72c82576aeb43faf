"""Channels of convolutions."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ebbing.units.group import UnitGroup
from ebbing.units.kinds.kind import Kind, rows

ACROSS = "channels of a transposed convolution with groups do not lie along one axis of its weight"


class Channels(Kind):
    """The output channels of convolutions in one to three dimensions, with groups too, and of transposed ones without."""

    name = "conv"

    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every convolution."""
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.conv._ConvNd):
                split = isinstance(module, nn.modules.conv._ConvTransposeNd) and module.groups > 1
                own = () if split else rows(model, name)
                unfit = ACROSS if split else ""
                yield UnitGroup(
                    name, self.name, module.out_channels, name, 1, own, own, runs=(name,), claims=(name,), unfit=unfit
                )
