"""Rows of linear layers: neurons."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ebbing.units.group import UnitGroup
from ebbing.units.kinds.kind import Kind, features, is_linear, rows


class LinearRows(Kind):
    """The outputs of `nn.Linear` and of GPT-2's ``Conv1D``: a row of the weight and an element of the bias each."""

    name = "linear"

    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every linear layer."""
        for name, module in model.named_modules():
            if is_linear(module):
                own = rows(model, name)
                yield UnitGroup(name, self.name, features(module)[1], name, -1, own, own, runs=(name,), claims=(name,))
