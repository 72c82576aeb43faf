"""Where many runs go: the options that several commands share, and the executor that they name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ebbing.errors import InputError

if TYPE_CHECKING:
    from ebbing.pool import Executor, Workers

Where = Literal["local", "ray"]

ExecutorName = Annotated[
    Where, typer.Option("--executor", help="Where runs go: to processes on this machine, or to a Ray cluster.")
]
RunsAtOnce = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes of one thread each; by default one for each core here, with --executor ray what the cluster has room "
        "for.",
        min=1,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of the Ray cluster, HOST:PORT; by default the one that this machine is a node of, else Ray is started here.",
    ),
]
CpusPerRun = Annotated[
    float | None, typer.Option("--cpus-per-run", help="Processors that Ray keeps for each run; 1 by default.", min=0)
]
GpusPerRun = Annotated[
    float | None, typer.Option("--gpus-per-run", help="GPUs likewise, such as 0.25; none by default.", min=0)
]

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ...")]
Together = Annotated[
    int,
    typer.Option(
        "--together",
        help="Train so many models at once in one program, which pays for small ones on a GPU; weights are then those of one "
        "by one to rounding.",
        min=1,
    ),
]


def executor_named(
    name: Where,
    *,
    workers: int | None = None,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
) -> Executor:
    """The executor that the options name.

    Raises:
        InputError: if one of them is not of this executor, or Ray is not installed.
    """
    from ebbing.pool import LocalExecutor
    from ebbing.ray_pool import RayExecutor

    if name == "ray":
        return RayExecutor(
            workers,
            address,
            cpus_per_run=1.0 if cpus_per_run is None else cpus_per_run,
            gpus_per_run=gpus_per_run or 0.0,
        )
    of_ray = {"--address": address, "--cpus-per-run": cpus_per_run, "--gpus-per-run": gpus_per_run}
    given = [option for option, value in of_ray.items() if value is not None]
    if given:
        raise InputError(f"{' and '.join(given)} must come with --executor ray, but the executor is local.")
    return LocalExecutor(workers or os.cpu_count() or 1)


def workers_named(
    name: Where,
    *,
    workers: int,
    address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
) -> Workers | None:
    """The same for commands that by default have no workers: 0 of them is this process, or with Ray what there is room for.

    Raises:
        InputError: if one of them is not of this executor, or Ray is not installed.
    """
    found = executor_named(
        name, workers=workers or None, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
    )
    return found if name == "ray" else workers or None


def at_once(workers: Workers | None) -> int | None:
    """How many runs there are at once, None in this process; a cluster is connected to for this."""
    return workers if workers is None or isinstance(workers, int) else workers.at_once
