"""The technical appendix: forgetting factors by unit, similarity of layers, and which predictions moved where."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from ebbing.report.measured import figure_cell
from ebbing.report.rows import dig, listing, mapping, printable, read_estimate
from ebbing.report.subjects import DASHES, LINE_COLOURS, legend_below, numbers
from ebbing.report.svg import Plot, draw

SHOWN_CLASSES = 12  # above this a matrix is no table to read
MOST_MOVES = 15
MATRICES = (
    ("original_to_after", "Forgotten records, from the original's prediction (down) to this model's (across)"),
    (
        "after_to_retrained",
        "Forgotten records, from this model's prediction (down) to the retrained models' (across), mean",
    ),
)


def technical_view(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the appendix shows of each method that has one; empty where it was not asked for.

    Args:
        report: the dict of report.json.
    """
    shown = []
    for index, (name, method) in enumerate(mapping(dig(report, "methods")).items()):
        found = dig(method, "technical")
        if found is not None:
            plot = _factors(printable(name), index, dig(found, "factors"))
            shown.append(
                {
                    "label": printable(name),
                    "factors": None if plot is None else (plot, Markup(plot.svg)),
                    "cka": _cka(dig(found, "cka")),
                    "matrices": _matrices(dig(found, "predictions")),
                    "absent": _absent(found),
                }
            )
    return shown


def _absent(found: object) -> str:
    named = (("factors", "forgetting factors"), ("cka", "CKA of layers"), ("predictions", "matrix of predictions"))
    missing = [words for key, words in named if not dig(found, key)]
    return f"No {' and no '.join(missing)} in this report." if missing else ""


# Factors


def _factors(name: str, index: int, factors: object) -> Plot | None:
    groups = {printable(group): values for group, listed in mapping(factors).items() if (values := numbers(listed))}
    if not groups:
        return None
    caption = "What a unit keeps of its weights: 1 is all, 0 nothing. Units of each group by rank, from the first to forget to "
    caption += "the last."
    height = 2.6 + 0.17 * ((len(groups) + 2) // 3)
    paint = partial(_paint_factors, groups=groups)
    return draw(f"factors-{index}", f"Forgetting factors: {name}", caption, height=height, paint=paint)


def _paint_factors(axes: Axes, *, groups: Mapping[str, Sequence[float]]) -> None:
    for index, (group, values) in enumerate(groups.items()):
        places = np.linspace(0, 100, len(values)) if len(values) > 1 else [50.0]
        colour, dashes = LINE_COLOURS[index % len(LINE_COLOURS)], DASHES[index // len(LINE_COLOURS) % len(DASHES)]
        label = f"{group} ({len(values)})"
        axes.plot(places, values, color=colour, linestyle=dashes, linewidth=1.5, drawstyle="steps-mid", label=label)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(0, 100)
    axes.set_xlabel("units by rank, %")
    axes.set_ylabel("factor")
    legend_below(axes)


# Similarity of layers


def _cka(layers: object) -> list[tuple[str, Any, Any]]:
    """By layer: the similarity to the retrained models' layer, and theirs among themselves."""
    return [
        (printable(layer), figure_cell(read_estimate(dig(one, "value"))), figure_cell(read_estimate(dig(one, "floor"))))
        for layer, one in mapping(layers).items()
    ]


# Predictions


def _matrices(predictions: object) -> list[dict[str, Any]]:
    found = []
    for key, title in MATRICES:
        rows = [numbers(row) for row in listing(dig(predictions, key))]
        square = [row for row in rows if row is not None and len(row) == len(rows)]
        if rows and len(square) == len(rows):
            small = len(square) <= SHOWN_CLASSES
            found.append(
                {
                    "title": title,
                    "rows": _shaded(square) if small else [],
                    "moves": [] if small else _moves(square),
                    "stayed": _stayed(square),
                }
            )
    return found


def _shaded(rows: Sequence[Sequence[float]]) -> list[list[tuple[str, int]]]:
    """Each count as text, and how dark its cell is, in per cent of the row."""
    return [[(_count(value), round(70 * value / (sum(row) or 1))) for value in row] for row in rows]


def _count(value: float) -> str:
    return "" if value == 0 else f"{value:.0f}" if value == round(value) else f"{value:.1f}"


def _moves(rows: Sequence[Sequence[float]]) -> list[tuple[str, str, str]]:
    """The most frequent changes, where there are too many classes for a table."""
    pairs = [(value, i, j) for i, row in enumerate(rows) for j, value in enumerate(row) if i != j and value]
    pairs.sort(key=lambda move: (-move[0], move[1], move[2]))
    return [(str(i), str(j), _count(value)) for value, i, j in pairs[:MOST_MOVES]]


def _stayed(rows: Sequence[Sequence[float]]) -> str:
    total = sum(sum(row) for row in rows)
    same = sum(row[i] for i, row in enumerate(rows))
    return f"{100 * same / total:.1f} % of them have the same prediction." if total else ""
