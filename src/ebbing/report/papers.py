"""Reports as the tables that unlearning papers print: the columns of SalUn's, of tug of war, and of KLoM.

Runs of one request with other seeds are averaged; each figure of a run is the mean of its models. What a report does not hold
becomes a dash, and a note says why. `ebbing.report.typeset` writes the tables.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ebbing.errors import InputError
from ebbing.report.rows import Report, dig, mapping, oracle_count, printable, read_estimate
from ebbing.report.saved import Saved
from ebbing.report.tidy import ATTACKS, ORIGINAL, RETRAINED, read_floor

Style = Literal["ua-ra-ta", "tow", "klom"]
# another seed draws other records: the same problem
KINDS_BY_RULE = ("random", "balanced", "class", "mislabelled", "confusion", "gaussian")
MINUTES_FROM = 600.0  # seconds of the slowest from which on RTE is said in minutes
SALUN = "salun-mia"
SALUN_MIA = "MIA of the SalUn papers: share of the forget set that a support vector machine calls non-member"
LOGISTIC_MIA = f"accuracy of a {ATTACKS['loss-logistic']}; 50 is chance"
NO_ORACLES = "no retrained model was given"
NOT_HELD = "the report holds none"
FORMS = {"klom": "histogram", "klom-gaussian": "Gaussian"}
SPLIT_NAMES = {"forget": "forget", "retain": "retain", "holdout": "test"}


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


def paper_tables(runs: Sequence[Saved], style: Style) -> list[PaperTable]:
    """One table for each request, in the order of the runs.

    Raises:
        InputError: if a method's settings differ between runs of one request: a mean of them would be of nothing.
    """
    groups: dict[str, list[Saved]] = {}
    for run in runs:
        groups.setdefault(_problem(run.data), []).append(run)
    problems = [line for group in groups.values() for line in _mixed(group)]
    if problems:
        raise InputError("\nError: ".join(problems))
    make = {"ua-ra-ta": _ua_ra_ta, "tow": _tow, "klom": _klom}[style]
    return [make([run.data for run in group]) for group in groups.values()]


def _problem(report: Report) -> str:
    """What runs that are averaged have in common.

    The fingerprint names the very records. Where a rule drew them from a data set of ebbing, another seed draws others, and
    the runs are still of one request: then the rule's words, the size of the data, the data set and the training stand for it.
    How many records a class has, or how many unseen ones are matched, may depend on the draw.
    """
    request, made = mapping(dig(report, "request")), mapping(dig(report, "provenance"))
    words = [request.get(key) for key in ("kind", "description", "holdout", "concept")]
    words += [made.get(key) for key in ("dataset", "model", "recipe")]
    if request.get("kind") in KINDS_BY_RULE and made.get("dataset") is not None:
        counts = [read_estimate(request.get(key)) for key in ("forget", "retain")]
        words.append(sum(count.mean for count in counts if count is not None))
    else:
        words += [request.get(key) for key in ("forget", "retain", "fingerprint")]
    return json.dumps(words, sort_keys=True)


def _mixed(group: Sequence[Saved]) -> list[str]:
    """Methods of one name with settings that differ, a line for each."""
    seen: dict[str, tuple[Saved, object]] = {}
    problems = {}
    for run in group:
        for name, method in mapping(dig(run.data, "methods")).items():
            settings = dig(method, "settings")
            first, others = seen.setdefault(str(name), (run, settings))
            if settings != others:
                problems[name] = (
                    f"runs are averaged where a method has the same settings in each, but {printable(name)!r} has others in "
                    f"{str(run.path)!r} than in {str(first.path)!r}. Tell them apart by name[:preset]@label, or print a table "
                    "of each."
                )
    return list(problems.values())


# ---------------------------------------------------------------- the three styles


def _ua_ra_ta(reports: Sequence[Report]) -> PaperTable:
    """UA, RA, TA, MIA, their average gap, and RTE: the columns of SalUn's tables."""
    minutes = _slowest(reports) >= MINUTES_FROM
    mia, protocol = _mia(reports)
    figures = [
        Figure(Column("UA", "UA (%)", 2), partial(_accuracy, "forget", True), _no_accuracy, gap=True),
        Figure(Column("RA", "RA (%)", 2), partial(_accuracy, "retain", False), _no_accuracy, gap=True),
        Figure(Column("TA", "TA (%)", 2), partial(_accuracy, "holdout", False), _no_accuracy, gap=True),
        mia,
        Figure(
            Column("RTE", f"RTE ({'min' if minutes else 's'})", 2),
            partial(_seconds, 60.0 if minutes else 1.0),
            _no_seconds,
        ),
    ]
    table = _table(reports, _subjects(reports), figures, protocol)
    four = [figure.column.key for figure in figures if figure.gap]
    rows, gapless = [], []
    for subject, cells in table.rows:
        gaps = [cell.gap for cell in (cells[key] for key in four) if cell is not None and cell.gap is not None]
        whole = len(gaps) == len(four)
        rows.append((subject, {**cells, "Avg. gap": Cell(statistics.fmean(gaps)) if whole else None}))
        gapless += [] if whole else [printable(subject.name)]
    unit = "minutes" if minutes else "seconds"
    notes = [
        "UA = 100 - forget accuracy; RA, TA: accuracy on the retain set and on unseen data; in parentheses the absolute gap to "
        "the retrained models' mean, in percentage points; Avg. gap: the mean of the four.",
        f"MIA: {protocol}.",
        f"RTE: {unit} of wall time; of the retrained models the median of one retraining.",
        *table.notes,
    ]
    if gapless:
        notes.append(f"No Avg. gap of {_rows(gapless, [s for s, _ in rows])}: one of the four gaps is not known.")
    columns = [*table.columns[:-1], Column("Avg. gap", "Avg. gap", 2), table.columns[-1]]
    return PaperTable(table.title, table.n, columns, rows, protocol, notes)


