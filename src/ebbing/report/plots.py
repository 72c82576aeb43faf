"""The plots of a report: memory, memory against cost, distributions, and the turns of a method.

Each shows the original in orange, methods in blue (controls hollow), retrained models in green, and
leaves out whom it has no figure for, saying so in its caption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ebbing.report.rows import (
    Estimate,
    dig,
    listing,
    mapping,
    oracle_count,
    printable,
    read_estimate,
    read_memory,
)
from ebbing.report.svg import BLUE, GREEN, INK, ORANGE, PINK, Plot, draw, plain_tick, stretch_axis

COLOURS = {"original": ORANGE, "method": BLUE, "control": BLUE, "retrained": GREEN}
ROW = 0.27  # inches for a line of a plot
QUANTILES = 21  # of z: 0, 5, ..., 100 %

Band = tuple[float, float]


@dataclass(frozen=True, eq=False)  # two methods may share a shortened name
class _Subject:
    kind: str  # original, method, control or retrained
    label: str
    data: Any


@dataclass(frozen=True, eq=False)
class _Point:
    subject: _Subject
    memory: Estimate
    cost: float | None = None  # a share of retraining's


def draw_plots(report: Mapping[str, Any]) -> list[Plot]:
    """Every plot the report has figures for; an empty list where it has none.

    Args:
        report: the dict of report.json.

    Returns:
        `memory`, `cost`, `distribution`, then `history-0`, `history-1`, ... for methods with a history.
    """
    subjects = _subjects(report)
    low, high = (read_estimate(dig(report, "bands", "memory", end)) for end in ("low", "high"))
    band = None if low is None or high is None else (low.mean, high.mean)
    found = [_memory(subjects, band), _memory_against_cost(subjects, band), _distribution(subjects)]
    histories = [s for s in subjects if s.kind in ("method", "control") and listing(dig(s.data, "history"))]
    return [plot for plot in found if plot] + [_history(s, i) for i, s in enumerate(histories)]


def _subjects(report: Mapping[str, Any]) -> list[_Subject]:
    subjects = [_Subject("original", "original", dig(report, "original"))]
    for name, method in mapping(dig(report, "methods")).items():
        kind = "control" if dig(method, "control") is True else "method"
        subjects.append(_Subject(kind, _shorten(printable(name)), method))
    if count := oracle_count(report):
        subjects.append(_Subject("retrained", f"retrained ({count})", dig(report, "oracles")))
    return subjects


def _shorten(text: str, limit: int = 26) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _marker(kind: str) -> dict[str, Any]:
    return {
        "marker": "D" if kind == "retrained" else "o",
        "markersize": 5 if kind == "retrained" else 6,
        "markerfacecolor": "none" if kind == "control" else COLOURS[kind],
        "markeredgecolor": COLOURS[kind],
        "linestyle": "none",
    }


def _left_out(subjects: Sequence[_Subject], shown: Sequence[_Subject], lacking: str) -> str:
    missing = [subject.label for subject in subjects if subject not in shown]
    return f" Not shown, for want of {lacking}: {', '.join(missing)}." if missing else ""


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names down the left side, the first on top, without a frame."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _unit(band: Band | None) -> float:
    return max(abs(edge) for edge in band) if band else 1.0


# Memory


def _points(subjects: Sequence[_Subject]) -> list[_Point]:
    """The subjects with a memory figure, and their cost where it is known and can stand on a logarithm."""
    points = []
    for subject in subjects:
        ratio = read_estimate(dig(subject.data, "cost", "ratio_to_retraining"))
        cost = 1.0 if subject.kind == "retrained" else ratio.mean if ratio else None
        if memory := read_memory(dig(subject.data, "memory")):
            points.append(_Point(subject, memory, cost if cost and cost > 0 else None))
    return points


def _memory(subjects: Sequence[_Subject], band: Band | None) -> Plot | None:
    points = _points(subjects)
    if not points:
        return None
    shown = [point.subject for point in points]
    caption = "Memory M of the forget set, in standard deviations of the retrained models; 0 is none. "
    caption += "Shaded: where models retrained without it fall." if band else "The report has no band."
    caption += " Hollow: controls." if any(subject.kind == "control" for subject in shown) else ""
    caption += _left_out(subjects, shown, "a memory figure")
    paint = partial(_paint_memory, points=points, band=band)
    return draw("memory", "Memory left", caption, height=0.6 + ROW * len(points), paint=paint)


def _paint_memory(axes: Axes, *, points: Sequence[_Point], band: Band | None) -> None:
    _name_rows(axes, [point.subject.label for point in points])
    axes.axvline(0, color=INK, linewidth=0.6)
    if band:
        axes.axvspan(*band, color=GREEN, alpha=0.22, linewidth=0)
    for row, point in enumerate(points):
        m, kind = point.memory, point.subject.kind
        if m.low is not None and m.high is not None:
            axes.plot([m.low, m.high], [row, row], color=COLOURS[kind], linewidth=1.2, zorder=2)
        axes.plot([m.mean], [row], zorder=3, **_marker(kind))
    ends = [end for p in points for end in (p.memory.mean, p.memory.low, p.memory.high) if end is not None]
    axes.set_xlabel("memory M")
    stretch_axis(axes, "x", [*ends, *(band or ())], unit=_unit(band))


# Memory against cost


def _memory_against_cost(subjects: Sequence[_Subject], band: Band | None) -> Plot | None:
    found = _points(subjects)
    points = [point for point in found if point.cost is not None]
    if not any(point.subject.kind in ("method", "control") for point in points):
        return None
    original = next((point.memory.mean for point in found if point.subject.kind == "original"), None)
    caption = "Time as a share of retraining once. Down in the band, and far to the left, is better."
    caption += " Dashed: the original." if original is not None else ""
    placed = [subject for subject in subjects if subject.kind != "original"]
    caption += _left_out(placed, [point.subject for point in points], "a cost or a memory figure")
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
        axes.plot([point.cost or nan], [point.memory.mean], zorder=3, **_marker(point.subject.kind))
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


# Distributions


def _quantiles(profile: object, key: str) -> list[float] | None:
    values = [read_estimate(value) for value in listing(dig(profile, key))]
    found = [value.mean for value in values if value is not None]
    return found if len(found) == len(values) == QUANTILES else None


def _distribution(subjects: Sequence[_Subject]) -> Plot | None:
    shown = [s for s in subjects if _quantiles(dig(s.data, "profile"), "z_forget")]
    if not shown:
        return None
    matched = any(_quantiles(dig(s.data, "profile"), "z_matched") for s in shown)
    caption = "Margins of the forget set after the affine map, in standard deviations of the retrained models: "
    caption += "median, middle half and 5 to 95 % of the records."
    caption += " Grey: unseen records drawn as the forget set was." if matched else ""
    caption += _left_out(subjects, shown, "a profile")
    paint = partial(_paint_distribution, shown=shown)
    height = 0.6 + 1.35 * ROW * len(shown)
    return draw("distribution", "Forget set, record by record", caption, height=height, paint=paint)


def _paint_distribution(axes: Axes, *, shown: Sequence[_Subject]) -> None:
    _name_rows(axes, [s.label for s in shown])
    axes.axvline(0, color=INK, linewidth=0.6)
    ends = []
    for row, subject in enumerate(shown):
        profile = dig(subject.data, "profile")
        strips = (("z_forget", row - 0.12, COLOURS[subject.kind]), ("z_matched", row + 0.22, INK))
        for key, height, colour in strips:
            if quantiles := _quantiles(profile, key):
                _strip(axes, quantiles, height, colour, thick=key == "z_forget")
                ends += [quantiles[1], quantiles[19]]
    axes.set_xlabel("z of a record")
    stretch_axis(axes, "x", ends, unit=3.0)


def _strip(axes: Axes, quantiles: Sequence[float], height: float, colour: str, *, thick: bool) -> None:
    low, quarter, middle, three_quarters, high = (quantiles[i] for i in (1, 5, 10, 15, 19))
    width = 6.0 if thick else 3.0
    level = [height, height]
    axes.plot([low, high], level, color=colour, linewidth=1, solid_capstyle="butt")
    axes.plot([quarter, three_quarters], level, color=colour, linewidth=width, alpha=0.55, solid_capstyle="butt")
    axes.plot([middle], [height], marker="|", color=colour, markersize=width + 4, markeredgewidth=2)


# Turns


def _history(subject: _Subject, index: int) -> Plot:
    entries = listing(dig(subject.data, "history"))
    title = f"Learning and unlearning: {subject.label}"
    caption = "Accuracy on the forget set and on the data that stays, and the validation attack's AUC, "
    caption += "epoch by epoch. Shaded: unlearning."
    return draw(f"history-{index}", title, caption, height=2.4, paint=partial(_paint_history, entries=entries))


def _paint_history(axes: Axes, *, entries: Sequence[Any]) -> None:
    for step, entry in enumerate(entries, start=1):
        if dig(entry, "bout") == "unlearning":
            axes.axvspan(step - 0.5, step + 0.5, color=INK, alpha=0.14, linewidth=0)
    lines = (
        ("forget set", ("accuracy", "forget"), ORANGE, "o", "-"),
        ("data that stays", ("accuracy", "retain"), BLUE, "s", "-"),
        ("attack AUC", ("validation_auc",), PINK, "^", "--"),
    )
    for label, keys, colour, marker, dashes in lines:
        found = [(step, read_estimate(dig(entry, *keys))) for step, entry in enumerate(entries, start=1)]
        x, y = zip(*((step, 100 * value.mean if value else nan) for step, value in found), strict=True)
        if not all(isnan(value) for value in y):  # a gap where there is no figure
            axes.plot(x, y, dashes, label=label, color=colour, marker=marker, markersize=3.5, linewidth=1.2)
    axes.set_ylim(-3, 103)
    axes.set_xlim(0.5, len(entries) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("%")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderpad=0, handlelength=1.6)
