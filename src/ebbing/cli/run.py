"""``ebbing run`` and ``ebbing demo``: from options to a study, with progress and an estimate."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ebbing import curves, methods, models, rankings, rates
from ebbing.auditing import AuditReport
from ebbing.batches import evenly
from ebbing.cli.names import find, members, nearest, spelled, value_of, with_setting
from ebbing.data.selection import select
from ebbing.data.sources import load
from ebbing.errors import InputError
from ebbing.methods import Unlearner
from ebbing.report import comparison_table, verdict_lines
from ebbing.study import Study
from ebbing.training import Recipe, Trainer

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
    """Do what the options ask for and print the comparison."""
    console = Console()
    study = build_study(options)
    if dry_run:
        _print_plan(study, console)
        return
    started = time.perf_counter()
    with _shown(console) as progress:
        report = study.run(progress=progress)
    _print_report(report, options.out, console, seconds=time.perf_counter() - started)


def build_study(options: Options) -> Study:
    """A study from options: everything is checked before anything long begins.

    Raises:
        InputError: if an option cannot be used.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    bundle_name = options.dataset
    if bundle_name not in DEFAULTS:
        raise InputError(f"--dataset {bundle_name!r} is unknown. {nearest(bundle_name, DEFAULTS)}")
    model_name, recipe = DEFAULTS[bundle_name]
    recipe = _with_recipe(recipe, options.recipe)
    build = find(options.model or model_name, members(models), "--model")
    chosen = _methods(options, recipe)
    device = _device(options.device)
    _check_writable(options.out)
    bundle = load(bundle_name, data_dir=options.data_dir, train_size=options.train_size, seed=options.seed)
    request = select(options.forget, bundle, seed=options.seed)
    command = " ".join(shlex.quote(word) for word in ["ebbing", *sys.argv[1:]])
    provenance = {"command": command, "dataset": bundle_name, "model": spelled(build.__name__)}
    return Study(
        trainer=Trainer(build, recipe, device=device),
        request=request,
        methods=chosen,
        oracles=options.oracles,
        directory=options.out,
        seed=options.seed,
        provenance=provenance,
    )


def _with_recipe(recipe: Recipe, words: tuple[str, ...]) -> Recipe:
    """The data set's recipe with what --recipe says, checked as a whole."""
    changes: dict[str, Any] = {}
    known = [f.name for f in fields(Recipe)]
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key not in known:
            raise InputError(f"--recipe must be key=value, but is {word!r}. {nearest(key, known)}")
        changes[key] = value_of(text)
    for key, value in changes.items():
        with_setting(recipe, [key], str(value), pieces={}, label="--recipe")
    return replace(recipe, **changes)


def _methods(options: Options, recipe: Recipe) -> dict[str, Unlearner]:
    """The methods by label, with what --set says."""
    known = members(methods, Unlearner)
    chosen: dict[str, Unlearner] = {}
    for word in options.methods:
        spec, _, label = word.partition("@")
        name, preset = _split_preset(spec, known)
        kind = find(name, known, "--method")
        if not (isinstance(kind, type) and issubclass(kind, Unlearner)):
            raise InputError(f"--method {name!r} must be a subclass of ebbing.Unlearner, but is {kind!r}.")
        if preset and preset not in kind.presets:
            has = f"It has {', '.join(kind.presets)}." if kind.presets else "It has no presets."
            raise InputError(f"--method {name!r} has no preset {preset!r}. {has}")
        method = kind.presets[preset] if preset else kind()
        if type(method) is methods.Retrain:
            method = replace(method, recipe=recipe)
        elif isinstance(method, methods.Ebb):
            method = replace(method, training=recipe)
        label = label or spec
        if label in chosen:
            raise InputError(f"--method: the label {label!r} is given twice. Add @label to tell them apart.")
        chosen[label] = method
    for word in options.settings:
        chosen = _with_set(chosen, word)
    return chosen


