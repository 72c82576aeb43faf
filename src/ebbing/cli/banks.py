"""The commands of ``ebbing bank`` and their options; what they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebbing.cli import complete
from ebbing.cli.executing import (
    Address,
    CpusPerRun,
    Device,
    ExecutorName,
    GpusPerRun,
    RunsAtOnce,
    Together,
    executor_named,
)
from ebbing.cli.options import (
    LARGEST_SEED,
    Download,
)

bank = typer.Typer(help="Train, list, verify and prune retrained models and originals.", no_args_is_help=True)
BankFolder = Annotated[Path, typer.Argument(help="The --out of a run, or its folder of models.")]


@bank.command("train")
def bank_train(
    dataset: Annotated[
        str, typer.Option(help="digits, mnist, fashion-mnist or cifar-10.", autocompletion=complete.datasets)
    ] = "digits",
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    train_size: Annotated[int | None, typer.Option(help="Keep so many training records, drawn by the seed.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The network; by default the data set's.", autocompletion=complete.networks)
    ] = None,
    recipe: Annotated[list[str] | None, typer.Option(help="key=value of the training; repeatable.")] = None,
    forget: Annotated[str, typer.Option(help="As of `ebbing run`.")] = "random:0.1",
    oracles: Annotated[int, typer.Option(help="How many retrained models.", min=0)] = 16,
    originals: Annotated[int, typer.Option(help="How many originals.", min=0)] = 1,
    executor: ExecutorName = "local",
    workers: RunsAtOnce = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    device: Device = "cpu",
    together: Together = 1,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=LARGEST_SEED)] = 0,
    out: Annotated[Path, typer.Option(help="The folder; `ebbing run` finds the models there.")] = Path("runs/run"),
    download: Download = True,
) -> None:
    """Train retrained models and originals by a pool of processes, or together on a GPU; what is there is not trained again."""
    from ebbing.cli.bank import train
    from ebbing.cli.run import Options

    runs = executor_named(
        executor, workers=workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
    )
    options = Options(
        dataset=dataset,
        data_dir=data_dir,
        train_size=train_size,
        model=model,
        recipe=tuple(recipe or ()),
        forget=forget,
        methods=("do-nothing",),
        oracles=oracles,
        seed=seed,
        out=out,
        device=device,
        together=together,
        workers=None if together > 1 and workers is None and executor == "local" else runs,
        download=download,
    )
    train(options, originals=originals)


@bank.command("list")
def bank_list(folder: BankFolder) -> None:
    """List what a bank holds."""
    from ebbing.cli.bank import show_entries

    show_entries(folder)


@bank.command("verify")
def bank_verify(folder: BankFolder) -> None:
    """Compare every model with the digest it was written with; exit code 2 if one differs."""
    from ebbing.cli.bank import verify

    raise typer.Exit(verify(folder))


@bank.command("prune")
def bank_prune(
    folder: BankFolder,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken away, and stop.")] = False,
) -> None:
    """Take away torn models, those of other versions, and what was abandoned while it was written."""
    from ebbing.cli.bank import prune

    prune(folder, dry_run=dry_run)
