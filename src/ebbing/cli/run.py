"""``ebbing run`` and ``ebbing demo``: from options to a study, with progress and an estimate."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from ebbing import models
from ebbing.allocator import keep_freed_memory
from ebbing.attacks import try_attacks
from ebbing.batches import evenly
from ebbing.battery import Level
from ebbing.cli.attacks import attacks_of
from ebbing.cli.checks import check_writable, device_named, named_option, noted
from ebbing.cli.loading import builder_of
from ebbing.cli.measuring import tell_measures
from ebbing.cli.methods import methods_of, recipe_with
from ebbing.cli.names import members, nearest
from ebbing.cli.screen import command_line, make_console, print_line, print_report, received, shown
from ebbing.data.selection import select
from ebbing.data.sources import DataBundle, load
from ebbing.errors import InputError
from ebbing.pool import Workers
from ebbing.preflight import preflight
from ebbing.study import Study
from ebbing.training import DivergedError, Recipe, Trainer, why_apart

DEFAULTS: Mapping[str, tuple[str, Recipe]] = {
    "digits": ("digits-cnn", Recipe(epochs=80, learning_rate=2e-3)),
    "mnist": ("paper-cnn", Recipe(epochs=10)),
    "fashion-mnist": ("paper-cnn", Recipe(epochs=15)),
    "cifar-10": ("cifar-cnn", Recipe(epochs=20, schedule="one-cycle", learning_rate=3e-3)),
}


@dataclass(frozen=True)
class Options:
    """The options of ``ebbing run``."""

    dataset: str = "digits"
    data_dir: Path | None = None
    train_size: int | None = None
    model: str | None = None
    recipe: tuple[str, ...] = ()
    forget: str = "random:0.1"
    methods: tuple[str, ...] = ("ebb",)
    settings: tuple[str, ...] = ()
    oracles: int = 16
    seed: int = 0
    out: Path = Path("runs/run")
    device: str = "auto"
    together: int = 1
    threads: int | None = None
    workers: Workers | None = None
    originals: int = 1
    measures: Level = "quick"
    technical: bool = False
    show_examples: bool = False
    attacks: tuple[str, ...] = ()
    download: bool = True


def run_demo(*, out: Path, seed: int) -> None:
    """The demo's study: digits with 5 % wrong labels, one thread as its network is small."""
    options = Options(
        forget="mislabelled:0.05",
        methods=("do-nothing", "temperature", "fine-tune", "forgetting-network:paper", "ebb"),
        out=out,
        seed=seed,
        threads=1,
        workers=os.cpu_count(),
    )
    run_study(options)


def run_study(options: Options, *, dry_run: bool = False) -> None:
    """Do what the options ask for and print the comparison.

    Raises:
        InputError: if an option cannot be used, or the recipe makes training diverge.
    """
    keep_freed_memory()
    console = make_console()
    study, trainer = build_study(options)
    started = time.perf_counter()
    try:
        if dry_run:
            _print_plan(study, trainer, console)
        tell_measures(
            options.measures,
            trainer.initial(seed=options.seed),
            study.request,
            task=study.task,
            originals=options.originals,
            methods=len(study.methods),
            retrained=options.oracles,
            console=console,
        )
        if dry_run:
            return
        with shown(console) as progress:
            report = study.run(progress=progress)
    except DivergedError as error:
        raise InputError(f"training by this recipe diverges: {error}. Lower --recipe learning_rate.") from error
    print_report(report, options.out / "report", console, seconds=time.perf_counter() - started)


