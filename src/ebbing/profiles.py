"""Figures that are drawn: quantiles of margins and of z over the records, and the curve of an attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ebbing.attacks.attack import MIN_RECORDS, tpr_at_fpr
from ebbing.measures import Figures
from ebbing.observations import Observations

QUANTILES = np.linspace(0, 1, 21)
SHOWN = 201  # records whose z is drawn one by one
RATES = np.geomspace(1e-3, 1.0, 31)  # false positive rates


def profile(found: Sequence[Figures], models: Observations | None) -> dict[str, Any] | None:
    """Quantiles of z after the map and of the margins, pooled over models, and the mean z of records in order."""
    if models is None:
        return None
    matched = [f.z_matched for f in found if f.z_matched is not None]
    return {
        "z_forget": _quantiles(np.concatenate([f.z_forget for f in found])) if found else None,
        "z_matched": _quantiles(np.concatenate(matched)) if matched else None,
        "z_sorted": _in_order(np.mean([f.z_forget for f in found], axis=0)) if found else None,
        "margin_forget": _quantiles(models.forget.margin),
        "margin_matched": None if models.matched is None else _quantiles(models.matched.margin),
    }


def _quantiles(values: np.ndarray) -> list[float]:
    found: list[float] = np.quantile(values, QUANTILES).tolist()
    return found


def _in_order(values: np.ndarray) -> list[float]:
    """Ascending, at most `SHOWN` of them evenly spaced, the smallest and the largest among them."""
    ordered = np.sort(values)
    chosen = np.unique(np.linspace(0, len(ordered) - 1, min(SHOWN, len(ordered))).round().astype(int))
    found: list[float] = ordered[chosen].tolist()
    return found


def roc(models: Observations) -> dict[str, list[Any]] | None:
    """The attack on the loss: true positive rates at false positive rates from .001 to 1, a row for each model.

    None without matched records, or with fewer than 20 of either kind.
    """
    if models.matched is None or min(models.forget.n_examples, models.matched.n_examples) < MIN_RECORDS:
        return None
    pairs = zip(models.forget.margin, models.matched.margin, strict=True)
    rates = [[tpr_at_fpr(members, others, float(rate)) for rate in RATES] for members, others in pairs]
    return {"fpr": RATES.tolist(), "tpr": rates}


def mean_roc(models: Observations) -> dict[str, list[float]] | None:
    """The curve of `roc`, its mean over the models."""
    found = roc(models)
    return None if found is None else {"fpr": found["fpr"], "tpr": np.mean(found["tpr"], axis=0).tolist()}


def roc_range(models: Observations) -> Mapping[str, Any] | None:
    """The curve of `roc` as mean, lowest and highest over the models."""
    found = roc(models)
    if found is None:
        return None
    rows = np.array(found["tpr"])
    ends = {"mean": rows.mean(axis=0), "low": rows.min(axis=0), "high": rows.max(axis=0)}
    return {"fpr": found["fpr"], "tpr": {name: row.tolist() for name, row in ends.items()}}
