"""The judge: plain models in, a report with a verdict out. It knows nothing of how a model was made."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ebbing import __version__, verdict
from ebbing.attacks import STANDARD
from ebbing.bank import OracleBank
from ebbing.errors import InputError
from ebbing.files import write_text
from ebbing.journal import RunRecord
from ebbing.measures import Figures, Reference, bootstrap_memory, figures, share_removed, tug_of_war
from ebbing.observations import Observations, observe
from ebbing.report import render, verdict_lines
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Task
from ebbing.training import Trainer
from ebbing.verdict import RULE, Bands, Verdict

SCHEMA = "ebbing.report/1"
JUDGED_SPLITS = ("forget", "retain", "holdout")
QUANTILES = np.linspace(0, 1, 21)
NO_OP = 0.05

Models = nn.Module | Sequence[nn.Module]


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

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write ``report.json`` and ``report.html`` into a directory, each whole or not at all.

        Returns:
            The path of report.json.
        """
        folder = Path(directory)
        path = folder / "report.json"
        write_text(path, json.dumps(self.data, indent=1, allow_nan=False) + "\n")
        write_text(folder / "report.html", render(self.data))
        return path

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
        seed: of the bootstrap intervals.

    Returns:
        The report.

    Raises:
        InputError: if there is nothing to judge or a model's outputs are not finite.
    """
    task = task or Classification()
    methods = dict(unlearned) if isinstance(unlearned, Mapping) else {"unlearned": unlearned}
    if not methods:
        raise InputError("`unlearned` must hold at least one model to judge, but is empty.")
    before = observe(_listed(original), request, task=task)
    retrained = observe(list(oracles), request, task=task) if len(oracles) else None
    judge = _Judge(request, before, retrained, seed)
    blocks, verdicts = {}, {}
    for name, models in methods.items():
        record = (records or {}).get(name, RunRecord())
        after = observe(_listed(models), request, task=task)
        verdicts[name] = judge.verdict(after)
        cost = _cost(record, oracles, request)
        blocks[name] = {
            "verdict": {"outcome": verdicts[name].outcome, "reason": verdicts[name].reason},
            "control": record.control,
            "summary": record.summary,
            **judge.describe(after),
            "removed": judge.removed(after),
            "cost": cost,
            "notes": [*record.notes, *judge.notes(after), *_cost_notes(cost)],
            "settings": record.settings,
            "history": record.history,
        }
    data = {
        "schema": SCHEMA,
        "request": _describe_request(request),
        "original": judge.describe(before),
        "oracles": judge.describe_oracles(oracles),
        "bands": judge.describe_bands(),
        "methods": blocks,
        "rule": {"text": RULE},
        "provenance": _provenance() | dict(provenance or {}),
    }
    return AuditReport(_plain(data), verdicts)


class _Judge:
    """What all methods of one audit are held against."""

    def __init__(self, request: ForgetRequest, before: Observations, retrained: Observations | None, seed: int) -> None:
        self.request, self.before, self.retrained, self.seed = request, before, retrained, seed
        matched = None if before.matched is None else before.matched.n_examples
        self.lacking = verdict.too_little(
            oracles=0 if retrained is None else retrained.n_models,
            records=before.forget.n_examples,
            matched=matched,
            concept=request.concept,
        )
        enough = retrained is not None and retrained.n_models >= verdict.FEWEST_ORACLES
        self.reference = Reference(retrained, request.concept) if enough and retrained is not None else None
        self.bands: dict[int, Bands] = {}
        self.original = self.figures(before)

    def figures(self, models: Observations) -> list[Figures]:
        """The figures of each model; none without a reference."""
        if self.reference is None:
            return []
        return [figures(models[[i]], self.reference) for i in range(models.n_models)]

    def bands_for(self, judged: int) -> Bands | None:
        """The bands where ``judged`` models give one answer."""
        if self.reference is None:
            return None
        if judged not in self.bands:
            self.bands[judged] = verdict.bands_of(self.reference, judged=judged)
        return self.bands[judged]

    def verdict(self, after: Observations) -> Verdict:
        """The worst of the models' verdicts, or why there can be none."""
        bands = self.bands_for(after.n_models)
        if self.lacking is not None or bands is None:
            return Verdict(verdict.INCONCLUSIVE, f"{self.lacking}.")
        loudest = max(self.original, key=lambda f: abs(f.m))
        return verdict.worst([verdict.judge(f, loudest, bands) for f in self.figures(after)])

    def describe(self, models: Observations) -> dict[str, Any]:
        """Accuracy, memory, drift, attacks, ToW and quantiles of z."""
        found = self.figures(models)
        accuracy = {s: _spread(getattr(models, s).accuracy) for s in JUDGED_SPLITS}
        drift = {s: _spread([f.drift[s] for f in found]) for s in JUDGED_SPLITS} if found else None
        return {
            "accuracy": accuracy,
            "memory": self._memory(found),
            "drift": drift,
            "attacks": _attacks(models, seed=self.seed),
            "tow": self._tow(models),
            "profile": _profile(found),
        }

    def _memory(self, found: list[Figures]) -> dict[str, Any] | None:
        if not found or math.isnan(found[0].m):
            return None
        if len(found) == 1:
            low, high = bootstrap_memory(found[0], seed=self.seed)
        else:
            low, high = min(f.m for f in found), max(f.m for f in found)
        return {
            "m": _spread([f.m for f in found]),
            "w": _spread([f.w for f in found]),
            "low": low,
            "high": high,
        }

    def _tow(self, models: Observations) -> Any:
        if self.retrained is None:
            return None
        retrained = {s: float(getattr(self.retrained, s).accuracy.mean()) for s in JUDGED_SPLITS}
        rows = [{s: float(getattr(models, s).accuracy[i]) for s in JUDGED_SPLITS} for i in range(models.n_models)]
        return _spread([tug_of_war(row, retrained) for row in rows])

    def removed(self, after: Observations) -> Any:
        """Share of the original's memory that is gone; null where the original's lies inside the band."""
        bands = self.bands_for(1)
        found = self.figures(after)
        if bands is None or not found or math.isnan(found[0].m):
            return None
        m_original = statistics.fmean(f.m for f in self.original)
        if m_original in bands.memory:
            return None
        return _spread([share_removed(f.m, m_original) for f in found])

    def notes(self, after: Observations) -> list[str]:
        """A no-op is named: outputs that hardly differ from the original's."""
        if after.n_models != self.before.n_models:
            return []
        changes = []
        for split in ("forget", "holdout"):
            a, b = getattr(after, split).margin, getattr(self.before, split).margin
            changes.append(float(np.abs(a - b).mean() / (b.std() + 1e-12)))
        if max(changes) == 0.0:
            return ["No-op: every output is the original's."]
        if max(changes) < NO_OP:
            return [f"No-op, almost: margins differ from the original's by {max(changes):.1%} of their spread."]
        return []

    def describe_oracles(self, oracles: Sequence[nn.Module]) -> dict[str, Any]:
        """The retrained models, each left out once where it is judged by the others."""
        seconds = oracles.seconds if isinstance(oracles, OracleBank) else []
        described: dict[str, Any] = {
            "count": len(oracles),
            "accuracy": None,
            "memory": None,
            "drift": None,
            "attacks": None,
            "seconds": statistics.median(seconds) if seconds else None,
            "seconds_each": seconds or None,
            "profile": None,
        }
        if self.retrained is None:
            return described
        described["accuracy"] = {s: _range(getattr(self.retrained, s).accuracy) for s in JUDGED_SPLITS}
        described["attacks"] = {
            attack.name: {"auc": _range([r.auc for r in attack.run(self.retrained, seed=self.seed, intervals=False)])}
            for attack in STANDARD
        }
        bands = self.bands_for(1)
        if bands is not None:
            found = list(bands.left_out)
            described["drift"] = {s: _range([f.drift[s] for f in found]) for s in JUDGED_SPLITS}
            if not math.isnan(found[0].m):
                described["memory"] = {"m": _range([f.m for f in found]), "w": _range([f.w for f in found])}
            described["profile"] = _profile(found)
        return described

    def describe_bands(self) -> dict[str, Any] | None:
        """The bands for one judged model."""
        bands = self.bands_for(1)
        if bands is None:
            return None
        known = not math.isnan(bands.memory.mean)
        return {
            "memory": {"low": bands.memory.low, "high": bands.memory.high} if known else None,
            "w": {"high": bands.w.high} if known else None,
            "drift": {s: {"high": b.high} for s, b in bands.drift.items()},
            "holdout_accuracy": {"low": bands.holdout_accuracy.low},
            "smallest_detectable_m": bands.smallest_detectable if known else None,
        }


