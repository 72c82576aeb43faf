"""How many digits models a minute one worker of the bank trains, and two: a ratio in paired rounds, start included.

python benchmarks/bank.py --out results/bank.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import digits_cnn

RECIPE = eb.Recipe(epochs=80, learning_rate=2e-3)


def minutes(models: int, *, workers: int, request: eb.ForgetRequest) -> float:
    """Wall time of training so many models into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        bank = eb.OracleBank(eb.Trainer(digits_cnn, RECIPE), request, folder)
        start = time.perf_counter()
        bank.train(models, workers=workers)
        return (time.perf_counter() - start) / 60


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    request = select("mislabelled:0.05", load("digits"), seed=0)
    rounds = []
    for number in range(options.rounds):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        took = {workers: minutes(options.models, workers=workers, request=request) for workers in order}
        rounds.append({str(w): options.models / t for w, t in sorted(took.items())})
        print(f"models a minute: {rounds[-1]['1']:.1f} by one worker, {rounds[-1]['2']:.1f} by two", flush=True)
    ratio = statistics.median(r["2"] / r["1"] for r in rounds)
    print(f"ratio {ratio:.2f}")
    if options.out:
        data = {"models": options.models, "models_a_minute": rounds, "ratio": ratio, "machine": describe()}
        write_text(options.out, json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
