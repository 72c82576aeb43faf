"""``ebbing bench``: the leaderboard, resumed from the cells that are finished."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Column, Table

from ebbing.allocator import keep_freed_memory
from ebbing.bench.cells import Cell, Job, Places, cells_of, jobs_for, make_cells, refuse_other_settings
from ebbing.bench.exchange import export, take_in
from ebbing.bench.methods import METHODS
from ebbing.bench.page import leaderboard_page
from ebbing.bench.spaces import Range, space_of, value_at
from ebbing.bench.tables import read_boards, tables
from ebbing.bench.tasks import LARGE, TASKS, BenchTask, frozen, is_frozen, request_of
from ebbing.bench.tuning import REFUSED, Tuning, tune, tuned_method
from ebbing.cli.checks import check_writable, device_named
from ebbing.cli.listing import summary, told_apart
from ebbing.cli.methods import methods_of
from ebbing.cli.screen import command_line, make_console, print_line
from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.methods import Unlearner
from ebbing.pool import Executor, LocalExecutor

RESULTS, OUT = Path("results/bench"), Path("runs/bench")  # as in leaderboard.py, which loads no torch


@dataclass(frozen=True)
class BenchOptions:
    """The options of ``ebbing bench run``."""

    results: Path
    out: Path
    data_dir: Path | None = None
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    budgets: tuple[float, ...] = ()
    executor: Executor = field(default_factory=LocalExecutor)
    device: str = "cpu"
    tuned: bool = False
    dry_run: bool = False


def run_bench(options: BenchOptions) -> None:
    """Make what is missing, and print the tables.

    Raises:
        InputError: if an option cannot be used.
    """
    console = _begin()
    wrong = [budget for budget in options.budgets if not 0 < budget <= 1]
    if wrong:
        raise InputError(f"--budget must be a share of one retraining in (0, 1], but is {wrong[0]:g}.")
    cells = cells_of(chosen_tasks(options.tasks), _methods(options), options.budgets)
    if options.tuned:
        cells = _tuned(cells, options.results)
    device = device_named(options.device, workers=options.executor)
    places = Places(options.results, options.out, options.data_dir, command_line(), device=device)
    refuse_other_settings(cells, places)
    missing = [cell for cell in cells if not places.cell(cell).exists()]
    jobs = jobs_for(missing, places)
    print_line(
        console,
        f"{len(cells) - len(missing)} of {len(cells)} cells are finished; {len(missing)} to make, and {len(jobs)} models to "
        f"train for them if they are not stored, {options.executor}.",
    )
    if options.dry_run:
        return
    check_writable(options.results, "--results")
    check_writable(options.out)
    # data of the last task are missed at once, not after hours
    for task in dict.fromkeys(cell.task for cell in missing):
        request_of(task, options.data_dir)
    _make(missing, places, console, executor=options.executor)
    show_tables(options.results)


def _begin() -> Console:
    """One thread here as in every worker: models are stored by the number of threads that trained them."""
    torch.set_num_threads(1)
    keep_freed_memory()
    return make_console()


def list_all() -> None:
    """Print the tasks and the labels of methods."""
    console = make_console()
    table = Table(Column("name", no_wrap=True), "what goes", "records", "models", title="tasks", title_justify="left")
    for task in TASKS.values():
        records = str(len(frozen(task)["forget"])) if is_frozen(task) else "not frozen"
        table.add_row(task.name, task.rule, records, str(task.models))
    console.print(table)
    chosen = ", ".join(task.name for task in TASKS.values() if task.chosen_on)
    print_line(
        console, f"Settings may be chosen on {chosen}; figures of the others are of settings that never saw them."
    )
    table = Table(Column("label", no_wrap=True), "", "what it is", title="methods", title_justify="left")
    apart = told_apart(METHODS)
    for label, method in METHODS.items():
        said = f"{summary(method)} Here {apart[label]}." if apart[label] else summary(method)
        table.add_row(label, "control" if method.control else "", said)
    console.print(table)


def show_tables(results: Path, html: Path | None = None) -> None:
    """Print the tables of what is finished, or write them as a page."""
    if html is not None:
        write_text(html, leaderboard_page(read_boards(results)))
        print_line(make_console(), f"{html} opens in a browser, offline.")
        return
    make_console().print(tables(read_boards(results)), markup=False, highlight=False, soft_wrap=True)


def export_task(name: str, folder: Path, *, data_dir: Path | None, out: Path) -> None:
    """Write a task's originals and splits into a folder."""
    console, task = _begin(), _task(name)
    places = Places(RESULTS, out, data_dir, command_line())

    check_writable(out)
    check_writable(folder, "FOLDER")

    def told(number: int) -> None:
        print_line(console, f"{number + 1} of {task.models} originals")

    export(task, places, folder, on_model=told)
    print_line(console, f"{task.name} is in {folder}: read task.json for what to return.")


