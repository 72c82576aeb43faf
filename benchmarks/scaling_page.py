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
from scaling import SAMPLE, WORKERS, exponent
from scaling import series as every_series

from ebbing.paper.tables import markdown

ROOT = Path(__file__).parent.parent
FIGURES, TEXT, PAGE = (
    ROOT / "results" / "scaling.json",
    Path(__file__).parent / "scaling_text.md",
    ROOT / "docs" / "scaling.md",
)
FAR = {"records": 1e9, "references": 1e4, "parameters": 1e9}
WITHIN = 0.05  # of the exponent that is aimed at
UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: built(json.loads(FIGURES.read_text(encoding="utf-8")))})


def built(found: Mapping[str, Any]) -> str:
    """The page."""
    series = {one.what: found["series"][one.what] for one in every_series() if one.what in found["series"]}
    parts = {
        "table": _table(series),
        "claims": _claims(series),
        "workers": _workers(found["series"][WORKERS]),
        "far": _far(series),
        "sample": f"{SAMPLE:,}",
        "made": _made(found, series),
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
        end = _at_the_end(one)
        seconds = [f"{first:.2f}", f"{last:.2f}"]
        rows.append([name, f"{int(sizes[0]):,} to {int(sizes[-1]):,}", *seconds, _slope(one), _slope(end)])
    head = ["what, by what", "sizes", "smallest, s", "largest, s", "exponent (95 %)", "of the two largest (95 %)"]
    return markdown([head, *rows])


def _slope(one: Mapping[str, Any]) -> str:
    return f"{one['exponent']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def _at_the_end(one: Mapping[str, Any]) -> dict[str, float]:
    """The exponent between the two largest sizes: a part that does not grow weighs least there."""
    return exponent({size: one["seconds"][size] for size in sorted(one["seconds"], key=int)[-2:]})


def _claims(series: Mapping[str, Any]) -> str:
    aims = [
        ("linear in the examples that it visits", series["unlearning, by records"], (1 - WITHIN, 1 + WITHIN)),
        (
            "independent of the training set where it visits a sample",
            series["unlearning by a sample, by records"],
            (-WITHIN, WITHIN),
        ),
    ]
    aims += [
        (f"{name}: no more than linear between the two largest numbers", _at_the_end(one), (-math.inf, 1 + WITHIN))
        for name, one in series.items()
        if name.endswith("by references")
    ]
    return "\n".join(_claim(*aim) for aim in aims)


def _claim(claim: str, found: Mapping[str, float], ends: tuple[float, float]) -> str:
    """A claim holds where the whole interval lies between the ends."""
    held = [ends[0] <= found[end] <= ends[1] for end in ("exponent", "low", "high")]
    said = "holds" if all(held) else "the point does, the interval does not" if held[0] else "does not hold"
    aim = f"{ends[0]:.2f} to {ends[1]:.2f}" if ends[0] > -math.inf else f"at most {ends[1]:.2f}"
    return f"- {claim}, an exponent of {aim} ({found['exponent']:.3f}, {found['low']:.3f} to {found['high']:.3f}): **{said}**."


def _workers(one: Mapping[str, Any]) -> str:
    alone, *more = one["seconds"]
    times = [f"{statistics.median(one['seconds'][alone]):.1f} s with one worker"]
    for number in more:
        seconds = one["seconds"][number]
        ratio = statistics.median(a / b for a, b in zip(one["seconds"][alone], seconds, strict=True))
        times.append(f"{statistics.median(seconds):.1f} s with {number}, {ratio:.2f} times as fast")
    told = (
        f"An exponent of {_slope(one)}." if "exponent" in one else "Of two points there is this ratio, and no exponent."
    )
    return (
        f"A bank of eight models: {'; '.join(times)}; the start of the processes included. More workers than the machine has "
        f"cores were not tried. {told}"
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


def _made(found: Mapping[str, Any], series: Mapping[str, Any]) -> str:
    """What made which rows."""
    groups: dict[str, list[str]] = {}
    for name in (*series, WORKERS):
        made = found["series"][name].get("made", found)
        versions = ", ".join(f"{part} {number}" for part, number in made["versions"].items())
        hardware = f"{made['hardware']['cpu']}, {made['hardware']['cores']} cores"
        groups.setdefault(f"`{made['command']}`; {versions}; {hardware}, {made['threads']} thread", []).append(name)
    if len(groups) == 1:
        lines = [f"{next(iter(groups))}."]
    else:
        lines = [f"- {'; '.join(names)}: {made}." for made, names in groups.items()]
    return "\n".join([*lines, "", "Weights are untrained, as only the time counts."])


if __name__ == "__main__":
    main()
