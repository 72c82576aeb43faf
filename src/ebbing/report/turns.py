"""What a method with turns went through: accuracies and the attack it watched, epoch by epoch."""

from collections.abc import Sequence
from functools import partial
from math import isnan, nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ebbing.report.rows import dig, listing, read_estimate
from ebbing.report.subjects import Subject
from ebbing.report.svg import BLUE, INK, ORANGE, PINK, Plot, draw


def draw_turns(subjects: Sequence[Subject]) -> list[Plot]:
    """One plot for each method with a history."""
    histories = [s for s in subjects if s.kind in ("method", "control") and listing(dig(s.data, "history"))]
    return [_history(subject, i) for i, subject in enumerate(histories)]


def _history(subject: Subject, index: int) -> Plot:
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
