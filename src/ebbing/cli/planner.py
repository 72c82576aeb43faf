"""The options of ``ebbing plan``; what it does is imported when it is called."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def plan(
    records: Annotated[int, typer.Option(help="Of the training set.", min=1)],
    requests_per_year: Annotated[float, typer.Option(help="How many are expected.")],
    size: Annotated[float, typer.Option(help="Records of a request on average.")] = 1.0,
    years: Annotated[float, typer.Option(help="How long.")] = 1.0,
    every_days: Annotated[
        float, typer.Option(help="Answer at most so often, all requests since then together; 0 answers each.")
    ] = 0.0,
    shards: Annotated[int, typer.Option(help="Of SISA.")] = 5,
    slices: Annotated[int, typer.Option(help="Of each shard.")] = 4,
    share: Annotated[float, typer.Option(help="Of one retraining that an unlearning costs.")] = 0.2,
    drift: Annotated[
        float | None,
        typer.Option(help="Accuracy that an unlearning loses beside retraining, such as 0.0005, if measured."),
    ] = None,
    drift_budget: Annotated[float, typer.Option(help="Accuracy that may be lost before a retraining.")] = 0.005,
    audits: Annotated[
        Literal["each", "yearly", "none"], typer.Option(help="How often what was unlearned is audited.")
    ] = "each",
    references: Annotated[int, typer.Option(help="Models retrained for an audit.")] = 16,
    hours: Annotated[float | None, typer.Option(help="Of one retraining, to be told hours as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers for programs.")] = False,
) -> None:
    """Say which is cheapest over years of requests: SISA, unlearning and retraining at times, or retraining each time."""
    from ebbing.cli.plan import PlanOptions, print_plan
    from ebbing.planning import Unlearning, Workload
    from ebbing.sharding import Sharding

    print_plan(
        PlanOptions(
            workload=Workload(records, requests_per_year, size, years, every_days),
            sharding=Sharding(shards, slices),
            unlearning=Unlearning(share, drift, drift_budget, audits, references),
            hours=hours,
            as_json=as_json,
        )
    )
