"""``ebbing reproduce``: the paper's experiments, resumed from the cells that are finished."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ebbing.cli.checks import check_writable
from ebbing.cli.screen import command_line, make_console, print_line, received
from ebbing.data import load
from ebbing.errors import InputError
from ebbing.paper import Cell, Places, grid, make_cells, prepare, quick_grid, read_cells, tables
from ebbing.paper.grid import DATASETS
from ebbing.pool import Executor, LocalExecutor


@dataclass(frozen=True)
class ReproduceOptions:
    """The options of ``ebbing reproduce``."""

    results: Path
    out: Path
    data_dir: Path | None = None
    datasets: tuple[str, ...] = DATASETS
    seeds: int = 3
    only: tuple[str, ...] = ()
    quick: bool = False
    executor: Executor = field(default_factory=LocalExecutor)
    download: bool = True
    tables: bool = False
    dry_run: bool = False


def run_reproduce(options: ReproduceOptions) -> None:
    """Make what is missing, and print the tables.

    Raises:
        InputError: if an option cannot be used.
    """
    console = make_console()
    if not options.tables:
        cells = _chosen(options)
        places = Places(options.results, options.out, options.data_dir, command_line())
        missing = [cell for cell in cells if not places.cell(cell).exists()]
        jobs = prepare(missing, places)
        examples = sum(job.examples for job in jobs) + sum(cell.examples for cell in missing)
        print_line(
            console,
            f"{len(cells) - len(missing)} of {len(cells)} cells are finished; {len(missing)} to make, and {len(jobs)} models "
            f"to train for them if they are not stored, {options.executor}: "
            f"{examples / 1e6:,.1f} million examples.",
        )
        if options.dry_run:
            return
        check_writable(options.results, "--results")
        check_writable(options.out)
        _fetch(options, console)
        _make(missing, places, console, executor=options.executor)
    console.print(tables(read_cells(options.results)), markup=False, highlight=False, soft_wrap=True)


def _chosen(options: ReproduceOptions) -> list[Cell]:
    """The cells that are asked for.

    Raises:
        InputError: if a data set is unknown, or nothing is left of the grid.
    """
    unknown = set(options.datasets) - set(DATASETS)
    if unknown:
        raise InputError(f"--dataset must be one of {', '.join(DATASETS)}, but is {', '.join(sorted(unknown))}.")
    cells = quick_grid() if options.quick else grid(seeds=options.seeds, datasets=options.datasets)
    if options.only:
        cells = [cell for cell in cells if any(word in cell.path for word in options.only)]
    if not cells:
        raise InputError(
            f"--only {' '.join(options.only)!r} must name a part of a problem or variant, but none has it."
        )
    return cells


def _fetch(options: ReproduceOptions, console: Console) -> None:
    """The data, before any process is started."""
    names = {"mnist"} if options.quick else set(options.datasets)
    with received(console) as on_progress:
        for name in sorted(names):
            load(name, data_dir=options.data_dir, download=options.download, on_progress=on_progress)


def _make(cells: Sequence[Cell], places: Places, console: Console, *, executor: Executor) -> None:
    """Make the cells; a line for each, with the time that is left by what the time was spent on so far."""
    total = sum(job.examples for job in prepare(cells, places)) + sum(cell.examples for cell in cells)
    started, done, finished = time.perf_counter(), 0.0, 0
    for made in make_cells(cells, places, workers=executor):
        done += made.examples
        left = (time.perf_counter() - started) * max(total - done, 0.0) / done / 60
        told = ""
        if isinstance(made, Cell):
            finished += 1
            told = ": " + _in_a_line(json.loads(places.cell(made).read_text(encoding="utf-8")))
        print_line(console, f"{finished} of {len(cells)} cells, about {left:.0f} min left; {made.path}{told}")


def _in_a_line(figures: Mapping[str, Any]) -> str:
    block = figures["unlearned"]
    memory = "" if block["memory"] is None else f"M {block['memory']['m']:.2f}, "
    return f"{memory}retain {block['accuracy']['retain']:.1%}, {block['verdict']['outcome']}"
