"""A report for people: the table, the sentences, the plots and the page, all from the dict of report.json."""

from ebbing.report.html import render
from ebbing.report.plots import draw_plots
from ebbing.report.schema import report_schema
from ebbing.report.svg import Plot
from ebbing.report.table import comparison_table, verdict_lines

__all__ = ["Plot", "comparison_table", "draw_plots", "render", "report_schema", "verdict_lines"]
