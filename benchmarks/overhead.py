"""What decay costs beside the repair: seconds of `Ebb` over seconds of `FineTune` with the same repair, in pairs.

    python benchmarks/overhead.py --out results/overhead.json

MNIST, 10,000 images, 5 % wrong labels, `paper_cnn`, 30 epochs, a budget of 10 %; one thread. ``ebb`` is the default,
``ebb-ranked`` goes by ranks of the activation ratio in every layer that decays, ``ebb-ranked-1000`` by the same of 1,000
records of the retain set. The weights are those of an untrained network:
only the time counts, so that decay is made to take place whatever is memorised.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import problems
import torch

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.methods import Unlearner
from ebbing.rankings import ActivationRatio, Ranking
from ebbing.rates import RankedRate
from ebbing.training import seeded

BUDGET = 0.1


def main() -> None:
    """Time the pairs and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    request, trainer = problems.problem("canaries", "mnist", options.data_dir)
    with seeded(0):
        model = trainer.build()
    methods = compared(trainer.recipe, request)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for pair in range(-1, options.pairs):  # the first round warms up
        for name, method in methods.items():
            start = time.perf_counter()
            method.unlearn(model, request, seed=pair + 1)
            if pair >= 0:
                seconds[name].append(time.perf_counter() - start)
        print({name: round(found[-1], 2) for name, found in seconds.items() if found}, flush=True)
    plain = seconds["fine-tune"]
    ratios = {
        name: statistics.median(own / other for own, other in zip(found, plain, strict=True))
        for name, found in seconds.items()
    }
    print(ratios)
    if options.out:
        facts = describe(f"python benchmarks/overhead.py --pairs {options.pairs} --out results/overhead.json") | {
            "threads": 1
        }
        figures = {"budget": BUDGET, "seconds": seconds, "ratio": ratios, "provenance": facts}
        write_text(options.out, json.dumps(figures, indent=1) + "\n")


def compared(recipe: eb.Recipe, request: eb.ForgetRequest) -> dict[str, Unlearner]:
    """Decay and no decay, with repairs of the same length."""
    ours = eb.Ebb(training=recipe, budget=BUDGET, by_memory=False)
    steps = ours.repair_of(request)
    fixed = replace(ours, repair=steps, peak=None, training=None)
    return {
        "fine-tune": eb.FineTune(repair=steps),
        "ebb": fixed,
        "ebb-ranked": ranked(fixed, ActivationRatio()),
        "ebb-ranked-1000": ranked(fixed, ActivationRatio(retain_records=1000)),
    }


def ranked(method: eb.Ebb, ranking: Ranking) -> eb.Ebb:
    """The same decay on average, by ranks."""
    return replace(method, linear=RankedRate(ranking, 0.125, 2.0), conv=RankedRate(ranking, 1.5, 24.0))


if __name__ == "__main__":
    main()
