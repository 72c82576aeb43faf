"""``ebbing ledger process`` and ``check``: what needs the user's network and data, and so loads torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import typer
from torch import nn
from torch.utils.data import Dataset

from ebbing.allocator import keep_freed_memory
from ebbing.batches import size
from ebbing.cli.checks import arguments_as_options, device_named, noted, raise_all
from ebbing.cli.erasures import tell_present, today
from ebbing.cli.folders import fine_tuning, going_on_from
from ebbing.cli.loading import (
    FOLDER,
    builder_of,
    dataset_of,
    datasets_of,
    keys_of,
    padding_of,
    task_of,
    training_function_of,
)
from ebbing.cli.methods import methods_of, recipe_with, refuse_idle_budgets
from ebbing.cli.names import find
from ebbing.cli.screen import make_console, print_line, shown
from ebbing.errors import InputError
from ebbing.inspection import inspect
from ebbing.ledger import Ledger, Settings
from ebbing.ledger.exporting import present
from ebbing.ledger.folders import Folders
from ebbing.ledger.manifest import SHARDS
from ebbing.ledger.planning import Subjects, subjects_of
from ebbing.ledger.preparing import foreseen
from ebbing.ledger.processing import next_requests, process
from ebbing.ledger.project import Project
from ebbing.ledger.reading import status
from ebbing.ledger.shards import Shards
from ebbing.ledger.where import purge as purge_old
from ebbing.methods import Unlearner
from ebbing.pool import Workers
from ebbing.pretrained import Pretrained
from ebbing.task import Classification, Task
from ebbing.training import OwnTrainer, Recipe, Trainer
from ebbing.unseen import Overlap

SHOWN = 50  # requests that a dry run names


def project_of(settings: Settings, folder: Path, *, workers: Workers | None = None) -> Project:
    """What ``ledger.json`` names, loaded; what is wrong with it is said at once.

    Args:
        settings: of ``ledger.json``.
        folder: the ledger's.
        workers: where references are retrained.

    Raises:
        InputError: if anything that is named is not there, or not what it should be.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    problems: list[str] = []
    needed = ("data", "holdout") if settings.hf else ("model", "data", "holdout")
    missing = [name for name in needed if getattr(settings, name) is None]
    if missing:
        problems.append(f"ledger.json must name {', '.join(missing)} for requests to be processed.")
    folders = Folders(folder) if settings.hf else None
    model = settings.model or "" if folders is None else f"{FOLDER}{folders.architecture}"
    named = {"data": settings.data, "holdout": settings.holdout, "matched": settings.matched}
    datasets: dict[str, Dataset[Any]] = datasets_of(named, problems, pad=padding_of(model))
    keys: list[str] | None = None
    subjects: Subjects | None = None
    task: Task | None = None
    build: Callable[[], nn.Module] | None = None
    with noted(problems):
        if folders is not None:
            build = folders.build
        elif settings.model is not None:
            build = builder_of(settings.model, {})
    with noted(problems):
        task = task_of(settings.task, model=model)
    with noted(problems):
        if settings.keys is not None and "data" in datasets:
            keys = keys_of(settings.keys, records=size(datasets["data"]))
    with noted(problems):
        subjects = _subjects(settings.subjects)
    start, recipe = _trained(settings, folders, problems)
    with noted(problems):
        method = _method(settings.method, settings.settings, start, recipe)
    with noted(problems):
        gone_method = _method(settings.gone_method, settings.gone_settings, start, recipe)
    device = "cpu"
    trainer: Trainer | OwnTrainer | None = None
    with noted(problems):  # a function of the user's decides itself what it runs on
        device = device_named("auto", workers=None if settings.train_fn else workers)
        trainer = _trainer(settings, start or build, recipe, task, device)
    raise_all(problems)
    assert build is not None  # noqa: S101 - a problem otherwise
    shards: Shards | None = None
    if settings.sharding is not None and isinstance(trainer, Trainer):
        shards = Shards(trainer, settings.sharding, folder / SHARDS, settings.seed)
        build, trainer = shards.build, shards.references
    with arguments_as_options():
        return Project(
            build=build,
            dataset=datasets["data"],
            holdout=datasets["holdout"],
            matched=datasets.get("matched"),
            keys=keys,
            subjects=subjects,
            task=task or Classification(),
            trainer=trainer,
            method=method,
            gone_method=gone_method,
            device=device,
            validation_share=settings.validation_share,
            overlap=cast(Overlap, settings.overlap),
            seed=settings.seed,
            shards=shards,
            folders=folders,
        )


def _trained(
    settings: Settings, folders: Folders | None, problems: list[str]
) -> tuple[Pretrained | None, Recipe | None]:
    """What a model in a folder was fine-tuned from, and how models are trained; None where that is not said."""
    if folders is not None and settings.pretrained is not None:
        start = folders.start(settings.pretrained)
        with noted(problems):
            start()  # to find out
            return start, fine_tuning(settings.recipe)
    elif settings.recipe or settings.sisa:
        with noted(problems):
            return None, recipe_with(Recipe(), settings.recipe)
    return None, None


