"""The commands and their options; what they do is imported when they are called."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

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
    workers_named,
)
from ebbing.cli.leaderboard import bench
from ebbing.cli.ledger import ledger
from ebbing.cli.planner import plan

LARGEST_SEED = 2**62  # torch takes a little more, but each retrained model adds to it

Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        help="Runs at once, in a process of one thread each; 0 does them in this one, with --executor ray as many as there is "
        "room for.",
        min=0,
    ),
]

Measures = Annotated[
    Literal["quick", "standard", "full"],
    typer.Option(
        "--measures",
        help="What is measured beside the verdict: predictions and margins; attacks record by record, figures over several "
        "models, rounded weights; what was planted before training.",
    ),
]

Technical = Annotated[
    bool, typer.Option("--technical", help="Add factors of units, likeness of layers, and where predictions moved.")
]
ShowExamples = Annotated[
    bool,
    typer.Option("--show-examples", help="Put forgotten records into the report, as pictures. It has none otherwise."),
]

Download = Annotated[
    bool, typer.Option("--download/--no-download", help="Fetch MNIST or Fashion-MNIST where their files are nowhere.")
]

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
            download=download,
        ),
        dry_run=dry_run,
    )


# The user's own model and data, the same for every command that takes them
ModelName = Annotated[str, typer.Option("--model", help="pkg.mod:build, what makes the network.")]
DataName = Annotated[str, typer.Option("--data", help="The full training set: pkg.mod:train_set, or files.")]
HoldoutName = Annotated[
    str, typer.Option("--holdout", help="Unseen data, pkg.mod:test_set or files; split by the seed.")
]
ForgetFile = Annotated[Path, typer.Option("--forget", help="File of ids, one a line: positions, or keys with --keys.")]
KeysName = Annotated[str | None, typer.Option("--keys", help="pkg.mod:keys, a key for each training record.")]
ExcludeFile = Annotated[Path | None, typer.Option("--exclude", help="File of ids forgotten before, kept out too.")]
MatchedName = Annotated[
    str | None, typer.Option("--matched", help="pkg.mod:like, unseen records drawn as those to forget were.")
]
ViewName = Annotated[
    str | None,
    typer.Option("--training-view", help="pkg.mod:augmented, --data as training reads it, record by record."),
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="pkg.mod:task; ebbing:BinaryClassification for one logit.")
]
Share = Annotated[
    float, typer.Option("--validation-share", help="Part of --holdout that methods may look at.", min=0, max=0.9)
]
OverlapRule = Annotated[
    Literal["refuse", "drop", "allow"],
    typer.Option("--overlap", help="Unseen records that equal training records: refuse if over 1 %, drop, or allow."),
]
AllowPt = Annotated[bool, typer.Option("--allow-pt", help="Read .pt weights too, by torch.load(weights_only=True).")]
Received = Annotated[
    str | None, typer.Option("--received", help="When the request came in, YYYY-MM-DD, for the report.")
]
FailIf = Annotated[str | None, typer.Option("--fail-if", help="Outcomes, by commas, that end with exit code 3.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0, max=LARGEST_SEED)]
Threads = Annotated[int | None, typer.Option("--threads", help="Of torch; by default torch's own choice.", min=1)]
Retrained = Annotated[
    list[Path] | None,
    typer.Option("--retrained", help="Weights retrained without the records, or a folder of them; repeatable."),
]


bank = typer.Typer(help="Train, list, verify and prune retrained models and originals.", no_args_is_help=True)
app.add_typer(bank, name="bank")
app.add_typer(bench, name="bench")
app.command()(plan)
app.add_typer(ledger, name="ledger")
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


@app.command()
def unlearn(
    data: DataName,
    holdout: HoldoutName,
    forget: ForgetFile,
    out: Annotated[
        Path, typer.Option(help="The new weights, with --hf a folder; the report and finished parts go beside them.")
    ],
    model: Annotated[str | None, typer.Option("--model", help="pkg.mod:build, what makes the network.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The trained weights, safetensors. They are not changed.")
    ] = None,
    hf: Annotated[
        Path | None,
        typer.Option("--hf", help="In place of --model and --weights: a folder of the transformers library."),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="The folder that --hf was fine-tuned from: references start there, and decay is toward it."),
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="key=value of that fine-tuning, such as epochs=3; repeatable.")
    ] = None,
    keys: KeysName = None,
    exclude: ExcludeFile = None,
    matched: MatchedName = None,
    training_view: ViewName = None,
    task: TaskName = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="name[:preset][@label], default ebb; controls may stand beside it.", autocompletion=complete.methods
        ),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="[method.]field[.sub]=value; repeatable.")] = None,
    train_fn: Annotated[
        str | None, typer.Option(help="pkg.mod:train, your (dataset, *, seed) -> model, for retrained references.")
    ] = None,
    oracles: Annotated[
        int | None, typer.Option(help="How many references to retrain with --train-fn; 16 if not said.", min=0)
    ] = None,
    retrained: Retrained = None,
    qualification: Annotated[
        Path | None, typer.Option(help="What `ebbing qualify` wrote; say whether this run lies inside.")
    ] = None,
    validation_share: Share = 0.2,
    overlap: OverlapRule = "refuse",
    allow_pt: AllowPt = False,
    fail_if: FailIf = None,
    received: Received = None,
    measures: Measures = "quick",
    technical: Technical = False,
    show_examples: ShowExamples = False,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    executor: ExecutorName = "local",
    workers: Workers = 0,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what is known, and stop.")] = False,
) -> None:
    """Make your own trained model forget the records of a list, and judge the result. The original stays."""
    from ebbing.cli.folders import model_and_weights
    from ebbing.cli.own import OwnOptions
    from ebbing.cli.unlearn import UnlearnOptions
    from ebbing.cli.unlearn import unlearn as run_unlearn

    model_name, weights_file = model_and_weights(model, weights, hf)
    own = OwnOptions(
        model=model_name,
        data=data,
        holdout=holdout,
        forget=forget,
        keys=keys,
        exclude=exclude,
        matched=matched,
        training_view=training_view,
        task=task,
        validation_share=validation_share,
        overlap=overlap,
        allow_pt=allow_pt,
        fail_if=fail_if,
        received=received,
        measures=measures,
        technical=technical,
        show_examples=show_examples,
        seed=seed,
        device=device,
        threads=threads,
    )
    options = UnlearnOptions(
        own=own,
        weights=weights_file,
        out=out,
        pretrained=pretrained,
        recipe=tuple(recipe or ()),
        methods=tuple(method or ("ebb",)),
        settings=tuple(settings or ()),
        train_function=train_fn,
        oracles=oracles,
        retrained=tuple(retrained or ()),
        workers=workers_named(
            executor, workers=workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
        ),
        qualification=qualification,
    )
    raise typer.Exit(run_unlearn(options, dry_run=dry_run))


@app.command()
def audit(
    model: ModelName,
    original: Annotated[list[Path], typer.Option(help="Weights before; repeatable.")],
    unlearned: Annotated[list[Path], typer.Option(help="Weights after, made by any method; repeatable.")],
    data: DataName,
    holdout: HoldoutName,
    forget: ForgetFile,
    retrained: Retrained = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("runs/audit"),
    keys: KeysName = None,
    exclude: ExcludeFile = None,
    matched: MatchedName = None,
    task: TaskName = None,
    validation_share: Share = 0.2,
    overlap: OverlapRule = "refuse",
    allow_pt: AllowPt = False,
    fail_if: FailIf = None,
    received: Received = None,
    measures: Measures = "quick",
    technical: Technical = False,
    show_examples: ShowExamples = False,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Judge weights that any method has unlearned, beside the original and retrained ones."""
    from ebbing.cli.audit import AuditOptions, run_audit
    from ebbing.cli.own import OwnOptions

    own = OwnOptions(
        model=model,
        data=data,
        holdout=holdout,
        forget=forget,
        keys=keys,
        exclude=exclude,
        matched=matched,
        task=task,
        validation_share=validation_share,
        overlap=overlap,
        allow_pt=allow_pt,
        fail_if=fail_if,
        received=received,
        measures=measures,
        technical=technical,
        show_examples=show_examples,
        seed=seed,
        device=device,
        threads=threads,
    )
    options = AuditOptions(
        own=own, original=tuple(original), unlearned=tuple(unlearned), out=out, retrained=tuple(retrained or ())
    )
    raise typer.Exit(run_audit(options))


