"""``ebbing plan``: which way to answer requests is the cheapest. Loads no torch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import typer
from rich.console import Console
from rich.table import Table

from ebbing.errors import InputError
from ebbing.planning import RETRAINING, SISA, UNLEARNING, Plan, Unlearning, Workload, plan
from ebbing.sharding import Sharding

PIPE_WIDTH = 110
WORDS = {
    RETRAINING: "retraining each time",
    SISA: "SISA, a model in shards",
    UNLEARNING: "unlearning, retraining when drift asks for it",
}


@dataclass(frozen=True)
class PlanOptions:
    """What is known, and how it is to be said.

    Attributes:
        workload: what will be asked for.
        sharding: of SISA.
        unlearning: what the method costs.
        hours: of one retraining, > 0; None if it is not known.
        as_json: whether numbers are printed for programs.
    """

    workload: Workload
    sharding: Sharding
    unlearning: Unlearning
    hours: float | None
    as_json: bool


def print_plan(options: PlanOptions) -> None:
    """Print what each way costs.

    Raises:
        InputError: if the shards cannot hold the records, or hours are none.
    """
    if options.hours is not None and not 0 < options.hours < math.inf:
        raise InputError(f"hours must be finite and > 0, but is {options.hours}. Leave it out where it is not known.")
    found = plan(options.workload, sharding=options.sharding, unlearning=options.unlearning)
    if options.as_json:
        hours = {} if options.hours is None else {w.name: w.cost * options.hours for w in found.ways}
        typer.echo(json.dumps(asdict(found) | {"cheapest": found.cheapest.name, "hours": hours or None}, indent=1))
        return
    _print_table(found, options)
    for way in found.ways:
        for note in way.notes:
            typer.echo(f"{way.name}: {note}.")
    typer.echo(_said(found))


def _print_table(found: Plan, options: PlanOptions) -> None:
    """A row for each way, the cheapest first."""
    work = found.workload
    head = ["way", "retrainings", "of which audits", *(["hours"] if options.hours else []), "retrained from scratch"]
    table = Table(*head, title=f"{work.runs} runs over {work.years:g} years, {work.run_size:.3g} records each")
    for way in found.ways:
        hours = [f"{way.cost * options.hours:,.1f}"] if options.hours else []
        table.add_row(WORDS[way.name], f"{way.cost:,.2f}", f"{way.audits:,.2f}", *hours, str(way.retrained))
    console = Console()
    if not console.is_terminal:
        console.width = max(PIPE_WIDTH, console.width)
    console.print(table)


def _said(found: Plan) -> str:
    """The answer in a sentence, and where it would be another."""
    others = ", ".join(f"{WORDS[name]} from {rate:.3g}" for rate, name in found.turns)
    return (
        f"Cheapest: {WORDS[found.cheapest.name]}. By requests a year up to {found.highest:.3g}, all else as it is: "
        f"{others}."
    )
