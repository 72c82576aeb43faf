"""Reports as the tables that papers print: `styles` has the columns, `cells` what is in them, `figures` where it is read."""

from ebbing.report.papers.cells import Cell, Column, PaperTable
from ebbing.report.papers.styles import Style, paper_tables

__all__ = ["Cell", "Column", "PaperTable", "Style", "paper_tables"]
