"""Away from the teacher on what must go, with it on what stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from ebbing.batches import size
from ebbing.errors import InputError
from ebbing.fsdp import whole_state
from ebbing.methods.repair import Repairing, shared_out
from ebbing.methods.teacher import Teacher, divergence
from ebbing.methods.unlearner import SAMPLE, Run
from ebbing.request import ForgetRequest
from ebbing.task import Outputs
from ebbing.training import Pass, Recipe


@dataclass(frozen=True)
class SCRUB(Repairing):
    """SCRUB: the original is the teacher; rounds of steps away from it on D_f and of steps with it on D_r.

    In the first rounds a pass over D_f maximises KL(teacher || student); each round ends with a pass over D_r that minimises
    alpha * KL(teacher || student) + gamma * CE. One optimizer goes through all of it. With ``rewind`` that is SCRUB+R: the
    result is the model after the round whose error on D_f is nearest to the last round's error on unseen validation records
    drawn as D_f was, so that the records do not stand out by being answered worse than unseen ones.

    Source: Kurmanji et al., arXiv 2302.09880; the defaults are those of the public code for small data, where D_f comes in
    batches of 64 and D_r in batches of 32. There a round visits all of D_r; here how much follows from what is allowed.

    Attributes:
        rounds: how often D_r is visited, >= 1.
        max_rounds: in how many of the first rounds D_f is, in [0, rounds] ("msteps").
        divergence_weight: alpha >= 0.
        label_weight: gamma >= 0.
        temperature: T > 0 of the divergence.
        forget_batch_size: >= 1.
        rewind: whether the result is taken back to an earlier round.
        repair: see `Repairing`. The teacher's passes count as well, so that a record costs two examples.
        budget: likewise.
        training: likewise.
    """

    rounds: int = 10
    max_rounds: int = 3
    divergence_weight: float = 0.5
    label_weight: float = 1.0
    temperature: float = 2.0
    forget_batch_size: int = 64
    rewind: bool = False
    repair: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=10, max_examples=60_000, batch_size=32, learning_rate=5e-4, weight_decay=0.1
        )
    )

    presets: ClassVar[Mapping[str, SCRUB]]

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        problems = []
        if self.rounds < 1:
            problems.append(f"`rounds` must be at least 1, but is {self.rounds}.")
        if not 0 <= self.max_rounds <= self.rounds:
            problems.append(f"`max_rounds` must lie in [0, rounds], but is {self.max_rounds} of {self.rounds}.")
        problems += [
            f"`{name}` must be >= 0, but is {getattr(self, name)}."
            for name in ("divergence_weight", "label_weight")
            if not getattr(self, name) >= 0
        ]
        if not self.temperature > 0:
            problems.append(f"`temperature` must be > 0, but is {self.temperature}.")
        if self.forget_batch_size < 1:
            problems.append(f"`forget_batch_size` must be at least 1, but is {self.forget_batch_size}.")
        if problems:
            raise InputError("\n".join(problems))

    def statistics(self, request: ForgetRequest) -> int:
        """What rewinding reads after each round, and at the end."""
        unseen = request.validation_matched
        if not self.rewind or unseen is None:
            return 0
        return self.rounds * min(SAMPLE, len(request.forget)) + min(SAMPLE, size(unseen))

    def least(self, request: ForgetRequest) -> int:
        """Two records in a round, by the teacher as well."""
        return 4 * self.rounds

    def forget(self, model: nn.Module, run: Run) -> nn.Module:
        """Alternate, and go back if asked to."""
        rewinder = _Rewinder(run) if self.rewind else None
        passes = self.passes(Teacher(model, run), run)
        ends = {number for number, walk in enumerate(passes, start=1) if walk.batch_size is None}

        def after(number: int) -> None:
            if rewinder is not None and number in ends:
                rewinder.look(model)

        self.train(model, passes, run, on_pass=after)
        return model if rewinder is None else rewinder.best(model)

    def passes(self, teacher: Teacher, run: Run) -> list[Pass]:
        """Away and with, by turns."""

        def away(outputs: Outputs, batch: Any) -> Tensor:
            return -divergence(outputs.logits, teacher.logits(batch), temperature=self.temperature)

        def along(outputs: Outputs, batch: Any) -> Tensor:
            near = divergence(outputs.logits, teacher.logits(batch), temperature=self.temperature)
            return self.divergence_weight * near + self.label_weight * run.task.loss(outputs)

        request = run.request
        # the teacher's pass doubles what a record costs
        allowance, forget_set = self.allowance(request) // 2, len(request.forget)
        going, staying = shared_out(allowance, rounds=self.rounds, forget=forget_set, forget_rounds=self.max_rounds)
        forget = Pass(request.for_training("forget"), going, away, self.forget_batch_size)
        retain = Pass(request.for_training("retain"), staying, along)
        return [p for n in range(self.rounds) for p in ((forget, retain) if n < self.max_rounds else (retain,))]


class _Rewinder:
    """Keeps the model of every round, and goes back to the one whose error on the forget set is the right one.

    That is the error of the last round on unseen records drawn as the forget set was. Every round's weights are held.
    """

    def __init__(self, run: Run) -> None:
        unseen = run.request.validation_matched
        if unseen is None:
            raise InputError(
                "rewinding needs `validation` examples drawn as the forget set was, but the request has none. Pass "
                "`validation`, or set rewind=False."
            )
        self._run, self._unseen = run, unseen
        self._rounds: list[tuple[float, dict[str, Tensor]]] = []

    def look(self, model: nn.Module) -> None:
        """Note the accuracy on the forget set after a round, and keep the weights."""
        self._rounds.append((self._run.accuracy(model, self._run.request.forget), whole_state(model)))

    def best(self, model: nn.Module) -> nn.Module:
        """The model of the round that is nearest; of several that are equally near the first."""
        wanted = self._run.accuracy(model, self._unseen)
        number = min(range(len(self._rounds)), key=lambda i: abs(self._rounds[i][0] - wanted))
        gap = abs(self._rounds[number][0] - wanted)
        model.load_state_dict(self._rounds[number][1])
        self._run.journal.note(
            f"Rewound to round {number + 1} of {len(self._rounds)}, whose error is within {gap:.1%} of that on unseen records."
        )
        return model


SCRUB.presets = MappingProxyType({"rewind": SCRUB(rewind=True)})
