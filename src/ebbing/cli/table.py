"""``ebbing table``: reports as the tables of papers. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ebbing.report.papers import Style, paper_tables
from ebbing.report.saved import read_reports
from ebbing.report.typeset import Format, typeset


def print_tables(runs: Sequence[Path], *, style: Style, form: Format) -> None:
    """Print a table for each request among the runs.

    Raises:
        InputError: if a run is no report, is given twice, or has a method with other settings than another run.
    """
    typer.echo(typeset(paper_tables(read_reports(runs), style), form), nl=False)
