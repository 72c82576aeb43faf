"""``ebbing run`` and ``ebbing demo``: from options to a study, with progress and an estimate."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ebbing import models
from ebbing.allocator import keep_freed_memory
from ebbing.auditing import AuditReport
from ebbing.batches import evenly, iterate
from ebbing.cli.methods import methods_of
from ebbing.cli.names import find, members, nearest, with_setting
from ebbing.cli.screen import make_console
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.errors import InputError
from ebbing.report import comparison_table, verdict_lines
from ebbing.request import ForgetRequest
from ebbing.study import Study
from ebbing.task import evaluation_mode
from ebbing.training import DivergedError, Recipe, Trainer

DEFAULTS: Mapping[str, tuple[str, Recipe]] = {
    "digits": ("digits-cnn", Recipe(epochs=80, learning_rate=2e-3)),
    "mnist": ("paper-cnn", Recipe(epochs=10)),
    "fashion-mnist": ("paper-cnn", Recipe(epochs=15)),
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
    threads: int | None = None


def run_demo(*, out: Path, seed: int) -> None:
    """The demo's study: digits with 5 % wrong labels, one thread as its network is small."""
    options = Options(
        forget="mislabelled:0.05",
        methods=("do-nothing", "temperature", "fine-tune", "forgetting-network:paper", "ebb"),
        out=out,
        seed=seed,
        threads=1,
    )
    run_study(options)


def run_study(options: Options, *, dry_run: bool = False) -> None:
    """Do what the options ask for and print the comparison.

    Raises:
        InputError: if an option cannot be used, or the recipe makes training diverge.
    """
    keep_freed_memory()
    console = make_console()
    study = build_study(options)
    started = time.perf_counter()
    try:
        if dry_run:
            _print_plan(study, console)
            return
        with _shown(console) as progress:
            report = study.run(progress=progress)
    except DivergedError as error:
        raise InputError(f"training by this recipe diverges: {error}. Lower --recipe learning_rate.") from error
    _print_report(report, options.out, console, seconds=time.perf_counter() - started)


def build_study(options: Options) -> Study:
    """A study from options: everything is checked before anything long begins.

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
    with _noted(problems):
        recipe = _with_recipe(recipe, options.recipe)
    with _noted(problems):
        build = _builder(model_name)
    with _noted(problems):
        chosen = methods_of(options.methods, options.settings, recipe=recipe)
    with _noted(problems):
        device = _device(options.device)
    with _noted(problems):
        _check_writable(options.out)
    if problems:
        raise InputError("\nError: ".join(problems))
    bundle = load(options.dataset, data_dir=options.data_dir, train_size=options.train_size, seed=options.seed)
    request = select(options.forget, bundle, seed=options.seed)
    trainer = Trainer(build, recipe, device=device)
    _check_model(model_name, trainer, request, seed=options.seed)
    command = " ".join(shlex.quote(word) for word in ["ebbing", *sys.argv[1:]])
    return Study(
        trainer=trainer,
        request=request,
        methods=chosen,
        oracles=options.oracles,
        directory=options.out,
        seed=options.seed,
        provenance={"command": command, "dataset": options.dataset, "model": model_name},
    )


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Note what is wrong and go on, so that the user learns of everything at once."""
    try:
        yield
    except InputError as error:
        problems.append(str(error))


def _with_recipe(recipe: Recipe, words: tuple[str, ...]) -> Recipe:
    """The data set's recipe with what --recipe says."""
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--recipe must be key=value, but is {word!r}.")
        recipe = with_setting(recipe, [key], text, pieces={}, label="recipe")
    return recipe


def _builder(name: str) -> Callable[[], Any]:
    """What builds the network."""
    build = find(name, members(models), "--model")
    if not callable(build):
        raise InputError(f"--model {name!r} must be callable without arguments and give a module, but is {build!r}.")
    return build  # type: ignore[no-any-return]


