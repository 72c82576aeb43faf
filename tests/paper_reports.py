"""Small reports with round figures, so that what tables show can be computed by hand."""

from __future__ import annotations

from typing import Any

MIA = "support vector machine on the label's probability; share of the forget set called non-member"
NAMES = ("do-nothing", "ebb", "fnn_50%")


def measure(
    name: str, value: Any, floor: float | None = None, *, split: str | None = None, **more: Any
) -> dict[str, Any]:
    spread = None
    if floor is not None:
        spread = {"mean": floor, "low": floor - 0.01, "high": floor + 0.01, "n_unlearned": 8, "n_retrained": 24}
    known = {"low": None, "high": None, "p95": None, "protocol": f"protocol of {name}", "reason": None}
    return {"name": name, "split": split, "value": value, "floor": spread, **known, **more}


def subject(forget: Any, retain: float, holdout: float, mia: float | None, **more: Any) -> dict[str, Any]:
    attack = {"auc": 0.6, "low": 0.5, "high": 0.7, "tpr_at_1pct_fpr": 0.02, "accuracy": None, "reason": None}
    block = {
        "accuracy": {"forget": forget, "retain": retain, "holdout": holdout},
        "memory": {"m": 1.5, "w": 1.6, "low": 1.0, "high": 2.0},
        "drift": {"forget": 2.0, "retain": 1.0, "holdout": 1.0},
        "attacks": {"loss": attack, "loss-logistic": {**attack, "accuracy": 0.55}},
        "tow": 0.8,
        "inside": {"probes": {"fc1": {"m": 0.5, "w": 0.6}}, "savings": 0.1, "kinship": {"fc1": 0.2}},
    }
    if mia is not None:
        block["measures"] = {
            "salun-mia": measure("salun-mia", mia, 0.2, protocol=MIA),
            "tow": measure("tow", 0.8, 0.98),
            "tow-mia": measure("tow-mia", 0.7, 0.97),
            **{
                f"klom/{split}": measure(
                    "klom", value, 0.5, split=split, p95=3 * value, low=value - 0.1, high=value + 0.1
                )
                for split, value in (("forget", 4.0), ("retain", 1.0), ("holdout", 2.0))
            },
        }
    return block | more


def method(block: dict[str, Any], seconds: float | None, kind: str, *, control: bool = False) -> dict[str, Any]:
    cost = {"seconds": seconds, "ratio_to_retraining": None, "examples_ratio": None}
    verdict = {"outcome": "inconclusive", "reason": "made up"}
    return {**block, "verdict": verdict, "control": control, "removed": None, "cost": cost, "settings": {"type": kind}}


def run(*, seed: int = 0, shift: float = 0.0, mia: bool = True, drawn: bool = True) -> dict[str, Any]:
    """Retrained UA 90, RA 99, TA 95, MIA 20; ebb UA 80, RA 98, TA 94, MIA 26, each accuracy moved by ``shift``."""

    def figure(value: float) -> float | None:
        return value if mia else None

    return {
        "schema": "ebbing.report/1",
        "request": {
            **{"kind": "mislabelled" if drawn else "ids", "description": "65 records with 5 % wrong labels"},
            **{"forget": 65, "retain": 1232, "holdout": 400, "matched": 65, "concept": False},
            "fingerprint": f"{seed:032x}",
        },
        "original": subject(0.9, 0.97, 0.93, figure(0.02)),
        "oracles": {
            "count": 32,
            "accuracy": {
                "forget": {"mean": 0.1, "low": 0.05, "high": 0.15},
                "retain": {"mean": 0.99, "low": 0.98, "high": 1.0},
                "holdout": {"mean": 0.95, "low": 0.94, "high": 0.96},
            },
            "attacks": {"loss": {"auc": {"mean": 0.5, "low": 0.45, "high": 0.55}}},
            "memory": {"m": {"mean": 0.0, "low": -0.2, "high": 0.2}, "w": {"mean": 0.2, "low": 0.1, "high": 0.3}},
            "drift": None,
            "seconds": 50.0,
        },
        "bands": None,
        "methods": {
            "do-nothing": method(subject(0.9, 0.97, 0.93, figure(0.02)), 0.0, "DoNothing", control=True),
            "ebb": method(subject(0.2 - shift, 0.98 + shift, 0.94 + shift, figure(0.26 + shift)), 5.0 + seed, "Ebb"),
            "fnn_50%": method(subject(0.1, 0.99, 0.95, figure(0.2)), 10.0, "ForgettingNetwork"),
        },
        "provenance": {"ebbing": "0.1.0", "dataset": "digits", "model": "digits-mlp", "seeds": {"original": seed}},
    }
