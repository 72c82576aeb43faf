"""Whose figures a plot shows, and how each looks: the original orange, methods blue, retrained models green."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from ebbing.report.rows import Estimate, dig, mapping, oracle_count, printable, read_estimate
from ebbing.report.svg import BLUE, GREEN, INK, ORANGE, PINK

COLOURS = {"original": ORANGE, "method": BLUE, "control": BLUE, "retrained": GREEN}
LINE_COLOURS = (BLUE, PINK, "#b58900", "#6c71c4")  # of methods, once they stand in one plot as lines
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
ROW = 0.27  # inches for a line of a plot

Band = tuple[float, float]


@dataclass(frozen=True, eq=False)  # two methods may share a shortened name
class Subject:
    """One line of a plot. `kind` is original, method, control or retrained; `data` its part of the report."""

    kind: str
    label: str
    data: Any


def subjects_of(report: Mapping[str, Any]) -> list[Subject]:
    """The original, every method, and the retrained models where there are any."""
    subjects = [Subject("original", "original", dig(report, "original"))]
    for name, method in mapping(dig(report, "methods")).items():
        kind = "control" if dig(method, "control") is True else "method"
        subjects.append(Subject(kind, _shorten(printable(name)), method))
    if count := oracle_count(report):
        subjects.append(Subject("retrained", f"retrained ({count})", dig(report, "oracles")))
    return subjects


def _shorten(text: str, limit: int = 26) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def marker(kind: str) -> dict[str, Any]:
    """How a subject stands in a plot as a point; controls are hollow."""
    return {
        "marker": "D" if kind == "retrained" else "o",
        "markersize": 5 if kind == "retrained" else 6,
        "markerfacecolor": "none" if kind == "control" else COLOURS[kind],
        "markeredgecolor": COLOURS[kind],
        "linestyle": "none",
    }


def lines(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """How each subject stands in a plot as a line: methods by colour and dashes, controls thin and grey."""
    styles: list[dict[str, Any]] = []
    methods = controls = 0
    for subject in subjects:
        if subject.kind == "method":
            colour, dashes = (
                LINE_COLOURS[methods % len(LINE_COLOURS)],
                DASHES[methods // len(LINE_COLOURS) % len(DASHES)],
            )
            styles.append({"color": colour, "linestyle": dashes, "linewidth": 1.5})
            methods += 1
        elif subject.kind == "control":
            styles.append({"color": INK, "linestyle": DASHES[(controls + 1) % len(DASHES)], "linewidth": 1.0})
            controls += 1
        else:
            styles.append({"color": COLOURS[subject.kind], "linestyle": "-", "linewidth": 1.8})
    return styles


def left_out(subjects: Sequence[Subject], shown: Sequence[Subject], lacking: str) -> str:
    """The end of a caption: who is missing from the plot, and for want of what."""
    missing = [subject.label for subject in subjects if subject not in shown]
    return f" Not shown, for want of {lacking}: {', '.join(missing)}." if missing else ""


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names down the left side, the first on top, without a frame."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def legend_below(axes: Axes, *, columns: int = 3) -> None:
    """The names of the lines under the axes, where there are any."""
    if count := len(axes.get_legend_handles_labels()[0]):
        axes.figure.legend(
            loc="outside lower left",
            ncols=min(columns, count),
            fontsize=8,
            borderpad=0,
            handlelength=2.2,
            columnspacing=1.4,
        )


def numbers(value: object, *, length: int | None = None) -> list[float] | None:
    """A list of finite numbers, of the given length where there is one; None for anything else."""
    found: list[Estimate | None] = [read_estimate(item) for item in value] if isinstance(value, list | tuple) else []
    known = [item.mean for item in found if item is not None]
    return known if known and len(known) == len(found) and length in (None, len(known)) else None