@app.command()
def qualify(
    model: ModelName,
    weights: Annotated[Path, typer.Option(help="The trained weights.")],
    data: DataName,
    holdout: HoldoutName,
    train_fn: Annotated[str, typer.Option(help="pkg.mod:train, your (dataset, *, seed) -> model.")],
    sizes: Annotated[str, typer.Option(help="How many records the simulated requests have, such as 10,50.")],
    out: Annotated[Path, typer.Option(help="The qualification, a JSON file.")],
    method: Annotated[
        str, typer.Option(help="name[:preset]; one, and no control.", autocompletion=complete.methods)
    ] = "ebb",
    settings: Annotated[list[str] | None, typer.Option("--set", help="[method.]field[.sub]=value; repeatable.")] = None,
    oracles: Annotated[int, typer.Option(help="How many references to retrain.", min=16)] = 16,
    days: Annotated[int, typer.Option(help="How long it counts.", min=1)] = 180,
    task: TaskName = None,
    training_view: ViewName = None,
    validation_share: Share = 0.2,
    allow_pt: AllowPt = False,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    executor: ExecutorName = "local",
    workers: Workers = 0,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what is known, and stop.")] = False,
) -> None:
    """Try a method with its settings on simulated requests once, so that later ones need no retrained models."""
    from ebbing.cli.qualify import QualifyOptions, run_qualify

    options = QualifyOptions(
        model=model,
        weights=weights,
        data=data,
        holdout=holdout,
        train_function=train_fn,
        sizes=sizes,
        out=out,
        method=method,
        settings=tuple(settings or ()),
        oracles=oracles,
        days=days,
        task=task,
        training_view=training_view,
        validation_share=validation_share,
        allow_pt=allow_pt,
        seed=seed,
        device=device,
        threads=threads,
        workers=workers_named(
            executor, workers=workers, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run
        ),
    )
    raise typer.Exit(run_qualify(options, dry_run=dry_run))


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


@app.command()
def fingerprint(
    weights: Annotated[Path, typer.Option(help="Trained weights; the record is written beside them.")],
    data: DataName,
    training_seconds: Annotated[
        float | None, typer.Option(help="How long the training took, if you know.", min=0)
    ] = None,
) -> None:
    """Record beside your weights which data they were trained on, so that other data are refused later."""
    from ebbing.cli.record import write_fingerprint

    write_fingerprint(weights=weights, data=data, training_seconds=training_seconds)
