"""Qualifying a procedure once, so that a request of every week need not be audited by retraining every week.

Records are set aside from the training set and models are retrained without them, once. Requests are then simulated: some
of these records, the most memorised ones, the least, and some drawn at random, are unlearned from the original, and each
result is judged by the retrained models, none of which saw any of the records. Where all of a size pass, the procedure
(this method with these settings on this model and data) is qualified for requests up to that size, until a date.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ebbing import __version__, fingerprint
from ebbing.bank import OracleBank
from ebbing.batches import size
from ebbing.errors import InputError
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.inside import probed_layers
from ebbing.journal import Journal
from ebbing.methods import Unlearner
from ebbing.observations import Observations, observe
from ebbing.pool import Workers
from ebbing.request import ForgetRequest
from ebbing.seen import Seen, see
from ebbing.store import AnyTrainer, Trained
from ebbing.study import ORACLE_SEEDS
from ebbing.task import Task
from ebbing.verdict import CONSISTENT, NO_MEMORY, NO_TRACE, ORACLES_FOR_GOOD_NEWS

SCHEMA = "ebbing.qualification/1"
STRATA = ("most memorised", "random", "least memorised")
PASSED = (CONSISTENT, NO_MEMORY, NO_TRACE)
FEWEST = 5  # records of a simulated request
MOST_ASIDE = 0.1  # of the training set: models retrained without more would be models of other data
GAP_ROOM = 3.0  # standard errors by which a result's gap may leave the range of the trials


@dataclass(frozen=True)
class Trial:
    """One simulated request and what came of it.

    Attributes:
        records: how many were to be forgotten.
        stratum: which of the records set aside, see `STRATA`.
        outcome: of the verdict.
        reason: of the verdict.
        memory: M of the result; None where there is none.
        memory_before: M of the original.
        gap: mean margin on the forgotten records minus that on unseen ones of their classes, of the result.
        holdout_accuracy: of the result, in [0, 1].
        rolled_back: why the run was undone, None if it was not.
    """

    records: int
    stratum: str
    outcome: str
    reason: str
    memory: float | None
    memory_before: float | None
    gap: float
    holdout_accuracy: float
    rolled_back: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was found that retraining would not have left."""
        return self.rolled_back is None and self.outcome in PASSED


