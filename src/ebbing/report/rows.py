"""The numbers of a report as rows of text: what the terminal table and the page both show.

A figure in report.json is a number, or `{mean, low, high}` where several models gave it, or null where
there is no evidence. Absent figures become a dash; their reasons, where there are any, become footnotes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DASH = "–"
SPLITS = ("forget", "retain", "holdout")

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A finite number and, where they are known, the ends of its interval."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One figure as text; half its interval ("±0.2") and its ends as text, empty where there are none."""

    text: str
    half: str = ""
    ends: str = ""


@dataclass(frozen=True)
class Column:
    """A column of the comparison: its key, its short header and what the figure means."""

    key: str
    header: str
    meaning: str


@dataclass(frozen=True)
class Row:
    """One line of the comparison. `kind` is original, method, control or retrained."""

    kind: str
    name: str
    cells: Mapping[str, Cell]
    outcome: str | None = None

    @property
    def label(self) -> str:
        """The name, with the remark that it is a control."""
        return f"{self.name} (control)" if self.kind == "control" else self.name


COLUMNS = (
    Column("forget", "forget %", "accuracy on the forget set"),
    Column("retain", "retain %", "accuracy on the training data that stays"),
    Column("holdout", "holdout %", "accuracy on unseen data"),
    Column("memory", "M (W)", "memory: signed mean, and Wasserstein distance; 0 means none"),
    Column("drift", "drift f/h", "distance from the retrained models on the forget set / on unseen data"),
    Column("auc", "loss AUC", "the membership attack by loss; .5 is chance"),
    Column("tow", "ToW", "agreement of the three accuracies with retraining; 1 is equal"),
    Column("removed", "removed %", "share of the original's memory that is gone"),
    Column("cost", "cost %", "time, as a share of retraining once"),
)


def dig(value: object, *keys: str) -> Any:
    """`value[key][key]...`, or None as soon as a step is absent, null or no mapping."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listing(value: object) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def printable(text: object) -> str:
    """The text on one line, with everything that is not printable (escape codes too) made a space."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def read_estimate(value: object) -> Estimate | None:
    """Read a number, a `{mean, low, high}` or null; what is not finite counts as absent.

    >>> read_estimate({"mean": 0.5, "low": 0.4, "high": None})
    Estimate(mean=0.5, low=0.4, high=None)
    >>> read_estimate(float("nan")) is None
    True
    """
    if isinstance(value, Mapping):
        mean = _finite(value.get("mean"))
        return None if mean is None else Estimate(mean, _finite(value.get("low")), _finite(value.get("high")))
    mean = _finite(value)
    return None if mean is None else Estimate(mean)


def read_memory(memory: object) -> Estimate | None:
    """Memory M of one subject; `low` and `high` beside `m` go before those inside it."""
    inner = read_estimate(dig(memory, "m"))
    if inner is None:
        return None
    low, high = _finite(dig(memory, "low")), _finite(dig(memory, "high"))
    return Estimate(inner.mean, inner.low if low is None else low, inner.high if high is None else high)


def format_number(value: float, digits: int) -> str:
    """Fixed decimals without a minus zero; large values in three significant digits.

    >>> format_number(-0.001, 2), format_number(123456.0, 2)
    ('0.00', '1.23e+05')
    """
    text = f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:.3g}"
    return text.removeprefix("-") if text.strip("-0.") == "" else text


def format_estimate(estimate: Estimate | None, digits: int, *, scale: float = 1.0) -> Cell:
    """The mean with `digits` decimals, half the width of the interval, and its two ends."""
    if estimate is None:
        return Cell(DASH)
    mean = format_number(scale * estimate.mean, digits)
    if estimate.low is None or estimate.high is None:
        return Cell(mean)
    half = format_number(scale * (estimate.high - estimate.low) / 2, digits)
    low, high = (format_number(scale * end, digits) for end in (estimate.low, estimate.high))
    return Cell(mean, f"±{half}", f"{low} to {high}")


