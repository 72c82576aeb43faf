"""The part of docs/results.md on baselines beside their public code."""

from __future__ import annotations

import json
from pathlib import Path

PARITY = Path(__file__).parent.parent / "results" / "parity.json"


def parity_section() -> str:
    """How far the results of ours and of the authors' code are apart."""
    if not PARITY.exists():
        return ""
    cell = json.loads(PARITY.read_text(encoding="utf-8"))
    lines = [
        "## Baselines beside their public code",
        "",
        "Both versions get the same weights, records, order of batches and draws, in double precision, on a network for digits "
        "with 64 wrong labels to forget (for SalUn label 0 on all of them). For NegGrad+ it is the function `train_negrad`. "
        "The last column is the largest difference between the two results' weights over the largest change that the method "
        "made.",
        "",
        "| method | public code | weights changed | largest change | difference over it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in cell["methods"].items():
        commit = (found["commit"] or "unknown")[:7]
        lines.append(
            f"| `{name}` | {found['repository']} at {commit} | {found['weights_changed']:,} | {found['largest_change']:.3f} | "
            f"{found['largest_difference_over_change']:.0e} |"
        )
    facts = cell["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines += ["", f"`{facts['command']}`; {versions}; 1 thread.", ""]
    return "\n".join(lines)
