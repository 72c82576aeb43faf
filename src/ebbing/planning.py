"""What requests over years will cost, answered in shards, by unlearning, or by retraining. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ebbing.errors import InputError
from ebbing.sharding import Sharding

Audits = Literal["each", "yearly", "none"]
DAYS = 365.0
MOST_GONE, MOST_RUNS, STEPS = 0.9, 2000, 60  # of the rates that are looked at: share of the records, runs, and how many
LIMIT = 1_000_000  # runs that are added up one by one
RETRAINING, SISA, UNLEARNING = "retraining", "sisa", "unlearning"


@dataclass(frozen=True)
class Workload:
    """What will be asked for.

    Attributes:
        records: of the training set at the start, >= 1.
        requests_per_year: > 0.
        size: records of a request on average, >= 1.
        years: how long, > 0.
        every_days: a model is made at most so often, and all requests that came in since go together, >= 0; 0 makes one for
            each request.
    """

    records: int
    requests_per_year: float
    size: float = 1.0
    years: float = 1.0
    every_days: float = 0.0

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        problems = []
        if self.records < 1:
            problems.append(f"records must be >= 1, but is {self.records}")
        problems += [
            f"{name} must be finite and > 0, but is {getattr(self, name)}"
            for name in ("requests_per_year", "years")
            if not 0 < getattr(self, name) < math.inf
        ]
        if not 1 <= self.size < math.inf:
            problems.append(f"size must be finite and >= 1 record, but is {self.size}")
        if not 0 <= self.every_days < math.inf:
            problems.append(f"every_days must be finite and >= 0, but is {self.every_days}")
        if not problems and self.requests_per_year * self.years * self.size >= self.records:
            problems.append(
                f"{self.requests_per_year:g} requests a year for {self.size:g} records over {self.years:g} years would leave "
                f"nothing of {self.records:,} records"
            )
        if not problems and self.runs_per_year * self.years > LIMIT:
            problems.append(
                f"a model would be made {self.runs_per_year * self.years:,.0f} times, more than {LIMIT:,}: let requests wait "
                "for each other by every_days"
            )
        if problems:
            raise InputError("workload: " + "; ".join(problems) + ".")

    @property
    def runs_per_year(self) -> float:
        """How often a model is made."""
        if not self.every_days:
            return self.requests_per_year
        return min(self.requests_per_year, DAYS / self.every_days)

    @property
    def runs(self) -> int:
        """Models made altogether, at least one."""
        return max(1, round(self.runs_per_year * self.years))

    @property
    def run_size(self) -> float:
        """Records that go in one run."""
        return self.size * self.requests_per_year * self.years / self.runs

    def left(self) -> Iterator[float]:
        """Share of the records that is left after each run, in (0, 1)."""
        for run in range(1, self.runs + 1):
            yield 1 - run * self.run_size / self.records


@dataclass(frozen=True)
class Unlearning:
    """What is known of an unlearning method, measured on a model like the one in question.

    Attributes:
        share: of one retraining that a run costs, > 0; the budget of `ebbing.methods.Repairing` and what guards read.
        drift_per_run: accuracy that a run loses beside retraining, see `ebbing.measures.utility_drift`; None where it was not
            measured.
        drift_budget: accuracy that may be lost before the next run is a retraining, > 0.
        audits: whether each run is audited, one a year (and the last), or none. What is retrained or trained in shards is
            exact, and needs none: the next run that is not is audited where the year's audit is due.
        references: models retrained for an audit, >= 0: they must not have seen what went.
    """

    share: float = 0.2
    drift_per_run: float | None = None
    drift_budget: float = 0.005
    audits: Audits = "each"
    references: int = 16

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        problems = [
            f"{name} must be finite and > 0, but is {getattr(self, name)}"
            for name in ("share", "drift_budget")
            if not 0 < getattr(self, name) < math.inf
        ]
        if self.drift_per_run is not None and not math.isfinite(self.drift_per_run):
            problems.append(f"drift_per_run must be finite or None, but is {self.drift_per_run}")
        if self.audits not in ("each", "yearly", "none"):
            problems.append(f"audits must be 'each', 'yearly' or 'none', but is {self.audits!r}")
        if self.references < 0:
            problems.append(f"references must be >= 0, but is {self.references}")
        if problems:
            raise InputError("unlearning: " + "; ".join(problems) + ".")

    @property
    def runs_until_retraining(self) -> int | None:
        """Runs that the budget of drift allows in a row; None for any number."""
        if self.drift_per_run is None or self.drift_per_run <= 0:
            return None
        runs = self.drift_budget / self.drift_per_run
        return math.floor(runs + 1e-9) if math.isfinite(runs) else None


@dataclass(frozen=True)
class Way:
    """One way to answer all requests.

    Attributes:
        name: "sisa", "unlearning" or "retraining".
        cost: of all runs, in retrainings of all records, audits included.
        audits: of which audits.
        retrained: runs that are retrainings from scratch.
        notes: what the number does not say.
    """

    name: str
    cost: float
    audits: float
    retrained: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The ways, the cheapest first.

    Attributes:
        workload: what will be asked for.
        ways: see `Way`.
        turns: (requests a year, name of the cheapest way from there on) over a range of rates, all else as it is.
        highest: requests a year up to which was looked.
    """

    workload: Workload
    ways: tuple[Way, ...]
    turns: tuple[tuple[float, str], ...]
    highest: float

    @property
    def cheapest(self) -> Way:
        """The first."""
        return self.ways[0]


