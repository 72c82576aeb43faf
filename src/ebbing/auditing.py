"""The judge: plain models in, a report with a verdict out. It knows nothing of how a model was made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from torch import nn

from ebbing import fingerprint
from ebbing.attacks import Attack, try_attacks, with_standard
from ebbing.bank import OracleBank
from ebbing.battery import Battery, Copies, Level, Planted, copies_of, planted_in
from ebbing.compiled import uncompiled
from ebbing.errors import InputError
from ebbing.evidence import Judge
from ebbing.facts import (
    cost_notes,
    cost_of_run,
    describe_counts,
    describe_request,
    digests,
    origin_of,
    plain,
    provenance_of,
)
from ebbing.files import write_text
from ebbing.inside import probed_layers
from ebbing.journal import RunRecord
from ebbing.observations import Observations
from ebbing.pictures import pictures_of
from ebbing.report import verdict_lines
from ebbing.request import ForgetRequest
from ebbing.seen import Seen, see
from ebbing.task import Classification, Task
from ebbing.technical import Representations, technical_block
from ebbing.verdict import FEWEST_ORACLES, RULE, Verdict

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "ebbing.report/1"

NO_COST: dict[str, float | None] = {"seconds": None, "ratio_to_retraining": None, "examples_ratio": None}
UNREAD = "Its layers are not the original's, so that it was judged by its answers alone."

Models = nn.Module | Sequence[nn.Module]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class AuditReport:
    """The evidence on one or more unlearned models.

    Attributes:
        data: what ``report.json`` holds, see docs/report.md.
        verdicts: by the name of the method.
    """

    data: dict[str, Any]
    verdicts: dict[str, Verdict]

    @property
    def verdict(self) -> Verdict:
        """The verdict where one method was judged.

        Raises:
            InputError: if there are several; they are in ``verdicts``.
        """
        if len(self.verdicts) != 1:
            raise InputError(
                f"`verdict` needs one judged method, but there are {sorted(self.verdicts)}. Read `verdicts`."
            )
        return next(iter(self.verdicts.values()))

    def save(self, directory: str | os.PathLike[str], *, name: str = "report") -> Path:
        """Write ``<name>.json`` and ``<name>.html`` into a directory, each whole or not at all.

        Returns:
            The path of the JSON file.
        """
        from ebbing.report.html import render  # here, because only who writes a page waits for matplotlib

        folder = Path(directory)
        path = folder / f"{name}.json"
        write_text(path, json.dumps(self.data, indent=1, allow_nan=False) + "\n")
        write_text(folder / f"{name}.html", render(self.data))
        return path

    def to_dataframe(self) -> pd.DataFrame:
        """Every figure as a tidy table: one row for each subject and figure.

        Needs pandas, which ``pip install 'ebbing[tables]'`` brings.

        Returns:
            A frame with the columns method, kind (original, method, control or retrained), figure, split, value, low, high,
            floor_mean, floor_low, floor_high (the same figure of retrained models) and protocol (how it was taken). Accuracies
            and rates are fractions, times are in seconds; absent evidence is NaN.

        Raises:
            InputError: if pandas is not installed.
        """
        from ebbing.report.tidy import to_dataframe

        return to_dataframe(self.data)

    def __str__(self) -> str:
        """The verdicts in words."""
        return "\n".join(verdict_lines(self.data))


def audit(
    *,
    original: Models,
    unlearned: Models | Mapping[str, Models],
    oracles: Sequence[nn.Module],
    request: ForgetRequest,
    task: Task | None = None,
    records: Mapping[str, RunRecord] | None = None,
    provenance: Mapping[str, Any] | None = None,
    seed: int = 0,
    inside: bool = True,
    measures: Level | None = "quick",
    technical: bool = False,
    show_examples: bool = False,
    attacks: Sequence[Attack] = (),
    on_model: Callable[[], None] | None = None,
) -> AuditReport:
    """Judge unlearned models beside the untouched and the retrained ones.

    Args:
        original: the model before, or several.
        unlearned: the model after, several of one method, or a mapping from a method's name to either.
        oracles: retrained models, a bank or any sequence; empty if there are none: the verdict is then inconclusive.
        request: what was to be forgotten, with the unseen data.
        task: turns batches into outputs; `Classification` if None.
        records: what each method was and took, by name.
        provenance: added to the report's own (versions, platform, threads).
        seed: of the bootstrap intervals, and of the order of relearning.
        inside: whether the layers are probed and copies relearn, see `ebbing.inside`. Models of another structure than
            the original's are judged by their answers alone, and a note says so.
        measures: how much is measured beside what the verdict needs, see `ebbing.battery.Battery`; None for nothing.
        technical: whether to add what specialists look at: factors of units, likeness of layers to retrained models', and
            which classes the forgotten records went to.
        show_examples: whether the report may show forgotten records as pictures. Without it a report holds none of them.
        attacks: of your own, reported beside the standard ones; no verdict goes by any attack.
        on_model: called after each model was seen.

    Returns:
        The report.

    Raises:
        InputError: if there is nothing to judge, a model's outputs are not finite, or an attack has the name of another or
            gives no scores; whatever an attack's own code raises comes through.
    """
    with_standard(attacks)
    task, records = task or Classification(), records or {}
    models = _all_of(original, unlearned, oracles)
    first, enough = models.original[0], len(oracles) >= FEWEST_ORACLES
    try_attacks(attacks, first, request, task=task)  # what is wrong with them is said before anything long
    # with too few retrained models there is nothing to hold the layers of any against
    layers = probed_layers(first, request, task=task) if inside and enough else []
    measured = measures if enough else None
    look = partial(
        see,
        request=request,
        task=task,
        layers=layers,
        seed=seed,
        logits=measured is not None or (technical and enough) or bool(attacks),
        on_model=on_model,
    )
    before, after = look(models.original), {name: look(own) for name, own in models.unlearned.items()}
    copies = None if measured in (None, "quick") else _copies_of(models, request, task)
    seen = OfAll(before, after, look(models.retrained) if models.retrained else None)
    report = judge_observations(
        original=before,
        unlearned=after,
        oracles=seen.retrained,
        measures=measures,
        copies=copies,
        planted=_planted_in(models, seen, request, task) if measured == "full" else None,
        attacks=attacks,
        concept=request.concept,
        records=records,
        costs={name: cost_of_run(records.get(name, RunRecord()), oracles, request) for name in models.unlearned},
        request=describe_request(request),
        provenance=provenance_of(first) | dict(provenance or {}),
        seconds=oracles.seconds if isinstance(oracles, OracleBank) else [],
        seed=seed,
        models={
            "original": digests(models.original),
            "methods": {name: digests(own) for name, own in models.unlearned.items()},
        },
    )
    if show_examples:
        report.data["examples"] = pictures_of(request, task=task)
    if technical and enough:
        _add_technical(
            report, models, seen, partial(Representations.of, request=request, task=task, layers=layers), records
        )
    return report


def judge_observations(
    *,
    original: Seen | Observations,
    unlearned: Mapping[str, Seen | Observations],
    oracles: Seen | Observations | None,
    concept: bool = False,
    records: Mapping[str, RunRecord] | None = None,
    costs: Mapping[str, Mapping[str, float | None]] | None = None,
    request: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    seconds: Sequence[float] = (),
    seed: int = 0,
    measures: Level | None = "quick",
    copies: OfAll[Copies] | None = None,
    planted: OfAll[Planted] | None = None,
    attacks: Sequence[Attack] = (),
    models: Mapping[str, Any] | None = None,
) -> AuditReport:
    """Judge models by what was seen of them, wherever they were trained: `audit` without models.

    Args:
        original: of the models before.
        unlearned: of the models after, by the name of the method.
        oracles: of the retrained models; None if there are none.
        concept: whether whole classes were to be forgotten.
        records: what each method was and took, by name.
        costs: of each method, by name.
        request: the report's words on what was to be forgotten.
        provenance: where all this comes from.
        seconds: wall time of each retraining.
        seed: of the bootstrap intervals.
        measures: how much is measured beside what the verdict needs, see `ebbing.battery.Battery`; None for nothing.
        copies: what copies of the models answer that only who has the weights can make.
        planted: what the models show of what was planted before training, which needs the request and the weights.
        attacks: of your own, beside the standard ones.
        models: digests of the weights, ``{"original": [...], "methods": {name: [...]}}``.
    """
    before, retrained = _as_seen(original), None if oracles is None else _as_seen(oracles)
    of_copies: OfAll[Copies | None] = copies or OfAll(None, dict.fromkeys(unlearned), None)
    of_planted: OfAll[Planted | None] = planted or OfAll(None, dict.fromkeys(unlearned), None)
    battery = None
    if measures is not None:
        battery = Battery(
            before.answers,
            None if retrained is None else retrained.answers,
            level=measures,
            concept=concept,
            kind=str((request or {}).get("kind", "ids")),
            seed=seed,
            copies=of_copies.retrained,
            planted=of_planted.retrained,
        )
    judge = Judge(before, retrained, concept=concept, seed=seed, battery=battery, attacks=attacks)
    after = {name: _as_seen(answers) for name, answers in unlearned.items()}
    verdicts = {name: judge.verdict(seen) for name, seen in after.items()}
    took = {name: NO_COST | dict((costs or {}).get(name, {})) for name in unlearned}
    on_matched = judge.note_on_matched()
    blocks = {
        name: _method_block(
            verdicts[name],
            judge.describe(seen, copies=of_copies.unlearned[name], planted=of_planted.unlearned[name]),
            (records or {}).get(name, RunRecord()),
            cost=took[name],
            removed=judge.removed(seen),
            notes=[
                *judge.notes(seen),
                *cost_notes(took[name]),
                *([UNREAD] if judge.inside is not None and seen.inside is None else []),
                *on_matched,
            ],
        )
        for name, seen in after.items()
    }
    data = {
        "schema": SCHEMA,
        "request": dict(request) if request is not None else describe_counts(before.answers, concept),
        "models": models,
        "original": judge.describe(before, copies=of_copies.original, planted=of_planted.original),
        "oracles": judge.describe_oracles(seconds=seconds),
        "bands": judge.describe_bands(),
        "methods": blocks,
        "measures": None if battery is None else {"level": battery.level, "seconds": battery.seconds},
        "examples": None,
        "rule": {"text": RULE},
        "provenance": dict(provenance or {}) | origin_of(attacks),
    }
    return AuditReport(plain(data), verdicts)


def _method_block(
    verdict: Verdict,
    described: Mapping[str, Any],
    record: RunRecord,
    *,
    cost: Mapping[str, float | None],
    removed: Any,
    notes: Sequence[str],
) -> dict[str, Any]:
    """What a report says of one method."""
    return {
        "verdict": {"outcome": verdict.outcome, "reason": verdict.reason},
        "control": record.control,
        "summary": record.summary,
        **described,
        "removed": removed,
        "cost": cost,
        "notes": [*record.notes, *notes],
        "settings": record.settings,
        "history": record.history,
        "technical": None,
    }


@dataclass(frozen=True)
class OfAll(Generic[T_co]):
    """Something that only who has the weights can see, of the originals, of each method's models, and of the retrained."""

    original: T_co
    unlearned: Mapping[str, T_co]
    retrained: T_co


