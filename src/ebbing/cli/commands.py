"""The commands and their options; what they do is imported when they are called."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from ebbing.cli import complete
from ebbing.cli.banks import bank
from ebbing.cli.executing import (
    Address,
    CpusPerRun,
    Device,
    ExecutorName,
    GpusPerRun,
    RunsAtOnce,
    Together,
    executor_named,
    workers_named,
)
from ebbing.cli.leaderboard import bench
from ebbing.cli.ledger import ledger
from ebbing.cli.options import (
    LARGEST_SEED,
    Attacks,
    Download,
    Measures,
    ShowExamples,
    Technical,
    Workers,
)
from ebbing.cli.own_models import audit, fingerprint, qualify, unlearn
from ebbing.cli.planner import plan

app = typer.Typer(
    help="Make a trained PyTorch model forget chosen training data, and measure how far it is from never having seen it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ebbing {version('ebbing')}")
        raise typer.Exit


@app.callback()
def common(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["EBBING_DEBUG"] = "1"


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where weights and the report go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=LARGEST_SEED)] = 0,
) -> None:
    """Memorise wrong labels in scikit-learn's digits, forget them by five methods, and judge each. About a minute."""
    from ebbing.cli.run import run_demo

    run_demo(out=out, seed=seed)


@app.command()
def methods() -> None:
    """List unlearning methods, presets, curves, rankings, rates and attacks; controls are marked."""
    from ebbing.cli.listing import print_listing

    print_listing()


@app.command()
def run(
    dataset: Annotated[
        str, typer.Option(help="digits, mnist, fashion-mnist or cifar-10.", autocompletion=complete.datasets)
    ] = "digits",
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    train_size: Annotated[int | None, typer.Option(help="Keep so many training records, drawn by the seed.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The network; by default the data set's.", autocompletion=complete.networks)
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="key=value of the training, such as epochs=10; repeatable.")
    ] = None,
    forget: Annotated[
        str,
        typer.Option(
            help="random:0.1, balanced:0.05, class:3, subclass:3, mislabelled:0.05, confusion:3,5:0.2, gaussian:0.1:0.5, or a "
            "file of ids."
        ),
    ] = "random:0.1",
    method: Annotated[
        list[str] | None,
        typer.Option(help="name[:preset][@label]; repeatable; default ebb.", autocompletion=complete.methods),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="[method.]field[.sub]=value; repeatable.")] = None,
    oracles: Annotated[int, typer.Option(help="How many retrained models to compare with.", min=0)] = 16,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0, max=LARGEST_SEED)] = 0,
    out: Annotated[Path, typer.Option(help="Where weights and the report go; a rerun goes on there.")] = Path(
        "runs/run"
    ),
    device: Device = "auto",
    threads: Annotated[int | None, typer.Option(help="Of torch; by default torch's own choice.", min=1)] = None,
    executor: ExecutorName = "local",
    workers: Workers = 0,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    together: Together = 1,
    originals: Annotated[
        int, typer.Option(help="How many originals, each unlearned: measures over models need several.", min=1)
    ] = 1,
    measures: Measures = "quick",
    technical: Technical = False,
    show_examples: ShowExamples = False,
    attack: Attacks = None,
    download: Download = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.")] = False,
) -> None:
    """Train, forget, retrain references, and judge: the whole comparison on one data set."""
    from ebbing.cli.run import Options, run_study

    run_study(
        Options(
            dataset=dataset,
            data_dir=data_dir,
            train_size=train_size,
            model=model,
            recipe=tuple(recipe or ()),
            forget=forget,
            methods=tuple(method or ("ebb",)),
            settings=tuple(settings or ()),
            oracles=oracles,
            seed=seed,
            out=out,
            device=device,
            together=together,
            threads=threads,
            workers=workers_named(
                executor, workers=workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
            ),
            originals=originals,
            measures=measures,
            technical=technical,
            show_examples=show_examples,
            attacks=tuple(attack or ()),
            download=download,
        ),
        dry_run=dry_run,
    )


app.add_typer(bank, name="bank")
app.add_typer(bench, name="bench")
app.command()(plan)
app.add_typer(ledger, name="ledger")
for command in (unlearn, audit, qualify):
    app.command()(command)


@app.command()
def reproduce(
    dataset: Annotated[str, typer.Option(help="mnist, fashion-mnist, or both by a comma.")] = "mnist,fashion-mnist",
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    seeds: Annotated[int, typer.Option(help="How many originals of each problem.", min=1)] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A part of the name of cells, such as mnist-10000-random-0.1/vfr; repeatable."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A taste on 2,000 MNIST images, in minutes.")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures of each finished cell go.")] = Path("results/paper"),
    out: Annotated[Path, typer.Option(help="Where weights go; a rerun goes on there.")] = Path("runs/reproduce"),
    executor: ExecutorName = "local",
    workers: RunsAtOnce = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    download: Download = True,
    tables: Annotated[bool, typer.Option("--tables", help="Print the tables of what is finished, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
) -> None:
    """Repeat the experiments of the paper beside what it left out, and print their tables."""
    from ebbing.cli.reproduce import ReproduceOptions, run_reproduce

    run_reproduce(
        ReproduceOptions(
            results=results / "quick" if quick else results,
            out=out,
            data_dir=data_dir,
            datasets=tuple(name.strip() for name in dataset.split(",")),
            seeds=seeds,
            only=tuple(only or ()),
            quick=quick,
            executor=executor_named(executor, workers=workers, address=address, cpus_per_run=cpus_per_run),
            download=download,
            tables=tables,
            dry_run=dry_run,
        )
    )


Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="The --out of a run, or its report.json.")]


@app.command()
def table(
    runs: Runs,
    style: Annotated[
        Literal["ua-ra-ta", "tow", "klom"],
        typer.Option(help="UA, RA, TA, MIA, gap and time; tug of war; or KLoM, with its floor."),
    ] = "ua-ra-ta",
    form: Annotated[Literal["csv", "md", "latex"], typer.Option("--format", help="What is printed.")] = "md",
) -> None:
    """Print reports in the columns of the papers; runs of one request with other seeds are averaged."""
    from ebbing.cli.table import print_tables

    print_tables(runs, style=style, form=form)


@app.command()
def cite(runs: Runs) -> None:
    """Print BibTeX of every method, attack, measure and data set that reports used, and of ebbing."""
    from ebbing.cli.cite import print_citations

    print_citations(runs)


app.command()(fingerprint)
