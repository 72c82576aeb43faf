"""What it costs to hand a run to an executor: to processes on this machine, and to Ray on this machine, in turns.

A run trains a small network on part of the data that all runs share. The first run of each worker waits until all workers
are up; what passes until the first result, its own seconds taken off, is told apart as start-up. From then on the overhead of
a run is how long its worker stood idle before it: from the end of one run to the beginning of the next in the same process,
while the result went out and the next item came in. Rounds alternate between the executors, so that both meet the same
machine.

    python benchmarks/executors.py --out results/executors.json
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import digits_mlp
from ebbing.pool import Executor, compute

PATIENCE = 300.0  # seconds that workers wait for each other
LIMIT = 0.2  # seconds for a run, once workers are up
RECORDS, USED = 50_000, 1000  # of 8 x 8 pixels: 13 MB go to every worker, once


def data() -> TensorDataset:
    """Noise: what is learned does not matter here."""
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(RECORDS, 64, generator=generator), torch.randint(10, (RECORDS,), generator=generator)
    )


@dataclass(frozen=True)
class Work:
    """What all runs share: data, how many workers there are to be, and a folder in which each says that it is up."""

    data: TensorDataset
    workers: int
    folder: Path


def run(work: Work, seed: int) -> tuple[int, float, float]:
    """Train a network; in which process, and when it began and ended by the clock of the machine."""
    own = work.folder / str(os.getpid())
    if not own.exists():
        own.touch()
        end = time.monotonic() + PATIENCE
        while len(list(work.folder.iterdir())) < work.workers:
            if time.monotonic() > end:
                raise TimeoutError(f"fewer than {work.workers} workers are up")
            time.sleep(0.001)
    began = time.monotonic()
    part = TensorDataset(*(tensor[:USED] for tensor in work.data.tensors))
    eb.Trainer(digits_mlp, eb.Recipe(epochs=5.0))(part, seed=seed)
    return os.getpid(), began, time.monotonic()


def measure(executor: Executor, shared: TensorDataset, *, runs: int, workers: int) -> tuple[float, list[float]]:
    """Seconds until the workers are up, and how long each stood idle before each later run."""
    called, received = time.monotonic(), None
    by_process: dict[int, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Work(shared, workers, Path(folder))
        for _, (process, began, ended) in compute(run, work, list(range(runs)), workers=executor):
            received = time.monotonic() - (ended - began) if received is None else received
            by_process.setdefault(process, []).append((began, ended))
    idle = [began - ended for own in map(sorted, by_process.values()) for (_, ended), (began, _) in pairwise(own)]
    return (received or called) - called, idle


def summary(started: list[float], each: list[float]) -> dict[str, float]:
    """The figures of an executor with one number of workers."""
    return {
        "start_seconds": statistics.median(started),
        "first_start_seconds": started[0],  # with Ray's own start, and the connection to it
        "seconds_per_run": statistics.median(each),
        "mean_seconds_per_run": statistics.fmean(each),
        "largest_seconds_per_run": max(each),
    }


def main() -> None:
    """Measure, say, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=40, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, action="append", help="repeatable; 1 and 2 by default")
    parser.add_argument("--address", help="of a Ray cluster; by default Ray is started on this machine")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shared, found = data(), {}
    for workers in options.workers or [1, 2]:
        executors: Mapping[str, Executor] = {
            "local": eb.LocalExecutor(workers),
            "ray": eb.RayExecutor(workers, options.address),
        }
        rounds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in executors}
        for _ in range(options.rounds):
            for name, executor in executors.items():
                started, each = measure(executor, shared, runs=options.runs, workers=workers)
                rounds[name][0].append(started)
                rounds[name][1].extend(each)
        for name, (started_each, overheads) in rounds.items():
            found[f"{name}, {workers} at once"] = figures = summary(started_each, overheads)
            kept = "within" if figures["mean_seconds_per_run"] <= LIMIT else "BEYOND"
            print(
                f"{name}, {workers} at once: {figures['mean_seconds_per_run']:.4f} s a run on average, {kept} {LIMIT:g}; "
                f"{figures['start_seconds']:.1f} s until workers are up"
            )
    told = {
        "limit": LIMIT,
        "runs": options.runs,
        "rounds": options.rounds,
        "megabytes": sum(tensor.nbytes for tensor in shared.tensors) / 1e6,
        "figures": found,
        "provenance": describe(),
    }
    write_text(options.out, json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
