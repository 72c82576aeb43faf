"""The leaderboard as tables, from the files of finished cells alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbing.bench.cells import TOO_DEAR
from ebbing.bench.labels import REFERENCE
from ebbing.bench.tasks import TASKS, BenchTask
from ebbing.errors import InputError

Figures = Mapping[str, Any]
DASH = "–"
SPLITS = ("forget", "retain", "holdout")
HEADER = (
    *("method", "M", "W", "T forget / retain / holdout", "gap forget / retain / holdout"),
    *(
        "KLoM forget / retain / holdout (95th)",
        "U-LiRA",
        "ToW",
        "forget",
        "retain",
        "holdout",
        "verdicts",
        "examples, %",
        "time, %",
    ),
)
SHORT = {
    "consistent-with-retraining": "consistent",
    "no-memory-found": "no memory",
    "no-measurable-trace": "no trace",
    "inconclusive": "inconclusive",
    "damaged": "damaged",
    "over-forgotten": "over",
    "under-forgotten": "under",
}
# what was chosen on tasks that are for reporting: it is said beside their tables
SEEN_BY = {
    "digits-memorised3-cnn/v1": "the rule by which `ebb` tells whether anything was memorised",
    "fashion10k-mislabelled5-cnn/v1": "those of the preset `ebb-gentle`",
}


@dataclass(frozen=True)
class Board:
    """What is finished of a task.

    Attributes:
        task: the task.
        reference: figures of retrained models among themselves.
        cells: of the methods, whatever their budgets.
    """

    task: BenchTask
    reference: Figures
    cells: Sequence[Figures]

    @property
    def budgets(self) -> list[float]:
        """Those that there are cells of, ascending."""
        return sorted({cell["budget"] for cell in self.cells if cell["budget"] is not None})

    @property
    def shown(self) -> list[tuple[str, float | None]]:
        """The tables, by what they are called: one for each budget, or one of what is free."""
        return [(f"{100 * budget:g} % of retraining", budget) for budget in self.budgets] or [("Free", None)]

    def at(self, budget: float | None) -> list[Figures]:
        """The cells within a budget, and those that are free: the closest to retrained models' memory first."""
        chosen = [cell for cell in self.cells if cell["budget"] in (None, budget)]
        return sorted(chosen, key=lambda cell: (cell["figures"] is None, _distance(cell)))

    def inside(self, cell: Figures) -> bool | None:
        """Whether the mean memory over originals lies inside the band of one retrained model; None without either."""
        band = (self.reference["retrained"]["bands"] or {}).get("memory")
        if band is None or cell["figures"] is None:
            return None
        return bool(band["low"] <= cell["figures"]["memory"]["mean"] <= band["high"])


def _distance(cell: Figures) -> float:
    return float("inf") if cell["figures"] is None else float(cell["figures"]["memory_abs"]["mean"])


def read_boards(results: Path) -> list[Board]:
    """The finished part of every task, in the order of `TASKS`.

    Raises:
        InputError: if nothing is finished.
    """
    boards = []
    for task in TASKS.values():
        folder = results / task.folder
        path = folder / f"{REFERENCE}.json"
        if path.exists():
            cells = [_read(p) for p in sorted(folder.glob("*.json")) if p != path]
            boards.append(Board(task, _read(path), cells))
    if not boards:
        raise InputError(f"no finished task is in {str(results)!r}. Run `ebbing bench run` first.")
    return boards


def _read(path: Path) -> Figures:
    found: Figures = json.loads(path.read_text(encoding="utf-8"))
    return found


def tables(boards: Sequence[Board]) -> str:
    """A table in Markdown for each task and budget."""
    parts = []
    for board in boards:
        parts.append(f"## {board.task.name}\n\n{described(board)}\n")
        parts += [f"### {told}\n\n{table(board, budget)}" for told, budget in board.shown]
    return "\n".join(parts)


