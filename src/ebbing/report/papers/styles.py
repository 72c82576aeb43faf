"""Reports as the tables that unlearning papers print: the columns of SalUn's, of tug of war, and of KLoM.

Runs of one request with other seeds are averaged; each figure of a run is the mean of its models. What a report does not hold
becomes a dash, and a note says why. `ebbing.report.typeset` writes the tables.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Literal

from ebbing.errors import InputError
from ebbing.report.papers.cells import Cell, Column, Figure, PaperTable, blocks_of, filled, rows_named, subjects_of
from ebbing.report.papers.figures import (
    SALUN_MIA,
    accuracy,
    has,
    measure,
    membership,
    no_accuracy,
    no_measure,
    no_seconds,
    protocol_of,
    seconds,
    slowest,
    tug_of_war,
)
from ebbing.report.rows import Report, dig, mapping, printable, read_estimate
from ebbing.report.saved import Saved

Style = Literal["ua-ra-ta", "tow", "klom"]
# another seed draws other records: the same problem
KINDS_BY_RULE = ("random", "balanced", "class", "mislabelled", "confusion", "gaussian")
MINUTES_FROM = 600.0  # seconds of the slowest from which on RTE is said in minutes
FORMS = {"klom": "histogram", "klom-gaussian": "Gaussian"}
SPLIT_NAMES = {"forget": "forget", "retain": "retain", "holdout": "test"}


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


def _ua_ra_ta(reports: Sequence[Report]) -> PaperTable:
    """UA, RA, TA, MIA, their average gap, and RTE: the columns of SalUn's tables."""
    minutes = slowest(reports) >= MINUTES_FROM
    mia, protocol = membership(reports)
    figures = [
        Figure(Column("UA", "UA (%)", 2), partial(accuracy, "forget", True), no_accuracy, gap=True),
        Figure(Column("RA", "RA (%)", 2), partial(accuracy, "retain", False), no_accuracy, gap=True),
        Figure(Column("TA", "TA (%)", 2), partial(accuracy, "holdout", False), no_accuracy, gap=True),
        mia,
        Figure(
            Column("RTE", f"RTE ({'min' if minutes else 's'})", 2),
            partial(seconds, 60.0 if minutes else 1.0),
            no_seconds,
        ),
    ]
    table = filled(reports, subjects_of(reports), figures, protocol)
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
        notes.append(f"No Avg. gap of {rows_named(gapless, [s for s, _ in rows])}: one of the four gaps is not known.")
    columns = [*table.columns[:-1], Column("Avg. gap", "Avg. gap", 2), table.columns[-1]]
    return PaperTable(table.title, table.n, columns, rows, protocol, notes)


def _tow(reports: Sequence[Report]) -> PaperTable:
    """Tug of war, with and without the attack, and the accuracies behind it."""
    figures = [
        Figure(Column("ToW", "ToW", 3), tug_of_war, partial(no_measure, "tow")),
        Figure(Column("ToW-MIA", "ToW-MIA", 3), partial(measure, "tow-mia"), partial(no_measure, "tow-mia")),
        *(
            Figure(Column(split, f"{SPLIT_NAMES[split]} acc. (%)", 2), partial(accuracy, split, False), no_accuracy)
            for split in SPLIT_NAMES
        ),
    ]
    protocol = protocol_of(reports, "tow-mia") or SALUN_MIA
    table = filled(reports, subjects_of(reports), figures, protocol)
    notes = [
        "ToW: product over the forget, retain and test accuracy of 1 minus the gap to the retrained models' mean; 1 is equal. "
        "Of the retrained models: each left out against the others.",
        f"ToW-MIA: {protocol}.",
        *table.notes,
    ]
    return PaperTable(table.title, table.n, table.columns, table.rows, protocol, notes)


def _klom(reports: Sequence[Report]) -> PaperTable:
    """KLoM on the three splits, mean and 95th percentile over the records."""
    known = [form for form in FORMS if any(has(report, form) for report in reports)]
    tried = [
        form
        for form in reversed(FORMS)
        if any(dig(b, "measures", f"{form}/forget") for r in reports for b in blocks_of(r))
    ]
    form = [*known, *tried, "klom"][0]  # the Gaussian form needs fewer models: its reason is the last word
    said = protocol_of(reports, f"{form}/forget")
    protocol = f"KLoM, {FORMS[form]} form" + (f": {said}" if said else "") if known else "KLoM"
    figures = [
        Figure(
            Column(f"{split} {key or 'mean'}", f"{SPLIT_NAMES[split]} {key or 'mean'}", 3),
            partial(measure, f"{form}/{split}", key=key),
            partial(no_measure, f"{form}/{split}"),
        )
        for split in SPLIT_NAMES
        for key in ("", "p95")
    ]
    table = filled(
        reports, subjects_of(reports, floors_of=[f"{form}/{split}" for split in SPLIT_NAMES]), figures, protocol
    )
    notes = [
        f"{protocol}. Mean and 95th percentile over the records. The floor is not 0: it is what retrained models give against "
        "others of them, and is to be read beside figures of as many models.",
        *table.notes,
    ]
    return PaperTable(table.title, table.n, table.columns, table.rows, protocol, notes)
