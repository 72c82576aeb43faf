"""Where the settings of methods are looked for, and how one of them is replaced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from ebbing.bench.methods import METHODS
from ebbing.errors import InputError
from ebbing.methods import ForgettingNetwork, NegGrad, Repairing, Unlearner

M = TypeVar("M")


@dataclass(frozen=True)
class Range:
    """Where a setting is looked for.

    Attributes:
        low: smallest value.
        high: largest value, >= low.
        log: whether it is drawn evenly in its logarithm.
        whole: whether it is a whole number.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        """Check the ends."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(f"a range must have low <= high, both finite, but is {self.low:g} to {self.high:g}.")
        if self.log and self.low <= 0:
            raise InputError(f"a range in logarithms must begin above 0, but begins at {self.low:g}.")

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends, as the setting takes them."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


RATE = Range(1e-4, 5e-2, log=True)
# the main settings of those that take part, by label; the learning rate comes on top, see `space_of`
SPACES: Mapping[str, Mapping[str, Range]] = {
    "neg-grad": {"ascent.epochs": Range(0.5, 5.0)},
    "neg-grad-plus": {"retain_weight": Range(0.5, 0.999)},
    "random-labels": {"rounds": Range(1, 10, whole=True)},
    "l1-sparse": {"strength": Range(1e-6, 1e-2, log=True)},
    "scrub": {"max_rounds": Range(1, 8, whole=True), "divergence_weight": Range(1e-3, 1.0, log=True)},
    "scrub-r": {"max_rounds": Range(1, 8, whole=True), "divergence_weight": Range(1e-3, 1.0, log=True)},
    "bad-teacher": {"temperature": Range(0.5, 4.0)},
    "ssd": {"selection": Range(1.0, 1e3, log=True), "dampening": Range(0.1, 10.0, log=True)},
    "lfssd": {"selection": Range(1.0, 1e3, log=True), "dampening": Range(0.1, 10.0, log=True)},
    "salun": {"share": Range(0.1, 1.0)},
    "msg": {"share": Range(0.05, 0.9)},
    "prune-reinit": {"share": Range(0.3, 0.99)},
    "selective-pruning": {"share": Range(0.005, 0.3, log=True)},
    "unsir": {"impair_times": Range(0.5, 8.0, log=True)},
    "forgetting-network-ffr": {"rate.decay_time": Range(0.5, 50.0, log=True)},
    "forgetting-network-vfr": {"rate.fastest": Range(0.5, 50.0, log=True)},
    "ebb": {"conv.decay_time": Range(0.3, 100.0, log=True), "peak": Range(1.0, 50.0, log=True)},
    "ebb-gentle": {"conv_reach": Range(0.01, 1.0, log=True), "peak": Range(1.0, 50.0, log=True)},
    "ebb-plain": {"linear.decay_time": Range(0.3, 50.0, log=True), "conv.decay_time": Range(0.3, 100.0, log=True)},
}


def space_of(label: str, method: Unlearner, more: Mapping[str, Range]) -> dict[str, Range]:
    """What is tuned of a method: what is asked for, else its main settings and its learning rate.

    Raises:
        InputError: if there is nothing to tune, or a setting that is asked for does not exist.
    """
    alike = next((name for name, other in METHODS.items() if other == method), label)
    found = dict(more) or dict(SPACES.get(alike, {}))
    if not more:
        for kind, path in ((Repairing, "repair"), (NegGrad, "ascent"), (ForgettingNetwork, "learning")):
            if isinstance(method, kind) and "peak" not in found:
                found[f"{path}.learning_rate"] = RATE
    if not found:
        raise InputError(f"{label!r} has no settings that are tuned. Name some: --space FIELD=LOW:HIGH[:log].")
    for path, range_ in found.items():
        for end in range_.ends:
            with_value(method, path, end)
    return found


def value_at(piece: Any, path: str) -> Any:
    """The present value of a setting, see `with_value`."""
    for name in path.split("."):
        piece = getattr(piece, name)
    return piece


def with_value(piece: M, path: str, value: Any) -> M:
    """A frozen recipe with one setting of it, or of a piece inside, replaced.

    Args:
        piece: a dataclass.
        path: such as ``repair.learning_rate``.
        value: the new one.

    Raises:
        InputError: if there is no such setting, or it refuses the value.
    """
    name, _, rest = path.partition(".")
    known = [f.name for f in fields(piece)] if is_dataclass(piece) else []
    if name not in known:
        raise InputError(f"{type(piece).__name__} has no setting {name!r}. It has {', '.join(known) or 'none'}.")
    inner = with_value(getattr(piece, name), rest, value) if rest else value
    return replace(piece, **{name: inner})  # type: ignore[type-var]
