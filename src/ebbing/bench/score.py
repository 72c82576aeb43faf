"""The figures of the leaderboard: some unlearned models against retrained ones, and what chance alone gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ebbing.evidence import Judge
from ebbing.measures import (
    Figures,
    floor_of,
    klom_gaussian,
    mean_interval,
    standardised_margin_gap,
    tug_of_war,
    u_lira_efficacy,
)
from ebbing.observations import Observations
from ebbing.seen import Seen

SPLITS = ("forget", "retain", "holdout")


def score(judge: Judge, after: Seen, *, looked_into: Seen) -> dict[str, Any]:
    """What the leaderboard shows of one method's models.

    Figures of one model are given as the mean over models with its 95 % t interval; those that need several are taken of all
    at once.

    Args:
        judge: with the originals and the retrained models.
        after: one unlearned model for each original, in their order; only their answers are read.
        looked_into: the first of them, with what their layers keep; the verdicts are on these, and the M of the readouts on
            each layer's input.
    """
    models, retrained = after.answers, _retrained(judge)
    found = judge.figures(Seen(models))
    within = [f.hidden for f in judge.figures(looked_into) if f.hidden is not None]
    outcomes = Counter(judge.verdict(looked_into[[i]], original=i).outcome for i in range(looked_into.answers.n_models))
    accuracy = {s: getattr(retrained, s).accuracy.mean() for s in SPLITS}
    tow = [tug_of_war({s: float(getattr(models, s).accuracy[i]) for s in SPLITS}, accuracy) for i in range(len(found))]
    return {
        **figures_of_each(found, models),
        "tow": _mean(tow),
        "verdicts": dict(sorted(outcomes.items())),
        "looked_inside": looked_into.inside is not None and judge.inside is not None,
        "probes": {layer: _mean([h.probes[layer][0] for h in within]) for layer in within[0].probes}
        if within
        else None,
        **figures_of_all(models, retrained),
    }


def floors(judge: Judge, *, seed: int = 0) -> dict[str, Any]:
    """The same of retrained models: each left out once, or half of them drawn as if they were unlearned."""
    retrained, bands = _retrained(judge), judge.bands_for(1)
    if bands is None:
        raise ValueError("there are no bands without retrained models.")
    drawn = retrained.n_models // 2
    gap, klom = (
        {
            split: floor_of(measure, getattr(retrained, split).margin, n_unlearned=drawn, seed=seed).mean
            for split in SPLITS
        }
        for measure in (standardised_margin_gap, klom_gaussian)
    )
    return {
        **figures_of_each(list(bands.left_out), retrained),
        "margin_gap": gap,
        "klom_gaussian": {split: {"mean": value, "p95": None} for split, value in klom.items()},
        "half": drawn,
        "bands": judge.describe_bands(),
    }


def figures_of_each(found: Sequence[Figures], models: Observations) -> dict[str, Any]:
    """Means over models of what each has."""
    return {
        "models": len(found),
        "accuracy": {split: _mean(getattr(models, split).accuracy) for split in SPLITS},
        "memory": _mean([f.m for f in found]),
        "memory_abs": _mean([abs(f.m) for f in found]),
        "w": _mean([f.w for f in found]),
        "drift": {split: _mean([f.drift[split] for f in found]) for split in SPLITS},
    }


def figures_of_all(models: Observations, retrained: Observations) -> dict[str, Any]:
    """What several models are needed for.

    The gap and KLoM are of the first half of the models against the second half of the retrained ones: the floor can only be
    taken of halves, and depends on the counts.
    """
    gap, klom, half = {}, {}, retrained.n_models // 2
    for split in SPLITS:
        judged, reference = getattr(models, split).margin[:half], getattr(retrained, split).margin[half:]
        gap[split] = float(standardised_margin_gap(judged, reference).mean())
        if len(judged) > 1:
            values = klom_gaussian(judged, reference)
            klom[split] = {"mean": float(values.mean()), "p95": float(np.quantile(values, 0.95))}
    attack = u_lira_efficacy(models.forget.margin, retrained.forget.margin) if models.n_models > 3 else None
    return {
        "margin_gap": gap,
        "klom_gaussian": klom or None,
        "u_lira_auc": None if attack is None else attack.auc,
    }


def _mean(values: Sequence[float] | np.ndarray) -> Mapping[str, float | None]:
    """Mean and 95 % interval; the ends are null for one value."""
    mean, low, high = (float(v) for v in mean_interval(np.asarray(values, dtype=np.float64)))
    return {"mean": mean} | ({"low": low, "high": high} if np.isfinite(low) else {"low": None, "high": None})


def _retrained(judge: Judge) -> Observations:
    if judge.retrained is None:
        raise ValueError("nothing is scored without retrained models.")
    return judge.retrained
