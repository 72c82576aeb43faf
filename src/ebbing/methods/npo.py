"""Negative preference optimisation, with and without a reference."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from ebbing.errors import InputError
from ebbing.language import lengths_of, log_likelihood
from ebbing.methods.beside import Beside, affordable
from ebbing.methods.repair import Repairing
from ebbing.methods.teacher import Teacher
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Pass, Recipe

GENTLE = Recipe(epochs=10, max_examples=60_000, batch_size=64, learning_rate=1e-3, schedule="one-cycle")


@dataclass(frozen=True)
class _Preference(Repairing):
    """Every step descends CE(a batch of D_r) + w * (mean over a batch of D_f of a loss of each record's log-likelihood)."""

    forget_weight: float = 1.0
    forget_batch_size: int = 64
    repair: Recipe = field(default_factory=lambda: GENTLE)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self.forget_weight > 0:
            raise InputError(f"`forget_weight` must be > 0, but is {self.forget_weight}.")
        if self.forget_batch_size < 1:
            raise InputError(f"`forget_batch_size` must be at least 1, but is {self.forget_batch_size}.")

    @property
    def _price(self) -> int:
        """Passes that a record to forget costs."""
        return 1

    @abstractmethod
    def _lost(self, outputs: Outputs, batch: Any, teacher: Teacher) -> Tensor:
        """(n,) the loss of each record to forget."""

    def least(self, request: ForgetRequest) -> int:
        """A step with one retained record."""
        return 1 + self._price * min(self.forget_batch_size, len(request.forget))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Descend on both at once."""
        teacher = Teacher(model, run)
        beside = Beside(model, run, batch_size=self.forget_batch_size)

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            going, going_batch = beside.forward()
            return run.task.loss(outputs) + self.forget_weight * self._lost(going, going_batch, teacher).mean()

        examples = affordable(
            self.allowance(run.request),
            records=len(run.request.retain),
            batch_size=self.repair.batch_size,
            beside=self._price * min(self.forget_batch_size, len(run.request.forget)),
        )
        return self.train(model, [Pass(run.request.for_training("retain"), examples, loss)], run)


@dataclass(frozen=True)
class NPO(_Preference):
    """NPO: every step descends CE(D_r) - w * (2 / beta) * mean over D_f of log sigmoid(-beta * log(pi / pi_0)).

    pi and pi_0 are the likelihoods of a record's label or answer now and before; as beta goes to 0 it becomes gradient ascent.
    Source: Zhang et al., arXiv 2404.05868.

    Attributes:
        beta: inverse temperature, > 0.
        forget_weight: w, > 0.
        forget_batch_size: records to forget in a step, >= 1; each is read by the original as well.
        repair: see `Repairing`. What is read of the forget set counts as well.
        budget: likewise.
        training: likewise.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self.beta > 0:
            raise InputError(f"`beta` must be > 0, but is {self.beta}.")

    @property
    def _price(self) -> int:
        return 2

    def _lost(self, outputs: Outputs, batch: Any, teacher: Teacher) -> Tensor:
        ratio = log_likelihood(outputs) - log_likelihood(teacher.outputs(batch))
        return -2 / self.beta * functional.logsigmoid(-self.beta * ratio)


@dataclass(frozen=True)
class SimNPO(_Preference):
    """SimNPO: every step descends CE(D_r) - w * (2 / beta) * mean over D_f of log sigmoid(-(beta / |y|) * log pi - gamma).

    pi is the likelihood of a record's label or answer, |y| its length in tokens, 1 for a label; there is no reference. Source:
    Fan et al., arXiv 2410.07163.

    Attributes:
        beta: inverse temperature, > 0.
        gamma: margin of the reward, >= 0.
        forget_weight: w, > 0.
        forget_batch_size: records to forget in a step, >= 1.
        repair: see `Repairing`. What is read of the forget set counts as well.
        budget: likewise.
        training: likewise.
    """

    beta: float = 2.5
    gamma: float = 0.0

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self.beta > 0 or not self.gamma >= 0:
            raise InputError(f"`beta` must be > 0 and `gamma` >= 0, but they are {self.beta} and {self.gamma}.")

    def _lost(self, outputs: Outputs, batch: Any, teacher: Teacher) -> Tensor:
        each = self.beta / lengths_of(outputs) * log_likelihood(outputs)
        return -2 / self.beta * functional.logsigmoid(-each - self.gamma)
