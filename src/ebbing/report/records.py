"""The forgotten records one by one, without saying which is which: margins, distances, attack and ROC."""

from collections.abc import Callable, Sequence
from functools import partial
from math import nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ebbing.report.rows import dig
from ebbing.report.subjects import COLOURS, ROW, Subject, left_out, legend_below, lines, name_rows, numbers
from ebbing.report.svg import GREEN, INK, Plot, draw, plain_tick, stretch_axis

QUANTILES = 21  # 0, 5, ..., 100 %
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LOWEST = 1e-3  # of the rates of a ROC, unless its grid begins lower


def draw_records(subjects: Sequence[Subject]) -> list[Plot]:
    """`margins`, `distribution`, `roc` and `sorted`, each where there are figures for it."""
    found = (_margins(subjects), _distribution(subjects), _roc(subjects), _sorted(subjects))
    return [plot for plot in found if plot is not None]


# Quantiles as strips


def _quantiles(subject: Subject, key: str) -> list[float] | None:
    return numbers(dig(subject.data, "profile", key), length=QUANTILES)


def _margins(subjects: Sequence[Subject]) -> Plot | None:
    words = "Log-odds of the label on the forget set, as each model gives them; above 0 the label is predicted: "
    return _strips(
        subjects, "margins", "Margins of the forget set", words, ("margin_forget", "margin_matched"), unit=8.0
    )


def _distribution(subjects: Sequence[Subject]) -> Plot | None:
    words = "Margins of the forget set after the affine map, in standard deviations of the retrained models: "
    return _strips(subjects, "distribution", "Forget set, record by record", words, ("z_forget", "z_matched"), unit=3.0)


def _strips(
    subjects: Sequence[Subject], name: str, title: str, words: str, keys: tuple[str, str], *, unit: float
) -> Plot | None:
    shown = [s for s in subjects if _quantiles(s, keys[0])]
    if not shown:
        return None
    matched = any(_quantiles(s, keys[1]) for s in shown)
    caption = f"{words}median, middle half and 5 to 95 % of the records."
    caption += " Grey: unseen records drawn as the forget set was." if matched else ""
    caption += left_out(subjects, shown, "a profile")
    paint = partial(_paint_strips, shown=shown, keys=keys, unit=unit)
    return draw(name, title, caption, height=0.6 + 1.35 * ROW * len(shown), paint=paint)


def _paint_strips(axes: Axes, *, shown: Sequence[Subject], keys: tuple[str, str], unit: float) -> None:
    name_rows(axes, [s.label for s in shown])
    axes.axvline(0, color=INK, linewidth=0.6)
    ends = []
    for row, subject in enumerate(shown):
        strips = ((keys[0], row - 0.12, COLOURS[subject.kind]), (keys[1], row + 0.22, INK))
        for key, height, colour in strips:
            if quantiles := _quantiles(subject, key):
                _strip(axes, quantiles, height, colour, thick=key == keys[0])
                ends += [quantiles[1], quantiles[19]]
    axes.set_xlabel("z of a record" if keys[0] == "z_forget" else "margin of a record")
    stretch_axis(axes, "x", ends, unit=unit)


def _strip(axes: Axes, quantiles: Sequence[float], height: float, colour: str, *, thick: bool) -> None:
    low, quarter, middle, three_quarters, high = (quantiles[i] for i in (1, 5, 10, 15, 19))
    width = 6.0 if thick else 3.0
    level = [height, height]
    axes.plot([low, high], level, color=colour, linewidth=1, solid_capstyle="butt")
    axes.plot([quarter, three_quarters], level, color=colour, linewidth=width, alpha=0.55, solid_capstyle="butt")
    axes.plot([middle], [height], marker="|", color=colour, markersize=width + 4, markeredgewidth=2)


# Lines


