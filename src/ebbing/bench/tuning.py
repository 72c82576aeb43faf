"""Settings chosen alike for everybody: the same tuner, the same validation records, the same number of trials."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ebbing.bench.cells import Job, Places, mark_as_made, refuse_other_models, trained, try_out
from ebbing.bench.labels import check_label, file_of, identity_of, is_identity_of, refuse_other_label
from ebbing.bench.methods import refuse_overdrawn, within
from ebbing.bench.spaces import Range, with_value
from ebbing.bench.tasks import BenchTask, request_of
from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.fingerprint import as_plain
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.measures import Reference, figures, left_out, prediction_band
from ebbing.methods import Unlearner
from ebbing.observations import Observations, observe
from ebbing.pool import Workers, compute
from ebbing.request import ForgetRequest
from ebbing.seen import Seen
from ebbing.store import kept
from ebbing.verdict import JOINT_LEVEL

RETRAINED = 16
MODELS = 4  # originals that each trial unlearns
HALF_A_POINT = 0.005  # of accuracy: what the verdict allows
REFUSED = 1e6  # the value of settings that a method refuses


@dataclass(frozen=True)
class Tuning:
    """A method whose settings are to be chosen.

    Attributes:
        label: of the method.
        method: with the settings that are not tuned.
        budget: share of one retraining.
        space: ranges by the path of the setting.
        tasks: on which; only those that settings may be chosen on.
        trials: how many settings are tried.
    """

    label: str
    method: Unlearner
    budget: float
    space: Mapping[str, Range]
    tasks: Sequence[BenchTask]
    trials: int = 12

    def __post_init__(self) -> None:
        """Refuse tasks that results are reported on."""
        reported = [task.name for task in self.tasks if not task.chosen_on]
        if reported:
            raise InputError(
                f"settings may not be chosen on {', '.join(reported)}: results are reported on these. Take tasks of the other "
                "half."
            )
        check_label(self.label)
        if not 0 < self.budget <= 1:
            raise InputError(f"the budget must be a share of one retraining in (0, 1], but is {self.budget:g}.")
        if not self.tasks or self.trials < 1:
            raise InputError(
                f"tuning needs at least one task and one trial, but has {len(self.tasks)} and {self.trials}."
            )

    def path(self, results: Path) -> Path:
        """The file of the trials."""
        return results / "tuned" / file_of(self.label, self.budget)


def tune(
    tuning: Tuning,
    places: Places,
    *,
    workers: Workers = 1,
    on_model: Callable[[Job, int, int], None] = lambda job, done, needed: None,
) -> Iterator[dict[str, Any]]:
    """Try settings one by one, by the tree-structured Parzen estimator of Optuna; each trial is kept as it is finished.

    The value of a trial is the mean over tasks of abs(M - mean of retrained models' M) / half the width of its band + the
    validation accuracy lost against retrained models, in half points: the first is 1 at the edge of the band, the second at
    what the verdict allows. M and accuracy are those of `MODELS` originals on validation records; the holdout is never read.

    Args:
        tuning: what is tried.
        places: where everything is kept; a tuning goes on from its file.
        workers: processes of one thread each that train the models which are missing, before the first trial.
        on_model: called with each of them when it is trained, how many are, and how many were missing.

    Yields:
        Each trial, those that were found included: settings, value, and what it is made of.

    Raises:
        InputError: if Optuna is not installed, the method costs too much or is not made for a task, the file is of another
            tuning, what retrained models answered was made by another version, or the budget overrules a setting.
    """
    optuna = _optuna()
    path = tuning.path(places.results)
    trials = _kept(path, tuning)
    for task in tuning.tasks:  # what cannot be had is found out before anything is trained
        request = request_of(task, places.data_dir)
        tuning.method.require_fit(request, task=task.trainer.task)
        if within(tuning.method, tuning.budget, task.recipe, request) is None:
            raise InputError(f"{tuning.label} costs more than {tuning.budget:.1%} of retraining on {task.name}.")
        _refuse_idle(tuning, task, request)
        if not trials:
            try_out(tuning.method, tuning.budget, task, places)
    for task in tuning.tasks:
        refuse_other_models(_validated(task, places), task)
        mark_as_made(_validated(task, places), task)
    yield from trials[: tuning.trials]
    if len(trials) < tuning.trials:
        needed = _missing_models(tuning, places)
        made = compute(_make_model, places, needed, workers=workers, folders=[places.work])
        for done, (job, _) in enumerate(made, start=1):
            on_model(job, done, len(needed))
    while len(trials) < tuning.trials:
        # a seed of its own for each trial, so that one that goes on does not draw what was drawn before
        sampler = optuna.samplers.TPESampler(seed=len(trials), n_startup_trials=5)
        study = optuna.create_study(sampler=sampler)
        drawn = {name: _distribution(optuna, range_) for name, range_ in tuning.space.items()}
        for old in trials:
            study.add_trial(optuna.trial.create_trial(params=old["settings"], distributions=drawn, value=old["value"]))
        settings = study.ask(drawn).params
        started = time.perf_counter()
        try:
            tried = _try(tuning, settings, places)
        except InputError as error:  # settings that the method refuses are a failure of the trial, not of the tuning
            tried = {"value": REFUSED, "tasks": {}, "reason": str(error)}
        trials.append(tried | {"settings": settings, "seconds": time.perf_counter() - started})
        _keep(path, tuning, trials, places)
        yield trials[-1]


def _refuse_idle(tuning: Tuning, task: BenchTask, request: ForgetRequest) -> None:
    """Refuse to look for a setting that the budget overrules: every trial would be the same."""
    for path, range_ in tuning.space.items():
        ends = [with_value(tuning.method, path, end) for end in range_.ends]
        low, high = (within(method, tuning.budget, task.recipe, request) for method in ends)
        if range_.low < range_.high and low == high is not None:
            raise InputError(
                f"what is tuned must change the method within its budget, but {path!r} does not: the budget decides it, "
                "which is --budget. Tune another setting."
            )


def tuned_method(label: str, method: Unlearner, budget: float, results: Path) -> Unlearner | None:
    """The method with the best settings that were found within a budget; None where it was not tuned."""
    path = results / "tuned" / file_of(label, budget)
    if not path.exists():
        return None
    held = json.loads(path.read_text(encoding="utf-8"))
    refuse_other_label(held, label, path)
    if not is_identity_of(held["method"], method):
        raise InputError(
            f"{str(path)!r} was made for other settings of {label!r} beside the tuned ones. Tune these first."
        )
    if len(held["trials"]) < held["wanted"]:
        raise InputError(
            f"{str(path)!r} holds {len(held['trials'])} of {held['wanted']} trials. Let the tuning go on first."
        )
    if held["best"]["value"] >= REFUSED:
        raise InputError(
            f"{str(path)!r} must hold a trial that worked, but the method refused all settings, the last because: "
            f"{held['trials'][-1]['reason']} Tune it with other ranges, under another label."
        )
    for name, value in held["best"]["settings"].items():
        method = with_value(method, name, value)
    return method


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise InputError("tuning needs Optuna, which is not installed. pip install 'ebbing[bench]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, range_: Range) -> Any:
    if range_.whole:
        return optuna.distributions.IntDistribution(int(range_.low), int(range_.high), log=range_.log)
    return optuna.distributions.FloatDistribution(range_.low, range_.high, log=range_.log)


def _facts(tuning: Tuning) -> dict[str, Any]:
    """What two tunings must share for one to go on from the other."""
    return {
        "label": tuning.label,
        "method": identity_of(tuning.method),
        "budget": tuning.budget,
        "space": as_plain(dict(tuning.space)),
        "tasks": [task.name for task in tuning.tasks],
    }


def _kept(path: Path, tuning: Tuning) -> list[dict[str, Any]]:
    """The trials of a tuning that was interrupted, or is to go further."""
    if not path.exists():
        return []
    held = json.loads(path.read_text(encoding="utf-8"))
    if {name: held[name] for name in _facts(tuning)} != _facts(tuning):
        raise InputError(
            f"{str(path)!r} holds trials of other settings, ranges or tasks. Delete it to begin again, or take another label."
        )
    trials: list[dict[str, Any]] = held["trials"]
    return trials


def _keep(path: Path, tuning: Tuning, trials: Sequence[dict[str, Any]], places: Places) -> None:
    best = min(trials, key=lambda trial: trial["value"])
    held = _facts(tuning) | {
        "wanted": tuning.trials,
        "best": best,
        "trials": list(trials),
        "provenance": describe(places.command),
    }
    write_text(path, json.dumps(held, indent=1) + "\n")


# ---------------------------------------------------------------- one trial


def _try(tuning: Tuning, settings: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """What comes of some settings."""
    method = tuning.method
    for name, value in settings.items():
        method = with_value(method, name, value)
    found = [_on(task, method, tuning.budget, places) for task in tuning.tasks]
    return {
        "value": fmean(one["value"] for one in found),
        "tasks": {task.name: one for task, one in zip(tuning.tasks, found, strict=True)},
    }


def _on(task: BenchTask, method: Unlearner, budget: float, places: Places) -> dict[str, float]:
    """M and accuracy on a task's validation records."""
    request = request_of(task, places.data_dir)
    view = validation_view(request)
    reference = Reference(_retrained(task, places), request.concept)
    held = within(method, budget, task.recipe, request)
    if held is None:
        raise InputError(f"{type(method).__name__} costs more than {budget:.0%} of retraining on {task.name}.")
    memory, accuracy, examples = [], [], 0
    for number in range(min(MODELS, task.models)):
        journal = Journal()
        original = trained(task, places, "original", number).model
        model = held.unlearn(original, request, task=task.trainer.task, seed=number, journal=journal)
        refuse_overdrawn(held, journal.examples - journal.guards, budget, task.recipe, request)
        judged = figures(observe([model], view, task=task.trainer.task), reference)
        memory.append(judged.m)
        accuracy.append(judged.holdout_accuracy)
        examples += journal.examples
    band = prediction_band(np.array([f.m for f in left_out(reference)]), level=JOINT_LEVEL)
    lost = float(reference.observations.holdout.accuracy.mean()) - fmean(accuracy)
    off = abs(fmean(memory) - band.mean) / (band.high - band.mean)
    return {
        "value": off + max(0.0, lost) / HALF_A_POINT,
        "memory": fmean(memory),
        "band": band.high - band.mean,
        "accuracy_lost": lost,
        "examples": examples,
    }


def validation_view(request: ForgetRequest) -> ForgetRequest:
    """The request with validation records where the judge has the holdout's, so that tuning never reads these.

    Raises:
        InputError: if it has none.
    """
    if request.validation is None or (request.validation_matched is None and not request.concept):
        raise InputError("tuning needs `validation` records, some of them drawn as the forget set was, but has none.")
    return replace(request, holdout=request.validation, matched=request.validation_matched)


def _validated(task: BenchTask, places: Places) -> Path:
    """Where it is kept what retrained models answer on validation records."""
    return places.work / task.folder / "validation"


def _answers(job: Job, places: Places) -> Path:
    """Where it is kept what a retrained model answers on validation records."""
    return _validated(job.task, places) / f"{job.role}-{job.number}.npz"


def _retrained_of(task: BenchTask) -> list[Job]:
    """The retrained models that originals are held against."""
    return [Job(task, "retrained", number) for number in range(min(RETRAINED, task.models))]


def _missing_models(tuning: Tuning, places: Places) -> list[Job]:
    """The models that trials need, and that were not trained, or not seen, yet."""
    missing = []
    for task in tuning.tasks:
        missing += [job for job in _retrained_of(task) if not _answers(job, places).exists()]
        data = request_of(task, places.data_dir).everything
        missing += [
            Job(task, "original", number)
            for number in range(min(MODELS, task.models))
            if not kept(places.trainer(task), data, [number], store=places.store(task), threads=1)
        ]
    return missing


def _make_model(places: Places, job: Job) -> None:
    """Train a model; of one that was retrained, keep what it answers on validation records."""
    model = trained(job.task, places, job.role, job.number).model
    if job.role == "retrained":
        view = validation_view(request_of(job.task, places.data_dir))
        Seen(observe([model], view, task=job.task.trainer.task)).save(_answers(job, places))


def _retrained(task: BenchTask, places: Places) -> Observations:
    """What retrained models answer on the validation view."""
    return Observations.concatenate([Seen.load(_answers(job, places)).answers for job in _retrained_of(task)])
