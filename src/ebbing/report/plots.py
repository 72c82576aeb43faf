"""The plots of a report: memory, memory against cost, and what `records` and `turns` draw.

Each shows the original in orange, methods in blue (controls hollow or grey), retrained models in green, and leaves out
whom it has no figure for, saying so in its caption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ebbing.report.records import draw_records
from ebbing.report.rows import Estimate, dig, read_estimate, read_memory
from ebbing.report.subjects import COLOURS, ROW, Band, Subject, left_out, marker, name_rows, subjects_of
from ebbing.report.svg import GREEN, INK, ORANGE, Plot, draw, plain_tick, stretch_axis
from ebbing.report.turns import draw_turns


@dataclass(frozen=True, eq=False)
class _Point:
    subject: Subject
    memory: Estimate
    cost: float | None = None  # a share of retraining's


def draw_plots(report: Mapping[str, Any]) -> list[Plot]:
    """Every plot the report has figures for; an empty list where it has none.

    Args:
        report: the dict of report.json.

    Returns:
        `memory`, `cost`, `margins`, `distribution`, `roc`, `sorted`, then `history-0`, `history-1`, ... for methods with a
        history.
    """
    subjects = subjects_of(report)
    low, high = (read_estimate(dig(report, "bands", "memory", end)) for end in ("low", "high"))
    band = None if low is None or high is None else (low.mean, high.mean)
    found = [_memory(subjects, band), _memory_against_cost(subjects, band)]
    return [plot for plot in found if plot] + draw_records(subjects) + draw_turns(subjects)


def _unit(band: Band | None) -> float:
    return max(abs(edge) for edge in band) if band else 1.0


# Memory


def _points(subjects: Sequence[Subject]) -> list[_Point]:
    """The subjects with a memory figure, and their cost where it is known and can stand on a logarithm."""
    points = []
    for subject in subjects:
        ratio = read_estimate(dig(subject.data, "cost", "ratio_to_retraining"))
        cost = 1.0 if subject.kind == "retrained" else ratio.mean if ratio else None
        if memory := read_memory(dig(subject.data, "memory")):
            points.append(_Point(subject, memory, cost if cost and cost > 0 else None))
    return points


def _memory(subjects: Sequence[Subject], band: Band | None) -> Plot | None:
    points = _points(subjects)
    if not points:
        return None
    shown = [point.subject for point in points]
    caption = "Memory M of the forget set, in standard deviations of the retrained models; 0 is none. "
    caption += "Shaded: where models retrained without it fall." if band else "The report has no band."
    caption += " Hollow: controls." if any(subject.kind == "control" for subject in shown) else ""
    caption += left_out(subjects, shown, "a memory figure")
    paint = partial(_paint_memory, points=points, band=band)
    return draw("memory", "Memory left", caption, height=0.6 + ROW * len(points), paint=paint)


def _paint_memory(axes: Axes, *, points: Sequence[_Point], band: Band | None) -> None:
    name_rows(axes, [point.subject.label for point in points])
    axes.axvline(0, color=INK, linewidth=0.6)
    if band:
        axes.axvspan(*band, color=GREEN, alpha=0.22, linewidth=0)
    for row, point in enumerate(points):
        m, kind = point.memory, point.subject.kind
        if m.low is not None and m.high is not None:
            axes.plot([m.low, m.high], [row, row], color=COLOURS[kind], linewidth=1.2, zorder=2)
        axes.plot([m.mean], [row], zorder=3, **marker(kind))
    ends = [end for p in points for end in (p.memory.mean, p.memory.low, p.memory.high) if end is not None]
    axes.set_xlabel("memory M")
    stretch_axis(axes, "x", [*ends, *(band or ())], unit=_unit(band))


# Memory against cost


def _memory_against_cost(subjects: Sequence[Subject], band: Band | None) -> Plot | None:
    found = _points(subjects)
    points = [point for point in found if point.cost is not None]
    if not any(point.subject.kind in ("method", "control") for point in points):
        return None
    original = next((point.memory.mean for point in found if point.subject.kind == "original"), None)
    caption = "Time as a share of retraining once. Down in the band, and far to the left, is better."
    caption += " Dashed: the original." if original is not None else ""
    placed = [subject for subject in subjects if subject.kind != "original"]
    caption += left_out(placed, [point.subject for point in points], "a cost or a memory figure")
    paint = partial(_paint_cost, points=points, band=band, original=original)
    height = max(2.6, 0.9 + 0.2 * len(points))
    return draw("cost", "Memory left against cost", caption, height=height, paint=paint)


def _paint_cost(axes: Axes, *, points: Sequence[_Point], band: Band | None, original: float | None) -> None:
    axes.axhline(0, color=INK, linewidth=0.6)
    if band:
        axes.axhspan(*band, color=GREEN, alpha=0.22, linewidth=0)
    if original is not None:
        axes.axhline(original, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
    for point in points:
        axes.plot([point.cost or nan], [point.memory.mean], zorder=3, **marker(point.subject.kind))
    heights = [*(point.memory.mean for point in points), *([original] if original is not None else [])]
    axes.margins(x=0.06, y=0.07)
    axes.set_ylabel("memory M")
    stretch_axis(axes, "y", [*heights, *(band or ())], unit=_unit(band))
    axes.set_xscale("log")
    axes.autoscale_view()
    low, high = axes.get_xlim()
    decades = [step * 10.0**power for power in range(-6, 4) for step in (1, 3)]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in decades if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_tick(100 * value)))
    axes.set_xlabel("cost, % of retraining")
    _label_points(axes, points)


def _label_points(axes: Axes, points: Sequence[_Point]) -> None:
    """Names in a column at the right, in the order of the points and clear of each other."""
    to_axes = axes.transScale + axes.transLimits
    places = [float(to_axes.transform((p.cost or nan, p.memory.mean))[1]) for p in points]
    ordered = sorted(range(len(points)), key=places.__getitem__)
    gap = min(0.085, 1 / max(1, len(points) - 1))
    heights: list[float] = []
    for i in ordered:
        heights.append(max(places[i], heights[-1] + gap if heights else 0.0))
    ceiling = 1.0
    for place in reversed(range(len(heights))):  # push down again what rose above the axes
        heights[place] = min(heights[place], ceiling)
        ceiling = heights[place] - gap
    for i, height in zip(ordered, heights, strict=True):
        axes.annotate(
            points[i].subject.label,
            xy=(points[i].cost or nan, points[i].memory.mean),
            xytext=(1.05, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.4, "alpha": 0.6, "shrinkB": 4},
        )
