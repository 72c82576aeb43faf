"""The parts of docs/results.md on public code: baselines beside it, whole peers, and what decay costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results"
PARITY, PEERS, OVERHEAD = (RESULTS / f"{name}.json" for name in ("parity", "peers", "overhead"))


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


def peers_section() -> str:
    """Time and accuracy of `Ebb` and of whole peers on one checkpoint; empty where it was not measured."""
    if not PEERS.exists():
        return ""
    found = json.loads(PEERS.read_text(encoding="utf-8"))
    lines = [
        "## Beside whole peers",
        "",
        "MNIST, 60,000 images, `paper_cnn`, two epochs; every method starts from a copy of the one original, by the settings "
        "that its own authors give, which were found on other problems. Time is over that of retraining in the same round, "
        "unlearning alone; *test* are unseen images, of the classes that stay. Medians over the rounds. `SSD-authors` reads "
        "all data in its authors' order, those that stay and then those that go: for a tenth of the data that bounds how much "
        "more a weight can matter to these near the ratio of 10 from which on weights are dampened. `-mixed` has the data "
        "set's order.",
    ]
    for cell, rows in found["table"].items():
        lines += ["", f"### `{cell}`", "", "| method | rounds | time, % of retraining | retain | forget | test |"]
        lines += ["| --- | --- | --- | --- | --- | --- |", _accuracies("original", "–", "–", found["original"][cell])]
        for name, row in rows.items():
            rounds = sum(key.startswith(f"{cell}/{name}/") for key in found["runs"])
            lines.append(_accuracies(f"`{name}`", str(rounds), f"{100 * row['ratio']:.0f}", row))
    commits = ", ".join(
        sorted({f"{m['repository']} at {m['commit'][:7]}" for m in found["methods"].values() if "commit" in m})
    )
    return "\n".join([*lines, "", *_class_claim(found), f"Peers: {commits}. {_made(found['provenance'])}", ""])


def _accuracies(name: str, rounds: str, time: str, row: dict[str, float]) -> str:
    return (
        f"| {name} | {rounds} | {time} | "
        + " | ".join(f"{row[part]:.2f}" for part in ("retain", "forget", "test"))
        + " |"
    )


def _class_claim(found: dict[str, Any]) -> list[str]:
    """Whether `Ebb` forgets the class as was to be reached."""
    rows = found["table"].get("class:3", {})
    ours = [name for name in rows if name.startswith("ebb:")]
    if not ours or "SSD-authors" not in rows:
        return []
    theirs = rows["SSD-authors"]["seconds"]
    lines = []
    for name in ours:
        row = rows[name]
        share = row["seconds"] / theirs
        told = "**holds**" if _reached(row, theirs) else "does not hold"
        lines.append(
            f"- `class:3`, `{name}`: no forgotten image is known, retain at least 98.5 %, test at least 98.4 %, in under .7 of "
            f"the time of `SSD-authors` ({share:.2f}): {told}."
        )
    same = [
        f"`{name}` ({row['seconds'] / theirs:.2f})"
        for name, row in sorted(rows.items(), key=lambda item: item[1]["seconds"])
        if name not in (*ours, "retraining") and _reached(row, theirs)
    ]
    told = f"of the others this is reached by {', '.join(same)}" if same else "none of the others reaches this"
    return [*lines, f"- `class:3`: {told}.", ""]


def _reached(row: dict[str, float], theirs: float) -> bool:
    """Whether no forgotten image is known, the others are, and it took under .7 of the time of the authors' code of SSD."""
    exact = row["forget"] == 0 and row["retain"] >= 98.5 and row["test"] >= 98.4
    return exact and row["seconds"] / theirs < 0.7


def overhead_section() -> str:
    """What decay and rankings cost beside the repair; empty where it was not measured."""
    if not OVERHEAD.exists():
        return ""
    found = json.loads(OVERHEAD.read_text(encoding="utf-8"))
    told = []
    for name, middle in found["ratio"].items():
        if name == "fine-tune":
            continue
        pairs = [own / plain for own, plain in zip(found["seconds"][name], found["seconds"]["fine-tune"], strict=True)]
        low, high = (100 * (end(pairs) - 1) for end in (min, max))
        holds = "**holds**" if middle <= 1.05 else "does not hold"
        told.append(f"- `{name}`: {100 * (middle - 1):+.1f} % ({low:+.0f} to {high:+.0f}). At most 5 %: {holds}.")
    rounds = len(found["seconds"]["ebb"])
    return (
        "## What decay costs\n\n"
        f"Beside `fine-tune` with the same repair, a budget of {100 * found['budget']:g} % of retraining on 10,000 images of "
        f"MNIST, medians of {rounds} paired rounds and their ends:\n\n" + "\n".join(told) + "\n\n"
        "`ebb` ranks nothing by default. Where the repair trains on 28,500 records, `ebb-ranked` reads all 10,000 before it, "
        "forward alone, once for both kinds of layer; `ebb-ranked-1000` reads 1,500. What is read to tell whether anything was "
        "memorised is in none of these: decay was made to take place.\n\n"
        f"{_made(found['provenance'])}\n"
    )


def _made(facts: dict[str, Any]) -> str:
    """Command, versions and machine."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    hardware = facts["hardware"]
    return f"`{facts['command']}`; {versions}; {hardware['cpu']}, {hardware['cores']} cores, 1 thread."
