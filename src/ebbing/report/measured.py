"""The measures table: each figure beside the original's and the floor, its protocol, and why it is missing."""

from collections.abc import Mapping
from typing import Any

from ebbing.report.rows import DASH, Cell, Estimate, dig, format_number, mapping, printable, read_estimate
from ebbing.report.sensitivity import minus, rank_test_words


def measures_view(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the section on measures shows.

    Args:
        report: the dict of report.json.

    Returns:
        `words` on how much was measured, `methods` with a table each, `protocols` by name, and `ranks` on rank tests.
    """
    methods = {printable(name): method for name, method in mapping(dig(report, "methods")).items()}
    tables = [_table(report, name, method) for name, method in methods.items()]
    return {
        "words": _words(report, any(table["groups"] for table in tables)),
        "methods": [table for table in tables if table["groups"] or table["missing"]],
        "protocols": _protocols(methods),
        "ranks": rank_test_words(report),
    }


def _words(report: Mapping[str, Any], found: bool) -> str:
    level, seconds = dig(report, "measures", "level"), read_estimate(dig(report, "measures", "seconds"))
    if level is None and not found:
        return "Nothing was measured beyond what the verdict rests on."
    took = "" if seconds is None else f", in {seconds.mean:,.1f} seconds"
    known = f"Level {printable(level)}{took}. " if level is not None else ""
    return (
        f"{known}Every figure stands beside the same figure of the original, where nothing was done, and beside its floor: "
        "what retrained models give among themselves at the same counts. What is to be reached is the floor, not 0 or .5."
    )


def _table(report: Mapping[str, Any], name: str, method: object) -> dict[str, Any]:
    """The lines of one method, those of one family together; what has no figure goes into `missing`."""
    originals = mapping(dig(report, "original", "measures"))
    groups: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, list[str]] = {}
    for key, measure in mapping(dig(method, "measures")).items():
        label, split = _label(str(key), measure), printable(dig(measure, "split") or "")
        if read_estimate(dig(measure, "value")) is None:
            reason = printable(dig(measure, "reason") or "no reason is given").rstrip(".")
            missing.setdefault(reason, []).append(f"{label} on {split}" if split else label)
            continue
        line = {
            "split": split,
            "value": figure_cell(_beside(measure)),
            "p95": _upper(measure),
            "original": figure_cell(_beside(originals.get(key))),
            "floor": figure_cell(read_estimate(dig(measure, "floor"))),
            "counts": _counts(dig(measure, "floor")),
        }
        groups.setdefault(label, []).append(line)
    return {
        "label": f"{name} (control)" if dig(method, "control") is True else name,
        "open": dig(method, "control") is not True,
        "groups": list(groups.items()),
        "missing": [(", ".join(dict.fromkeys(labels)), reason) for reason, labels in missing.items()],
        "p95": any(line["p95"] != DASH for lines in groups.values() for line in lines),
    }


def _label(key: str, measure: object) -> str:
    return printable(dig(measure, "name") or key.partition("/")[0])


def _beside(measure: object) -> Estimate | None:
    """The value with the ends that stand beside it, where it has none of its own."""
    value = read_estimate(dig(measure, "value"))
    if value is None or value.low is not None:
        return value
    low, high = (read_estimate(dig(measure, end)) for end in ("low", "high"))
    return Estimate(value.mean, None if low is None else low.mean, None if high is None else high.mean)


def figure_cell(estimate: Estimate | None) -> Cell:
    """A figure of any measure: three decimals below ten, fewer above; the ends of its interval."""
    if estimate is None:
        return Cell(DASH)
    ends = [end for end in (estimate.low, estimate.high) if end is not None]
    return Cell(_number(estimate.mean), ends=" to ".join(map(_number, ends)) if len(ends) == 2 else "")


def _number(value: float) -> str:
    if 0 < abs(value) < 0.0005:
        return minus(f"{value:.1e}")
    return minus(format_number(value, 3 if abs(value) < 10 else 2 if abs(value) < 100 else 1))


def _upper(measure: object) -> str:
    p95 = read_estimate(dig(measure, "p95"))
    return DASH if p95 is None else _number(p95.mean)


def _counts(floor: object) -> str:
    judged, retrained = (read_estimate(dig(floor, key)) for key in ("n_unlearned", "n_retrained"))
    return "" if judged is None or retrained is None else f"{judged.mean:.0f} against {retrained.mean:.0f}"


def _protocols(methods: Mapping[str, object]) -> list[tuple[str, str]]:
    """What each measure is, once for all methods and splits."""
    found: dict[str, dict[str, None]] = {}
    for method in methods.values():
        for key, measure in mapping(dig(method, "measures")).items():
            if protocol := dig(measure, "protocol"):
                found.setdefault(_label(str(key), measure), {})[printable(protocol)] = None
    return [(label, " · ".join(protocols)) for label, protocols in found.items()]
