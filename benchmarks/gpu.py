"""What a GPU is good for here: models a minute by each way of training a bank, as ratios to one model after the other.

    python benchmarks/gpu.py --out results/gpu.json

Small networks on records that are drawn, as only time is measured. Each way is measured in every round after
a model that warms up, and the figures are medians over rounds. Processes are measured once, on the largest; their time
begins when each has trained one model, so that their start is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

import ebbing as eb
from ebbing import batches
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import digits_cnn, paper_cnn, small_vit
from ebbing.store import ModelStore, train_many
from ebbing.training import seeding

EPOCHS = 1.0
NETWORKS = {
    "digits-cnn": (digits_cnn, 1500, 8),
    "paper-cnn": (paper_cnn, 10_000, 28),
    "small-vit": (small_vit, 10_000, 28),
}
LARGEST = "small-vit"


def images(n: int, side: int) -> TensorDataset:
    """Records that cost as much as real ones."""
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(n, 1, side, side, generator=generator), torch.randint(0, 10, (n,), generator=generator)
    )


@contextmanager
def patched(module: Any, name: str, value: Any) -> Any:
    """A module with something else in a name's place: a way to train that the library does not offer."""
    kept = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, kept)


def one_by_one(trainer: eb.Trainer, data: TensorDataset, models: int = 1) -> float:
    """Models a minute, one after the other."""
    start = time.perf_counter()
    for seed in range(models):
        trainer(data, seed=seed)
    torch.cuda.synchronize()
    return 60 * models / (time.perf_counter() - start)


def by_batches(trainer: eb.Trainer, data: TensorDataset) -> float:
    """Likewise, where every batch travels to the device anew."""
    with patched(batches, "kept_at", lambda tensors, device: tuple(tensors)):
        return one_by_one(trainer, data)


def undetermined(trainer: eb.Trainer, data: TensorDataset) -> float:
    """Likewise, by the algorithms that torch takes without being asked for the same bits again."""
    with patched(seeding, "_deterministic", lambda on: nullcontext()):
        return one_by_one(trainer, data)


def side_by_side(trainer: eb.Trainer, data: TensorDataset, models: int) -> float:
    """Models a minute, so many in one program."""
    start = time.perf_counter()
    list(train_many(replace(trainer, together=models), data, range(models), store=None, workers=None))
    torch.cuda.synchronize()
    return 60 * models / (time.perf_counter() - start)


def by_processes(trainer: eb.Trainer, data: TensorDataset, workers: int) -> float:
    """Models a minute by so many processes, once each has trained one."""
    models = 2 * workers
    with tempfile.TemporaryDirectory() as folder:
        trained = train_many(trainer, data, range(models), store=ModelStore(Path(folder)), workers=workers)
        ends = [time.perf_counter() for _ in trained]
    return 60 * (models - workers) / (ends[-1] - ends[workers - 1])


def ways(cores: int) -> dict[str, Callable[[eb.Trainer, TensorDataset], float]]:
    """Every way of training that is compared; the first is what the others are told by."""
    return {
        "one by one": one_by_one,
        "every batch sent anew": by_batches,
        "bits not the same again": undetermined,
        "mixed precision": lambda trainer, data: one_by_one(replace(trainer, task=eb.MixedPrecision()), data),
        **{f"together {n}": lambda trainer, data, n=n: side_by_side(trainer, data, n) for n in (4, 16, 64)},
        "4 processes": lambda trainer, data: by_processes(trainer, data, 4),
        f"{cores} processes on the processor": lambda trainer, data: by_processes(
            replace(trainer, device="cpu"), data, cores
        ),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    found: dict[str, dict[str, Any]] = {}
    for network in options.network or NETWORKS:
        build, n, side = NETWORKS[network]
        data, trainer = images(n, side), eb.Trainer(build, eb.Recipe(epochs=EPOCHS), device="cuda")
        rounds: dict[str, list[float]] = {way: [] for way in ways(cores)}
        one_by_one(trainer, data)  # warms up
        for number in range(options.rounds):
            for way, measure in ways(cores).items():
                if "processes" in way and (number or network != LARGEST):
                    continue  # they take long to start
                rounds[way].append(measure(trainer, data))
                print(f"{network}: {way}: {rounds[way][-1]:.0f} models a minute", flush=True)
        base = rounds["one by one"]
        found[network] = {
            way: {
                "models_a_minute": statistics.median(speeds),
                "ratio": statistics.median(a / b for a, b in zip(speeds, base, strict=False)),
            }
            for way, speeds in rounds.items()
            if speeds
        }
        if options.out:
            facts = {"epochs": EPOCHS, "rounds": options.rounds, "provenance": describe(device="cuda")}
            write_text(options.out, json.dumps(facts | {"found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