def _memory_cell(memory: object) -> Cell:
    m = format_estimate(read_memory(memory), 2)
    w = format_estimate(read_estimate(dig(memory, "w")), 2)
    return Cell(DASH) if m.text == w.text == DASH else Cell(f"{m.text} ({w.text})", m.half, m.ends)


def _drift_cell(drift: object) -> Cell:
    forget, holdout = (format_estimate(read_estimate(dig(drift, split)), 2) for split in ("forget", "holdout"))
    if forget.text == holdout.text == DASH:
        return Cell(DASH)
    half = f"{forget.half or DASH}/{holdout.half or DASH}" if forget.half or holdout.half else ""
    return Cell(f"{forget.text}/{holdout.text}", half, half)


def read_auc(attack: object) -> Estimate | None:
    """The AUC of one attack; `low` and `high` beside it are its interval where it has none inside."""
    auc = read_estimate(dig(attack, "auc"))
    if auc is None or auc.low is not None or auc.high is not None:
        return auc
    return Estimate(auc.mean, _finite(dig(attack, "low")), _finite(dig(attack, "high")))


def _row(kind: str, name: str, subject: object, *, cost: object) -> Row:
    def figure(*keys: str, digits: int, scale: float = 1.0) -> Cell:
        return format_estimate(read_estimate(dig(subject, *keys)), digits, scale=scale)

    cells = {split: figure("accuracy", split, digits=1, scale=100) for split in SPLITS}
    cells["memory"] = _memory_cell(dig(subject, "memory"))
    cells["drift"] = _drift_cell(dig(subject, "drift"))
    cells["auc"] = format_estimate(read_auc(dig(subject, "attacks", "loss")), 2)
    cells["tow"] = figure("tow", digits=3)
    cells["removed"] = figure("removed", digits=1, scale=100)
    cells["cost"] = format_estimate(read_estimate(cost), 1, scale=100)
    outcome = dig(subject, "verdict", "outcome")
    return Row(kind, printable(name), cells, None if outcome is None else printable(outcome))


def oracle_count(report: Report) -> int:
    """How many retrained models the report rests on; 0 where it has none."""
    return int(_finite(dig(report, "oracles", "count")) or 0)


def comparison_rows(report: Report) -> list[Row]:
    """The original, every method in the order of the report, and the retrained models last."""
    rows = [_row("original", "original (untouched)", dig(report, "original"), cost=None)]
    for name, method in mapping(dig(report, "methods")).items():
        kind = "control" if dig(method, "control") is True else "method"
        rows.append(_row(kind, name, method, cost=dig(method, "cost", "ratio_to_retraining")))
    count = oracle_count(report)
    retrained = f"retrained ({count or 'none'})"
    rows.append(_row("retrained", retrained, dig(report, "oracles"), cost=1.0 if count else None))
    return rows


def footnotes(report: Report) -> list[str]:
    """Why figures are absent, each reason once; nothing is said that the report does not say."""
    notes = []
    if not oracle_count(report):
        notes.append("No retrained model was given, so there is no memory, drift or ToW to show.")
    elif dig(report, "bands") is None:
        notes.append("The report has no bands, so no figure can be called inside or outside.")
    if dig(report, "request", "matched") is None:
        notes.append("The request has no matched unseen examples: nothing unseen was drawn as the forget set was.")
    subjects = {"original": dig(report, "original"), **mapping(dig(report, "methods"))}
    reasons: dict[str, list[str]] = {}
    for name, subject in subjects.items():
        reason = dig(subject, "attacks", "loss", "reason")
        if reason and read_estimate(dig(subject, "attacks", "loss", "auc")) is None:
            reasons.setdefault(printable(reason), []).append(printable(name))
    for reason, names in reasons.items():
        who = "all" if len(names) == len(subjects) else ", ".join(names)
        notes.append(f"No loss AUC for {who}: {reason}")
    return notes