def _listed(models: Models) -> list[nn.Module]:
    return [models] if isinstance(models, nn.Module) else list(models)


def _range(values: Sequence[float | None] | np.ndarray) -> dict[str, float] | None:
    """Mean, smallest and largest of several models' figures; None if any is missing."""
    known = [float(v) for v in values if v is not None]
    if len(known) < len(values) or not known:
        return None
    return {"mean": statistics.fmean(known), "low": min(known), "high": max(known)}


def _spread(values: Sequence[float] | np.ndarray) -> Any:
    """The figure of one model, or the range of several."""
    return float(values[0]) if len(values) == 1 else _range(values)


def _attacks(models: Observations, *, seed: int) -> dict[str, Any]:
    """Every standard attack by name."""
    found = {}
    for attack in STANDARD:
        results = attack.run(models, seed=seed)
        first = results[0]
        if len(results) == 1:
            found[attack.name] = {
                "auc": first.auc,
                "low": first.low,
                "high": first.high,
                "tpr_at_1pct_fpr": first.tpr_at_1pct_fpr,
                "accuracy": first.accuracy,
                "reason": first.reason,
            }
        else:
            auc = _range([r.auc for r in results])
            found[attack.name] = {
                "auc": auc,
                "low": auc and auc["low"],
                "high": auc and auc["high"],
                "tpr_at_1pct_fpr": _range([r.tpr_at_1pct_fpr for r in results]),
                "accuracy": _range([r.accuracy for r in results]),
                "reason": first.reason,
            }
    return found


