"""What the leaderboard draws of a task: forgetting distance against cost, and against what it does to unseen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ebbing.bench.tables import Board
from ebbing.report.svg import BLUE, GREEN, INK, ORANGE, Plot, draw, plain_tick, stretch_axis

OURS = ("ebb", "forgetting-network")
YARDSTICKS = ("do-nothing", "fine-tune", "retrain-equal-compute")
HALF_A_POINT = 0.5  # of accuracy: what the verdict allows
MARKS = {0.01: "v", 0.03: "s", 0.1: "o"}
Figures = Mapping[str, Any]


def draw_board(board: Board) -> list[Plot]:
    """Memory against cost, and memory against holdout accuracy, of every method at every budget."""
    cells = [cell for cell in board.cells if cell["figures"] is not None]
    if not cells:
        return []
    name = board.task.folder.replace("/", "-")
    reach = _reach(board)
    told = f"Named are ours (orange), the yardsticks, and what lies inside the band (shaded). {_marks(cells)}"
    return [
        draw(
            f"{name}-cost",
            "Memory against cost",
            f"Mean of abs(M) over originals, against the examples processed, as a share of one retraining. {told}",
            height=3.4,
            paint=lambda axes: _against_cost(axes, board, cells, reach),
        ),
        draw(
            f"{name}-frontier",
            "Memory against accuracy on unseen records",
            f"Mean of abs(M) over originals, against holdout accuracy. Right and down is better. {told} Green: retrained.",
            height=3.4,
            paint=lambda axes: _against_accuracy(axes, board, cells, reach),
        ),
    ]


def draw_settings(tunings: Sequence[Figures], task: str) -> Plot:
    """Every method's curve over its settings: of those that were tried within one budget, the ones that no other beats.

    Args:
        tunings: what `ebbing.bench.tuning.tune` wrote of each method at one budget, each tuned on the task.
        task: its name.

    Returns:
        Memory of the tuner's originals, against the validation accuracy that they lost to retrained models, in points.
    """
    budget = tunings[0]["budget"]
    curves = {str(each["label"]): _unbeaten(each["trials"], task) for each in tunings}
    reach = max(trial["tasks"][task]["band"] for each in tunings for trial in each["trials"] if trial["tasks"])
    return draw(
        f"settings-{task.partition('/')[0]}-{100 * budget:g}",
        f"Memory against accuracy over settings at {100 * budget:g} %",
        "abs(M) against validation accuracy lost to retrained models, of the settings of each method that no other of its "
        "settings beats in both; left and down is better. Shaded: half the width of the band.",
        height=3.4,
        paint=lambda axes: _over_settings(axes, curves, reach),
    )


def _unbeaten(trials: Sequence[Figures], task: str) -> list[tuple[float, float]]:
    """(points lost, abs(M)) of the trials that no other of them beats in both, by points lost."""
    found = [trial["tasks"][task] for trial in trials if trial["tasks"]]
    kept: list[tuple[float, float]] = []
    for lost, memory in sorted((100 * one["accuracy_lost"], abs(one["memory"])) for one in found):
        if not kept or memory < kept[-1][1]:
            kept.append((lost, memory))
    return kept


def _over_settings(axes: Axes, curves: Mapping[str, Sequence[tuple[float, float]]], reach: float) -> None:
    worst = max(lost for curve in curves.values() for lost, _ in curve)
    for label, curve in curves.items():
        colour = ORANGE if label.startswith(OURS) else BLUE
        axes.plot(*zip(*curve, strict=True), "o-", color=colour, markersize=3, linewidth=0.8)
        right = curve[-1][0] > worst / 2  # names end where the axes do
        axes.annotate(
            label,
            curve[-1],
            (-3 if right else 3, 2),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=5.5,
            color=INK,
        )
    axes.axhspan(0, reach, color=GREEN, alpha=0.15, linewidth=0)
    axes.set_xlabel("accuracy lost, points")
    axes.set_ylabel("abs(M)")
    axes.set_ylim(bottom=0)
    stretch_axis(axes, "x", [lost for curve in curves.values() for lost, _ in curve], unit=HALF_A_POINT)
    stretch_axis(axes, "y", [memory for curve in curves.values() for _, memory in curve], unit=reach)


def _reach(board: Board) -> float:
    """How far the memory of a retrained model lies from 0 at most."""
    band = (board.reference["retrained"]["bands"] or {}).get("memory")
    return max(abs(band["low"]), abs(band["high"])) if band else 0.0


def _marks(cells: Sequence[Figures]) -> str:
    """Which mark stands for which budget."""
    words = {"v": "triangles", "s": "squares", "o": "circles"}
    budgets = sorted({cell["budget"] for cell in cells if cell["budget"] in MARKS})
    return ", ".join(f"{words[MARKS[budget]]} at {100 * budget:g} %" for budget in budgets).capitalize() + "."


def _memory(cell: Figures) -> float:
    return float(cell["figures"]["memory_abs"]["mean"])


def _paint(axes: Axes, cell: Figures, x: float, reach: float) -> None:
    """One method's point; its name where retrained models could be, or one must find it: all names would hide each other."""
    colour = ORANGE if str(cell["label"]).startswith(OURS) else BLUE
    free = cell["budget"] is None
    axes.plot(
        [x],
        [_memory(cell)],
        MARKS.get(cell["budget"], "D"),
        color=colour,
        markersize=4.5,
        markerfacecolor="none" if free else colour,
    )
    label = str(cell["label"])
    if _memory(cell) <= reach or label in YARDSTICKS or label.startswith(OURS):
        axes.annotate(label, (x, _memory(cell)), (3, 2), textcoords="offset points", fontsize=5.5, color=INK)


def _finish(axes: Axes, cells: Sequence[Figures], reach: float) -> None:
    """Band and the vertical axis."""
    axes.axhspan(0, reach, color=GREEN, alpha=0.15, linewidth=0)
    axes.set_ylabel("abs(M)")
    axes.set_ylim(bottom=0)
    stretch_axis(axes, "y", [_memory(cell) for cell in cells], unit=reach)


def _against_cost(axes: Axes, board: Board, cells: Sequence[Figures], reach: float) -> None:
    costs = [(cell, cell["cost"]["examples_ratio"]) for cell in cells]
    known = [(cell, 100 * ratio) for cell, ratio in costs if ratio]
    axes.set_xscale("log")
    for cell, cost in known:
        _paint(axes, cell, cost, reach)
    ticks = [t for t in (0.1, 0.3, 1, 3, 10, 30, 100) if t <= 1.2 * max([cost for _, cost in known], default=1)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(plain_tick))
    axes.set_xlabel("examples processed, % of one retraining")
    _finish(axes, cells, reach)


def _against_accuracy(axes: Axes, board: Board, cells: Sequence[Figures], reach: float) -> None:
    for cell in cells:
        _paint(axes, cell, 100 * cell["figures"]["accuracy"]["holdout"]["mean"], reach)
    retrained = board.reference["retrained"]
    axes.plot(
        [100 * retrained["accuracy"]["holdout"]["mean"]],
        [retrained["memory_abs"]["mean"]],
        "*",
        color=GREEN,
        markersize=9,
    )
    axes.set_xlabel("holdout accuracy, %")
    _finish(axes, cells, reach)
