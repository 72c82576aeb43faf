"""Where the command line prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ebbing.auditing import AuditReport
from ebbing.report import comparison_table, verdict_lines

ESTIMATED_OVER = 3600.0  # seconds that the time left is told by: a single model may take minutes
PIPE_WIDTH = 118  # the comparison table fits; a pipe or a file has no width of its own


def make_console() -> Console:
    """Standard output: as wide as the terminal, and never narrower than the table where it is no terminal."""
    console = Console()
    if not console.is_terminal:
        console.width = max(PIPE_WIDTH, console.width)
    return console


def print_line(console: Console, text: str) -> None:
    """A line as it is: names and paths in it are no markup, and are not broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def shown(console: Console) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A progress display, one line for each thing that takes long."""
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=ESTIMATED_OVER) as display:
        running: list[TaskID] = []

        def begin(what: str, examples: int) -> Callable[[int], None]:
            for earlier in running:
                display.update(
                    earlier, completed=display.tasks[earlier].total or 1, total=display.tasks[earlier].total or 1
                )
            task = display.add_task(what, total=examples or None)
            running.append(task)

            def advance(advanced: int) -> None:
                display.advance(task, advanced)

            return advance

        yield begin
        for task in running:
            display.update(task, completed=display.tasks[task].total or 1, total=display.tasks[task].total or 1)


@contextmanager
def received(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress display of files that come over the network; it appears with the first bytes."""
    columns = (TextColumn("{task.description:<28}", markup=False), BarColumn(bar_width=30), DownloadColumn())
    display = Progress(*columns, console=console)
    rows: dict[str, TaskID] = {}

    def show(file: str, so_far: int, total: int | None) -> None:
        display.start()
        if file not in rows:
            rows[file] = display.add_task(file, total=total)
        display.update(rows[file], completed=so_far, total=total)  # it falls where a file is started over

    try:
        yield show
    finally:
        display.stop()


def print_report(report: AuditReport, files: Path, console: Console, *, seconds: float) -> None:
    """The comparison, the verdicts, and where the report lies."""
    console.print(comparison_table(report.data))
    for block in verdict_lines(report.data):
        console.print(block, markup=False, highlight=False)
    print_line(console, f"{seconds:.0f} s. Written to {files}.json and {files}.html")


def command_line() -> str:
    """The command as it was called, for the report."""
    return " ".join(shlex.quote(word) for word in ["ebbing", *sys.argv[1:]])
