"""Where each figure of a paper's table stands in a report, and why it is not there where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ebbing.report.papers.cells import NO_ORACLES, Column, Figure, Subject, blocks_of, floor_counts, subjects_of
from ebbing.report.rows import Report, dig, mapping, oracle_count, printable, read_estimate
from ebbing.report.tidy import ATTACKS, ORIGINAL, RETRAINED, read_floor

SALUN = "salun-mia"
SALUN_MIA = "MIA of the SalUn papers: share of the forget set that a support vector machine calls non-member"
LOGISTIC_MIA = f"accuracy of a {ATTACKS['loss-logistic']}; 50 is chance"
NOT_HELD = "the report holds none"


def _block(report: Report, subject: Subject) -> object:
    if subject.kind == ORIGINAL:
        return dig(report, "original")
    return dig(report, "oracles") if subject.kind == RETRAINED else mapping(dig(report, "methods")).get(subject.name)


def _mean(value: object, scale: float = 1.0) -> float | None:
    found = read_estimate(value)
    return None if found is None else scale * found.mean


def accuracy(split: str, error: bool, report: Report, subject: Subject) -> float | None:
    """Per cent."""
    found = _mean(dig(_block(report, subject), "accuracy", split), 100.0)
    return 100.0 - found if found is not None and error else found


def no_accuracy(report: Report, subject: Subject) -> str:
    """Why there is no accuracy."""
    none = subject.kind == RETRAINED and not oracle_count(report)
    return NO_ORACLES if none else NOT_HELD


def seconds(unit: float, report: Report, subject: Subject) -> float | None:
    """Wall time in a unit of so many seconds; of retrained models that of one retraining."""
    block = _block(report, subject)
    value = dig(block, "seconds") if subject.kind == RETRAINED else dig(block, "cost", "seconds")
    return None if subject.kind == ORIGINAL else _mean(value, 1 / unit)


def no_seconds(report: Report, subject: Subject) -> str:
    """Why there is no time."""
    if subject.kind == ORIGINAL:
        return "nothing was unlearned"
    return NO_ORACLES if subject.kind == RETRAINED and not oracle_count(report) else "its time is not known"


def slowest(reports: Sequence[Report]) -> float:
    """The longest time of any row, in seconds; 0 where none is known."""
    subjects = subjects_of(reports)
    return max((seconds(1.0, report, subject) or 0.0 for report in reports for subject in subjects), default=0.0)


def measure(name: str, report: Report, subject: Subject, *, key: str = "") -> float | None:
    """The value of a measure, or another key of it; of retrained models the mean of its floor, with the subject's counts."""
    if subject.kind != RETRAINED:
        measure = dig(_block(report, subject), "measures", name)
        return _mean(dig(measure, key or "value"))
    if key:
        return None
    for block in blocks_of(report):
        counts = floor_counts(block, [name])
        if counts and subject.counts in (None, counts[0]):
            found = read_floor(dig(block, "measures", name))
            return None if found is None else found.mean
    return None


def no_measure(name: str, report: Report, subject: Subject) -> str:
    """Why there is no figure of a measure."""
    if subject.kind == RETRAINED:
        if any(floor_counts(block, [name]) for block in blocks_of(report)):
            return "a floor is given of the mean alone"
        return "the report holds no floor of it" if oracle_count(report) else NO_ORACLES
    reason = dig(_block(report, subject), "measures", name, "reason")
    if reason:
        return printable(reason).rstrip(".")
    return NO_ORACLES if not oracle_count(report) else NOT_HELD


def tug_of_war(report: Report, subject: Subject) -> float | None:
    """Of `measures` where it is there, else the report's own."""
    found = measure("tow", report, subject)
    if found is None and subject.kind != RETRAINED:
        found = _mean(dig(_block(report, subject), "tow"))
    return found


def membership(reports: Sequence[Report]) -> tuple[Figure, str]:
    """SalUn's attack where any run has it, else the logistic one; never both in one column. And its protocol."""
    if any(has(report, SALUN) for report in reports):

        def read(report: Report, subject: Subject) -> float | None:
            found = measure(SALUN, report, subject)
            return None if found is None else 100.0 * found

        return Figure(Column("MIA", "MIA (%)", 2), read, partial(no_measure, SALUN), gap=True), (
            protocol_of(reports, SALUN) or SALUN_MIA
        )

    def logistic(report: Report, subject: Subject) -> float | None:
        return _mean(dig(_block(report, subject), "attacks", "loss-logistic", "accuracy"), 100.0)

    def why(report: Report, subject: Subject) -> str:
        reason = dig(_block(report, subject), "attacks", "loss-logistic", "reason")
        if reason:
            return printable(reason).rstrip(".")
        return NO_ORACLES if subject.kind == RETRAINED and not oracle_count(report) else NOT_HELD

    return Figure(Column("MIA", "MIA (%)", 2), logistic, why, gap=True), LOGISTIC_MIA


def has(report: Report, name: str) -> bool:
    """Whether any subject has a figure of a measure, on any split."""
    return any(
        read_estimate(dig(measure, "value")) is not None
        for block in blocks_of(report)
        for key, measure in mapping(dig(block, "measures")).items()
        if key == name or str(key).startswith(f"{name}/")
    )


def protocol_of(reports: Sequence[Report], name: str) -> str | None:
    """The first protocol that a measure is given with."""
    for report in reports:
        for block in blocks_of(report):
            protocol = dig(block, "measures", name, "protocol")
            if protocol:
                return printable(protocol).rstrip(".")
    return None
