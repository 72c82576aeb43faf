"""Pictures of pages: methods by two figures, and one figure of every model by method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from ebbing.report.svg import BLUE, GREEN, INK, ORANGE, draw, stretch_axis

OURS = ("ebb", "fnn", "forgetting-network")
Band = tuple[float, float]


def _colour(label: str) -> str:
    return ORANGE if label.startswith(OURS) else BLUE


def two_figures(
    path: Path,
    title: str,
    points: Mapping[str, tuple[float, float]],
    *,
    axes_named: tuple[str, str],
    named: Collection[str],
    retrained: tuple[float, float],
    band: Band,
) -> str:
    """The SVG of one point for each method; retrained models are a star, and what the upright figure of them spans is shaded.

    Args:
        path: of the picture, whose name salts the ids in it.
        title: what it shows.
        points: (x, y) by label.
        axes_named: what x and y are.
        named: labels that are written beside their points.
        retrained: (x, y) of the retrained models.
        band: lowest and highest y of them.
    """

    def paint(axes: Axes) -> None:
        axes.axhspan(*band, color=GREEN, alpha=0.15, linewidth=0)
        middle = (min(x for x, _ in points.values()) + max(x for x, _ in points.values())) / 2
        for label, (x, y) in points.items():
            axes.plot([x], [y], "o", color=_colour(label), markersize=4)
            if label in named:
                left = x > middle  # names end where the axes do
                side = {"ha": "right" if left else "left", "fontsize": 5.5, "color": INK}
                axes.annotate(label, (x, y), (-4 if left else 4, 2), textcoords="offset points", **side)
        axes.plot([retrained[0]], [retrained[1]], "*", color=GREEN, markersize=9)
        axes.set_xlabel(axes_named[0])
        axes.set_ylabel(axes_named[1])

    return draw(path.stem, title, "", height=3.6, paint=paint).svg + "\n"


def by_model(path: Path, title: str, figures: Mapping[str, Sequence[float]], *, named: str, band: Band) -> str:
    """The SVG of a row for each method with a dot for each of its models; what retrained models span is shaded."""

    def paint(axes: Axes) -> None:
        axes.axvspan(*band, color=GREEN, alpha=0.15, linewidth=0)
        labels = list(figures)[::-1]
        for row, label in enumerate(labels):
            axes.plot(figures[label], [row] * len(figures[label]), "o", color=_colour(label), markersize=4, alpha=0.8)
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.set_xlabel(named)
        every = [value for values in figures.values() for value in values]
        axes.set_xlim(1.2 * min(*every, band[0]), 1.2 * max(*every, band[1]))
        stretch_axis(axes, "x", every, unit=(band[1] - band[0]) / 2)

    return draw(path.stem, title, "", height=0.9 + 0.22 * len(figures), paint=paint).svg + "\n"
