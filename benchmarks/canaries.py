"""Wrong labels that are no longer predicted, and how far they still stand from where retraining leaves them.

    python benchmarks/canaries.py    # writes results/sabotage/canaries.json; resumable, shares what `sabotage.py observe` made

Distances are of margins, in standard deviations of the references, record by record, as the models answer: without the map
that M is taken after.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np
import torch
from sabotage import RESULTS, Set, gathered, observe_one, request_of

from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.pool import compute
from ebbing.seen import Seen

RETRAINED, REFERENCES = 40, 32
ROLES = ("original", "until-unpredicted", "just-unpredicted")
FAR = 8.0


def distances(seen: Seen, references: Seen) -> np.ndarray:
    """(n_examples,) (margin - mean of the references') / their standard deviation, on the forget set."""
    others = references.answers.forget.margin.astype(float)
    found: np.ndarray = (seen.answers.forget.margin[0] - others.mean(0)) / others.std(0, ddof=1)
    return found


def main() -> None:
    """Make, see, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--originals", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    work = Set("mislabelled", request_of("mislabelled"))
    items = [("retrained", i) for i in range(RETRAINED)]
    items += [(role, i) for i in range(options.originals) for role in ROLES]
    left = [item for item in items if not work.path(item).exists()]
    for done, (item, took) in enumerate(compute(observe_one, work, left, workers=options.workers), start=1):
        print(f"{item[0]} {item[1]}, {took:.0f} s, {done} of {len(left)}", flush=True)
    retrained = gathered(work, "retrained", RETRAINED)
    models = {role: gathered(work, role, options.originals) for role in ROLES}
    outcomes: dict[str, Counter[str]] = {role: Counter() for role in ROLES}
    figures: dict[str, list[float]] = {role: [] for role in ROLES}
    spread: dict[str, list[np.ndarray]] = {role: [] for role in ROLES}
    for draw in range(options.originals):
        references = retrained[np.random.default_rng([draw, 5]).permutation(RETRAINED)[:REFERENCES].tolist()]
        court = Judge(models["original"][[draw]], references, concept=False, seed=0)
        for role in ROLES:
            after = models[role][[draw]]
            outcomes[role][court.verdict(after).outcome] += 1
            figures[role].append(court.figures(after)[0].m)
            spread[role].append(distances(after, references)[~after.answers.forget.correct[0]])
    found: dict[str, Any] = {}
    for role in ROLES:
        z = np.concatenate(spread[role])
        found[role] = {
            "outcomes": dict(outcomes[role]),
            "M": float(np.mean(figures[role])),
            "predicted as labelled": float(models[role].answers.forget.accuracy.mean()),
            "no longer predicted": {
                "canaries": int(z.size),
                "mean distance": float(z.mean()),
                "farthest": float(z.max()),
                f"at least {FAR:.0f}": float((z >= FAR).mean()),
            },
        }
    data = {
        "records": len(work.request.forget),
        "references": REFERENCES,
        "retrained": RETRAINED,
        "draws": options.originals,
        "found": found,
        "machine": describe(),
    }
    write_text(RESULTS / "canaries.json", json.dumps(data, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
