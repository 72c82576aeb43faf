"""What a specialist looks at: how alike layers are to retrained models', and which classes records went to."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ebbing.batches import evenly
from ebbing.inside import features_of
from ebbing.measures import linear_cka
from ebbing.observations import Observations
from ebbing.request import ForgetRequest
from ebbing.task import Task

RECORDS = 1_000  # of the holdout
COMPARED = 8  # retrained models, and at most as many judged ones

Features = list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Representations:
    """What layers are given on unseen records, of some models: at most 8, the first.

    Attributes:
        features: a mapping from layer to (records, features) for each model.
    """

    features: Features

    @classmethod
    def of(
        cls, models: Sequence[nn.Module], request: ForgetRequest, *, task: Task, layers: Sequence[str]
    ) -> Representations | None:
        """Those of models that have the layers; None where one has not, or none are named."""
        chosen = list(models[:COMPARED])
        if not layers or not all(set(layers) <= {n for n, _ in model.named_modules()} for model in chosen):
            return None
        data = evenly(request.holdout, RECORDS)
        found = []
        for model in chosen:
            rows, _ = features_of(model, data, task=task, layers=layers)
            found.append({layer: values.numpy() for layer, values in rows.items()})
        return cls(found)


def likeness(judged: Representations, retrained: Representations) -> dict[str, dict[str, Any]]:
    """By layer the mean CKA to retrained models, and the floor: each of them to the others.

    The layer whose input is the raw record is left out: it is the same for every model.

    Returns:
        ``{layer: {"value": number or {mean, low, high}, "floor": {mean, low, high}}}``.
    """
    found = {}
    for layer in retrained.features[0]:
        others = [model[layer] for model in retrained.features]
        if all(np.array_equal(others[0], other) for other in others[1:]):
            continue
        values = [statistics.fmean(linear_cka(m[layer], other) for other in others) for m in judged.features]
        floor = [
            statistics.fmean(linear_cka(one, other) for j, other in enumerate(others) if j != i)
            for i, one in enumerate(others)
        ]
        found[layer] = {"value": values[0] if len(values) == 1 else _range(values), "floor": _range(floor)}
    return found


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "low": min(values), "high": max(values)}


def movements(before: Observations, after: Observations, retrained: Observations) -> dict[str, Any] | None:
    """Where the forgotten records are predicted before, after, and by retrained models; None where logits are missing.

    Returns:
        ``{"classes", "original_to_after", "after_to_retrained"}``: matrices of counts, rows the first named; the mean over
        pairs of models.
    """
    logits = [seen.forget.logits for seen in (before, after, retrained)]
    if any(rows is None for rows in logits):
        return None
    told = [rows.argmax(axis=2) for rows in logits if rows is not None]
    classes = max(rows.shape[2] for rows in logits if rows is not None)
    paired = list(zip(told[0], told[1], strict=True)) if len(told[0]) == len(told[1]) else [(told[0][0], told[1][0])]
    with_retrained = [(told[1][0], other) for other in told[2]]
    return {
        "classes": classes,
        "original_to_after": _counts(paired, classes),
        "after_to_retrained": _counts(with_retrained, classes),
    }


def _counts(pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: int) -> list[list[float]]:
    """(classes, classes) mean counts of how many records one says the row of and the other the column."""
    total = np.zeros((classes, classes))
    for one, other in pairs:
        np.add.at(total, (one, other), 1.0)
    counts: list[list[float]] = (total / len(pairs)).round(2).tolist()
    return counts


def technical_block(
    factors: Mapping[str, list[float]],
    judged: Representations | None,
    retrained: Representations | None,
    seen: tuple[Observations, Observations, Observations],
) -> dict[str, Any]:
    """The block of report.json.

    Args:
        factors: what a method left of each unit, see `ebbing.Journal`.
        judged: of the models after; None where layers are not the original's.
        retrained: of the retrained models.
        seen: answers of the models before, after, and retrained.
    """
    known = judged is not None and retrained is not None and len(retrained.features) > 1
    return {
        "factors": dict(factors) or None,
        "cka": likeness(judged, retrained) if known and judged is not None and retrained is not None else None,
        "predictions": movements(*seen),
    }