def import_weights(
    name: str,
    folder: Path,
    *,
    label: str,
    budget: float,
    examples: float | None,
    seconds: float | None,
    data_dir: Path | None,
    results: Path,
    out: Path,
) -> None:
    """Score weights that were made elsewhere, and print where they stand."""
    console, task = _begin(), _task(name)
    places = Places(results, out, data_dir, command_line())
    check_writable(results, "--results")

    def told(number: int) -> None:
        print_line(console, f"{number + 1} of {task.models} models")

    found = take_in(task, places, folder, label=label, budget=budget, examples=examples, seconds=seconds, on_model=told)
    path = places.cell(found.cell)
    if not found.new:
        print_line(console, f"{path} holds the figures of these weights already: nothing is to be done.")
    print_line(console, f"{path}: {_in_a_line(json.loads(path.read_text(encoding='utf-8')))}")


def _task(name: str) -> BenchTask:
    if name not in TASKS:
        raise InputError(f"no task is called {name!r}. There are {', '.join(TASKS)}.")
    return TASKS[name]


def chosen_tasks(words: Sequence[str]) -> list[BenchTask]:
    """The tasks whose names begin as one of the words; all whose records are frozen without any.

    Tasks of large networks must be named whole, with or without the version.

    Raises:
        InputError: if a word begins none, or begins a task whose records are not frozen.
    """
    lost = [word for word in words if not any(_is_meant(task, word) for task in TASKS.values())]
    if lost:
        raise InputError(
            f"--task must begin the name of a task, but {lost[0]!r} does not. There are {', '.join(TASKS)}."
        )
    if not words:
        return [task for task in TASKS.values() if is_frozen(task) and task.network not in LARGE]
    found = [task for task in TASKS.values() if any(_is_meant(task, word) for word in words)]
    for task in found:
        frozen(task)
    return found


def _is_meant(task: BenchTask, word: str) -> bool:
    """Whether a word of `chosen_tasks` means a task."""
    return word in (task.name, task.name.partition("/")[0]) if task.network in LARGE else task.name.startswith(word)


def _methods(options: BenchOptions) -> Mapping[str, Unlearner]:
    """Those that are named, by their labels; all that take part without any."""
    if not options.methods:
        if options.settings:
            raise InputError("--set needs --method: the settings of those that take part are theirs.")
        return METHODS
    known = {word: METHODS[word] for word in options.methods if word in METHODS}
    others = tuple(word for word in options.methods if word not in METHODS)
    if options.settings and not others:
        raise InputError(
            f"--set would change {', '.join(known)} under the label of the leaderboard. Give the method a label of its own: "
            f"--method {next(iter(known))}@mine."
        )
    taken = [label for label in (word.partition("@")[2] for word in others) if label in METHODS]
    if taken:
        raise InputError(f"{taken[0]!r} is a label of the leaderboard. Give the method a label of its own.")
    return known | (methods_of(others, options.settings, recipe=None, labels=METHODS) if others else {})


def _tuned(cells: Sequence[Cell], results: Path) -> list[Cell]:
    """The cells of methods that were tuned, with the settings that were found.

    Raises:
        InputError: if none was.
    """
    found = []
    for cell in cells:
        method = None if cell.budget is None else tuned_method(cell.label, cell.method, cell.budget, results)
        if method is not None:
            found.append(replace(cell, label=f"{cell.label}-tuned", method=method))
    if not found:
        raise InputError(
            "--tuned needs methods that were tuned within these budgets: `ebbing bench tune --method ...` first."
        )
    return found