def _tow(reports: Sequence[Report]) -> PaperTable:
    """Tug of war, with and without the attack, and the accuracies behind it."""
    figures = [
        Figure(Column("ToW", "ToW", 3), _tug_of_war, partial(_no_measure, "tow")),
        Figure(Column("ToW-MIA", "ToW-MIA", 3), partial(_measure, "tow-mia"), partial(_no_measure, "tow-mia")),
        *(
            Figure(Column(split, f"{SPLIT_NAMES[split]} acc. (%)", 2), partial(_accuracy, split, False), _no_accuracy)
            for split in SPLIT_NAMES
        ),
    ]
    protocol = _protocol(reports, "tow-mia") or SALUN_MIA
    table = _table(reports, _subjects(reports), figures, protocol)
    notes = [
        "ToW: product over the forget, retain and test accuracy of 1 minus the gap to the retrained models' mean; 1 is equal. "
        "Of the retrained models: each left out against the others.",
        f"ToW-MIA: {protocol}.",
        *table.notes,
    ]
    return PaperTable(table.title, table.n, table.columns, table.rows, protocol, notes)


def _klom(reports: Sequence[Report]) -> PaperTable:
    """KLoM on the three splits, mean and 95th percentile over the records."""
    known = [form for form in FORMS if any(_has(report, form) for report in reports)]
    tried = [
        form
        for form in reversed(FORMS)
        if any(dig(b, "measures", f"{form}/forget") for r in reports for b in _blocks(r))
    ]
    form = [*known, *tried, "klom"][0]  # the Gaussian form needs fewer models: its reason is the last word
    said = _protocol(reports, f"{form}/forget")
    protocol = f"KLoM, {FORMS[form]} form" + (f": {said}" if said else "") if known else "KLoM"
    figures = [
        Figure(
            Column(f"{split} {key or 'mean'}", f"{SPLIT_NAMES[split]} {key or 'mean'}", 3),
            partial(_measure, f"{form}/{split}", key=key),
            partial(_no_measure, f"{form}/{split}"),
        )
        for split in SPLIT_NAMES
        for key in ("", "p95")
    ]
    table = _table(
        reports, _subjects(reports, floors_of=[f"{form}/{split}" for split in SPLIT_NAMES]), figures, protocol
    )
    notes = [
        f"{protocol}. Mean and 95th percentile over the records. The floor is not 0: it is what retrained models give against "
        "others of them, and is to be read beside figures of as many models.",
        *table.notes,
    ]
    return PaperTable(table.title, table.n, table.columns, table.rows, protocol, notes)


# ---------------------------------------------------------------- rows and notes


def _subjects(reports: Sequence[Report], *, floors_of: Sequence[str] = ()) -> list[Subject]:
    """The retrained models (their floors, where measures are named), the original, and every method of any run."""
    methods: dict[str, Subject] = {}
    for report in reports:
        for name, method in mapping(dig(report, "methods")).items():
            kind = "control" if dig(method, "control") is True else "method"
            methods.setdefault(str(name), Subject(kind, str(name)))
    retrained = [Subject(RETRAINED, RETRAINED)]
    if floors_of:
        counts = dict.fromkeys(
            found for report in reports for block in _blocks(report) for found in _floor_counts(block, floors_of)
        )
        retrained = [Subject(RETRAINED, f"retrained (floor, {a} against {b})", (a, b)) for a, b in counts]
        retrained = retrained or [Subject(RETRAINED, "retrained (floor)")]
    return [*retrained, Subject(ORIGINAL, ORIGINAL), *methods.values()]


def _blocks(report: Report) -> list[object]:
    return [dig(report, "original"), *mapping(dig(report, "methods")).values()]


def _floor_counts(block: object, keys: Sequence[str]) -> list[tuple[int, int]]:
    found = []
    for key in keys:
        floor = dig(block, "measures", key, "floor")
        if read_estimate(floor) is not None:
            found.append((int(dig(floor, "n_unlearned") or 0), int(dig(floor, "n_retrained") or 0)))
    return found