def _in_lines(
    subjects: Sequence[Subject],
    name: str,
    title: str,
    caption: str,
    curve: Callable[[Subject], Any],
    paint: Callable[..., None],
) -> Plot | None:
    """A plot with a line for each subject that has a curve, the retrained models' first, to lie below the others."""
    shown = [s for s in subjects if curve(s) is not None]
    if not shown:
        return None
    styled = sorted(zip(shown, lines(shown), strict=True), key=lambda pair: pair[0].kind != "retrained")
    caption += left_out(subjects, shown, "its figures")
    height = 3.0 + 0.17 * ((len(shown) + 2) // 3)
    return draw(name, title, caption, height=height, paint=partial(paint, styled=styled))


def _sorted(subjects: Sequence[Subject]) -> Plot | None:
    caption = "Every forgotten record's distance z from the retrained models, from the smallest to the largest; the nearer to "
    caption += (
        "the green line, the less an attack on single records has to go by. A steep right end: some are still known."
    )
    return _in_lines(subjects, "sorted", "Per-example scores, sorted", caption, _ordered, _paint_sorted)


def _ordered(subject: Subject) -> list[float] | None:
    return numbers(dig(subject.data, "profile", "z_sorted"))


def _paint_sorted(axes: Axes, *, styled: Sequence[tuple[Subject, dict[str, Any]]]) -> None:
    axes.axhline(0, color=INK, linewidth=0.6)
    ends = []
    for subject, style in styled:
        z = _ordered(subject) or []
        axes.plot(np.linspace(0, 100, len(z)) if len(z) > 1 else [50.0] * len(z), z, label=subject.label, **style)
        ends += [min(z), max(z)]
    axes.set_xlim(0, 100)
    axes.set_xlabel("records, %")
    axes.set_ylabel("z")
    stretch_axis(axes, "y", ends, unit=3.0)
    legend_below(axes)


def _roc(subjects: Sequence[Subject]) -> Plot | None:
    caption = (
        "The attack on the loss: which share of the forgotten records it finds (up) while that share of unseen records "
    )
    caption += "drawn alike is taken for forgotten ones (across). Dotted: chance."
    if any(s.kind == "retrained" and _rates(s) for s in subjects):
        caption += " Shaded: from the lowest to the highest of the retrained models."
    return _in_lines(subjects, "roc", "Attack on the loss, ROC", caption, _rates, _paint_roc)


def _rates(subject: Subject) -> dict[str, list[float]] | None:
    """`fpr` and `tpr`, of retrained models also `low` and `high`; None unless the curve is whole."""
    roc = dig(subject.data, "attacks", "loss", "roc")
    fpr, tpr = numbers(dig(roc, "fpr")), dig(roc, "tpr")
    mean = numbers(dig(tpr, "mean") if subject.kind == "retrained" else tpr)
    if fpr is None or mean is None or len(fpr) != len(mean):
        return None
    ends = {end: numbers(dig(tpr, end), length=len(fpr)) for end in ("low", "high")}
    return {"fpr": fpr, "tpr": mean} | {end: values for end, values in ends.items() if values is not None}


def _paint_roc(axes: Axes, *, styled: Sequence[tuple[Subject, dict[str, Any]]]) -> None:
    curves = [(subject, style, _rates(subject) or {}) for subject, style in styled]
    floor = min([LOWEST, *(rate for *_, curve in curves for rate in curve["fpr"] if rate > 0)])
    axes.plot([floor, 1], [floor, 1], color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    for subject, style, curve in curves:
        fpr = [rate if rate > 0 else nan for rate in curve["fpr"]]
        if "low" in curve and "high" in curve:
            low, high = ([max(rate, floor / 2) for rate in curve[end]] for end in ("low", "high"))
            axes.fill_between(fpr, low, high, color=GREEN, alpha=0.18, linewidth=0)
        axes.plot(fpr, [max(rate, floor / 2) for rate in curve["tpr"]], label=subject.label, **style)
    axes.set(xscale="log", yscale="log", xlim=(floor, 1.0), ylim=(floor, 1.15))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([rate for rate in RATES if rate >= floor]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda rate, _: plain_tick(round(100 * rate, 6))))
    axes.set_xlabel("false positive rate, %")
    axes.set_ylabel("true positive rate, %")
    legend_below(axes)
