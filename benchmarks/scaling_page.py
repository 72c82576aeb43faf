"""Build docs/scaling.md from results/scaling.json and benchmarks/scaling_text.md.

python benchmarks/scaling_page.py [--check]
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import write_or_check
from scaling import SAMPLE

from ebbing.paper.tables import markdown

ROOT = Path(__file__).parent.parent
FIGURES, TEXT, PAGE = (
    ROOT / "results" / "scaling.json",
    Path(__file__).parent / "scaling_text.md",
    ROOT / "docs" / "scaling.md",
)
FAR = {"records": 1e9, "references": 1e4, "parameters": 1e9}
UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: built(json.loads(FIGURES.read_text(encoding="utf-8")))})


def built(found: Mapping[str, Any]) -> str:
    """The page."""
    series = {name: one for name, one in found["series"].items() if name != "workers"}
    parts = {
        "table": _table(series),
        "claims": _claims(series),
        "workers": _workers(found["series"]["workers"]["seconds"]),
        "far": _far(series),
        "sample": f"{SAMPLE:,}",
        "made": _made(found),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part.rstrip())
    return text


def _table(series: Mapping[str, Any]) -> str:
    rows = []
    for name, one in series.items():
        sizes = sorted(one["seconds"], key=int)
        first, last = (statistics.median(one["seconds"][size]) for size in (sizes[0], sizes[-1]))
        slope = f"{one['exponent']:.2f} ({one['low']:.2f} to {one['high']:.2f})"
        rows.append([name, f"{int(sizes[0]):,} to {int(sizes[-1]):,}", f"{first:.2f}", f"{last:.2f}", slope])
    return markdown([["what, by what", "sizes", "smallest, s", "largest, s", "exponent (95 %)"], *rows])


def _claims(series: Mapping[str, Any]) -> str:
    linear, sample = series["unlearning, by records"], series["unlearning by a sample, by records"]
    return "\n".join(
        [
            _linear(linear),
            _holds(
                f"independent of the training set where it visits a sample: the interval holds 0 ({sample['low']:.3f} to "
                f"{sample['high']:.3f})",
                sample["low"] <= 0 <= sample["high"],
            ),
        ]
    )


def _linear(found: Mapping[str, Any]) -> str:
    """By the interval, as the other aim; where only the exponent itself is in the window, that is said."""
    held = found["low"] >= 0.95 and found["high"] <= 1.05
    interval = f"{found['low']:.3f} to {found['high']:.3f}"
    claim = f"linear in the examples that it visits: the interval lies within .05 of 1.0 ({interval})"
    near = not held and abs(found["exponent"] - 1) <= 0.05
    return _holds(claim, held) + (f" The exponent itself, {found['exponent']:.3f}, does." if near else "")


def _holds(claim: str, held: bool) -> str:
    return f"- {claim}: **{'holds' if held else 'does not hold'}**."


def _workers(seconds: Mapping[str, list[float]]) -> str:
    ratios = [one / two for one, two in zip(seconds["1"], seconds["2"], strict=True)]
    return (
        f"A bank of eight models: {statistics.median(seconds['1']):.1f} s with one worker, "
        f"{statistics.median(seconds['2']):.1f} s with two, {statistics.median(ratios):.2f} times as fast, the start of the "
        "processes included. This machine has two cores: more was not tried."
    )


def _far(series: Mapping[str, Any]) -> str:
    rows = [["what, by what", "size", "by the exponent", "by its interval", "by a straight line"]]
    for name, one in series.items():
        size = next((size for what, size in FAR.items() if name.endswith(f"by {what}")), None)
        if size is not None:
            by, low, high = (_words(_by_a_power(one, size, slope)) for slope in ("exponent", "low", "high"))
            rows.append(
                [name, f"{size:.0e}".replace("e+0", "e"), by, f"{low} to {high}", _words(_by_a_line(one, size))]
            )
    return markdown(rows)


def _by_a_power(one: Mapping[str, Any], size: float, slope: str) -> float:
    """By the law, or by a line of another slope through the middle of what was measured."""
    logs = [(math.log(float(at)), math.log(value)) for at, values in one["seconds"].items() for value in values]
    middle = [statistics.fmean(column) for column in zip(*logs, strict=True)]
    return math.exp(middle[1] + one[slope] * (math.log(size) - middle[0]))


def _by_a_line(one: Mapping[str, Any], size: float) -> float:
    """By as many more seconds for each more as between the two largest sizes."""
    (before, less), (at, more) = sorted(
        (float(at), statistics.median(values)) for at, values in one["seconds"].items()
    )[-2:]
    return more + (size - at) * max(0.0, more - less) / (at - before)


def _words(seconds: float) -> str:
    for unit, name in UNITS:
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.1f} s"


def _made(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    hardware = f"{found['hardware']['cpu']}, {found['hardware']['cores']} cores"
    return f"`{found['command']}`; {versions}; {hardware}, 1 thread; untrained weights, as only the time counts.\n"


if __name__ == "__main__":
    main()
