"""The commands of ``ebbing bench`` and their options; what they do is imported when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ebbing.cli.executing import Address, CpusPerRun, Device, ExecutorName, GpusPerRun, RunsAtOnce, executor_named

bench = typer.Typer(help="Compare methods within budgets on frozen tasks: the leaderboard.", no_args_is_help=True)
BenchTaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="The name of a task, such as digits-mislabelled5-cnn/v1.")
]
BenchWork = Annotated[Path, typer.Option(help="Where weights are.")]
BenchResults = Annotated[Path, typer.Option(help="Where the figures of each finished cell go.")]


@bench.command("list")
def bench_list() -> None:
    """List the frozen tasks, and who takes part by which label."""
    from ebbing.cli.bench import list_all

    list_all()


@bench.command("run")
def bench_run(
    task: Annotated[
        list[str] | None,
        typer.Option(help="How names of tasks begin, such as digits-mislabelled; repeatable. All by default."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="As of `ebbing run`, or a label of the leaderboard; repeatable. All that take part by default."
        ),
    ] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="As of `ebbing run`.")] = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(help="Shares of one retraining's examples; repeatable. .01, .03 and .1 by default."),
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    results: BenchResults = Path("results/bench"),
    out: Annotated[Path, typer.Option(help="Where weights go; a rerun goes on there.")] = Path("runs/bench"),
    executor: ExecutorName = "local",
    workers: RunsAtOnce = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    device: Device = "cpu",
    tuned: Annotated[
        bool, typer.Option("--tuned", help="With the best settings of `bench tune`, under the label NAME-tuned.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
) -> None:
    """Make the cells that are missing, and print the leaderboard."""
    from ebbing.bench.methods import BUDGETS
    from ebbing.cli.bench import BenchOptions, run_bench

    run_bench(
        BenchOptions(
            results=results,
            out=out,
            data_dir=data_dir,
            tasks=tuple(task or ()),
            methods=tuple(method or ()),
            settings=tuple(setting or ()),
            budgets=tuple(budget or BUDGETS),
            executor=executor_named(
                executor, workers=workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
            ),
            device=device,
            tuned=tuned,
            dry_run=dry_run,
        )
    )


@bench.command("tune")
def bench_tune(
    method: Annotated[str, typer.Option(help="As of `ebbing run`, or a label of the leaderboard.")],
    budget: Annotated[float, typer.Option(help="The share of one retraining's examples.")] = 0.1,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="How names of tasks begin; repeatable. Those of digits that settings may be chosen on by default."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="How many settings are tried.", min=1)] = 12,
    space: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=LOW:HIGH[:log], such as repair.learning_rate=1e-4:1e-1:log; repeatable."),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="As of `ebbing run`; of what is not tuned.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes of one thread each that train models.", min=1)] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    results: BenchResults = Path("results/bench"),
    out: BenchWork = Path("runs/bench"),
) -> None:
    """Choose a method's settings as everybody's are chosen: the same tuner, validation records and number of trials."""
    from ebbing.cli.bench import tune_method

    tune_method(
        method,
        budget=budget,
        words=tuple(task or ()),
        trials=trials,
        space=tuple(space or ()),
        settings=tuple(setting or ()),
        workers=workers,
        data_dir=data_dir,
        results=results,
        out=out,
    )


@bench.command("export")
def bench_export(
    task: BenchTaskName,
    folder: Annotated[Path, typer.Argument(help="New or empty: checkpoints, data and splits go there.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    out: BenchWork = Path("runs/bench"),
) -> None:
    """Write what a method needs that is run elsewhere: originals, data, what goes and what stays."""
    from ebbing.cli.bench import export_task

    export_task(task, folder, data_dir=data_dir, out=out)


@bench.command("import")
def bench_import(
    task: BenchTaskName,
    folder: Annotated[
        Path, typer.Argument(help="Unlearned weights, one file for each original: 0.safetensors and so on.")
    ],
    label: Annotated[str, typer.Option(help="What the method is called.")],
    budget: Annotated[float, typer.Option(help="The share of one retraining's examples that it keeps to.")],
    examples: Annotated[
        float | None, typer.Option(help="Processed for one model, forward passes included.", min=0)
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Wall time for one model.", min=0)] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the IDX files are.")] = None,
    results: BenchResults = Path("results/bench"),
    out: BenchWork = Path("runs/bench"),
) -> None:
    """Score weights that were made elsewhere."""
    from ebbing.cli.bench import import_weights

    import_weights(
        task,
        folder,
        label=label,
        budget=budget,
        examples=examples,
        seconds=seconds,
        data_dir=data_dir,
        results=results,
        out=out,
    )


@bench.command("show")
def bench_show(
    results: BenchResults = Path("results/bench"),
    html: Annotated[Path | None, typer.Option(help="Write it as a page with plots, instead of printing it.")] = None,
) -> None:
    """Print the leaderboard from the files of finished cells alone."""
    from ebbing.cli.bench import show_tables

    show_tables(results, html)
