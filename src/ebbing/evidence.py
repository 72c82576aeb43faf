"""What an audit holds a model against, and what it says of one: accuracy, memory, drift, attacks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ebbing import verdict
from ebbing.attacks import Attack, with_standard
from ebbing.battery import Battery, Copies, Planted
from ebbing.measures import (
    Figures,
    Hidden,
    Reference,
    bootstrap_memory,
    figures,
    hidden,
    hidden_left_out,
    matched_offset,
    prediction_band,
    share_removed,
    tug_of_war,
)
from ebbing.observations import Observations
from ebbing.profiles import mean_roc, profile, roc_range
from ebbing.seen import Seen
from ebbing.verdict import Bands, Verdict

JUDGED_SPLITS = ("forget", "retain", "holdout")
NO_OP = 0.05


class Judge:
    """What all models of one audit are held against: the original and the retrained ones."""

    def __init__(
        self,
        before: Seen,
        retrained: Seen | None,
        *,
        concept: bool,
        seed: int,
        battery: Battery | None = None,
        attacks: Sequence[Attack] = (),
    ) -> None:
        self.battery = battery
        self.attacks = with_standard(attacks)
        self.concept, self.seed, self.before = concept, seed, before
        self.retrained = None if retrained is None else retrained.answers
        answers = before.answers
        self.lacking = verdict.too_little(
            oracles=0 if self.retrained is None else self.retrained.n_models,
            records=answers.forget.n_examples,
            matched=None if answers.matched is None else answers.matched.n_examples,
            concept=concept,
        )
        enough = self.retrained is not None and self.retrained.n_models >= verdict.FEWEST_ORACLES
        self.reference = Reference(self.retrained, concept) if enough and self.retrained is not None else None
        self.inside = None if retrained is None or not enough else retrained.inside
        self.hidden = (
            None if self.inside is None else hidden_left_out(self.inside, concept=concept, originals=before.inside)
        )
        self.bands: dict[int, Bands] = {}
        self.original = self.figures(before)

    def figures(self, models: Seen) -> list[Figures]:
        """The figures of each model; none without a reference."""
        if self.reference is None:
            return []
        found = [figures(models.answers[[i]], self.reference) for i in range(models.answers.n_models)]
        if self.inside is None or models.inside is None:
            return found
        before = self.before.inside
        inner = [
            hidden(models.inside[[i]], self.inside, concept=self.concept, originals=before) for i in range(len(found))
        ]
        return [replace(f, hidden=h) for f, h in zip(found, inner, strict=True)]

    def bands_for(self, judged: int) -> Bands | None:
        """The bands where ``judged`` models give one answer."""
        if self.reference is None:
            return None
        if judged not in self.bands:
            self.bands[judged] = verdict.bands_of(self.reference, judged=judged, hidden=self.hidden)
        return self.bands[judged]

    def verdict(self, after: Seen, *, original: int | None = None) -> Verdict:
        """The worst of the models' verdicts, or why there can be none.

        Args:
            after: the models.
            original: the number of the original that they were made of; None where it may be any: the one that remembers most.
        """
        bands = self.bands_for(after.answers.n_models)
        if self.lacking is not None or bands is None:
            return Verdict(verdict.INCONCLUSIVE, f"{self.lacking}.")
        loudest = max(self.original, key=lambda f: abs(f.m)) if original is None else self.original[original]
        return verdict.worst([verdict.judge(f, loudest, bands) for f in self.figures(after)])

    def describe(self, seen: Seen, *, copies: Copies | None = None, planted: Planted | None = None) -> dict[str, Any]:
        """Accuracy, memory, drift, attacks, measures, ToW, quantiles of z, and what is inside."""
        found, models = self.figures(seen), seen.answers
        accuracy = {s: _spread(getattr(models, s).accuracy) for s in JUDGED_SPLITS}
        drift = {s: _spread([f.drift[s] for f in found]) for s in JUDGED_SPLITS} if found else None
        return {
            "accuracy": accuracy,
            "memory": self._memory(found),
            "drift": drift,
            "attacks": _attacked(models, self.attacks, seed=self.seed),
            "measures": None if self.battery is None else self.battery.measure(models, copies=copies, planted=planted),
            "tow": self._tow(models),
            "profile": profile(found, models),
            "inside": _inside([f.hidden for f in found if f.hidden is not None]),
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

    def removed(self, after: Seen) -> Any:
        """Share of the original's memory that is gone; null where the original's lies inside the band."""
        bands = self.bands_for(1)
        found = self.figures(after)
        if bands is None or not found or math.isnan(found[0].m):
            return None
        m_original = statistics.fmean(f.m for f in self.original)
        if m_original in bands.memory:
            return None
        return _spread([share_removed(f.m, m_original) for f in found])

    def notes(self, seen: Seen) -> list[str]:
        """A no-op is named: outputs that hardly differ from the original's."""
        after, before = seen.answers, self.before.answers
        if after.n_models != before.n_models:
            return []
        changes = []
        for split in ("forget", "holdout"):
            a, b = getattr(after, split).margin, getattr(before, split).margin
            changes.append(float(np.abs(a - b).mean() / (b.std() + 1e-12)))
        if max(changes) == 0.0:
            return ["No-op: every output is the original's."]
        if max(changes) < NO_OP:
            return [f"No-op, almost: margins differ from the original's by {max(changes):.1%} of their spread."]
        return []

    def note_on_matched(self) -> list[str]:
        """Say where the matched records are not as new to the original as they should be.

        What a whole group of records shares is learned from all of them. Where unseen records drawn alike belong to the same
        group, the original knows them too, and M, counted from them, misses it. Said where the original stands outside the band
        of the retrained models there, by at least half of its own M.
        """
        if self.reference is None or self.concept or self.before.answers.matched is None:
            return []
        others = [
            matched_offset(self.reference.observations[[i]], self.reference.without(i))
            for i in range(self.reference.observations.n_models)
        ]
        band = prediction_band(np.array(others), level=verdict.JOINT_LEVEL)
        originals = range(self.before.answers.n_models)
        own = statistics.fmean(matched_offset(self.before.answers[[i]], self.reference) for i in originals)
        m = statistics.fmean(f.m for f in self.original)
        if own in band or abs(own - band.mean) < 0.5 * abs(m):
            return []
        return [
            f"The original answers the matched unseen records {own - band.mean:.2f} standard deviations otherwise than "
            f"retrained models do, beyond other unseen ones, and its M is only {m:.2f}: they may share a source with the "
            "forgotten records, and M then misses what is remembered. Match by records that the source has no part in."
        ]

    def describe_oracles(self, *, seconds: Sequence[float]) -> dict[str, Any]:
        """The retrained models, each left out once where it is judged by the others."""
        described: dict[str, Any] = {
            "count": 0 if self.retrained is None else self.retrained.n_models,
            "accuracy": None,
            "memory": None,
            "drift": None,
            "attacks": None,
            "seconds": statistics.median(seconds) if seconds else None,
            "seconds_each": list(seconds) or None,
            "profile": None,
            "inside": None,
        }
        if self.retrained is None:
            return described
        described["accuracy"] = {s: _range(getattr(self.retrained, s).accuracy) for s in JUDGED_SPLITS}
        described["attacks"] = {
            attack.name: {"auc": _range([r.auc for r in attack.run(self.retrained, seed=self.seed, intervals=False)])}
            for attack in self.attacks
        }
        described["attacks"]["loss"]["roc"] = roc_range(self.retrained)
        bands = self.bands_for(1)
        if bands is not None:
            found = list(bands.left_out)
            described["drift"] = {s: _range([f.drift[s] for f in found]) for s in JUDGED_SPLITS}
            if not math.isnan(found[0].m):
                described["memory"] = {"m": _range([f.m for f in found]), "w": _range([f.w for f in found])}
            described["profile"] = profile(found, self.retrained)
        if self.hidden is not None:
            described["inside"] = _inside(self.hidden)
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
            "inside": None
            if bands.hidden is None
            else {
                "probes": {layer: {"high": band.high} for layer, band in bands.hidden.probes.items()},
                "savings": {"low": bands.hidden.savings.low, "high": bands.hidden.savings.high},
                "kinship": {layer: {"high": band.high} for layer, band in bands.hidden.kinship.items()},
            },
        }


