"""How many held-out retrained models leave a band, with intervals of W and T symmetrical and of their logarithms.

    python benchmarks/coverage.py    # after `sabotage.py observe`; writes results/sabotage/coverage.json, trains nothing

Each retrained model of a set is held out once, and judged by N others. This is what the rule's second version was argued from:
no method and no original is looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from sabotage import RESULTS, Set, counts_of, gathered
from scipy import stats

from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.measures import (
    Band,
    Figures,
    Hidden,
    Reference,
    figures,
    hidden,
    hidden_left_out,
    left_out,
    prediction_band,
    upper_band,
)
from ebbing.seen import Seen
from ebbing.verdict import JOINT_LEVEL, TESTS, UTILITY_MARGIN

REFERENCES = (16, 32)


def named(found: Figures, inner: Hidden) -> dict[str, float]:
    """Every figure that has a band, by name."""
    return {
        "M": found.m,
        "W": found.w,
        **{f"T on {split}": t for split, t in found.drift.items()},
        "holdout accuracy": found.holdout_accuracy,
        "savings": inner.savings,
        **{f"W of {layer}": w for layer, (_, w) in inner.probes.items()},
    }


def band(name: str, values: np.ndarray, *, level: float, logarithms: bool) -> Band:
    """The band of a figure."""
    if name in ("M", "savings"):
        return prediction_band(values, level=level)
    if name == "holdout accuracy":
        found = prediction_band(values, level=level, side="low")
        return Band(min(found.low, found.mean - UTILITY_MARGIN), found.high, found.mean)
    return upper_band(values, level=level) if logarithms else prediction_band(values, level=level, side="high")


def held_out(retrained: Seen, n: int) -> dict[str, Any]:
    """Who leaves which band, and how skewed each figure is."""
    total = retrained.answers.n_models
    left: dict[str, Counter[str]] = {"symmetrical": Counter(), "logarithms": Counter()}
    seen: dict[str, list[float]] = {}
    for judged in range(total):
        order = np.random.default_rng([judged, n, 77]).permutation(total).tolist()
        others = retrained[[i for i in order if i != judged][:n]]
        reference = Reference(others.answers)
        one = retrained[[judged]]
        own = named(figures(one.answers, reference), hidden(one.inside, others.inside, concept=False))
        spread = [
            named(f, h) for f, h in zip(left_out(reference), hidden_left_out(others.inside, concept=False), strict=True)
        ]
        level = 1 - (1 - JOINT_LEVEL) / len(own)
        for name, value in own.items():
            seen.setdefault(name, []).append(value)
        for kind, counts in left.items():
            values = {name: np.array([s[name] for s in spread]) for name in own}
            outside = [
                name
                for name, value in own.items()
                if value not in band(name, values[name], level=level, logarithms=kind == "logarithms")
            ]
            counts.update([*outside, *(["any"] if outside else [])])
    return {
        "held out": total,
        "expected to leave a band": (1 - JOINT_LEVEL) * total,
        "left": {kind: dict(counts) for kind, counts in left.items()},
        "skewness": {name: float(stats.skew(values)) for name, values in seen.items()},
    }


def main() -> None:
    """Both sets."""
    found: dict[str, Any] = {}
    for name in ("mislabelled", "memorised"):
        retrained = gathered(Set(name), "retrained", counts_of(name)[1])
        found[name] = {str(n): held_out(retrained, n) for n in REFERENCES}
        print(name, json.dumps(found[name], indent=1), flush=True)
    data = {"joint level": JOINT_LEVEL, "tests on answers": TESTS, "found": found, "machine": describe()}
    write_text(RESULTS / "coverage.json", json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