@dataclass(frozen=True)
class Qualification:
    """What a procedure was tried on, how it went, and until when that counts.

    Attributes:
        method: its settings, as JSON data.
        original: fingerprint of the weights it starts from.
        data: fingerprint of the training set.
        trainer: what retrained the references.
        oracles: how many references.
        trials: every simulated request.
        made: day, ISO 8601.
        expires: the last day it counts.
        lowest_holdout_accuracy: the lower end of the references' band.
        seconds_of_retraining: median of the references, None if not known.
        versions: of ebbing and torch.
    """

    method: Any
    original: str
    data: str
    trainer: str
    oracles: int
    trials: tuple[Trial, ...]
    made: str
    expires: str
    lowest_holdout_accuracy: float
    seconds_of_retraining: float | None
    versions: Mapping[str, str]

    @property
    def name(self) -> str:
        """Twelve digits of its content."""
        return fingerprint.of_settings(json.loads(json.dumps(asdict(self))))[:12]

    @property
    def largest(self) -> int:
        """The largest request it covers: every trial up to that size passed, and one of that size or less was measurable.

        0 where none is covered. A trial whose records left no trace in the original shows nothing by itself.
        """
        best, measurable = 0, False
        for records in sorted({trial.records for trial in self.trials}):
            of_size = [trial for trial in self.trials if trial.records == records]
            if not all(trial.passed for trial in of_size):
                break
            measurable = measurable or any(trial.outcome in (CONSISTENT, NO_MEMORY) for trial in of_size)
            best = records if measurable else best
        return best

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        data = {"schema": SCHEMA, "name": self.name, "largest": self.largest, **asdict(self)}
        write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Qualification:
        """What `save` wrote.

        Raises:
            InputError: if the file is not there, is something else, or was changed by hand.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            known = {f.name: data[f.name] for f in fields(cls)}
            found = cls(**known | {"trials": tuple(Trial(**trial) for trial in data["trials"])})
            sound = data["schema"] == SCHEMA and data["name"] == found.name
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} must be a qualification that `ebbing qualify` wrote, but: {error}.") from error
        if not sound:
            raise InputError(f"{path} must be as `ebbing qualify` wrote it, but its content is not what its name says.")
        return found

    def objections(
        self,
        *,
        method: Unlearner,
        original: nn.Module,
        request: ForgetRequest,
        forgotten_before: int = 0,
        today: date | None = None,
    ) -> list[str]:
        """Why a request lies outside, before anything is done; none where it lies inside.

        Args:
            method: with its settings.
            original: what is to forget; or the result of an earlier request under this qualification.
            request: what is to be forgotten.
            forgotten_before: records that earlier requests took, counted with these.
            today: the day; by default the clock's.
        """
        found = []
        if (today or date.today()) > date.fromisoformat(self.expires):
            found.append(f"it expired on {self.expires}")
        if fingerprint.as_plain(method) != self.method:
            found.append("the method or a setting is another")
        if not forgotten_before and fingerprint.of_model(original) != self.original:
            found.append("the original is another")
        if request.data_fingerprint != self.data:
            found.append("the training set is another")
        if self.versions.get("ebbing") != __version__ or self.versions.get("torch") != torch.__version__:
            found.append("ebbing or torch is of another version")
        records = forgotten_before + len(request.forget_ids)
        if records > self.largest:
            found.append(f"{records} records, where at most {self.largest} are covered")
        if request.concept:
            found.append("whole classes go, which was not tried")
        return found

    def objections_after(self, result: nn.Module, request: ForgetRequest, *, task: Task) -> list[str]:
        """Why a result lies outside: the cheap checks, which need no retrained model.

        Its holdout accuracy must not lie under the references' band, and the gap between the margins of forgotten and
        unseen records must lie in the range of the trials that passed, give or take three of its standard errors.
        """
        seen = observe([result], request, task=task)
        found = []
        accuracy = float(seen.holdout.accuracy[0])
        if accuracy < self.lowest_holdout_accuracy:
            found.append(
                f"holdout accuracy {accuracy:.2%}, where at least {self.lowest_holdout_accuracy:.2%} is expected"
            )
        gaps = [trial.gap for trial in self.trials if trial.passed]
        gap, room = _gap(seen), GAP_ROOM * _gap_error(seen)
        if gaps and not min(gaps) - room <= gap <= max(gaps) + room:
            found.append(f"gap of margins {gap:.2f}, where trials had {min(gaps):.2f} to {max(gaps):.2f}")
        return found


def _gap(seen: Observations) -> float:
    unseen = seen.holdout if seen.matched is None else seen.matched
    return float(seen.forget.margin.mean() - unseen.margin.mean())


def _gap_error(seen: Observations) -> float:
    """Standard error of the gap over records."""
    unseen = seen.holdout if seen.matched is None else seen.matched
    return float(np.sqrt(sum(s.margin.var() / s.n_examples for s in (seen.forget, unseen))))


@dataclass(frozen=True)
class Procedure:
    """What is to be qualified, and on what.

    Attributes:
        original: the trained model.
        dataset: what it was trained on, in full.
        holdout: unseen data for the judge.
        validation: unseen data that the method may look at.
        trainer: retrains the references.
        method: what is qualified.
        task: turns batches into outputs.
        directory: where retrained models are kept and found again.
        training_view: see `ForgetRequest`.
    """

    original: nn.Module
    dataset: Dataset[Any]
    holdout: Dataset[Any]
    validation: Dataset[Any] | None
    trainer: AnyTrainer
    method: Unlearner
    task: Task
    directory: Path
    training_view: Dataset[Any] | None = None


def qualify(
    procedure: Procedure,
    *,
    sizes: Sequence[int],
    oracles: int = ORACLES_FOR_GOOD_NEWS,
    days: int = 180,
    seed: int = 0,
    workers: Workers | None = None,
    today: date | None = None,
    on_oracle: Callable[[Trained], None] = lambda trained: None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Qualification:
    """Set records aside, retrain without them, simulate requests, and judge.

    As many records are set aside, drawn at random, as three requests of the largest size need, at most a tenth of the
    training set. A record counts as the more memorised the
    lower its mean margin in the references, which never saw it: the original was trained on it, and knows most beyond them
    where they know least. A third of the records set aside is the most memorised, a third the least.

    Args:
        procedure: what is qualified.
        sizes: of the simulated requests, each >= 5.
        oracles: references, at least 16.
        days: how long it counts.
        seed: draws the records; the references have seeds of their own.
        workers: see `OracleBank.train`.
        today: the day; by default the clock's.
        on_oracle: called with each reference.
        on_trial: called after each simulated request.

    Raises:
        InputError: if the sizes do not fit the training set, or there are too few references.
    """
    bank = references(procedure, sizes=sizes, oracles=oracles, seed=seed)
    whole, chosen = bank.request, bank.request.forget_ids.numpy()
    bank.train(oracles, workers=workers, on_model=lambda number, trained: on_oracle(trained))
    # the original's own margins have no part in the choice: what it answers well by chance would pass for memorised
    memorisation = -observe(bank, whole, task=procedure.task).forget.margin.mean(axis=0)
    trials: list[Trial] = []
    lowest = 0.0
    for records in sorted(sizes):
        for stratum in STRATA:
            ids = _draw(chosen, memorisation, records=records, stratum=stratum, seed=seed)
            trial, lowest = _try(procedure, bank, whole, ids, stratum=stratum, seed=seed)
            trials.append(trial)
            on_trial(trial)
    day = today or date.today()
    return Qualification(
        method=fingerprint.as_plain(procedure.method),
        original=fingerprint.of_model(procedure.original),
        data=fingerprint.of_dataset(procedure.dataset),
        trainer=json.dumps(fingerprint.as_plain(procedure.trainer)),
        oracles=oracles,
        trials=tuple(trials),
        made=day.isoformat(),
        expires=(day + timedelta(days=days)).isoformat(),
        lowest_holdout_accuracy=lowest,
        seconds_of_retraining=bank.median_seconds,
        versions={"ebbing": __version__, "torch": torch.__version__},
    )


def references(procedure: Procedure, *, sizes: Sequence[int], oracles: int, seed: int = 0) -> OracleBank:
    """The bank that `qualify` judges by, with nothing trained yet: its request holds the records that are set aside.

    Raises:
        InputError: if the sizes do not fit the training set, or there are too few references.
    """
    aside, n = 3 * max(sizes), size(procedure.dataset)
    most = int(MOST_ASIDE * n / 3)
    if most < FEWEST:
        raise InputError(
            f"qualifying needs at least {math.ceil(3 * FEWEST / MOST_ASIDE)} records to set three requests of {FEWEST} aside, "
            f"at most a tenth of the training set, but there are {n}. Retraining takes little then: retrain."
        )
    if min(sizes) < FEWEST or aside > MOST_ASIDE * n:
        raise InputError(
            f"sizes must lie in [{FEWEST}, {most}] for {n} records, as three requests of the largest are set "
            f"aside, at most a tenth of the training set; but are {sorted(sizes)}."
        )
    if oracles < ORACLES_FOR_GOOD_NEWS:
        raise InputError(
            f"qualifying needs at least {ORACLES_FOR_GOOD_NEWS} references to find nothing by, but has {oracles}."
        )
    chosen = np.sort(np.random.default_rng([seed, 7]).choice(n, size=aside, replace=False))
    whole = _request(procedure, chosen.tolist())
    return OracleBank(procedure.trainer, whole, procedure.directory / "models", first_seed=seed + ORACLE_SEEDS)


def _request(procedure: Procedure, ids: Sequence[int]) -> ForgetRequest:
    return ForgetRequest.from_ids(
        procedure.dataset,
        ids,
        holdout=procedure.holdout,
        validation=procedure.validation,
        task=procedure.task,
        training_view=procedure.training_view,
        kind="simulated",
    )


def _draw(chosen: np.ndarray, memorisation: np.ndarray, *, records: int, stratum: str, seed: int) -> list[int]:
    """Positions of a simulated request: some of a third of the records set aside, or of all."""
    order = np.argsort(-memorisation)
    third = len(order) // 3
    among = {"most memorised": order[:third], "least memorised": order[-third:], "random": order}[stratum]
    generator = np.random.default_rng([seed, records, STRATA.index(stratum)])
    places = among[:records] if stratum == "most memorised" else generator.choice(among, size=records, replace=False)
    return np.sort(chosen[places]).tolist()  # type: ignore[no-any-return]


def _try(
    procedure: Procedure, bank: OracleBank, whole: ForgetRequest, ids: list[int], *, stratum: str, seed: int
) -> tuple[Trial, float]:
    """Unlearn one simulated request and judge it; the trial, and the lower end of the holdout accuracy."""
    request = _request(procedure, ids)
    journal = Journal()
    result = procedure.method.unlearn(procedure.original, request, task=procedure.task, seed=seed, journal=journal)
    # the references saw none of the records set aside: what stays is judged on what they did see
    judged = replace(request, retain_ids=whole.retain_ids)
    layers = probed_layers(procedure.original, judged, task=procedure.task)

    def look(models: Sequence[nn.Module]) -> Seen:
        return see(models, judged, task=procedure.task, layers=layers, seed=seed)

    judge = Judge(look([procedure.original]), look(bank), concept=judged.concept, seed=seed)
    after = look([result])
    verdict, bands = judge.verdict(after), judge.bands_for(1)
    figures = judge.figures(after)
    trial = Trial(
        records=len(ids),
        stratum=stratum,
        outcome=verdict.outcome,
        reason=verdict.reason,
        memory=_known(figures[0].m),
        memory_before=_known(judge.original[0].m),
        gap=_gap(after.answers),
        holdout_accuracy=float(after.answers.holdout.accuracy[0]),
        rolled_back=journal.rolled_back,
    )
    return trial, 0.0 if bands is None else bands.holdout_accuracy.low


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
