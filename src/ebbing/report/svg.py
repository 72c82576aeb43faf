"""Drawing with matplotlib into SVG that stands inside a page: no pyplot, no state left behind.

The same input gives the same bytes. Text stays text, ids begin with the drawing's name so that several
share a page, and the greys and colours read on white and on near-black (Okabe and Ito's palette, safe
for the colour-blind).
"""

import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

WIDTH = 4.9  # inches; two stand beside each other on a desk, one fills a phone and keeps its type readable
INK = "#808080"
BLUE, ORANGE, GREEN, PINK = "#2b8cc4", "#d55e00", "#009e73", "#cc79a7"
STYLE: dict[Any, Any] = {  # matplotlib types its keys as literals
    "svg.fonttype": "none",
    "text.parse_math": False,  # a method's name may hold a dollar sign
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """One drawing: a name fit for an HTML id, a title, a caption, and the SVG element as text."""

    name: str
    title: str
    caption: str
    svg: str


def draw(name: str, title: str, caption: str, *, height: float, paint: Callable[[Axes], None]) -> Plot:
    """Call `paint` on empty axes of the given height in inches and keep the SVG.

    Args:
        name: letters, digits and hyphens; salts and prefixes the ids of the SVG.
        title: what the drawing shows, also for those who hear it instead of seeing it.
        caption: how to read it, and what is missing from it.
        height: in inches; the width is fixed.
        paint: draws on the axes.

    Returns:
        The drawing.
    """
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        # Names in scripts that DejaVu lacks are laid out by guess; the reader's browser has the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure.subplots())
        buffer = StringIO()
        nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return Plot(name, title, caption, _inline(buffer.getvalue(), name, title))


def _inline(document: str, name: str, title: str) -> str:
    """The bare `<svg>` element: no prologue, no style sheet, ids of its own, a label."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]+>", lambda tag: _own_ids(tag[0], name), svg)
    label = escape(title, quote=True)
    root = f'<svg role="img" aria-label="{label}" stroke-linejoin="round" stroke-linecap="butt"'
    return svg.replace("<svg", root, 1).strip()


def _own_ids(tag: str, name: str) -> str:
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", tag)


def stretch_axis(axes: Axes, axis: str, values: Sequence[float], *, unit: float) -> None:
    """Make an axis a symmetric logarithm where the values dwarf `unit`, ticks at 1, 2 and 5 of a decade.

    The axis is linear up to the power of ten next to twice `unit`; its label then says so.
    """
    largest = max(abs(value) for value in values)
    if unit <= 0 or largest <= 12 * unit:
        return
    threshold = 10.0 ** round(math.log10(2 * unit))
    linear = [threshold / 2]
    steps = linear + [threshold * step * 10.0**power for power in range(12) for step in (1, 2, 5)]
    above = [tick for tick in steps if tick <= 1.5 * max(max(values), unit)]
    below = [-tick for tick in steps if tick <= 1.5 * max(-min(values), unit)]
    if axis == "x":
        axes.set_xscale("symlog", linthresh=threshold, linscale=0.6)
    else:
        axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
    target = axes.xaxis if axis == "x" else axes.yaxis
    target.set_major_locator(FixedLocator([*reversed(below), 0.0, *above]))
    target.set_minor_locator(NullLocator())
    target.set_major_formatter(FuncFormatter(plain_tick))
    target.set_label_text(f"{target.get_label_text()}, logarithmic beyond ±{threshold:g}".removeprefix(", "))


def plain_tick(value: float, _position: int | None = None) -> str:
    """A tick without exponent or trailing zeros, with a real minus sign."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
