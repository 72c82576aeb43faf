"""A report as a tidy table: one row for each subject and figure, for pandas and whatever reads its frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ebbing.errors import InputError
from ebbing.report.rows import (
    SPLITS,
    Estimate,
    Report,
    dig,
    mapping,
    oracle_count,
    read_auc,
    read_estimate,
    read_memory,
)

if TYPE_CHECKING:
    import pandas as pd

ORIGINAL, RETRAINED = "original", "retrained"
NUMBERS = ("value", "low", "high", "floor_mean", "floor_low", "floor_high")

ATTACK = "members: the forget set; non-members: unseen records drawn alike"
ATTACKS: Mapping[str, str] = {
    "loss": f"threshold on the loss; {ATTACK}",
    "confidence": f"threshold on the largest probability; {ATTACK}",
    "entropy": f"threshold on the entropy; {ATTACK}",
    "modified-entropy": f"threshold on the modified entropy; {ATTACK}",
    "loss-logistic": f"logistic regression on the loss, 10 shuffle splits, balanced classes; {ATTACK}",
}
ATTACK_FIGURES = {"tpr_at_1pct_fpr": "tpr-at-1pct-fpr", "accuracy": "accuracy"}
PROTOCOLS: Mapping[str, str] = {
    "accuracy": "share of records that are predicted as labelled",
    "memory": "M: shift of the forgotten records' margins against matched unseen ones, in sd of the retrained models",
    "memory-distance": "W: the 1-Wasserstein distance behind M",
    "drift": "mean absolute distance of the margins from the retrained models' mean, in their sd",
    "tow": "product over the three splits of 1 minus the distance to the retrained mean accuracy",
    "removed": "1 - M / M of the original",
    "seconds": "wall time",
    "cost": "wall time over that of one retraining",
    "examples": "examples processed, over those of one retraining",
    "probe": "shift of a linear readout on the layer's input, in sd of the retrained models",
    "probe-distance": "the 1-Wasserstein distance behind the readout's shift",
    "savings": "savings in relearning the forget set",
    "kinship": "kinship of the layer with the original's",
}


@dataclass(frozen=True)
class Tidy:
    """One row: a figure of one subject.

    Attributes:
        method: name of the subject: "original", a method's, or "retrained".
        kind: original, method, control or retrained.
        figure: what it is, such as "accuracy", "loss/auc" or "klom"; "klom/p95" is its 95th percentile over the records.
        split: forget, retain or holdout; None where it is of no one split.
        value: the figure; None where there is no evidence.
        low: lower end of its interval, or the smallest of several models.
        high: upper end, or the largest.
        floor_mean: the same figure of retrained models among themselves.
        floor_low: their smallest.
        floor_high: their largest.
        protocol: how it was taken, in words.
    """

    method: str
    kind: str
    figure: str
    split: str | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor_mean: float | None = None
    floor_low: float | None = None
    floor_high: float | None = None
    protocol: str | None = None


COLUMNS = tuple(Tidy.__dataclass_fields__)


def tidy_rows(report: Report) -> list[Tidy]:
    """Every figure of the original, of each method, and of the retrained models, in this order."""
    floors = {(row.figure, row.split): row for row in _of_retrained(dig(report, "oracles"))}
    rows = list(_of_subject(ORIGINAL, ORIGINAL, dig(report, "original")))
    for name, method in mapping(dig(report, "methods")).items():
        kind = "control" if dig(method, "control") is True else "method"
        rows += [*_of_subject(str(name), kind, method), *_of_method(str(name), kind, method)]
    rows = [_beside(row, floors.get((row.figure, row.split))) for row in rows]
    if oracle_count(report):
        rows += [*floors.values(), *_floors_of_measures(rows, known=set(floors))]
    return rows


def to_dataframe(report: Report) -> pd.DataFrame:
    """The rows as a pandas frame, see `Tidy` for its columns; an absent figure is NaN.

    Raises:
        InputError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InputError(
            "`to_dataframe` needs pandas, but it cannot be imported. Install it: pip install 'ebbing[tables]', or pandas alone."
        ) from error
    frame = pd.DataFrame([asdict(row) for row in tidy_rows(report)], columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(NUMBERS, "float64"))


def _row(method: str, kind: str, figure: str, split: str | None, found: Estimate | None, protocol: str | None) -> Tidy:
    if found is None:
        return Tidy(method, kind, figure, split, protocol=protocol)
    return Tidy(method, kind, figure, split, found.mean, found.low, found.high, protocol=protocol)


