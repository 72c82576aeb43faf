"""Components of LoRA adapters."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from ebbing.units.group import UnitGroup
from ebbing.units.kinds.kind import Kind, columns, features, rows


class LoraComponents(Kind):
    """The components of a low-rank adapter B A of the PEFT library: row i of A and column i of B, i = 1 ... the rank.

    The gate acts between A and B. The base that is adapted stays as it is: an adapter that has decayed to nothing leaves it
    alone. Drawn anew, A is what its layer draws and B is zero, see `ebbing.fresh.redraw`. Source: Hu et al., LoRA, 2021.
    """

    name = "lora"

    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every adapter of linear layers."""
        for name, module in model.named_modules():
            down, up = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
            if not isinstance(down, nn.ModuleDict) or not isinstance(up, nn.ModuleDict):
                continue
            for adapter in down:
                if isinstance(down[adapter], nn.Linear) and isinstance(up[adapter], nn.Linear):
                    a, b = f"{name}.lora_A.{adapter}", f"{name}.lora_B.{adapter}"
                    own = rows(model, a)
                    yield UnitGroup(
                        f"{name}:{self.name}" if len(down) == 1 else f"{name}.{adapter}:{self.name}",
                        self.name,
                        features(down[adapter])[1],
                        a,
                        -1,
                        own,
                        (*own, *columns(model, b)),
                        runs=(a,),
                        claims=(a, b),
                    )
