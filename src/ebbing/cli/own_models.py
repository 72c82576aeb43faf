"""The commands for a model of the user's own, and their options; what they do is imported when they are called."""

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
    workers_named,
)
from ebbing.cli.options import (
    AllowPt,
    Attacks,
    DataName,
    ExcludeFile,
    FailIf,
    ForgetFile,
    HoldoutName,
    KeysName,
    MatchedName,
    Measures,
    ModelName,
    OverlapRule,
    Received,
    Retrained,
    Seed,
    Share,
    ShowExamples,
    TaskName,
    Technical,
    Threads,
    ViewName,
    Workers,
)


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
    attack: Attacks = None,
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
        model_option="--model" if hf is None else "--hf",
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
        attacks=tuple(attack or ()),
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
    attack: Attacks = None,
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
        attacks=tuple(attack or ()),
        seed=seed,
        device=device,
        threads=threads,
    )
    options = AuditOptions(
        own=own, original=tuple(original), unlearned=tuple(unlearned), out=out, retrained=tuple(retrained or ())
    )
    raise typer.Exit(run_audit(options))


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
