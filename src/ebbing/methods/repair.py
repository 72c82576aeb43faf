"""What the methods that train on the retain set share: the same repair, held to the same budget."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ebbing.errors import InputError
from ebbing.methods.unlearner import Run, Unlearner
from ebbing.request import ForgetRequest
from ebbing.training import Loss, Pass, Recipe, descend

REPAIR = Recipe(epochs=10, max_examples=60_000, batch_size=64, learning_rate=1e-2, schedule="one-cycle")


@dataclass(frozen=True)
class Repairing(Unlearner):
    """A method that ends by training on the retain set. What comes before is all that tells such methods apart.

    Attributes:
        repair: the training on the retain set.
        budget: share of one retraining's examples that the method may process, > 0; it needs ``training``.
        training: the recipe that the original was trained by; on the command line it is filled in. None leaves the
            length of the repair to ``repair`` alone: the examples that it would process, whatever a record costs.
    """

    repair: Recipe = REPAIR
    budget: float = 0.2
    training: Recipe | None = None

    def __post_init__(self) -> None:
        """Check the budget."""
        if not self.budget > 0:
            raise InputError(f"`budget` must be > 0, a share of one retraining, but is {self.budget}.")

    def repair_of(self, request: ForgetRequest) -> Recipe:
        """The repair of a request: as long as its own recipe says, within what the budget leaves where that is known.

        Raises:
            InputError: if what is read before the repair uses the budget up.
        """
        if self.training is None:
            return self.repair
        n = len(request.retain)
        allowed = max(1, round(self.budget * self.training.examples(n)))
        left = allowed - self.statistics(request)
        if left < 1:
            raise InputError(
                f"a budget of {allowed:,} examples ({self.budget:.3g} of one retraining) must leave some for the repair, but "
                f"{type(self).__name__} reads {self.statistics(request):,} before it. Give it a larger `budget`."
            )
        if left < self.least(request):
            raise InputError(
                f"a budget of {allowed:,} examples ({self.budget:.3g} of one retraining) must leave as many for the repair as "
                f"the shortest of {type(self).__name__} processes, {self.least(request):,}, but leaves {left:,}. Give it a "
                "larger `budget`."
            )
        return replace(self.repair, max_examples=min(self.repair.examples(n), left))

    def allowance(self, request: ForgetRequest) -> int:
        """Examples that the repair of a request processes, whatever they are used for."""
        return self.repair_of(request).examples(len(request.retain))

    def statistics(self, request: ForgetRequest) -> int:
        """Examples that are read before the repair, for a ranking or the like; they count against the budget."""
        return 0

    def least(self, request: ForgetRequest) -> int:
        """Examples that the shortest repair processes: one record, and what goes with it."""
        return 1

    def expected_examples(self, request: ForgetRequest) -> int:
        """Those of the repair and of what comes before."""
        return self.allowance(request) + self.statistics(request)

    def mend(
        self,
        model: nn.Module,
        run: Run,
        *,
        loss: Loss | None = None,
        reach: Mapping[str, Tensor] | None = None,
        resting: Collection[nn.Module] = (),
        price: int = 1,
    ) -> nn.Module:
        """Train the model on the retain set, in place.

        Args:
            model: trained where it is.
            run: whose request and task it is.
            loss: see `ebbing.training.Pass`.
            reach: see `ebbing.training.descend`.
            resting: likewise.
            price: examples that a record costs, where the loss asks other models as well.
        """
        examples = max(1, self.allowance(run.request) // price)
        walk = Pass(run.request.for_training("retain"), examples, loss)
        return self.train(model, [walk], run, reach=reach, resting=resting)

    def train(
        self,
        model: nn.Module,
        passes: Sequence[Pass],
        run: Run,
        *,
        reach: Mapping[str, Tensor] | None = None,
        resting: Collection[nn.Module] = (),
        on_pass: Callable[[int], None] | None = None,
    ) -> nn.Module:
        """Train the model through passes by the repair's optimizer and schedule, in place."""
        descend(
            model,
            passes,
            self.repair_of(run.request),
            task=run.task,
            generator=run.generator,
            journal=run.journal,
            reach=reach,
            resting=resting,
            on_pass=on_pass,
        )
        return model


def shared_out(allowance: int, *, rounds: int, forget: int, forget_rounds: int | None = None) -> tuple[int, int]:
    """How many examples of the forget set and of the retain set a round visits.

    The forget set is visited once in each of its rounds, but takes no more than half of what is allowed.

    Args:
        allowance: examples altogether, >= 1.
        rounds: in which the retain set is visited, >= 1.
        forget: records to forget.
        forget_rounds: in how many of them the forget set is visited as well; None for all.

    Returns:
        Examples of each for one round, at least one; together at most the allowance where that leaves two for a round.

    Example:
        >>> shared_out(1000, rounds=5, forget=50), shared_out(100, rounds=5, forget=50)
        ((50, 150), (10, 10))
    """
    often = rounds if forget_rounds is None else forget_rounds
    visited = max(1, min(forget, allowance // (2 * often))) if often else 0
    return visited, max(1, (allowance - often * visited) // rounds)
