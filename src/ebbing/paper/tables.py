"""The tables of the reproduction, from the small files alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ebbing.errors import InputError
from ebbing.paper.grid import PROBLEMS, VARIANTS

DASH = "–"
NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
WITHIN = 0.1  # of .5: the paper's sign that enough was forgotten

Figures = Mapping[str, Any]
ProblemCells = dict[str, list[Figures]]


def read_cells(results: Path) -> dict[str, ProblemCells]:
    """The finished cells: by problem, by variant, one for each seed; in the order of the grid, unknown ones last.

    Raises:
        InputError: if there are none.
    """
    problems = [problem.name for problem in PROBLEMS]
    variants = list(VARIANTS)
    found: dict[str, ProblemCells] = {}
    for path in sorted(results.glob("*/*-seed*.json")):
        figures = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(path.parent.name, {}).setdefault(figures["variant"], []).append(figures)
    if not found:
        raise InputError(f"no finished cell is in {str(results)!r}. Run `ebbing reproduce` without --tables first.")

    def place(name: str, known: list[str]) -> int:
        return known.index(name) if name in known else len(known)

    return {
        problem: dict(sorted(cells.items(), key=lambda item: place(item[0], variants)))
        for problem, cells in sorted(found.items(), key=lambda item: place(item[0], problems))
    }


def lowest_retain(block: Figures) -> float:
    """The lowest retain accuracy at the end of any epoch of any bout, or of the result where there were none."""
    watched = [float(entry["accuracy"]["retain"]) for entry in block.get("history") or []]
    return min([*watched, float(block["accuracy"]["retain"])])


def turns_to_stop(block: Figures) -> int | None:
    """The first turn after which the attack on validation data is within .1 of .5; None if none is, or there are no turns."""
    ends = {entry["turn"]: entry["validation_auc"] for entry in block.get("history") or []}
    return next((turn for turn, auc in sorted(ends.items()) if auc is not None and abs(auc - 0.5) <= WITHIN), None)


def spread(values: Sequence[float | None], digits: int, *, scale: float = 1.0) -> str:
    """The mean of known values, and from several the smallest and the largest.

    Example:
        >>> spread([0.25, 0.75], 1, scale=100), spread([None], 2)
        ('50.0 (25.0 to 75.0)', '–')
    """
    known = [scale * value for value in values if value is not None]
    if not known:
        return DASH
    mean = f"{fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})"


Read = Callable[[Figures], float | None]
COLUMNS: Sequence[tuple[str, Read, int, float]] = (
    ("forget", lambda f: f["unlearned"]["accuracy"]["forget"], 1, 100),
    ("retain", lambda f: f["unlearned"]["accuracy"]["retain"], 1, 100),
    ("retain, lowest", lambda f: lowest_retain(f["unlearned"]), 1, 100),
    ("holdout", lambda f: f["unlearned"]["accuracy"]["holdout"], 1, 100),
    ("loss AUC", lambda f: f["unlearned"]["loss_auc"], 3, 1),
    ("M", lambda f: (f["unlearned"]["memory"] or {}).get("m"), 2, 1),
    ("T holdout", lambda f: (f["unlearned"]["drift"] or {}).get("holdout"), 2, 1),
    ("mean factor", lambda f: (f["decay"] or {}).get("mean_factor"), 3, 1),
    ("turns to stop", lambda f: turns_to_stop(f["unlearned"]), 0, 1),
    ("cost, %", lambda f: f["unlearned"]["cost"]["examples_ratio"], 0, 100),
)


def comparison(cells: ProblemCells) -> list[list[str]]:
    """Header and rows: the original, the variants, and the retrained models."""
    any_cell = next(iter(cells.values()))[0]
    originals = {f["seed"]: f["original"] for several in cells.values() for f in several}
    rows = [["", *(name for name, *_ in COLUMNS), "verdict"]]
    rows.append(["original", *_plain_row(list(originals.values())), ""])
    for variant, several in cells.items():
        figures = [spread([read(f) for f in several], digits, scale=scale) for _, read, digits, scale in COLUMNS]
        outcomes = Counter(f["unlearned"]["verdict"]["outcome"] for f in several)
        verdicts = ", ".join(f"{name} {n}" if len(several) > 1 else name for name, n in outcomes.most_common())
        rows.append([variant, *figures, verdicts])
    rows.append([f"retrained ({any_cell['retrained']['count']})", *_retrained_row(any_cell["retrained"]), ""])
    return rows


def _plain_row(originals: Sequence[Figures]) -> list[str]:
    read: dict[str, str] = {
        split: spread([o["accuracy"][split] for o in originals], 1, scale=100)
        for split in ("forget", "retain", "holdout")
    }
    read["loss AUC"] = spread([o["loss_auc"] for o in originals], 3)
    read["M"] = spread([(o["memory"] or {}).get("m") for o in originals], 2)
    read["T holdout"] = spread([(o["drift"] or {}).get("holdout") for o in originals], 2)
    return [read.get(name, DASH) for name, *_ in COLUMNS]


def _retrained_row(retrained: Figures) -> list[str]:
    def told(block: Figures | None, digits: int, scale: float = 1.0) -> str:
        if not block:
            return DASH
        mean, low, high = (f"{scale * block[key]:.{digits}f}" for key in ("mean", "low", "high"))
        return f"{mean} ({low} to {high})"

    read = {split: told(retrained["accuracy"][split], 1, 100) for split in ("forget", "retain", "holdout")}
    read["loss AUC"] = told(retrained["loss_auc"], 3)
    read["M"] = told((retrained["memory"] or {}).get("m"), 2)
    read["T holdout"] = told((retrained["drift"] or {}).get("holdout"), 2)
    read["cost, %"] = "100"
    return [read.get(name, DASH) for name, *_ in COLUMNS]


def heading(cells: ProblemCells) -> str:
    """What a problem is, in words."""
    figures = next(iter(cells.values()))[0]
    problem, request = figures["problem"], figures["request"]
    kind, _, share = problem["split"].partition(":")
    what = {"random": "drawn at random", "balanced": "the same number of each class", "mislabelled": "wrong labels"}[
        kind
    ]
    network = "" if problem["network"] == "paper-cnn" else f", {problem['network']}"
    return (
        f"{NAMES[problem['dataset']]}, {problem['train_size']:,} images, {100 * float(share):g} % to forget, {what}{network} "
        f"({request['forget']:,} to forget, {request['retain']:,} stay)"
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([header, "|" + " --- |" * len(rows[0]), *body])


def tables(cells: Mapping[str, ProblemCells]) -> str:
    """All tables in Markdown, each with what made it."""
    parts = []
    for problem in cells.values():
        every = [f for several in problem.values() for f in several]
        seeds = ", ".join(str(seed) for seed in sorted({f["seed"] for f in every}))
        parts += [
            f"### {heading(problem)}",
            "",
            markdown(comparison(problem)),
            "",
            f"Seeds {seeds}. {_made(every)}",
            "",
        ]
    return "\n".join(parts).rstrip() + "\n"


def _made(cells: Sequence[Figures]) -> str:
    """Commands, versions and hardware, each once."""
    told = []
    for cell in cells:
        facts = cell["provenance"]
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        hardware = facts["hardware"]
        told.append(
            f"`{facts['command']}`; {versions}; {hardware['cpu']}, {hardware['cores']} cores, "
            f"{facts['threads']} thread a process."
        )
    return " ".join(dict.fromkeys(told))