def _range(values: Sequence[float | None] | np.ndarray) -> dict[str, float] | None:
    """Mean, smallest and largest of several models' figures; None if any is missing."""
    known = [float(v) for v in values if v is not None]
    if len(known) < len(values) or not known:
        return None
    return {"mean": statistics.fmean(known), "low": min(known), "high": max(known)}


def _spread(values: Sequence[float] | np.ndarray) -> Any:
    """The figure of one model, or the range of several."""
    return float(values[0]) if len(values) == 1 else _range(values)


def _attacked(models: Observations, attacks: Sequence[Attack], *, seed: int) -> dict[str, Any]:
    """What every attack found, by name."""
    found: dict[str, Any] = {}
    for attack in attacks:
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
                "reason": next((r.reason for r in results if r.reason), None),
            }
    found["loss"]["roc"] = mean_roc(models)
    return found


def _inside(found: Sequence[Hidden]) -> dict[str, Any] | None:
    """M and W of each layer's readout, savings and kinship; None where no weights were at hand."""
    if not found:
        return None
    return {
        "probes": {
            layer: {
                "m": _spread([h.probes[layer][0] for h in found]),
                "w": _spread([h.probes[layer][1] for h in found]),
            }
            for layer in found[0].probes
        },
        "savings": _spread([h.savings for h in found]),
        "kinship": {layer: _spread([h.kinship[layer] for h in found]) for layer in found[0].kinship},
    }
