"""One figure of a report's measures: its value, its interval, and the floor it stands beside."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ebbing.measures import Floor
from ebbing.observations import Observations

FEWEST_RETRAINED = 4  # fewer say nothing of how far apart equals lie


@dataclass(frozen=True)
class Estimate:
    """A figure of one model, or of several models together.

    Attributes:
        value: the figure.
        low: lower end of its 95 % bootstrap interval over the records; None where none was taken.
        high: upper end.
        p95: 95th percentile over the records, for figures that are a mean over them.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class Measurement:
    """A figure as the report has it.

    Attributes:
        name: of the measure.
        split: on which it was taken: "forget", "retain", "holdout"; None where it is of several.
        protocol: in a line, what it is: the same name means different things in different papers.
        value: a number; of several models judged one by one ``{mean, low, high}``; None where it could not be had.
        low: lower end of the 95 % bootstrap interval over the records, models held fixed.
        high: upper end.
        p95: 95th percentile over the records.
        floor: what retrained models give among themselves.
        reason: why there is no value; beside one, what a test says of it.
    """

    name: str
    split: str | None
    protocol: str
    value: float | dict[str, float] | None = None
    low: float | None = None
    high: float | None = None
    p95: float | None = None
    floor: Floor | None = None
    reason: str | None = None

    @property
    def key(self) -> str:
        """``name/split``, or the name alone."""
        return self.name if self.split is None else f"{self.name}/{self.split}"

    def as_dict(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Cast:
    """Who is judged by whom.

    Attributes:
        judged: one model, or several that are judged together.
        reference: retrained models that are not among them.
        originals: the models before.
    """

    judged: Observations
    reference: Observations
    originals: Observations


@dataclass(frozen=True)
class Material:
    """What is measured, and what it is measured by.

    Attributes:
        judged: of the models of one method, or of the originals.
        originals: of the models before.
        retrained: of at least 4 models.
        concept: whether whole classes were to be forgotten.
        kind: how the forgotten records were chosen, as the request says.
        seed: of resampling and of draws of models.
    """

    judged: Observations
    originals: Observations
    retrained: Observations
    concept: bool = False
    kind: str = "ids"
    seed: int = 0


def gathered(
    name: str, split: str | None, protocol: str, each: Sequence[Estimate], floor: Floor | None = None
) -> Measurement:
    """The figure of one model, or of several the mean, the smallest and the largest."""
    if len(each) == 1:
        one = each[0]
        return Measurement(name, split, protocol, one.value, one.low, one.high, one.p95, floor)
    values = [one.value for one in each]
    spread = {"mean": statistics.fmean(values), "low": min(values), "high": max(values)}
    return Measurement(name, split, protocol, spread, floor=floor)
