"""The cells of a paper's table: what a figure is over several runs, and notes on what is absent."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ebbing.report.rows import Report, dig, mapping, oracle_count, printable, read_estimate
from ebbing.report.tidy import ORIGINAL, RETRAINED

NO_ORACLES = "no retrained model was given"


@dataclass(frozen=True)
class Subject:
    """A line of a table. Of floors there may be several, by how many models they compare."""

    kind: str
    name: str
    counts: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """The name, with the remark that it is a control."""
        return f"{printable(self.name)} (control)" if self.kind == "control" else printable(self.name)


@dataclass(frozen=True)
class Cell:
    """A figure over runs.

    Attributes:
        mean: over the runs that have it.
        sd: standard deviation over them, n - 1 in the denominator; None for one.
        gap: to the retrained models, absolute; None where none is shown or known.
    """

    mean: float
    sd: float | None = None
    gap: float | None = None


@dataclass(frozen=True)
class Column:
    """A column: its key, its header and how many decimals it has."""

    key: str
    header: str
    digits: int


@dataclass(frozen=True)
class PaperTable:
    """What is printed of the runs of one request.

    Attributes:
        title: the request, the data and the network.
        n: how many runs.
        columns: in order.
        rows: cells by the key of the column, None where there is no figure.
        protocol: which membership attack, or which form of KLoM, in words.
        notes: how to read it, and why figures are absent.
    """

    title: str
    n: int
    columns: Sequence[Column]
    rows: Sequence[tuple[Subject, Mapping[str, Cell | None]]]
    protocol: str
    notes: Sequence[str]


Reader = Callable[[Report, Subject], float | None]


@dataclass(frozen=True)
class Figure:
    """A column and how it is read from a report."""

    column: Column
    read: Reader
    reason: Callable[[Report, Subject], str]
    gap: bool = False


def subjects_of(reports: Sequence[Report], *, floors_of: Sequence[str] = ()) -> list[Subject]:
    """The retrained models (their floors, where measures are named), the original, and every method of any run."""
    methods: dict[str, Subject] = {}
    for report in reports:
        for name, method in mapping(dig(report, "methods")).items():
            kind = "control" if dig(method, "control") is True else "method"
            methods.setdefault(str(name), Subject(kind, str(name)))
    retrained = [Subject(RETRAINED, RETRAINED)]
    if floors_of:
        counts = dict.fromkeys(
            found for report in reports for block in blocks_of(report) for found in floor_counts(block, floors_of)
        )
        retrained = [Subject(RETRAINED, f"retrained (floor, {a} against {b})", (a, b)) for a, b in counts]
        retrained = retrained or [Subject(RETRAINED, "retrained (floor)")]
    return [*retrained, Subject(ORIGINAL, ORIGINAL), *methods.values()]


def blocks_of(report: Report) -> list[object]:
    """What a report holds of the original and of each method."""
    return [dig(report, "original"), *mapping(dig(report, "methods")).values()]


def floor_counts(block: object, keys: Sequence[str]) -> list[tuple[int, int]]:
    """How many models were held against how many for the floors of some measures, (unlearned, retrained) each."""
    found = []
    for key in keys:
        floor = dig(block, "measures", key, "floor")
        if read_estimate(floor) is not None:
            found.append((int(dig(floor, "n_unlearned") or 0), int(dig(floor, "n_retrained") or 0)))
    return found


def filled(
    reports: Sequence[Report], subjects: Sequence[Subject], figures: Sequence[Figure], protocol: str
) -> PaperTable:
    """The cells, and notes on runs and on what is absent."""
    absent: dict[tuple[str, str], list[str]] = {}
    few: dict[tuple[str, int], list[str]] = {}
    gapless: dict[str, list[str]] = {}
    rows = []
    for subject in subjects:
        there = [report for report in reports if _has_subject(report, subject)]
        cells: dict[str, Cell | None] = {}
        for figure in figures:
            key = figure.column.key
            cell, known = _cell(there, subject, figure)
            cells[key] = cell
            if cell is None:
                reason = figure.reason((there or reports)[0], subject)
                absent.setdefault((reason, printable(subject.name)), []).append(key)
            elif known < len(reports):
                few.setdefault((printable(subject.name), known), []).append(key)
            if cell is not None and figure.gap and cell.gap is None:
                gapless.setdefault(key, []).append(printable(subject.name))
        rows.append((subject, cells))
    notes = [_on_runs(reports)]
    keys = [figure.column.key for figure in figures]
    for (name, known), which in few.items():
        notes.append(f"{name}: {_which(which, keys)} of {known} of the {len(reports)} runs.")
    reasons: dict[tuple[str, str], list[str]] = {}
    for (reason, name), which in absent.items():
        reasons.setdefault((reason, _which(which, keys)), []).append(name)
    notes += [f"No {which} of {rows_named(names, subjects)}: {reason}." for (reason, which), names in reasons.items()]
    for key, names in gapless.items():
        why = f"the report has no {key} of the retrained models" if oracle_count(reports[0]) else NO_ORACLES
        notes.append(f"No gap of {key} of {rows_named(names, subjects)}: {why}.")
    return PaperTable(_title(reports[0]), len(reports), [f.column for f in figures], rows, protocol, notes)


def _which(keys: Sequence[str], every: Sequence[str]) -> str:
    return "figures" if len(keys) == len(every) > 1 else _and(keys)


def rows_named(names: Sequence[str], subjects: Sequence[Subject]) -> str:
    """The names of some rows in words, or that it is all of them."""
    return "any row" if len(names) == len(subjects) else _and(names)


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _has_subject(report: Report, subject: Subject) -> bool:
    return subject.kind in (ORIGINAL, RETRAINED) or subject.name in mapping(dig(report, "methods"))


def _cell(reports: Sequence[Report], subject: Subject, figure: Figure) -> tuple[Cell | None, int]:
    """The mean over the runs that have the figure, and how many these are."""
    pairs = [(report, figure.read(report, subject)) for report in reports]
    known = [(report, value) for report, value in pairs if value is not None]
    if not known:
        return None, 0
    values = [value for _, value in known]
    mean = statistics.fmean(values)
    gap = None
    if figure.gap:
        others = [figure.read(report, Subject(RETRAINED, RETRAINED)) for report, _ in known]
        beside = [value for value in others if value is not None]
        gap = abs(mean - statistics.fmean(beside)) if len(beside) == len(known) else None
    return Cell(mean, statistics.stdev(values) if len(values) > 1 else None, gap), len(known)


def _title(report: Report) -> str:
    request, made = mapping(dig(report, "request")), mapping(dig(report, "provenance"))
    words = [
        request.get("description") or request.get("kind") or "an unnamed request",
        made.get("dataset"),
        made.get("model"),
    ]
    return ", ".join(printable(word) for word in words if word)


def _on_runs(reports: Sequence[Report]) -> str:
    n, counts = len(reports), sorted({oracle_count(report) for report in reports})
    retrained = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    said = (
        "n = 1 run, so that no spread over seeds is known"
        if n == 1
        else f"n = {n} runs: mean ± standard deviation over them"
    )
    own = len({str(dig(report, "request", "fingerprint")) for report in reports}) > 1
    drawn = "; each run drew its own records to forget" if own else ""
    return (
        f"{said}, with {retrained} retrained models in each{drawn}."
        if n > 1
        else f"{said}; {retrained} retrained models."
    )
