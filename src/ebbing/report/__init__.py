"""A report for people: the table, the sentences, the plots and the page, all from the dict of report.json.

Names are loaded when they are first used, so that only who draws waits for matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebbing.report.html import render as render
    from ebbing.report.plots import draw_plots as draw_plots
    from ebbing.report.schema import report_schema as report_schema
    from ebbing.report.svg import Plot as Plot
    from ebbing.report.table import comparison_table as comparison_table
    from ebbing.report.table import verdict_lines as verdict_lines

_HOME_OF = {
    "Plot": "svg",
    "comparison_table": "table",
    "draw_plots": "plots",
    "render": "html",
    "report_schema": "schema",
    "verdict_lines": "table",
}

__all__ = ["Plot", "comparison_table", "draw_plots", "render", "report_schema", "verdict_lines"]


def __getattr__(name: str) -> Any:
    """Load a name from the module it lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