def _trainer(
    settings: Settings,
    build: Callable[[], nn.Module] | None,
    recipe: Recipe | None,
    task: Task | None,
    device: str,
) -> Trainer | OwnTrainer | None:
    """What trains from scratch, or from the checkpoint of a fine-tuning; None where nothing does."""
    if build is None or task is None:
        return None
    if settings.train_fn is not None:
        return OwnTrainer(training_function_of(settings.train_fn), build, device)
    return None if recipe is None else Trainer(build, recipe, task, device)


def _subjects(name: str | None) -> Subjects | None:
    if name is None:
        return None
    if name.endswith(".csv"):
        return subjects_of(Path(name))
    found = find(name, {}, "--subjects")
    if not callable(found):
        raise InputError(f"--subjects {name!r} must be a function, subject -> ids, but is a {type(found).__name__}.")
    return cast(Subjects, found)


def _method(word: str, settings: tuple[str, ...], start: Pretrained | None, recipe: Recipe | None) -> Unlearner:
    """The one method of a word, held to how models are trained. Its label is no part of what is recorded."""
    adapted = partial(going_on_from, start, recipe)
    chosen = methods_of((word,), settings, recipe=recipe, adapted=adapted)
    refuse_idle_budgets(chosen, settings)
    (method,) = chosen.values()
    return method


def run_process(
    folder: Path,
    numbers: tuple[int, ...] | None,
    limit: int | None,
    *,
    workers: Workers | None,
    purge: bool,
    dry_run: bool,
) -> None:
    """``process``."""
    keep_freed_memory()
    ledger = Ledger.open(folder)
    ledger.key()  # a key that is missing is said before anything is loaded
    console = make_console()
    waiting = status(ledger, today=today())
    project = project_of(ledger.settings, folder, workers=workers)
    print_line(
        console,
        f"{waiting.counts['received']} requests were received and wait; the current model is "
        f"{'yet to be trained' if waiting.current is None else f'version {waiting.current}'}. "
        f"{size(project.dataset)} training records, {len(project.places)} keys.",
    )
    if dry_run:
        if waiting.working is not None:
            print_line(
                console, f"What is in work would be gone on with, and no other request taken: {waiting.working}."
            )
        chosen = [] if waiting.working is not None else next_requests(ledger, numbers=numbers, limit=limit)
        failing = foreseen(ledger, project, chosen)
        for row in chosen[:SHOWN]:
            told = f"would fail: {failing[row.id]}" if row.id in failing else "would be processed"
            print_line(console, f"Request {row.id}, due {row.due}, {told}.")
        if len(chosen) > SHOWN:
            print_line(console, f"{len(chosen) - SHOWN} more would be processed with them.")
        print_line(console, "Nothing was done: --dry-run.")
        return
    started = time.perf_counter()
    with shown(console) as progress:
        done = process(ledger, project, numbers=numbers, limit=limit, progress=progress, workers=workers)
    if done is None:
        print_line(console, "Nothing is to be done.")
    else:
        for note in done.notes:
            print_line(console, note)
        print_line(console, f"Batch {done.batch} ({done.kind}): {done.why}.")
        if done.outcome is not None:
            print_line(console, f"The audit found {done.outcome}: {done.reason}")
        for number, state in done.requests.items():
            print_line(console, f"Request {number} is {state}.")
        if done.alike:
            print_line(
                console,
                f"{done.alike} records that stay are like forgotten ones: `ebbing ledger request show` names them, "
                "`request add --alike` takes them.",
            )
        print_line(console, f"{time.perf_counter() - started:.0f} s.")
    if purge:
        gone = purge_old(ledger, today=today()).gone
        if gone:
            print_line(console, f"{len(gone)} files past their retention were purged.")


def check_dataset(folder: Path, name: str, keys: str | None) -> int:
    """``check`` of a data set; the exit code."""
    ledger = Ledger.open(folder)
    pad = padding_of(f"{FOLDER}{Folders(folder).architecture}") if ledger.settings.hf else 0
    dataset = dataset_of(name, "DATASET", pad=pad)
    if keys is None and name == ledger.settings.data:
        keys = ledger.settings.keys
    if keys is None and ledger.settings.keys is not None:
        raise InputError("the ledger's records go by keys: name those of this data set by --keys pkg.mod:keys.")
    named = keys_of(keys, records=size(dataset)) if keys is not None else [str(i) for i in range(size(dataset))]
    digests = inspect(dataset).digests
    by_key = keys is not None or name == ledger.settings.data
    if digests is None and not by_key:
        raise InputError(
            f"{name} must have keys (--keys) or inputs that can be read, but it has a `fingerprint`, by which it is taken at "
            "its word: nothing could be compared."
        )
    found = present(ledger, named if by_key else ())
    told = {one.name for one in found}
    contents = {f"{named[i]} (record {i})": d.hex() for i, d in enumerate(digests or ()) if named[i] not in told}
    code = tell_present(ledger, [*found, *present(ledger, (), contents)])
    if not by_key:
        typer.echo("Only contents were compared, not keys: --keys names those.")
    typer.echo(
        "Contents were not compared: the data set is taken at its word (`fingerprint`)."
        if digests is None
        else "Contents are the same only with the same bytes: in another type, scale or shape they are not found."
    )
    return code
