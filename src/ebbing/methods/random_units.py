"""The control of every ranking: the same decay on units chosen by chance."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from ebbing.errors import InputError
from ebbing.methods.forgetting_network import ForgettingNetwork
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.rankings import Random
from ebbing.rates import FixedRate
from ebbing.request import ForgetRequest


@dataclass(frozen=True)
class RandomUnits(Unlearner):
    """A `ForgettingNetwork` whose ranking is replaced by chance: every decay time is the same but for who has it.

    Attributes:
        network: the method whose ranking is put to the test.
    """

    control: ClassVar[bool] = True
    network: ForgettingNetwork = field(default_factory=lambda: ForgettingNetwork.presets["paper"])

    def __post_init__(self) -> None:
        """Refuse a rate without ranks."""
        if isinstance(self.network.rate, FixedRate):
            raise InputError("random units need a rate that goes by ranks, but a FixedRate treats all units alike.")

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the network."""
        return self.network.expected_examples(request)

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Run the network with random ranks."""
        rate = replace(self.network.rate, ranking=Random())  # type: ignore[type-var]
        return replace(self.network, rate=rate, rank_in_batch=False).forget(model, run)
