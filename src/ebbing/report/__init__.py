"""A report for people: the table, the sentences, the plots and the page, all from the dict of report.json.

What draws is imported from `ebbing.report.html` and `ebbing.report.plots` by those who draw: nobody else waits for matplotlib.
"""

from ebbing.report.schema import report_schema
from ebbing.report.table import comparison_table, verdict_lines

__all__ = ["comparison_table", "report_schema", "verdict_lines"]
