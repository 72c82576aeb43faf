"""An incompetent teacher for what must go."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.fresh import reinitialise
from ebbing.methods.beside import Beside, affordable
from ebbing.methods.repair import Repairing
from ebbing.methods.teacher import Teacher, divergence, per_record_mean
from ebbing.methods.unlearner import Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Pass, Recipe


@dataclass(frozen=True)
class BadTeacher(Repairing):
    """Bad teacher: on D_f the model follows a network that was only initialised, on D_r the original.

    Every step descends the mean over a batch of both of T^2 KL(teacher || student) with temperature T, without labels. Source:
    Chundawat et al., arXiv 2205.08096: T = 1, Adam at 1e-4, batches of 256, one epoch over D_f and 30 % of D_r. There the two
    are shuffled together; here each step has a batch of both in that proportion, which run through the model apart, so that
    batch normalisation takes its statistics of each.

    Attributes:
        temperature: T > 0.
        retain_share: of D_r that one visit of D_f goes with, in (0, 1].
        repair: see `Repairing`. The teachers' passes count as well, so that a record costs two examples.
        budget: likewise.
        training: likewise.
    """

    temperature: float = 1.0
    retain_share: float = 0.3
    repair: Recipe = field(
        default_factory=lambda: Recipe(epochs=10, max_examples=60_000, batch_size=256, learning_rate=1e-4)
    )

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self.temperature > 0:
            raise InputError(f"`temperature` must be > 0, but is {self.temperature}.")
        if not 0 < self.retain_share <= 1:
            raise InputError(f"`retain_share` must lie in (0, 1], but is {self.retain_share}.")

    def stays_alone(self, *, in_parts: bool) -> str | None:
        """The mean over records of both kinds is not that of shares of one kind."""
        return (
            "BadTeacher takes one mean over retained and forgotten records, of which each process sees a share of the former "
            "and all of the latter. Run it on one process"
        )

    def least(self, request: ForgetRequest) -> int:
        """A step with one retained record, by the teachers as well."""
        return 2 * (1 + self._in_a_step(request)[0])

    def _in_a_step(self, request: ForgetRequest) -> tuple[int, int]:
        """Records of D_f and of D_r in a step."""
        batch_size = self.repair.batch_size
        forget, retain = len(request.forget), self.retain_share * len(request.retain)
        going = min(forget, max(1, round(batch_size * forget / (forget + retain))), max(1, batch_size - 1))
        return going, max(1, min(batch_size - going, round(going * retain / forget)))

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Follow both teachers."""
        good, initialised = Teacher(model, run), deepcopy(model)
        reinitialise(initialised)
        bad = Teacher(initialised, run)
        going, staying = self._in_a_step(run.request)
        beside = Beside(model, run, batch_size=going)

        def loss(outputs: Outputs, batch: Any) -> Tensor:
            student, other = beside.forward()
            kept = divergence(outputs.logits, good.logits(batch), temperature=self.temperature)
            lost = divergence(student.logits, bad.logits(other), temperature=self.temperature)
            return per_record_mean([(kept, len(outputs.targets)), (lost, len(student.targets))])

        examples = affordable(
            self.allowance(run.request) // 2, records=len(run.request.retain), batch_size=staying, beside=going
        )
        walk = Pass(run.request.for_training("retain"), examples, loss, staying)
        return self.train(model, [walk], run)