def plan(workload: Workload, *, sharding: Sharding | None = None, unlearning: Unlearning | None = None) -> Plan:
    """What each way costs, and which is the cheapest at this rate and at others.

    Costs are in retrainings of all records: run r of retraining costs the share that is left by then; of `SISA` the expected
    share of the ensemble that is trained again, of what is left; of an unlearning method ``share`` of a retraining, with
    a retraining in its place whenever the budget of drift is spent, and ``references`` retrainings for an audit.

    Raises:
        InputError: if the shards cannot hold the records.
    """
    sharding, unlearning = sharding or Sharding(), unlearning or Unlearning()
    found = [(rate, _ways(at, sharding, unlearning)[0].name) for rate, at in _rates(workload)]
    turns = [(rate, name) for i, (rate, name) in enumerate(found) if not i or found[i - 1][1] != name]
    return Plan(workload, _ways(workload, sharding, unlearning), tuple(turns), found[-1][0])


def _ways(workload: Workload, sharding: Sharding, unlearning: Unlearning) -> tuple[Way, ...]:
    """All ways, the cheapest first."""
    left = list(workload.left())
    found = (_in_shards(workload, sharding, left), _unlearned(workload, unlearning, left), _retrained(left))
    return tuple(sorted(found, key=lambda way: way.cost))


def _retrained(left: Sequence[float]) -> Way:
    return Way(RETRAINING, sum(left), 0.0, len(left), ("exact: nothing has to be audited",))


def _in_shards(workload: Workload, sharding: Sharding, left: Sequence[float]) -> Way:
    """SISA: stages hit, of what is left by then."""
    sharding.require_room(workload.records)
    cost = 0.0
    fewest = sharding.shards * sharding.slices
    for share in left:
        n = max(round(share * workload.records + workload.run_size), fewest)
        cost += share * _mean_share(sharding, n, min(n, max(1.0, workload.run_size)))
    notes = (
        "exact: nothing has to be audited",
        f"the model must have been trained in {sharding.shards} shards to begin with, answers at {sharding.shards} times the "
        f"cost, and keeps {fewest} checkpoints; each member sees 1 / {sharding.shards} of the records, which may cost accuracy",
    )
    return Way(SISA, cost, 0.0, 0, notes)


def _mean_share(sharding: Sharding, n: int, size: float) -> float:
    """The expected share of runs that are for so many records on average, each for the whole number below or above."""
    low = math.floor(size)
    more = size - low
    share = (1 - more) * sharding.expected_share(n, low)
    return share + more * sharding.expected_share(n, low + 1) if more else share


def _unlearned(workload: Workload, unlearning: Unlearning, left: Sequence[float]) -> Way:
    """A method, with a retraining whenever drift has used its budget up."""
    row, cost, retrained, audited = 0, 0.0, 0, 0.0
    most = unlearning.runs_until_retraining
    between = workload.runs_per_year if unlearning.audits == "yearly" else 1.0  # runs from one audit to the next
    due = between
    for run, share in enumerate(left, start=1):
        if most is not None and row >= most:
            row, retrained, cost = 0, retrained + 1, cost + share
            continue
        row, cost = row + 1, cost + unlearning.share * share
        if unlearning.audits != "none" and (run >= due - 1e-9 or run == len(left)):
            audited += unlearning.references * share
            due = between * (math.floor(run / between + 1e-9) + 1)
    notes = ["approximate: what it leaves is known only as far as it is audited"]
    if unlearning.drift_per_run is None:
        notes.append("its drift was not given, so that no retraining is counted: measure it on a model of yours")
    if unlearning.audits == "none" or not unlearning.references:
        notes.append("nothing is audited: there is no evidence that anything was forgotten")
    return Way(UNLEARNING, cost + audited, audited, retrained, tuple(notes))


def _rates(workload: Workload) -> Iterator[tuple[float, Workload]]:
    """Rates from one request in ten years to as many as the records allow, and the workload at each."""
    most = MOST_GONE * workload.records / (workload.size * workload.years)
    first = min(0.1, most, MOST_RUNS / workload.years)
    for step in range(STEPS + 1):
        rate = first * (most / first) ** (step / STEPS)
        at = replace(workload, requests_per_year=rate)
        if step and at.runs > MOST_RUNS:
            return
        yield rate, at
