"""A report as report.json holds it, with figures like those of mislabelled digits."""

from statistics import NormalDist
from typing import Any

OUTCOMES = (
    "under-forgotten",
    "over-forgotten",
    "damaged",
    "no-memory-found",
    "consistent-with-retraining",
    "no-measurable-trace",
    "inconclusive",
)


def spread(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def profile(shift: float, sd: float) -> dict[str, list[float]]:
    def quantiles(mean: float, sd: float) -> list[float]:
        normal = NormalDist(mean, sd)
        return [normal.inv_cdf(min(max(q / 20, 0.005), 0.995)) for q in range(21)]

    return {"z_forget": quantiles(shift, sd), "z_matched": quantiles(0.0, 1.0)}


def attack(auc: float) -> dict[str, Any]:
    return {
        "auc": auc,
        "low": auc - 0.04,
        "high": auc + 0.04,
        "tpr_at_1pct_fpr": max(0.01, auc - 0.5),
        "accuracy": auc,
        "reason": None,
    }


def inside(w: float, kinship: float) -> dict[str, Any]:
    return {
        "probes": {"fc1": {"m": w - 0.05, "w": w}, "fc2": {"m": 2 * w - 0.05, "w": 2 * w}},
        "savings": w,
        "kinship": {"fc1": kinship, "fc2": kinship - 0.02},
    }


def history(turns: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for turn in range(turns):
        for epoch in range(3):
            after = 0.9**turn * 0.2**epoch
            accuracy = {"forget": 0.9 * after, "retain": 0.99 - 0.05 * epoch}
            entry = {"turn": turn, "bout": "unlearning", "epoch": epoch, "accuracy": accuracy}
            entries.append({**entry, "validation_auc": 0.5 + 0.3 * after})
        for epoch in range(2):
            accuracy = {"forget": 0.05 + 0.04 * epoch, "retain": 0.95 + 0.02 * epoch}
            entry = {"turn": turn, "bout": "learning", "epoch": epoch, "accuracy": accuracy}
            entries.append({**entry, "validation_auc": None})
    return entries


def method(m: float, outcome: str, reason: str, *, cost: float | None = 0.1, **more: Any) -> dict[str, Any]:
    ratio = {
        "seconds": None if cost is None else 41.2 * cost,
        "ratio_to_retraining": cost,
        "examples_ratio": cost,
    }
    return {
        "verdict": {"outcome": outcome, "reason": reason},
        "control": False,
        "summary": "Decays the units tied to the forget set, then trains on what stays.",
        "accuracy": {"forget": 0.02 + 0.09 * max(m, 0), "retain": 0.992, "holdout": 0.984},
        "attacks": {"loss": attack(min(0.97, 0.5 + 0.06 * abs(m))), "confidence": attack(0.53)},
        "tow": 0.97 - 0.05 * abs(m),
        "memory": {"m": m, "w": max(abs(m), 0.21), "low": m - 0.12, "high": m + 0.12},
        "drift": {"forget": 2.2, "retain": 1.7, "holdout": 1.92},
        "removed": 1 - m / 7.34,
        "cost": ratio,
        "notes": [],
        "settings": {"tau": 0.5, "epochs": 4, "layers": ["fc1", "fc2"], "anchor": "re-initialisation"},
        "history": [],
        "profile": profile(m, 1.3),
        "inside": inside(0.2 + abs(m), min(1.0, 0.1 + abs(m) / 7)),
        **more,
    }


def sample_methods() -> dict[str, Any]:
    above = "Memory M 6.79 lies above the band [-0.16, 0.18]."
    return {
        "do-nothing": method(7.34, "under-forgotten", "Memory M 7.34 lies above the band.", cost=None, control=True),
        "fresh-network": method(
            -0.26, "over-forgotten", "Memory M -0.26 lies below the band.", control=True, drift=None
        ),
        "scrub": method(6.79, "under-forgotten", above),
        "fine-tune": method(1.72, "under-forgotten", "Memory M 1.72 lies above the band.", cost=0.03),
        "neggrad+": method(
            0.99,
            "damaged",
            "Holdout accuracy 84.1 % lies below the band's 95.9 %.",
            cost=0.08,
            accuracy={"forget": 0.11, "retain": 0.902, "holdout": 0.841},
        ),
        "forgetting-network": method(
            0.27,
            "inconclusive",
            "The six models disagree: three lie inside the band and three above it.",
            cost=0.12,
            history=history(4),
        ),
        "ebb": method(
            0.03,
            "no-memory-found",
            "Memory M 0.03 and W 0.19 lie inside the band; drift 2.20 on the forget set lies outside.",
            notes=["One unit group follows a normalisation and was left alone."],
            accuracy={
                "forget": spread(0.021, 0.01),
                "retain": spread(0.99, 0.004),
                "holdout": spread(0.984, 0.006),
            },
            drift={"forget": spread(2.2, 0.1), "retain": 1.7, "holdout": spread(1.9, 0.1)},
            memory={"m": spread(0.03, 0.1), "w": spread(0.19, 0.05), "low": None, "high": None},
            attacks={"loss": {**attack(0.51), "auc": spread(0.51, 0.02)}},
            history=history(2),
        ),
    }


def sample_report() -> dict[str, Any]:
    return {
        "schema": "ebbing.report/1",
        "request": {
            "kind": "records",
            "forget": 65,
            "retain": 1232,
            "holdout": 250,
            "matched": 65,
            "fingerprint": "9f2c41d07ab3",
            "description": "Mislabelled digits: forget 65 of 1,297 training records",
        },
        "original": {
            "accuracy": {"forget": 0.908, "retain": 0.993, "holdout": 0.970},
            "memory": {"m": 7.34, "w": 7.34, "low": 7.02, "high": 7.66},
            "drift": {"forget": 7.75, "retain": 4.1, "holdout": 4.80},
            "attacks": {"loss": attack(0.93), "confidence": attack(0.71)},
            "profile": profile(7.3, 2.4),
            "inside": inside(7.5, 1.0),
        },
        "oracles": {
            "count": 16,
            "accuracy": {
                "forget": spread(0.012, 0.008),
                "retain": spread(1.0, 0.0),
                "holdout": {"mean": 0.985, "low": 0.959, "high": 0.991},
            },
            "memory": {"m": spread(0.01, 0.17), "w": spread(0.21, 0.08)},
            "drift": {"forget": spread(0.86, 0.2), "retain": spread(0.9, 0.2), "holdout": spread(0.85, 0.2)},
            "attacks": {"loss": {"auc": spread(0.5, 0.05)}},
            "seconds": 41.2,
            "seconds_each": [41.0, 41.4],
            "profile": profile(0.0, 1.0),
            "inside": {
                "probes": {layer: {"m": spread(0.0, 0.3), "w": spread(0.3, 0.1)} for layer in ("fc1", "fc2")},
                "savings": spread(0.2, 0.3),
                "kinship": {"fc1": spread(0.05, 0.2), "fc2": spread(0.04, 0.2)},
            },
        },
        "bands": {
            "memory": {"low": -0.16, "high": 0.18},
            "w": {"high": 0.29},
            "drift": {"forget": {"high": 1.06}, "retain": {"high": 1.1}, "holdout": {"high": 1.05}},
            "holdout_accuracy": {"low": 0.959},
            "smallest_detectable_m": 0.31,
            "inside": {
                "probes": {"fc1": {"high": 0.55}, "fc2": {"high": 0.57}},
                "savings": {"low": -0.4, "high": 0.9},
                "kinship": {"fc1": {"high": 0.31}, "fc2": {"high": 0.29}},
            },
        },
        "methods": sample_methods(),
        "provenance": {
            "ebbing": "0.1.0",
            "torch": "2.6.0",
            "python": "3.12.4",
            "platform": "Linux x86_64",
            "device": "cpu",
            "threads": 1,
            "seeds": [0, 1, 2, 3, 4, 5],
            "command": "ebbing audit --dataset digits --methods ebb,scrub --oracles 16",
            "started": "2025-01-31T12:00:00Z",
        },
        "rule": {
            "text": "A method has no memory found when M and W lie inside the bands at 95 %, and is "
            "consistent with retraining when drift and holdout accuracy do too.",
            "level": 0.95,
        },
    }


def bare_report() -> dict[str, Any]:
    """Everything that may be null is null."""
    nothing = {"accuracy": None, "memory": None, "drift": None, "profile": None}
    reason = "no matched unseen examples: the holdout was not drawn as the forget set was"
    blind = {"loss": {**dict.fromkeys(("auc", "low", "high", "tpr_at_1pct_fpr", "accuracy")), "reason": reason}}
    ebb = {
        **nothing,
        "verdict": {"outcome": "inconclusive", "reason": "no retrained model to compare with"},
        "control": False,
        "summary": None,
        "attacks": blind,
        "tow": None,
        "removed": None,
        "cost": {"seconds": None, "ratio_to_retraining": None, "examples_ratio": None},
        "notes": [],
        "settings": {},
        "history": [],
    }
    counts = {"kind": "records", "forget": 65, "retain": 1232, "holdout": 250, "matched": None}
    return {
        "schema": "ebbing.report/1",
        "request": {**counts, "fingerprint": "9f2c", "description": None},
        "original": {**nothing, "attacks": blind},
        "oracles": {**nothing, "count": 0, "attacks": {}, "seconds": None, "seconds_each": None},
        "bands": None,
        "methods": {"ebb": ebb},
        "provenance": {},
        "rule": None,
    }
