"""``ebbing cite``: what to cite for reports. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ebbing.report.citations import bibtex, citations
from ebbing.report.saved import read_reports


def print_citations(runs: Sequence[Path]) -> None:
    """Print BibTeX of everything that the runs used, each work once.

    Raises:
        InputError: if a run is no report, or is given twice.
    """
    typer.echo(bibtex(citations([saved.data for saved in read_reports(runs)])), nl=False)
