"""The published numbers: train, unlearn and judge on MNIST and Fashion-MNIST, one small file of figures a cell.

    python benchmarks/published.py accuracy --dataset mnist --seed 0
    python benchmarks/published.py canaries --dataset fashion-mnist --seed 3
    python benchmarks/published.py random
    python benchmarks/published.py class

Weights are kept under --store and reused; a finished cell is written under results/ and skipped the next time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from problems import FULL, plain, problem

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.auditing import audit
from ebbing.data import load
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.methods import Unlearner
from ebbing.models import paper_cnn
from ebbing.store import ModelStore, train_or_load
from ebbing.study import Study
from ebbing.task import accuracy

RESULTS = Path(__file__).parent.parent / "results"


def main() -> None:
    """Make one cell, unless its file is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", choices=["accuracy", "canaries", "random", "class"])
    parser.add_argument("--dataset", choices=["mnist", "fashion-mnist"], default="mnist")
    parser.add_argument("--seed", type=int, default=0, help="of the original and the methods")
    parser.add_argument("--oracles", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-dir")
    parser.add_argument("--store", type=Path, default=Path("runs/numbers"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    path = RESULTS / options.cell / f"{options.dataset}-seed{options.seed}.json"
    if path.exists():
        print(f"{path} is there.")
        return
    figures = _accuracy(options) if options.cell == "accuracy" else _comparison(options)
    figures["provenance"] = describe() | {"threads": torch.get_num_threads()}
    write_text(path, json.dumps(figures, indent=1) + "\n")
    print(path)


def _accuracy(options: argparse.Namespace) -> dict[str, Any]:
    """Test accuracy of `paper_cnn` on the full training set, before any unlearning."""
    bundle = load(options.dataset, data_dir=options.data_dir)
    trainer = eb.Trainer(paper_cnn, FULL)
    store = ModelStore(options.store / f"random-{options.dataset}" / "models")  # the same originals serve `random`
    journal = eb.Journal(on_advance=_show("training", FULL.examples(len(bundle.train))))
    trained = train_or_load(trainer, bundle.train, seed=options.seed, store=store, journal=journal)
    found = {name: accuracy(trained.model, getattr(bundle, name), task=trainer.task) for name in ("train", "test")}
    return {"dataset": options.dataset, "seed": options.seed, "accuracy": found, "seconds": trained.seconds}


def _comparison(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every method beside the original and the retrained models."""
    request, trainer = problem(options.cell, options.dataset, options.data_dir)
    methods = _methods(trainer)
    store = options.store / f"{options.cell}-{options.dataset}"
    study = Study(trainer, request, methods, options.oracles, store, seed=options.seed)
    original = study.original(progress=_show)
    made = {name: study.unlearn(name, method, original, progress=_show) for name, method in methods.items()}
    # the same request and the same retrained models whatever the seed of the original
    bank = Study(trainer, request, {}, options.oracles, store, seed=0).bank(progress=_show)
    report = audit(
        original=original,
        unlearned={name: model for name, (model, _) in made.items()},
        oracles=bank,
        request=request,
        records={name: record for name, (_, record) in made.items()},
        measures=None,
    ).data
    for block in report["methods"].values():
        del block["profile"], block["history"]
    del report["original"]["profile"], report["oracles"]["profile"], report["provenance"]
    report["recipe"] = trainer.recipe.__dict__
    report["oracles"]["seconds_each"] = [round(s, 1) for s in report["oracles"]["seconds_each"]]
    return {"dataset": options.dataset, "seed": options.seed, **report}


def _methods(trainer: eb.Trainer) -> dict[str, Unlearner]:
    """One setting of `Ebb` for everything, and what it is compared with at the same number of examples."""
    return {
        "do-nothing": eb.DoNothing(),
        "temperature": eb.Temperature(),
        "fine-tune": eb.FineTune(training=trainer.recipe),
        "retrain-equal-compute": eb.RetrainEqualCompute(training=trainer.recipe),
        "ebb": plain(trainer.recipe),
        "forgetting-network:paper": eb.ForgettingNetwork.presets["paper"],
    }


def _show(what: str, examples: int) -> Any:
    """Progress on one line, rewritten a few times a second."""
    done, last = 0, 0.0

    def advance(advanced: int) -> None:
        nonlocal done, last
        done += advanced
        if time.monotonic() - last > 0.5:
            last = time.monotonic()
            print(f"\r{what}: {done:,} of {examples:,} examples", end="", file=sys.stderr, flush=True)

    print(f"\n{what}", end="", file=sys.stderr)
    return advance


if __name__ == "__main__":
    main()