def _of_subject(method: str, kind: str, subject: object) -> Iterator[Tidy]:
    """What the original and methods have alike."""

    def row(figure: str, split: str | None, found: Estimate | None, protocol: str | None = None) -> Tidy:
        return _row(method, kind, figure, split, found, protocol or PROTOCOLS.get(figure.partition("/")[0]))

    for split in SPLITS:
        yield row("accuracy", split, read_estimate(dig(subject, "accuracy", split)))
    yield row("memory", "forget", read_memory(dig(subject, "memory")))
    yield row("memory-distance", "forget", read_estimate(dig(subject, "memory", "w")))
    for split in SPLITS:
        yield row("drift", split, read_estimate(dig(subject, "drift", split)))
    for name, attack in mapping(dig(subject, "attacks")).items():
        protocol = ATTACKS.get(str(name), str(name))
        yield row(f"{name}/auc", "forget", read_auc(attack), protocol)
        for key, figure in ATTACK_FIGURES.items():
            if key in mapping(attack):
                yield row(f"{name}/{figure}", "forget", read_estimate(attack[key]), protocol)
    measures = mapping(dig(subject, "measures"))
    if "tow" not in measures and "tow" in mapping(subject):
        yield row("tow", None, read_estimate(dig(subject, "tow")))
    yield from _inside(method, kind, dig(subject, "inside"))
    for key, measure in measures.items():
        yield from _of_measure(method, kind, str(key), measure)


def _inside(method: str, kind: str, inside: object) -> Iterator[Tidy]:
    for layer, probe in mapping(dig(inside, "probes")).items():
        yield _row(method, kind, f"probe/{layer}", "forget", read_estimate(dig(probe, "m")), PROTOCOLS["probe"])
        found = read_estimate(dig(probe, "w"))
        yield _row(method, kind, f"probe-distance/{layer}", "forget", found, PROTOCOLS["probe-distance"])
    if "savings" in mapping(inside):
        found = read_estimate(dig(inside, "savings"))
        yield _row(method, kind, "savings", "forget", found, PROTOCOLS["savings"])
    for layer, kinship in mapping(dig(inside, "kinship")).items():
        yield _row(method, kind, f"kinship/{layer}", None, read_estimate(kinship), PROTOCOLS["kinship"])


def read_measure(measure: object) -> Estimate | None:
    """The value of a measure with its ends: those inside where several models gave it, else those beside it."""
    found = read_estimate(dig(measure, "value"))
    if found is None or found.low is not None or found.high is not None:
        return found
    low, high = (read_estimate(dig(measure, end)) for end in ("low", "high"))
    return replace(found, low=None if low is None else low.mean, high=None if high is None else high.mean)


def read_floor(measure: object) -> Estimate | None:
    """The floor of a measure: what retrained models give among themselves."""
    return read_estimate(dig(measure, "floor"))


def _of_measure(method: str, kind: str, key: str, measure: object) -> Iterator[Tidy]:
    split = dig(measure, "split")
    split = None if split is None else str(split)
    figure = key.removesuffix(f"/{split}")
    protocol = dig(measure, "protocol")
    protocol = None if protocol is None else str(protocol)
    row = _row(method, kind, figure, split, read_measure(measure), protocol)
    floor = read_floor(measure)
    yield row if floor is None else replace(row, floor_mean=floor.mean, floor_low=floor.low, floor_high=floor.high)
    p95 = read_estimate(dig(measure, "p95"))
    if p95 is not None:
        said = "95th percentile over the records" + (f" of: {protocol}" if protocol else "")
        yield _row(method, kind, f"{figure}/p95", split, p95, said)


def _of_method(method: str, kind: str, block: object) -> Iterator[Tidy]:
    """What methods alone have."""
    figures: dict[str, Any] = {
        "removed": dig(block, "removed"),
        "seconds": dig(block, "cost", "seconds"),
        "cost": dig(block, "cost", "ratio_to_retraining"),
        "examples": dig(block, "cost", "examples_ratio"),
    }
    for figure, value in figures.items():
        yield _row(method, kind, figure, None, read_estimate(value), PROTOCOLS[figure])


def _of_retrained(oracles: object) -> Iterator[Tidy]:
    """The retrained models' own figures: what the same figure of any other subject stands beside."""
    known = set(mapping(oracles))
    for row in _of_subject(RETRAINED, RETRAINED, {key: dig(oracles, key) for key in known}):
        if row.value is not None:
            yield row
    seconds = read_estimate(dig(oracles, "seconds"))
    if seconds is not None:
        yield _row(RETRAINED, RETRAINED, "seconds", None, seconds, "wall time, the median of one retraining")


def _beside(row: Tidy, floor: Tidy | None) -> Tidy:
    if floor is None or row.floor_mean is not None:
        return row
    return replace(row, floor_mean=floor.value, floor_low=floor.low, floor_high=floor.high)


def _floors_of_measures(rows: list[Tidy], *, known: set[tuple[str, str | None]]) -> Iterator[Tidy]:
    """The retrained models' rows of measures: the floor that was given first, which is the original's."""
    done = set(known)
    for row in rows:
        at = (row.figure, row.split)
        if row.floor_mean is not None and at not in done:
            done.add(at)
            found = Estimate(row.floor_mean, row.floor_low, row.floor_high)
            yield _row(RETRAINED, RETRAINED, row.figure, row.split, found, row.protocol)