def described(board: Board) -> str:
    """What the task is, in a sentence or two."""
    task, sizes = board.task, board.reference["request"]
    but = f" but {SEEN_BY[task.name]}" if task.name in SEEN_BY else ""
    chosen = "Settings may be chosen on it." if task.chosen_on else f"No setting was chosen on it{but}."
    return (
        f"{task.dataset}, `{task.rule}`: {sizes['forget']:,} records go, {sizes['retain']:,} stay, {sizes['holdout']:,} are "
        f"held out; {task.network}, {task.recipe.epochs:g} epochs; {task.models} originals and as many retrained models. "
        f"{chosen} Gap and KLoM are of half the models against half of the retrained ones; verdicts are on at most 16."
    )


def table(board: Board, budget: float | None) -> str:
    """One budget in Markdown."""
    lines = [HEADER, ["---"] * len(HEADER), *rows_of(board, budget)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def rows_of(board: Board, budget: float | None) -> list[list[str]]:
    """The lines of one budget: retrained models first, then the methods; those inside the band of memory in bold."""
    retrained = board.reference["retrained"]
    first = ["retrained, among themselves", *_figures(retrained, None), "100", "100"]
    return [first, *(_row(board, cell) for cell in board.at(budget))]


def _row(board: Board, cell: Figures) -> list[str]:
    label = f"**{cell['label']}**" if board.inside(cell) else str(cell["label"])
    if cell["figures"] is None:
        told = "costs more" if cell["reason"] == TOO_DEAR else "not for this task"
        return [label, *[DASH] * (len(HEADER) - 4), told, DASH, DASH]
    cost = cell["cost"]
    shown = _figures(cell["figures"], cell["figures"]["verdicts"])
    examples, seconds = (
        DASH if cost[f"{what}_ratio"] is None else f"{100 * cost[f'{what}_ratio']:.1f}"
        for what in ("examples", "seconds")
    )
    return [label + remark(cell), *shown, examples, seconds]


def remark(cell: Figures) -> str:
    """How many runs were undone, and how many models their method left as they were; older files tell the first alone.

    Example:
        >>> remark({"rolled_back": 0, "left_alone": 3})
        ' (3 left as they were)'
        >>> remark({"rolled_back": 0})
        ''
    """
    told = {"undone": cell["rolled_back"], "left as they were": cell.get("left_alone", 0)}
    words = ", ".join(f"{number} {what}" for what, number in told.items() if number)
    return f" ({words})" if words else ""


def _figures(figures: Figures, verdicts: Mapping[str, int] | None) -> list[str]:
    """The columns that retrained models have as well."""
    klom = figures.get("klom_gaussian")
    tails = [DASH if klom is None or klom[s]["p95"] is None else f"{klom[s]['p95']:.2g}" for s in SPLITS]
    told = DASH if klom is None else " / ".join(f"{klom[s]['mean']:.2g}" for s in SPLITS)
    tail = f" ({' / '.join(tails)})" if DASH not in tails else ""
    attack, tow = figures.get("u_lira_auc"), figures.get("tow")
    return [
        _interval(figures["memory"], 2),
        _interval(figures["w"], 2),
        " / ".join(f"{figures['drift'][s]['mean']:.2f}" for s in SPLITS),
        " / ".join(f"{figures['margin_gap'][s]:.2f}" for s in SPLITS),
        f"{told}{tail}",
        DASH if attack is None else f"{attack:.3f}",
        DASH if tow is None else f"{tow['mean']:.3f}",
        *(f"{100 * figures['accuracy'][s]['mean']:.1f}" for s in SPLITS),
        DASH if verdicts is None else _verdicts(verdicts, looked_inside=figures["looked_inside"]),
    ]


def _verdicts(verdicts: Mapping[str, int], *, looked_inside: bool) -> str:
    """How often each outcome was given, and whether by answers alone."""
    told = ", ".join(f"{SHORT.get(name, name)} {n}" for name, n in verdicts.items())
    return told if looked_inside else f"{told} (by answers alone)"


def _interval(value: Figures, digits: int) -> str:
    """A mean with its interval."""
    mean = f"{value['mean']:.{digits}f}"
    return mean if value["low"] is None else f"{mean} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"
