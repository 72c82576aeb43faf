"""A report as report.json holds it, with figures like those of mislabelled digits."""

from hashlib import md5
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


def digest(word: str) -> str:
    return md5(word.encode(), usedforsecurity=False).hexdigest()


def profile(shift: float, sd: float) -> dict[str, list[float]]:
    def quantiles(mean: float, sd: float, n: int = 21) -> list[float]:
        normal = NormalDist(mean, sd)
        return [normal.inv_cdf(min(max(q / (n - 1), 0.005), 0.995)) for q in range(n)]

    return {
        "z_forget": quantiles(shift, sd),
        "z_matched": quantiles(0.0, 1.0),
        "margin_forget": quantiles(1.4 * shift - 5, 2.0),
        "margin_matched": quantiles(-5.0, 2.2),
        "z_sorted": quantiles(shift, sd, 65),
    }


RATES = [10 ** (-3 + i / 10) for i in range(31)]


def tpr(auc: float) -> list[float]:
    """The curve of two normals with that area."""
    normal = NormalDist()
    apart = 2**0.5 * normal.inv_cdf(min(max(auc, 0.02), 0.98))
    return [normal.cdf(apart + normal.inv_cdf(rate)) if rate < 1 else 1.0 for rate in RATES]


def roc(auc: float) -> dict[str, list[float]]:
    return {"fpr": RATES, "tpr": tpr(auc)}


def measure(
    name: str, split: str | None, value: Any, floor: float | None, protocol: str, **more: Any
) -> dict[str, Any]:
    known = isinstance(value, float)
    return {
        "name": name,
        "split": split,
        "value": value,
        "low": 0.9 * value if known else None,
        "high": 1.1 * value if known else None,
        "p95": None,
        "floor": None if floor is None else {**spread(floor, 0.3 * floor), "n_unlearned": 1, "n_retrained": 15},
        "protocol": protocol,
        "reason": None,
        **more,
    }


def measures(m: float) -> dict[str, Any]:
    klom = "KL of Gaussians fitted to the margins of each record, unlearned against retrained, in nats, averaged over records"
    lira = "likelihood ratio of the record's margin under unlearned and under retrained models; balanced accuracy"
    planted = "share of planted inputs whose noise the gradient still shows"
    few = "not applicable: needs at least two judged models, and there is one"
    far = abs(m)
    found = [
        measure(
            "average gap", None, 0.002 + 0.04 * far, 0.006, "distance of four rates to the retrained models' average"
        ),
        *(measure("KLoM", s, 0.08 + far, 0.067, klom, p95=0.3 + 2 * far) for s in ("forget", "retain", "holdout")),
        measure("U-LiRA, efficacy", "forget", None, None, lira, reason=few),
        measure("U-LiRA, privacy", "forget", None, None, lira, reason=few),
        measure(
            "made riskier",
            "retain",
            0.012 + 0.001 * far,
            0.009,
            "share of retained records easier to attack than before",
        ),
        measure(
            "Gaussian canaries", None, None, None, planted, reason="not applicable: nothing was planted before training"
        ),
        measure(
            "agreement",
            "holdout",
            spread(0.981, 0.004),
            0.985,
            "share of records with the retrained models' prediction",
        ),
    ]
    keys = ("average-gap", "klom/forget", "klom/retain", "klom/holdout", "u-lira/efficacy", "u-lira/privacy", "riskier")
    return dict(zip((*keys, "canaries/gaussian", "agreement/holdout"), found, strict=True))


def technical() -> dict[str, Any]:
    moved = [[90.0 if i == j else float((i + 2 * j) % 3) for j in range(10)] for i in range(10)]
    return {
        "factors": {
            "conv1": [0.2 + 0.05 * i for i in range(16)],
            "fc1": [min(1.0, 0.01 * 1.05**i) for i in range(128)],
        },
        "cka": {
            "conv1": {"value": 0.97, "floor": spread(0.96, 0.02)},
            "fc1": {"value": spread(0.71, 0.05), "floor": None},
        },
        "predictions": {
            "classes": 10,
            "original_to_after": moved,
            "after_to_retrained": [[n / 16 + 0.25 for n in row] for row in moved],
        },
    }


