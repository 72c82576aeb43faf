"""Gates that are taken away again."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from ebbing.methods import ForgettingNetwork, Run, Unlearner
from ebbing.rates import FixedRate
from ebbing.training import Recipe


@dataclass(frozen=True)
class GateOnly(Unlearner):
    """Forgetting factors that act while the bout lasts and are never baked: the weights go on as before.

    Attributes:
        network: what runs, with its factors dropped at the end.
    """

    control: ClassVar[bool] = True
    network: ForgettingNetwork = field(
        default_factory=lambda: ForgettingNetwork(
            rate=FixedRate(0.5), turns=1, learning=Recipe(epochs=0.1), permanent=False
        )
    )

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Gate, look, and ungate."""
        return replace(self.network, permanent=False).forget(model, run)