def _all_of(
    original: Models, unlearned: Models | Mapping[str, Models], oracles: Sequence[nn.Module]
) -> OfAll[Sequence[nn.Module]]:
    """All models, without what compiling put around them; nothing to judge, and equal oracles, are refused."""
    methods = dict(unlearned) if isinstance(unlearned, Mapping) else {"unlearned": unlearned}
    if not methods:
        raise InputError("`unlearned` must hold at least one model to judge, but is empty.")
    _refuse_equal(oracles)
    return OfAll(_listed(original), {name: _listed(own) for name, own in methods.items()}, _Uncompiled(oracles))


def _copies_of(models: OfAll[Sequence[nn.Module]], request: ForgetRequest, task: Task) -> OfAll[Copies]:
    """What copies answer, see `copies_of`; of retrained models none is put into the original's network."""
    copy, first = partial(copies_of, request=request, task=task), models.original[0]
    return OfAll(
        original=copy(models.original, original=first),
        unlearned={name: copy(own, original=first) for name, own in models.unlearned.items()},
        retrained=copy(models.retrained),
    )


def _planted_in(
    models: OfAll[Sequence[nn.Module]], seen: OfAll[Any], request: ForgetRequest, task: Task
) -> OfAll[Planted] | None:
    """What models show of what was planted, see `planted_in`; None without retrained models."""
    if seen.retrained is None:
        return None
    shown = partial(planted_in, request=request, task=task)
    return OfAll(
        original=shown(models.original, seen.original.answers),
        unlearned={name: shown(own, seen.unlearned[name].answers) for name, own in models.unlearned.items()},
        retrained=shown(models.retrained, seen.retrained.answers),
    )