def _check_model(name: str, trainer: Trainer, request: ForgetRequest, *, seed: int) -> None:
    """Find out now whether the network reads the data and knows every class."""
    batch = next(iterate(evenly(request.dataset, 2), batch_size=2))
    try:
        model = trainer.initial(seed=seed)
        with torch.no_grad(), evaluation_mode(model):
            logits = trainer.task.forward(model, batch).logits
    except Exception as error:  # whatever it is, the network and the data do not go together
        reason = " ".join(str(error).split())
        raise InputError(
            f"--model {name!r} must read images of shape {tuple(batch[0].shape[1:])}, but: {type(error).__name__}: {reason}"
        ) from error
    largest = int(trainer.task.targets(request.dataset).max())
    if logits.shape[-1] <= largest:
        raise InputError(
            f"--model {name!r} must have a logit for each class, but has {logits.shape[-1]} and labels reach {largest}."
        )


def _device(name: str) -> str:
    """The device that a name stands for; tried out."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise InputError(f"--device {name!r} cannot be used here: {reason}. Use auto or cpu.") from error
    return name


def _check_writable(out: Path) -> None:
    """Find out now whether files can be made in the folder; it is left as it was."""
    missing = [p for p in (out, *out.parents) if not p.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"--out {out} cannot be written to: {error.strerror}. Choose another folder.") from error
    finally:
        for folder in missing:  # innermost first
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A progress display, one line for each thing that takes long."""
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as display:
        running: list[TaskID] = []

        def begin(what: str, examples: int) -> Callable[[int], None]:
            for earlier in running:
                display.update(
                    earlier, completed=display.tasks[earlier].total or 1, total=display.tasks[earlier].total or 1
                )
            task = display.add_task(what, total=examples or None)
            running.append(task)

            def advance(advanced: int) -> None:
                display.advance(task, advanced)

            return advance

        yield begin
        for task in running:
            display.update(task, completed=display.tasks[task].total or 1, total=display.tasks[task].total or 1)


def _print_report(report: AuditReport, out: Path, console: Console, *, seconds: float) -> None:
    console.print(comparison_table(report.data))
    for block in verdict_lines(report.data):
        console.print(block, markup=False, highlight=False)
    _line(console, f"{seconds:.0f} s. Written to {out / 'report.json'} and {out / 'report.html'}")


def _line(console: Console, text: str) -> None:
    """A line as it is: names and paths in it are no markup, and are not broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_plan(study: Study, console: Console) -> None:
    """What would be done, and how long it takes by a short trial of the training loop."""
    request, recipe = study.request, study.trainer.recipe
    speed = _examples_per_second(study.trainer, study)
    plan: list[tuple[str, int | None]] = [("original", recipe.examples(len(request.dataset)))]  # type: ignore[arg-type]
    plan += [(name, method.expected_examples(request)) for name, method in study.methods.items()]
    plan += [(f"{study.oracles} retrained models", study.oracles * recipe.examples(len(request.retain)))]
    _line(
        console,
        f"{request.description}: {len(request.forget)} of {len(request.dataset)} records to forget; "  # type: ignore[arg-type]
        f"seed {study.seed}, {study.trainer.device}, {torch.get_num_threads()} threads.",
    )
    for name, examples in plan:
        told = "unknown" if examples is None else f"{examples:,} examples, about {examples / speed:,.0f} s"
        _line(console, f"  {name:<28} {told}")
    total = sum(examples or 0 for _, examples in plan)
    _line(console, f"About {total / speed:,.0f} s in all, less what {study.directory} already holds.")


def _examples_per_second(trainer: Trainer, study: Study) -> float:
    """Speed of the training loop on a few batches, after a first one to warm up."""
    batches = 20 * trainer.recipe.batch_size
    trial = replace(trainer, recipe=replace(trainer.recipe, epochs=1.0, max_examples=batches, schedule="constant"))
    data = evenly(study.request.dataset, batches)
    trial(evenly(data, 2 * trainer.recipe.batch_size), seed=study.seed)
    start = time.perf_counter()
    trial(data, seed=study.seed)
    return min(batches, len(data)) / (time.perf_counter() - start)  # type: ignore[arg-type]
