"""``ebbing unlearn``: the user's own model forgets, and a report stands beside the new weights."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from ebbing import __version__
from ebbing.allocator import keep_freed_memory
from ebbing.attacks import try_attacks
from ebbing.bank import OracleBank
from ebbing.batches import size
from ebbing.checkpoints import WeightsRecord, digest_of, record_path, write_weights
from ebbing.cli.checks import check_file, check_writable, files_of, named_option, noted
from ebbing.cli.folders import check_out_folder, going_on_from, start_of, toward_chance
from ebbing.cli.loading import FOLDER, training_function_of
from ebbing.cli.measuring import tell_measures
from ebbing.cli.methods import methods_of, refuse_idle_budgets
from ebbing.cli.own import FAILED, Own, OwnOptions, check_record, prepare, tell_evidence, tell_request
from ebbing.cli.references import check_references, references_among
from ebbing.cli.screen import command_line, make_console, print_line, print_report, shown
from ebbing.errors import InputError
from ebbing.journal import RunRecord
from ebbing.methods import Unlearner
from ebbing.pool import Workers
from ebbing.pretrained import (
    Pretrained,
    check_folder,
    weights_in,
    write_folder,
)
from ebbing.qualification import Qualification
from ebbing.study import ORACLE_SEEDS, Study
from ebbing.training import OwnTrainer, Recipe, Trainer


@dataclass(frozen=True)
class UnlearnOptions:
    """The options of ``ebbing unlearn``."""

    own: OwnOptions
    weights: Path
    out: Path
    methods: tuple[str, ...] = ("ebb",)
    settings: tuple[str, ...] = ()
    train_function: str | None = None
    oracles: int | None = None
    retrained: tuple[Path, ...] = ()
    workers: Workers | None = None
    qualification: Path | None = None
    pretrained: Path | None = None
    recipe: tuple[str, ...] = ()

    def beside(self, ending: str) -> Path:
        """What stands beside the output: of a file its ending is replaced, to the name of a folder one is added."""
        return self.out.with_suffix(ending) if self.folder is None else self.out.with_name(self.out.name + ending)

    @property
    def weights_option(self) -> str:
        """The option that names the weights."""
        return "--weights" if self.own.model_option == "--model" else self.own.model_option

    @property
    def folder(self) -> Path | None:
        """The folder of the transformers library that the model came from, None for any other model."""
        return Path(self.own.model.removeprefix(FOLDER)) if self.own.model.startswith(FOLDER) else None


def unlearn(options: UnlearnOptions, *, dry_run: bool = False) -> int:
    """Forget, write the weights, judge, and say so; the exit code.

    Raises:
        InputError: if an option cannot be used, or the run was rolled back, so that there are no weights to write.
    """
    keep_freed_memory()
    console = make_console()
    qualification = None if options.qualification is None else Qualification.load(options.qualification)
    own, methods, study, record = _study(options, console)
    _tell_cost(study, record, console)
    tell_evidence(own.request, len(study.retrained) + study.oracles, console)
    tell_measures(
        study.measures or "quick",
        study.original(),
        own.request,
        task=own.task,
        originals=1,
        methods=len(methods),
        retrained=len(study.retrained) + study.oracles,
        console=console,
    )
    _tell_methods(methods, options.out, console)
    objections: list[str] = []
    if qualification is not None:
        objections += _objections(qualification, study, record)
        print_line(console, _standing(qualification, objections, done=False))
    if dry_run:
        print_line(console, "Nothing was done: --dry-run.")
        return 0
    started = time.perf_counter()
    written: list[Path] = []
    undone: dict[str, str] = {}

    def keep(name: str, model: nn.Module, run: RunRecord) -> None:
        if run.rolled_back is not None:
            undone[name] = run.rolled_back
        elif not run.control:
            if qualification is not None:
                objections.extend(qualification.objections_after(model, own.request, task=own.task))
                study.provenance["qualification"] = _outcome(qualification, objections)
            covered = qualification.name if qualification is not None and not objections else None
            _write(options, own, study, name, model, run, record, qualification=covered)
            written.append(options.out)

    try:
        with shown(console) as progress:
            report = study.run(progress=progress, on_unlearned=keep)
    except BaseException:
        for path in written:
            print_line(console, f"Weights: {path}, not judged: the run ended before its report.")
        raise
    print_report(report, study.report or options.out, console, seconds=time.perf_counter() - started)
    if qualification is not None and written:
        print_line(console, _standing(qualification, objections, done=True))
    for path in written:
        print_line(console, f"Weights: {path}, with a record of how they were made in {record_path(weights_in(path))}")
    failed = [n for n, verdict in report.verdicts.items() if not methods[n].control and verdict.outcome in own.fail_if]
    for name in failed:
        print_line(console, f"--fail-if: {name} is {report.verdicts[name].outcome}.")
    if any(not methods[name].control for name in undone):
        raise _rolled_back(undone, options.out)
    return FAILED if failed else 0


def _rolled_back(undone: Mapping[str, str], out: Path) -> InputError:
    """Why no weights were written, and what the file is that may be there all the same."""
    reasons = "; ".join(f"{name}: {why}" for name, why in undone.items())
    older = f" {out} is of an earlier run." if out.exists() else ""
    return InputError(
        f"the run was rolled back, so that no weights were written ({reasons}).{older} Lower --set repair.learning_rate, or "
        "choose another method."
    )


def _study(options: UnlearnOptions, console: Console) -> tuple[Own, dict[str, Unlearner], Study, WeightsRecord | None]:
    """Everything that was named, checked and loaded, as a study."""
    problems: list[str] = []
    with noted(problems):
        if options.folder is not None:
            with named_option(options.own.model_option):
                check_folder(options.folder)
        check_file(options.weights, options.weights_option)
    there = not problems
    start: Pretrained | None = None
    recipe: Recipe | None = None
    with noted(problems):
        start, recipe = start_of(options.folder, options.pretrained, options.recipe, options.train_function)
        if start is not None and there:
            start()  # to find out
    retrained: list[Path] = []
    for path in options.retrained:
        with noted(problems):
            retrained += files_of(path, "--retrained")
    if not problems:
        with noted(problems):
            check_references(retrained, {options.weights_option: (options.weights,)})
    with noted(problems):
        _check_out(options, retrained)
    with noted(problems):
        adapted = partial(going_on_from, start, recipe)
        methods = methods_of(options.methods, options.settings, recipe=recipe, adapted=adapted)
        refuse_idle_budgets(methods, options.settings)
        _check_one_writes(methods)
    with noted(problems):
        function = None if options.train_function is None else training_function_of(options.train_function)
    if options.oracles and options.train_function is None and start is None:
        problems.append(
            f"--oracles {options.oracles} needs --train-fn pkg.mod:train, a function (dataset, *, seed) -> model. Name one, or "
            "pass models that were retrained elsewhere by --retrained; for a model that was fine-tuned, --pretrained and "
            "--recipe will do."
        )
    # a function of the user's decides itself what it runs on
    own = prepare(options.own, problems, workers=None if options.train_function else options.workers)
    trainer: Trainer | OwnTrainer | None = None
    if function is not None:
        trainer = OwnTrainer(function, own.build, own.device)
    elif start is not None and recipe is not None:
        trainer = Trainer(start, recipe, task=own.task, device=own.device)
    original = own.load(options.weights, options.weights_option, console)
    record = check_record(options.weights, own.request, console)
    tell_request(own, original, console)
    try_attacks(own.attacks, original, own.request, task=own.task)
    if hint := toward_chance(options.folder, start, methods.values()):
        print_line(console, hint)
    study = Study(
        trainer=trainer,
        request=own.request,
        methods=methods,
        oracles=(16 if options.oracles is None else options.oracles) if trainer is not None else 0,
        directory=options.beside(".work"),
        seed=options.own.seed,
        provenance={"command": command_line(), "model": options.own.model, "weights": str(options.weights)},
        given=original,
        retrained=[
            own.load(path, "--retrained", console)
            for path in references_among(retrained, options.retrained, own.request, console)
        ],
        task=own.task,
        report=options.beside(".report"),
        workers=options.workers,
        measures=options.own.measures,
        technical=options.own.technical,
        show_examples=options.own.show_examples,
        attacks=own.attacks,
    )
    return own, methods, study, record


def _check_out(options: UnlearnOptions, retrained: Sequence[Path]) -> None:
    """The weights go to a file of their own, in a folder that can be written to."""
    out, work = options.out, options.beside(".work")
    if work.exists() and not work.is_dir():
        raise InputError(
            f"--out {out} keeps finished parts in the folder {work}, but that is a file. Choose another name."
        )
    if options.folder is not None:
        named = (options.own.forget, options.own.exclude)
        check_out_folder(out, options.folder, options.pretrained, *options.retrained, *retrained, *named)
        return
    if out.suffix != ".safetensors":
        raise InputError(f"--out must end in .safetensors, the format that is written, but is {str(out)!r}.")
    if out.is_dir():
        raise InputError(f"--out must be a file, but {str(out)!r} is a folder.")
    read = (options.weights, *retrained, options.own.forget, options.own.exclude)
    if out.resolve() in {p.resolve() for p in read if p is not None}:
        raise InputError(f"--out must not be a file that is read, but is {str(out)!r}. What is read stays as it is.")
    if out.parent.resolve() in {p.resolve() for p in options.retrained}:
        raise InputError(
            f"--out must not lie in a folder of --retrained, but is {str(out)!r}. It is no retrained model."
        )
    check_writable(out.parent)


def _check_one_writes(methods: Mapping[str, Unlearner]) -> None:
    """There is one file of weights, so one method that is no control."""
    writing = [name for name, method in methods.items() if not method.control]
    if len(writing) > 1:
        raise InputError(
            f"--method must name one method whose weights are written, but names {', '.join(writing)}. Controls may stand "
            "beside it; to compare methods, call once for each."
        )


def _write(
    options: UnlearnOptions,
    own: Own,
    study: Study,
    name: str,
    model: nn.Module,
    run: RunRecord,
    record: WeightsRecord | None,
    *,
    qualification: str | None,
) -> None:
    """The new weights, and beside them what they were made from and how."""
    stays = set(own.request.retain_ids.tolist())
    gone = tuple(i for i in range(size(own.request.dataset)) if i not in stays)
    weights = weights_in(options.out)
    before = digest_of(weights) if weights.is_file() else None
    known = WeightsRecord(
        "0" * 32,
        data=own.request.data_fingerprint,
        records=size(own.request.dataset),
        forgotten=gone,
        training_seconds=None if record is None else record.training_seconds,
        made_by={
            "ebbing": __version__,
            "method": name,
            "settings": run.settings,
            "seed": study.seed,
            "from": options.weights.name if options.folder is None else options.folder.name,
            "request": own.request.fingerprint,
            "qualification": qualification,
        },
    )
    if options.folder is not None:
        made = write_folder(options.out, model, like=options.folder, record=known)
    else:
        made = write_weights(options.out, model, **{f.name: getattr(known, f.name) for f in fields(known)[1:]})
    if made.weights != before and study.report is not None:  # an earlier run's report speaks of other weights
        for ending in ("json", "html"):
            study.report.with_name(f"{study.report.name}.{ending}").unlink(missing_ok=True)


def _objections(qualification: Qualification, study: Study, record: WeightsRecord | None) -> list[str]:
    """Why the request lies outside a qualification, before anything is done."""
    earlier = record is not None and record.made_by.get("qualification") == qualification.name
    method = next((m for m in study.methods.values() if not m.control), None)
    if method is None or study.given is None:
        return ["no method writes weights"]
    return qualification.objections(
        method=method,
        original=study.given,
        request=study.request,
        forgotten_before=len(record.forgotten) if earlier and record is not None else 0,
    )


def _outcome(qualification: Qualification, objections: list[str]) -> dict[str, Any]:
    """Of the report: whether the run lies inside."""
    return {"name": qualification.name, "inside": not objections, "objections": list(objections)}


def _standing(qualification: Qualification, objections: list[str], *, done: bool) -> str:
    """Inside or outside, in words."""
    if objections:
        return f"Outside qualification {qualification.name}: {'; '.join(objections)}."
    rest = "" if done else " so far; the result is checked too"
    return f"Inside qualification {qualification.name} (up to {qualification.largest} records){rest}."


def _tell_cost(study: Study, record: WeightsRecord | None, console: Console) -> None:
    """What one retraining costs, where that is known."""
    bank = OracleBank(study.trainer, study.request, study.store.directory, first_seed=study.seed + ORACLE_SEEDS)
    finished = bank.stored_seconds(study.oracles, workers=study.workers)
    recorded = None if record is None else record.training_seconds
    each = statistics.median(finished) if finished else recorded
    if each is None:
        first = "the first is finished" if study.oracles else "a model was retrained (--train-fn)"
        print_line(console, f"What one retraining costs is not known before {first}.")
        return
    source = f"as {len(finished)} did that are kept" if finished else "as the record beside the weights says"
    left = study.oracles - len(finished)
    rest = f"; {left} to come, about {left * each:,.0f} s" if left > 0 else ""
    print_line(
        console,
        f"One retraining takes about {each:,.0f} s, {source}{rest}. Each gives a model that never saw the records (kept in "
        f"{study.store.directory}): where that is affordable, it is the better answer.",
    )


def _tell_methods(methods: Mapping[str, Unlearner], out: Path, console: Console) -> None:
    """Say where nothing will be written."""
    controls = [name for name, method in methods.items() if method.control]
    if len(controls) == len(methods):
        print_line(
            console, f"{', '.join(controls)}: controls are judged, but write no weights; {out} will not be there."
        )