def _profile(found: list[Figures]) -> dict[str, Any] | None:
    """Quantiles of z after the map, pooled over models."""
    if not found:
        return None
    matched = [f.z_matched for f in found if f.z_matched is not None]
    return {
        "z_forget": np.quantile(np.concatenate([f.z_forget for f in found]), QUANTILES).tolist(),
        "z_matched": np.quantile(np.concatenate(matched), QUANTILES).tolist() if matched else None,
    }


def _cost(record: RunRecord, oracles: Sequence[nn.Module], request: ForgetRequest) -> dict[str, float | None]:
    """Seconds and examples of a method, and both over those of one retraining."""
    retraining = oracles.median_seconds if isinstance(oracles, OracleBank) else None
    examples = None
    if isinstance(oracles, OracleBank) and isinstance(oracles.trainer, Trainer):
        examples = oracles.trainer.recipe.examples(len(request.retain))
    known = record.seconds is not None and retraining
    return {
        "seconds": record.seconds,
        "ratio_to_retraining": record.seconds / retraining if known and record.seconds and retraining else None,
        "examples_ratio": record.examples / examples if record.examples is not None and examples else None,
    }


def _cost_notes(cost: Mapping[str, float | None]) -> list[str]:
    ratio = cost["ratio_to_retraining"]
    if ratio is not None and ratio >= 1:
        return [f"Retraining would have cost less: this took {ratio:.2f} times as long."]
    return []


def _describe_request(request: ForgetRequest) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "description": request.description,
        "forget": len(request.forget),
        "retain": len(request.retain),
        "holdout": len(request.holdout),  # type: ignore[arg-type]
        "matched": None if request.matched is None else len(request.matched),  # type: ignore[arg-type]
        "concept": request.concept,
        "fingerprint": request.fingerprint,
    }


def _provenance() -> dict[str, Any]:
    return {
        "ebbing": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "seeds": None,
        "command": None,
    }


def _plain(value: Any) -> Any:
    """JSON data: absent evidence (NaN) becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
