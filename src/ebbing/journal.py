"""What happened during a run: examples processed, notes, and the history of turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Journal:
    """A notebook that training and unlearning write into. Pass one to learn what a run did; nothing reads it back.

    Attributes:
        examples: examples that went through the model so far, forward passes without a backward one included; but for the few
            on which `ebbing.units.find_units` tries out which units there are.
        notes: sentences for the report, such as a failure that was met.
        history: one record per epoch of a bout (turn, bout, epoch, accuracies), for methods that have turns.
        rolled_back: why the run was undone, None if it was not.
        left_alone: whether the method itself gave back the model as it was, because nothing seemed to be memorised.
        guards: how many of ``examples`` were read by the guards around every method, not by the method.
        factors: for methods that decay, what was left of each unit after a bout, by group of units, the least first.
        on_advance: called with the number of examples each time some were processed.
    """

    examples: int = 0
    notes: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    rolled_back: str | None = None
    left_alone: bool = False
    guards: int = 0
    factors: dict[str, list[float]] = field(default_factory=dict)
    on_advance: Callable[[int], None] | None = None

    def advance(self, examples: int) -> None:
        """Count examples that were processed."""
        self.examples += examples
        if self.on_advance is not None:
            self.on_advance(examples)

    def keep_factors(self, factors: Mapping[str, Tensor]) -> None:
        """Note what is left of the units of each group, unless a bout before has noted it."""
        for name, values in factors.items():
            self.factors.setdefault(name, values.sort().values.tolist())

    def note(self, sentence: str) -> None:
        """Add a sentence for the report."""
        self.notes.append(sentence)


@dataclass(frozen=True)
class RunRecord:
    """What a finished run of a method was and took, for the report.

    Attributes:
        seconds: wall time of the call, everything it computed included; None if not known.
        examples: examples processed, forward passes included; None if not known.
        notes: sentences such as a failure that was met.
        history: see `Journal.history`.
        settings: of the method, as JSON data.
        control: whether the method is a control.
        summary: one line on the method.
        rolled_back: why the run was undone, so that the result is the original; None if it was not.
        factors: see `Journal.factors`.
    """

    seconds: float | None = None
    examples: int | None = None
    notes: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    settings: Any = None
    control: bool = False
    summary: str = ""
    rolled_back: str | None = None
    factors: dict[str, list[float]] = field(default_factory=dict)