def _split_preset(spec: str, known: Mapping[str, Any]) -> tuple[str, str]:
    """``name[:preset]`` and ``pkg.mod:Name[:preset]`` apart."""
    first, _, rest = spec.partition(":")
    if first in known or not rest:
        return first, rest
    member, _, preset = rest.partition(":")
    return f"{first}:{member}", preset


def _with_set(chosen: dict[str, Unlearner], word: str) -> dict[str, Unlearner]:
    """The methods with one --set applied, to the method it names or to every one that has the field."""
    left, equals, text = word.partition("=")
    if not equals:
        raise InputError(f"--set must be [method.]field[.sub]=value, but is {word!r}.")
    pieces = {
        **members(curves, curves.ForgettingCurve),
        **members(rankings, rankings.Ranking),
        **members(rates, rates.Rate),
    }
    label = max((n for n in chosen if left.startswith(n + ".")), key=len, default=None)
    if label is not None:
        path = left[len(label) + 1 :].split(".")
        return chosen | {label: with_setting(chosen[label], path, text, pieces=pieces, label=label)}
    path = left.split(".")
    having = [n for n, m in chosen.items() if path[0] in {f.name for f in fields(m)}]  # type: ignore[arg-type]
    if not having:
        all_fields = {f.name for m in chosen.values() for f in fields(m)}  # type: ignore[arg-type]
        raise InputError(f"--set {word!r}: no method has a setting {path[0]!r}. {nearest(path[0], all_fields)}")
    return chosen | {n: with_setting(chosen[n], path, text, pieces=pieces, label=n) for n in having}


def _device(name: str) -> str:
    """The device that a name stands for; tried out."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"--device {name!r} cannot be used here: {reason} Use auto or cpu.") from error
    return name


def _check_writable(out: Path) -> None:
    """Make the folder, and find out now whether it can be written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--out {out} cannot be written to: {error.strerror}. Choose another folder.") from error


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A progress display, one line for each thing that takes long."""
    columns = (
        TextColumn("{task.description:<28}"),
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
    console.print(f"{seconds:.0f} s. Written to {out / 'report.json'} and {out / 'report.html'}", highlight=False)


def _print_plan(study: Study, console: Console) -> None:
    """What would be done, and how long it takes by a short trial of the training loop."""
    request, recipe = study.request, study.trainer.recipe
    speed = _examples_per_second(study.trainer, study)
    plan: list[tuple[str, int | None]] = [("original", recipe.examples(len(request.dataset)))]  # type: ignore[arg-type]
    plan += [(name, method.expected_examples(request)) for name, method in study.methods.items()]
    plan += [(f"{study.oracles} retrained models", study.oracles * recipe.examples(len(request.retain)))]
    console.print(
        f"{request.description}: {len(request.forget)} of {len(request.dataset)} records to forget; "  # type: ignore[arg-type]
        f"seed {study.seed}, {study.trainer.device}, {torch.get_num_threads()} threads.",
        highlight=False,
    )
    for name, examples in plan:
        told = "unknown" if examples is None else f"{examples:,} examples, about {examples / speed:,.0f} s"
        console.print(f"  {name:<28} {told}", highlight=False)
    total = sum(examples or 0 for _, examples in plan)
    console.print(f"About {total / speed:,.0f} s in all, less what {study.directory} already holds.", highlight=False)


def _examples_per_second(trainer: Trainer, study: Study) -> float:
    """Speed of the training loop on a few batches, after a first one to warm up."""
    batches = 20 * trainer.recipe.batch_size
    trial = replace(trainer, recipe=replace(trainer.recipe, epochs=1.0, max_examples=batches, schedule="constant"))
    data = evenly(study.request.dataset, batches)
    trial(evenly(data, 2 * trainer.recipe.batch_size), seed=study.seed)
    start = time.perf_counter()
    trial(data, seed=study.seed)
    return min(batches, len(data)) / (time.perf_counter() - start)  # type: ignore[arg-type]
