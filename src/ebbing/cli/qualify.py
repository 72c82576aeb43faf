"""``ebbing qualify``: try a procedure on simulated requests once, for later requests to stand on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ebbing.allocator import keep_freed_memory
from ebbing.batches import size
from ebbing.checkpoints import read_record
from ebbing.cli.checks import check_file, check_writable, device_named, noted, raise_all
from ebbing.cli.executing import at_once
from ebbing.cli.loading import builder_of, datasets_of, load_weights, task_of, training_function_of
from ebbing.cli.methods import methods_of, refuse_idle_budgets
from ebbing.cli.screen import make_console, print_line
from ebbing.cli.waiting import Done, awaited
from ebbing.errors import InputError
from ebbing.pool import Workers
from ebbing.qualification import STRATA, Procedure, Qualification, Trial, qualify, references
from ebbing.report.table import OUTCOMES
from ebbing.store import Trained, time_left
from ebbing.training import OwnTrainer
from ebbing.unseen import split_unseen


@dataclass(frozen=True)
class QualifyOptions:
    """The options of ``ebbing qualify``."""

    model: str
    weights: Path
    data: str
    holdout: str
    train_function: str
    sizes: str
    out: Path
    method: str = "ebb"
    settings: tuple[str, ...] = ()
    oracles: int = 16
    days: int = 180
    task: str | None = None
    training_view: str | None = None
    validation_share: float = 0.2
    allow_pt: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    workers: Workers | None = None


def run_qualify(options: QualifyOptions, *, dry_run: bool = False) -> int:
    """Qualify, and say what is covered, if anything; the exit code.

    Raises:
        InputError: if an option cannot be used.
    """
    keep_freed_memory()
    console = make_console()
    sizes = _sizes(options.sizes)
    procedure = _procedure(options, console)
    bank = references(procedure, sizes=sizes, oracles=options.oracles, seed=options.seed)
    there = bank.stored_seconds(options.oracles, workers=options.workers)
    trials = len(sizes) * len(STRATA)
    _tell_cost(options, there, trials, console)
    if dry_run:
        print_line(console, "Nothing was done: --dry-run.")
        return 0
    started = time.perf_counter()
    with awaited(console) as begin:
        what = f"{options.oracles} retrained models"
        trained = begin(what, options.oracles, there=len(there), known=there, workers=at_once(options.workers))

        @cache
        def tried() -> Done:
            return begin(f"{trials} simulated requests", trials)  # begun with the last reference

        last = time.perf_counter()

        def on_oracle(model: Trained) -> None:
            nonlocal last
            trained(None if model.reused else model.seconds)
            last = time.perf_counter()

        def on_trial(trial: Trial) -> None:
            nonlocal last
            took, last = time.perf_counter() - last, time.perf_counter()
            tried()(took)

        found = qualify(
            procedure,
            sizes=sizes,
            oracles=options.oracles,
            days=options.days,
            seed=options.seed,
            workers=options.workers,
            on_oracle=on_oracle,
            on_trial=on_trial,
        )
    found.save(options.out)
    _print(found, options.out, console, seconds=time.perf_counter() - started)
    return 0


def _tell_cost(options: QualifyOptions, there: Sequence[float], trials: int, console: Console) -> None:
    """Before anything is trained: retraining, where it is cheaper, then what this costs."""
    record = read_record(options.weights)
    recorded = None if record is None else record.training_seconds
    each = statistics.median(there) if there else recorded
    left = options.oracles - len(there)
    if each is None:
        one = "what it takes is not known before the first is finished"
    else:
        source = f"as {len(there)} did that are kept" if there else "as the record beside the weights says"
        one = f"it takes about {each:,.0f} s, {source}"
    if left:
        print_line(
            console,
            f"One retraining answers one request, and needs no verdict ({one}). For up to {left} requests in {options.days} "
            "days that is cheaper than this: retrain.",
        )
    wait = time_left([] if each is None else [each], left, workers=at_once(options.workers))
    cost = f", about {wait:,.0f} s" if wait else ""
    kept = f" ({len(there)} more are kept)" if there else ""
    print_line(
        console,
        f"This takes {left} retrainings{kept}{cost}, and {trials} simulated requests, each unlearned once and judged.",
    )


def _sizes(text: str) -> list[int]:
    """Whole numbers by commas."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise InputError(f"--sizes must be whole numbers by commas, such as 10,50, but is {text!r}.")
    return sorted({int(word) for word in words})


def _procedure(options: QualifyOptions, console: Console) -> Procedure:
    """Everything that is named, checked and loaded."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    problems: list[str] = []
    with noted(problems):
        check_file(options.weights, "--weights")
    with noted(problems):
        check_writable(options.out.parent)
    model = ""  # where it cannot be used, no more is asked of it
    with noted(problems):
        build = builder_of(options.model, {})
        model = options.model
    datasets = datasets_of(
        {"data": options.data, "holdout": options.holdout, "training_view": options.training_view}, problems
    )
    with noted(problems):
        task = task_of(options.task, model=model)
    with noted(problems):
        device = device_named(options.device)
    with noted(problems):
        function = training_function_of(options.train_function)
    with noted(problems):
        chosen = methods_of((options.method,), options.settings, recipe=None)
        refuse_idle_budgets(chosen, options.settings)
        (method,) = chosen.values()
        if method.control:
            raise InputError(f"--method {options.method!r} is a control: there is nothing to qualify it for.")
    raise_all(problems)
    original = load_weights(
        options.weights, "--weights", build=build, allow_pt=options.allow_pt, device=device, console=console
    )
    generator = np.random.default_rng(options.seed)
    validation, holdout = split_unseen(datasets["holdout"], share=options.validation_share, generator=generator)
    return Procedure(
        original=original,
        dataset=datasets["data"],
        holdout=holdout,
        validation=validation if size(validation) else None,
        trainer=OwnTrainer(function, build, device),
        method=method,
        task=task,
        directory=options.out.with_suffix(".work"),
        training_view=datasets.get("training_view"),
    )


def _print(found: Qualification, out: Path, console: Console, *, seconds: float) -> None:
    table = Table("records", "which", "M before", "M after", "outcome", "holdout %")
    for trial in found.trials:
        before, after = ("–" if m is None else f"{m:.2f}" for m in (trial.memory_before, trial.memory))
        words = OUTCOMES[trial.outcome].words if trial.rolled_back is None else "rolled back"
        row = (str(trial.records), trial.stratum, before, after, words, f"{100 * trial.holdout_accuracy:.1f}")
        table.add_row(*map(escape, row))
    console.print(table)
    if found.largest:
        told = f"covers requests of up to {found.largest} records until {found.expires}"
    elif all(trial.passed for trial in found.trials):
        told = "covers nothing: no simulated request left a trace in the original that could have been found again"
    else:
        told = "covers nothing: not every simulated request of the smallest size passed"
    print_line(console, f"Qualification {found.name} {told}.")
    if found.seconds_of_retraining is not None:
        print_line(console, f"One retraining took {found.seconds_of_retraining:,.1f} s, all of this {seconds:,.0f} s.")
    print_line(console, f"Written to {out}")