def tune_method(
    word: str,
    *,
    budget: float,
    words: tuple[str, ...],
    trials: int,
    space: tuple[str, ...],
    settings: tuple[str, ...],
    workers: int,
    data_dir: Path | None,
    results: Path,
    out: Path,
) -> None:
    """Try settings of one method; a line for each, and for each model that is trained for it."""
    console = _begin()
    options = BenchOptions(results, out, methods=(word,), settings=settings, budgets=(budget,))
    ((label, method),) = _methods(options).items()
    tasks = [task for task in chosen_tasks(words or ("digits-",)) if words or task.chosen_on]
    ranges = space_of(label, method, dict(_range(text, method) for text in space))
    for path in (setting.partition("=")[0].removeprefix(f"{label}.") for setting in settings):
        if path in ranges:
            raise InputError(
                f"--set must be of what is not tuned, but {path!r} is. Leave it out, or tune others by --space."
            )
    tuning = Tuning(label, method, budget, ranges, tasks, trials)
    places = Places(results, out, data_dir, command_line())
    check_writable(results, "--results")
    check_writable(out)
    started = time.perf_counter()

    def told(job: Job, done: int, needed: int) -> None:
        left = (time.perf_counter() - started) * (needed - done) / done / 60
        print_line(console, f"{done} of {needed} models, about {left:.0f} min left for them; {job.path}")

    best, seconds = float("inf"), 0.0
    for found, trial in enumerate(tune(tuning, places, workers=workers, on_model=told), start=1):
        best, seconds = min(best, trial["value"]), seconds + trial["seconds"]
        left = seconds / found * (trials - found) / 60
        tried = ", ".join(f"{name} {value:.4g}" for name, value in trial["settings"].items())
        value = f"refused. {trial['reason']}" if "reason" in trial else f"{trial['value']:.2f} (best {best:.2f})"
        print_line(console, f"{found} of {trials} trials, about {left:.0f} min left; {tried}: {value}")
    kept = tuning.path(results)
    if best >= REFUSED:
        raise InputError(f"the method refused all settings that were tried, see {str(kept)!r}. Take another --space.")
    given = "".join(f" --set {shlex.quote(setting)}" for setting in settings)
    there = "".join(
        f" {option} {shlex.quote(str(path))}"
        for option, path, usual in (("--results", results, RESULTS), ("--out", out, OUT))
        if path != usual
    )
    print_line(
        console,
        f"{kept}; `ebbing bench run --tuned --method {word}{given} --budget {budget:g}{there}` makes its cells, on every task; "
        "--task chooses.",
    )


def _range(text: str, method: Unlearner) -> tuple[str, Range]:
    """A setting and where it is looked for, from ``FIELD=LOW:HIGH[:log]``."""
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    try:
        low, high = float(parts[0]), float(parts[1])
    except (ValueError, IndexError):
        raise InputError(f"--space must be FIELD=LOW:HIGH[:log], but is {text!r}.") from None
    if len(parts) > 3 or (len(parts) == 3 and parts[2] != "log"):
        raise InputError(f"--space must be FIELD=LOW:HIGH[:log], but is {text!r}.")
    try:
        whole = type(value_at(method, name)) is int
    except AttributeError:
        whole = False  # there is no such setting, which is said with those that there are
    return name, Range(low, high, log=len(parts) == 3, whole=whole)


def _make(cells: Sequence[Cell], places: Places, console: Console, *, executor: Executor) -> None:
    """Make the cells; a line for each, with the time that is left by what the time was spent on so far."""
    jobs, started = len(jobs_for(cells, places)), time.perf_counter()
    trained, finished, making = 0, 0, 0.0
    last = started
    for made in make_cells(cells, places, workers=executor):
        if not isinstance(made, Cell):
            trained, last = trained + 1, time.perf_counter()
            left = (time.perf_counter() - started) * (jobs - trained) / trained / 60
            print_line(console, f"{trained} of {jobs} models, about {left:.0f} min left for them; {made.path}")
            continue
        now = time.perf_counter()
        finished, making, last = finished + 1, making + now - last, now
        left = making * (len(cells) - finished) / finished / 60
        told = _in_a_line(json.loads(places.cell(made).read_text(encoding="utf-8")))
        print_line(
            console, f"{finished} of {len(cells)} cells, about {left:.0f} min left for them; {made.path}: {told}"
        )


def _in_a_line(figures: Mapping[str, Any]) -> str:
    found = figures["figures"]
    if found is None:
        return str(figures["reason"])
    ratio = figures["cost"]["examples_ratio"]
    cost = "" if ratio is None else f", {100 * ratio:.1f} % of the examples"
    return f"M {found['memory']['mean']:.2f}, holdout {found['accuracy']['holdout']['mean']:.1%}{cost}"