def _add_technical(
    report: AuditReport,
    models: OfAll[Sequence[nn.Module]],
    seen: OfAll[Any],
    represent: Callable[[Sequence[nn.Module]], Representations | None],
    records: Mapping[str, RunRecord],
) -> None:
    """Put what specialists look at into the report of each method."""
    beside = represent(models.retrained)
    for name, own in models.unlearned.items():
        answers = seen.original.answers, seen.unlearned[name].answers, seen.retrained.answers
        factors = records.get(name, RunRecord()).factors
        report.data["methods"][name]["technical"] = plain(technical_block(factors, represent(own), beside, answers))


def _as_seen(models: Seen | Observations) -> Seen:
    return models if isinstance(models, Seen) else Seen(models)


def _refuse_equal(oracles: Sequence[nn.Module]) -> None:
    """Retrained models are evidence by how they differ: of equal ones every band has no width, and every model is outside."""
    seen: dict[str, int] = {}
    for number, model in enumerate(oracles):
        first = seen.setdefault(fingerprint.of_tensors(model.state_dict()), number)
        if first != number:
            raise InputError(
                f"retrained models must differ, but number {number} has the same weights as number {first}. Retrain each with "
                "a seed of its own, and set no other seed in the training."
            )


def _listed(models: Models) -> list[nn.Module]:
    return [uncompiled(model) for model in ([models] if isinstance(models, nn.Module) else models)]


@dataclass(frozen=True)
class _Uncompiled(Sequence[nn.Module]):
    """Models without what compiling put around them, one at a time: a bank reads each when it is asked for."""

    models: Sequence[nn.Module]

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[nn.Module]: ...
    def __getitem__(self, index: int | slice) -> nn.Module | Sequence[nn.Module]:
        """One model, or some."""
        return _Uncompiled(self.models[index]) if isinstance(index, slice) else uncompiled(self.models[index])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.models)
