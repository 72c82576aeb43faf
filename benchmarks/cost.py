"""Seconds of `Ebb`, everything it computes included, over seconds of one retraining: in pairs, one after the other.

    python benchmarks/cost.py random --pairs 3
    python benchmarks/cost.py class --pairs 5

Run it while the machine does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import problems
import torch

from ebbing.allocator import keep_freed_memory
from ebbing.files import write_text
from ebbing.machine import describe


def main() -> None:
    """Time the pairs and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", choices=["random", "class", "canaries"])
    parser.add_argument("--dataset", choices=["mnist", "fashion-mnist"], default="mnist")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    request, trainer = problems.problem(options.cell, options.dataset, options.data_dir)
    method = problems.plain(trainer.recipe)
    retraining, unlearning = [], []
    for pair in range(options.pairs):
        start = time.perf_counter()
        model = trainer(request.retain, seed=1000 + pair)  # stands in for an original: only the time counts
        middle = time.perf_counter()
        method.unlearn(model, request, seed=pair)
        retraining.append(middle - start)
        unlearning.append(time.perf_counter() - middle)
        print(f"{retraining[-1]:.1f} s, {unlearning[-1]:.1f} s: {unlearning[-1] / retraining[-1]:.3f}", flush=True)
    ratio = statistics.median(u / r for u, r in zip(unlearning, retraining, strict=True))
    facts = {
        "cell": options.cell,
        "dataset": options.dataset,
        "seed": 0,
        "retraining_seconds": retraining,
        "ebb_seconds": unlearning,
        "ratio": ratio,
        "provenance": describe() | {"threads": options.threads},
    }
    path = Path(__file__).parent.parent / "results" / "cost" / f"{options.cell}-{options.dataset}.json"
    write_text(path, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