def build_study(options: Options) -> tuple[Study, Trainer]:
    """A study from options, and its trainer: everything is checked before anything long begins.

    Raises:
        InputError: if options cannot be used; one line for each.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.dataset not in DEFAULTS:
        raise InputError(f"--dataset {options.dataset!r} is unknown. {nearest(options.dataset, DEFAULTS)}")
    model_name, recipe = DEFAULTS[options.dataset]
    model_name = options.model or model_name
    problems: list[str] = []
    with noted(problems):
        recipe = recipe_with(recipe, options.recipe)
    with noted(problems):
        build = builder_of(model_name, members(models))
    with noted(problems):
        chosen = methods_of(options.methods, options.settings, recipe=recipe)
    with noted(problems):
        attacks = attacks_of(options.attacks)
    with noted(problems):
        device = device_named(options.device, workers=options.workers)
    with noted(problems):
        check_writable(options.out)
    if problems:
        raise InputError("\nError: ".join(problems))
    bundle = _load(options)
    request = select(options.forget, bundle, seed=options.seed)
    trainer = Trainer(build, recipe, device=device, together=options.together)
    untrained = trainer.initial(seed=options.seed)
    with named_option(f"--model {model_name!r}"):
        preflight(untrained, request, task=trainer.task)
    try_attacks(attacks, untrained, request, task=trainer.task)
    if options.together > 1 and options.workers:
        raise InputError(f"--together {options.together} trains in one process: leave --workers and --executor out.")
    if options.together > 1 and (problem := why_apart(trainer, request.retain)) is not None:
        raise InputError(f"--together {options.together}: models must be trained one by one here, as {problem}.")
    study = Study(
        trainer=trainer,
        request=request,
        methods=chosen,
        oracles=options.oracles,
        directory=options.out,
        seed=options.seed,
        provenance={"command": command_line(), "dataset": options.dataset, "model": model_name},
        workers=options.workers,
        originals=options.originals,
        measures=options.measures,
        technical=options.technical,
        show_examples=options.show_examples,
        attacks=attacks,
    )
    return study, trainer


def _load(options: Options) -> DataBundle:
    """The data set, with a progress bar where it has to be fetched."""
    with received(make_console()) as on_progress:
        return load(
            options.dataset,
            data_dir=options.data_dir,
            train_size=options.train_size,
            seed=options.seed,
            download=options.download,
            on_progress=on_progress,
        )


def _print_plan(study: Study, trainer: Trainer, console: Console) -> None:
    """What would be done, and how long it takes by a short trial of the training loop."""
    request = study.request
    recipe, speed = trainer.recipe, _examples_per_second(trainer, study)
    several, everything = study.originals, recipe.examples(len(request.dataset))  # type: ignore[arg-type]
    plan: list[tuple[str, int | None]] = [
        ("original" if several == 1 else f"{several} originals", several * everything)
    ]
    for name, method in study.methods.items():
        each = method.expected_examples(request)
        plan.append((name, None if each is None else several * each))
    plan += [(f"{study.oracles} retrained models", study.oracles * recipe.examples(len(request.retain)))]
    print_line(
        console,
        f"{request.description}: {len(request.forget)} of {len(request.dataset)} records to forget; "  # type: ignore[arg-type]
        f"seed {study.seed}, {trainer.device}, {torch.get_num_threads()} threads.",
    )
    for name, examples in plan:
        told = "unknown" if examples is None else f"{examples:,} examples, about {examples / speed:,.0f} s"
        print_line(console, f"  {name:<28} {told}")
    total = sum(examples or 0 for _, examples in plan)
    print_line(console, f"About {total / speed:,.0f} s in all, less what {study.directory} already holds.")


def _examples_per_second(trainer: Trainer, study: Study) -> float:
    """Speed of the training loop on a few batches, after a first one to warm up."""
    batches = 20 * trainer.recipe.batch_size
    trial = replace(trainer, recipe=replace(trainer.recipe, epochs=1.0, max_examples=batches, schedule="constant"))
    data = evenly(study.request.dataset, batches)
    trial(evenly(data, 2 * trainer.recipe.batch_size), seed=study.seed)
    start = time.perf_counter()
    trial(data, seed=study.seed)
    return min(batches, len(data)) / (time.perf_counter() - start)  # type: ignore[arg-type]
