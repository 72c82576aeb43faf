"""What a budget of examples takes in seconds: every method of the leaderboard over one retraining, in paired rounds.

    python benchmarks/seconds.py --out results/seconds.json

A task of the leaderboard, 10,000 images, a budget of 3 %; one thread, on a machine that does nothing else. In each round
retraining and all methods run one after the other, guards included. The weights are those of an untrained network: only the
time counts. A run that was stopped goes on with the next round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from ebbing.allocator import keep_freed_memory
from ebbing.batches import size
from ebbing.bench.methods import METHODS, within
from ebbing.bench.tasks import TASKS, request_of
from ebbing.files import write_text
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.training import seeded

TASK = "mnist10k-mislabelled5-cnn/v1"
BUDGET = 0.03


def main() -> None:
    """Time the rounds that are missing, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    facts = describe(f"python benchmarks/seconds.py --rounds {options.rounds} --out results/seconds.json") | {
        "threads": 1
    }
    rounds: list[dict[str, Any]] = []
    if options.out.exists():
        rounds = json.loads(options.out.read_text(encoding="utf-8"))["rounds"]
    while len(rounds) < options.rounds:
        rounds.append(one_round(len(rounds), options.data_dir))
        found = {"task": TASK, "budget": BUDGET, "rounds": rounds, "table": table(rounds), "provenance": facts}
        write_text(options.out, json.dumps(found, indent=1) + "\n")


def one_round(number: int, data_dir: Path | None) -> dict[str, Any]:
    """Seconds of one retraining, and seconds and examples of each method; another order each time."""
    task = TASKS[TASK]
    request, trainer = request_of(task, data_dir), task.trainer
    with seeded(0):
        model = trainer.build()
    start = time.perf_counter()
    trainer(request.for_training("retain"), seed=number)
    retraining = time.perf_counter() - start
    print(f"round {number}: retraining takes {retraining:.1f} s", flush=True)
    methods: dict[str, Any] = {}
    names = list(METHODS)
    for name in names if number % 2 else reversed(names):
        method = within(METHODS[name], BUDGET, trainer.recipe, request)
        if method is None:
            continue
        journal = Journal()
        start = time.perf_counter()
        method.unlearn(model, request, task=trainer.task, seed=number, journal=journal)
        methods[name] = {"seconds": time.perf_counter() - start, "examples": journal.examples}
        print(f"{name}: {methods[name]['seconds']:.2f} s, {journal.examples:,} examples", flush=True)
    return {"retraining": retraining, "examples": trainer.recipe.examples(size(request.retain)), "methods": methods}


def table(rounds: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Shares of one retraining by method: of its examples, and of its seconds in the same round, median and ends."""
    found = {}
    for name in rounds[0]["methods"]:
        shares = [each["methods"][name]["seconds"] / each["retraining"] for each in rounds]
        found[name] = {
            "examples": rounds[0]["methods"][name]["examples"] / rounds[0]["examples"],
            "seconds": statistics.median(shares),
            "low": min(shares),
            "high": max(shares),
        }
    return found


if __name__ == "__main__":
    main()
