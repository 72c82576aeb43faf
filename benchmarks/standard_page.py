"""The part of docs/results.md on the standard measures, from results/standard/."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent.parent / "results" / "standard"
NAMES = {"digits": "Digits", "mnist": "MNIST, 10,000 images", "fashion-mnist": "Fashion-MNIST, 10,000 images"}
DASH = "–"
TEXT = """5 % of the training records have a wrong label and are to be forgotten. Every original is unlearned, with the same
seed. The floor is what retrained models give among themselves, mean (lowest to highest), with how many were judged by how many;
for figures over models the others have the same counts. What each figure is stands in [the measures](measures.md).
"""

Block = dict[str, Any]


def standard_section() -> str:
    """A table for each data set that was measured; empty without any."""
    paths = [RESULTS / f"{name}.json" for name in NAMES if (RESULTS / f"{name}.json").exists()]
    if not paths:
        return ""
    parts = ["## Every measure, beside its floor\n"]
    parts.append(TEXT)
    for path in paths:
        parts += _one(json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(parts)


def _one(cell: Block) -> list[str]:
    n, methods = cell["models"], cell["methods"]
    spent = ", ".join(f"{what} {seconds:,.0f} s" for what, seconds in cell["parts"].items())
    again = f" {cell['models_found']} of these models were there already." if cell["models_found"] else ""
    rows = ["| measure | original | " + " | ".join(methods) + " | floor |", "|" + " --- |" * (3 + len(methods))]
    for key, entry in cell["original"]["measures"].items():
        told = [_value(entry), *(_value(block["measures"][key]) for block in methods.values())]
        if set(told) == {DASH}:
            continue
        rows.append(f"| {key} | " + " | ".join(told) + f" | {_floor(entry['floor'])} |")
    outcomes = ", ".join(f"{name}: {block['verdict']['outcome']}" for name, block in methods.items())
    facts = cell["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        f"### {NAMES[cell['dataset']]}, {n} originals and {n} retrained models\n",
        "\n".join(rows) + "\n",
        f"Verdict: {outcomes}. {cell['seconds']:,.0f} s in all: {spent}.{again} `{facts['command']}`; {versions}; "
        f"{facts['hardware']['cpu']}, {facts['hardware']['cores']} cores, {facts['workers']} processes of one thread.\n",
    ]


def measures_speed() -> str:
    """How long the measures over many models take, beside plain loops; empty where it was not measured."""
    path = RESULTS.parent / "measures.json"
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    names = list(found["rounds"][0])
    middle = {
        name: {
            key: median(one[name][key] for one in found["rounds"])
            for key in ("seconds", "loop_seconds", "times_faster")
        }
        for name in names
    }
    rows = [
        f"| {name} | {m['seconds']:.2f} | {m['loop_seconds']:.1f} | {m['times_faster']:.0f} |"
        for name, m in middle.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    hardware = found["hardware"]
    return "\n".join(
        [
            "## Speed of the measures\n",
            f"Margins of {found['models']} models of each kind on {found['records']:,} records, one thread; medians of "
            f"{len(found['rounds'])} paired rounds. The loop goes record by record over a\npart, and is counted for all.\n",
            "| measure | s | loop, s | times faster |\n| --- | --- | --- | --- |",
            *rows,
            f"\n{sum(m['seconds'] for m in middle.values()):.2f} s for all three, peak memory "
            f"{found['peak_gib']:.2f} GiB. `{found['command']}`; {versions}; "
            f"{hardware['cpu']}, {hardware['cores']} cores.\n",
        ]
    )


def _value(entry: Block) -> str:
    value = entry["value"]
    if value is None:
        return DASH
    if isinstance(value, dict):
        return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    return f"{value:.3f}" + (f" ({entry['low']:.3f} to {entry['high']:.3f})" if entry["low"] is not None else "")


def _floor(floor: Block | None) -> str:
    if floor is None:
        return DASH
    ends = f"({floor['low']:.3f} to {floor['high']:.3f})"
    return f"{floor['mean']:.3f} {ends}, {floor['n_unlearned']} by {floor['n_retrained']}"
