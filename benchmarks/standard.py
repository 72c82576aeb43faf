"""The standard measures with many originals and retrained models: the figures, and how long everything took.

Everything is trained from nothing in a folder of its own, by two processes of one thread.

python benchmarks/standard.py digits          # 64 originals, each unlearned, and 64 retrained models
python benchmarks/standard.py mnist           # 10,000 images, 32 of each
python benchmarks/standard.py fashion-mnist

Each writes results/standard/NAME.json. A run that was interrupted goes on; its seconds are then those of the last call, and
the file says how many originals and retrained models were found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from problems import plain

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import digits_cnn, paper_cnn
from ebbing.store import kept
from ebbing.study import ORACLE_SEEDS, Study

ROOT = Path(__file__).parent.parent
WORKERS = 2
SETTINGS: dict[str, tuple[Callable[[], torch.nn.Module], eb.Recipe, int | None, int]] = {
    # network, recipe, training images, models of each kind
    "digits": (digits_cnn, eb.Recipe(epochs=80, learning_rate=2e-3), None, 64),
    "mnist": (paper_cnn, eb.Recipe(epochs=30), 10_000, 32),
    "fashion-mnist": (paper_cnn, eb.Recipe(epochs=40), 10_000, 32),
}


def main() -> None:
    """Measure, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--out", type=Path, default=None, help="instead of results/standard/NAME.json")
    name, out = (options := parser.parse_args()).name, options.out
    torch.set_num_threads(1)
    keep_freed_memory()
    build, recipe, train_size, n = SETTINGS[name]
    request = select("mislabelled:0.05", load(name, train_size=train_size, seed=0), seed=0)
    trainer = eb.Trainer(build, recipe)
    study = Study(
        trainer,
        request,
        {"ebb": plain(recipe)},
        oracles=n,
        directory=ROOT / "runs" / "standard" / name,
        workers=WORKERS,
        originals=n,
        measures="standard",
    )
    sets = ((request.everything, 0), (request.retain, ORACLE_SEEDS))
    found = sum(len(kept(trainer, data, range(first, first + n), store=study.store)) for data, first in sets)
    told: list[tuple[str, float]] = []

    def progress(what: str, _: int) -> Callable[[int], None]:
        print(what, flush=True)
        told.append((what, time.perf_counter()))
        return lambda advanced: None

    started = time.perf_counter()
    report = study.run(progress=progress).data
    ended = time.perf_counter()
    ends = [*(at for _, at in told[1:]), ended]
    figures = {
        "dataset": name,
        "models": n,
        "models_found": found,
        "seconds": round(ended - started, 1),
        "parts": {what: round(end - at, 1) for (what, at), end in zip(told, ends, strict=True)},
        "request": report["request"],
        "recipe": recipe.__dict__,
        "measures": report["measures"],
        "original": _figures(report["original"]),
        "methods": {method: _figures(block) for method, block in report["methods"].items()},
        "provenance": describe(f"python benchmarks/standard.py {name}") | {"threads": 1, "workers": WORKERS},
    }
    write_text(out or ROOT / "results" / "standard" / f"{name}.json", json.dumps(figures, indent=1) + "\n")
    print(f"{figures['seconds']} s")


def _figures(block: dict[str, Any]) -> dict[str, Any]:
    """What the page shows."""
    return {key: block[key] for key in ("verdict", "accuracy", "memory", "cost", "measures") if key in block}


if __name__ == "__main__":
    main()