def _table(
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
    notes += [f"No {which} of {_rows(names, subjects)}: {reason}." for (reason, which), names in reasons.items()]
    for key, names in gapless.items():
        why = f"the report has no {key} of the retrained models" if oracle_count(reports[0]) else NO_ORACLES
        notes.append(f"No gap of {key} of {_rows(names, subjects)}: {why}.")
    return PaperTable(_title(reports[0]), len(reports), [f.column for f in figures], rows, protocol, notes)


def _which(keys: Sequence[str], every: Sequence[str]) -> str:
    return "figures" if len(keys) == len(every) > 1 else _and(keys)


def _rows(names: Sequence[str], subjects: Sequence[Subject]) -> str:
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


# ---------------------------------------------------------------- figures of one report


def _block(report: Report, subject: Subject) -> object:
    if subject.kind == ORIGINAL:
        return dig(report, "original")
    return dig(report, "oracles") if subject.kind == RETRAINED else mapping(dig(report, "methods")).get(subject.name)


def _mean(value: object, scale: float = 1.0) -> float | None:
    found = read_estimate(value)
    return None if found is None else scale * found.mean


def _accuracy(split: str, error: bool, report: Report, subject: Subject) -> float | None:
    """Per cent."""
    found = _mean(dig(_block(report, subject), "accuracy", split), 100.0)
    return 100.0 - found if found is not None and error else found


def _no_accuracy(report: Report, subject: Subject) -> str:
    none = subject.kind == RETRAINED and not oracle_count(report)
    return NO_ORACLES if none else NOT_HELD


def _seconds(unit: float, report: Report, subject: Subject) -> float | None:
    block = _block(report, subject)
    value = dig(block, "seconds") if subject.kind == RETRAINED else dig(block, "cost", "seconds")
    return None if subject.kind == ORIGINAL else _mean(value, 1 / unit)


def _no_seconds(report: Report, subject: Subject) -> str:
    if subject.kind == ORIGINAL:
        return "nothing was unlearned"
    return NO_ORACLES if subject.kind == RETRAINED and not oracle_count(report) else "its time is not known"


def _slowest(reports: Sequence[Report]) -> float:
    subjects = _subjects(reports)
    return max((_seconds(1.0, report, subject) or 0.0 for report in reports for subject in subjects), default=0.0)


def _measure(name: str, report: Report, subject: Subject, *, key: str = "") -> float | None:
    """The value of a measure, or another key of it; of retrained models the mean of its floor, with the subject's counts."""
    if subject.kind != RETRAINED:
        measure = dig(_block(report, subject), "measures", name)
        return _mean(dig(measure, key or "value"))
    if key:
        return None
    for block in _blocks(report):
        counts = _floor_counts(block, [name])
        if counts and subject.counts in (None, counts[0]):
            found = read_floor(dig(block, "measures", name))
            return None if found is None else found.mean
    return None


def _no_measure(name: str, report: Report, subject: Subject) -> str:
    if subject.kind == RETRAINED:
        if any(_floor_counts(block, [name]) for block in _blocks(report)):
            return "a floor is given of the mean alone"
        return "the report holds no floor of it" if oracle_count(report) else NO_ORACLES
    reason = dig(_block(report, subject), "measures", name, "reason")
    if reason:
        return printable(reason).rstrip(".")
    return NO_ORACLES if not oracle_count(report) else NOT_HELD


def _tug_of_war(report: Report, subject: Subject) -> float | None:
    """Of `measures` where it is there, else the report's own."""
    found = _measure("tow", report, subject)
    if found is None and subject.kind != RETRAINED:
        found = _mean(dig(_block(report, subject), "tow"))
    return found


def _mia(reports: Sequence[Report]) -> tuple[Figure, str]:
    """SalUn's attack where any run has it, else the logistic one; never both in one column. And its protocol."""
    if any(_has(report, SALUN) for report in reports):

        def read(report: Report, subject: Subject) -> float | None:
            found = _measure(SALUN, report, subject)
            return None if found is None else 100.0 * found

        return Figure(Column("MIA", "MIA (%)", 2), read, partial(_no_measure, SALUN), gap=True), (
            _protocol(reports, SALUN) or SALUN_MIA
        )

    def logistic(report: Report, subject: Subject) -> float | None:
        return _mean(dig(_block(report, subject), "attacks", "loss-logistic", "accuracy"), 100.0)

    def why(report: Report, subject: Subject) -> str:
        reason = dig(_block(report, subject), "attacks", "loss-logistic", "reason")
        if reason:
            return printable(reason).rstrip(".")
        return NO_ORACLES if subject.kind == RETRAINED and not oracle_count(report) else NOT_HELD

    return Figure(Column("MIA", "MIA (%)", 2), logistic, why, gap=True), LOGISTIC_MIA


def _has(report: Report, name: str) -> bool:
    """Whether any subject has a figure of a measure, on any split."""
    return any(
        read_estimate(dig(measure, "value")) is not None
        for block in _blocks(report)
        for key, measure in mapping(dig(block, "measures")).items()
        if key == name or str(key).startswith(f"{name}/")
    )


def _protocol(reports: Sequence[Report], name: str) -> str | None:
    """The first protocol that a measure is given with."""
    for report in reports:
        for block in _blocks(report):
            protocol = dig(block, "measures", name, "protocol")
            if protocol:
                return printable(protocol).rstrip(".")
    return None