def attack(auc: float) -> dict[str, Any]:
    return {
        "auc": auc,
        "low": auc - 0.04,
        "high": auc + 0.04,
        "tpr_at_1pct_fpr": max(0.01, auc - 0.5),
        "accuracy": auc,
        "reason": None,
    }


def loss_attack(auc: float) -> dict[str, Any]:
    return {**attack(auc), "roc": roc(auc)}


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
        "attacks": {"loss": loss_attack(min(0.97, 0.5 + 0.06 * abs(m))), "confidence": attack(0.53)},
        "measures": measures(m),
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
            attacks={"loss": {**loss_attack(0.51), "auc": spread(0.51, 0.02)}},
            history=history(2),
        ),
    }


def sample_report() -> dict[str, Any]:
    """Seven methods, two of them controls."""
    methods = sample_methods()
    tprs = {"mean": tpr(0.5), "low": tpr(0.45), "high": tpr(0.55)}
    return {
        "schema": "ebbing.report/1",
        "models": {"original": [digest("original")], "methods": {name: [digest(name)] for name in methods}},
        "measures": {"level": "standard", "seconds": 12.34},
        "examples": None,
        "request": {
            "kind": "mislabelled",
            "forget": 65,
            "retain": 1232,
            "holdout": 250,
            "matched": 65,
            "concept": False,
            "fingerprint": digest("request"),
            "received": "2026-01-12",
            "description": "Mislabelled digits: forget 65 of 1,297 training records",
        },
        "original": {
            "accuracy": {"forget": 0.908, "retain": 0.993, "holdout": 0.970},
            "memory": {"m": 7.34, "w": 7.34, "low": 7.02, "high": 7.66},
            "drift": {"forget": 7.75, "retain": 4.1, "holdout": 4.80},
            "attacks": {"loss": loss_attack(0.93), "confidence": attack(0.71)},
            "tow": 0.1,
            "measures": measures(7.34),
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
            "attacks": {
                "loss": {"auc": spread(0.5, 0.05), "roc": {"fpr": RATES, "tpr": tprs}},
                "confidence": {"auc": None},
            },
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
        "methods": methods,
        "provenance": {
            "ebbing": "0.1.0",
            "torch": "2.6.0",
            "python": "3.12.4",
            "platform": "Linux x86_64",
            "device": "cpu",
            "threads": 1,
            "seeds": [0, 1, 2, 3, 4, 5],
            "command": "ebbing audit --dataset digits --methods ebb,scrub --oracles 16",
            "date": "2026-01-31T12:00:00+00:00",
            "recipe": {"type": "Recipe", "epochs": 40, "optimizer": "adam", "learning_rate": 0.001},
        },
        "rule": {
            "text": "A method has no memory found when M and W lie inside the bands at 95 %, and is "
            "consistent with retraining when drift and holdout accuracy do too.",
        },
    }


def bare_report() -> dict[str, Any]:
    """Everything that may be null is null."""
    nothing = {"accuracy": None, "memory": None, "drift": None, "profile": None, "inside": None}
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
        "settings": None,
        "history": [],
        "measures": None,
        "technical": None,
    }
    counts = {"kind": "records", "forget": 65, "retain": 1232, "holdout": 250, "matched": None, "concept": False}
    return {
        "schema": "ebbing.report/1",
        "request": {**counts, "fingerprint": None, "description": None, "received": None},
        "models": None,
        "measures": None,
        "examples": None,
        "original": {**nothing, "attacks": blind, "tow": None, "measures": None},
        "oracles": {**nothing, "count": 0, "attacks": {}, "seconds": None, "seconds_each": None},
        "bands": None,
        "methods": {"ebb": ebb},
        "provenance": {},
        "rule": None,
    }


def lone_report(name: str = "ebb", *, technical_too: bool = True) -> dict[str, Any]:
    """One method to sign for and one control, as most requests have it; with the appendix."""
    report = sample_report()
    keep = ("do-nothing", name)
    report["methods"] = {kept: report["methods"][kept] for kept in keep}
    report["models"]["methods"] = {kept: report["models"]["methods"][kept] for kept in keep}
    report["methods"][name]["technical"] = technical() if technical_too else None
    return report


PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def shown_examples(count: int = 3) -> dict[str, Any]:
    images = [{"uri": PNG, "label": str(i % 10), "position": 17 * i} for i in range(count)]
    return {"note": "Every record was relabelled before training.", "images": images}
