"""`Ebb` beside whole peers: the same checkpoint, records and machine; what each takes, and what its result answers.

    python benchmarks/peers.py --references DIR --out results/peers.json

DIR holds checkouts of github.com/if-loops/selective-synaptic-dampening, github.com/meghdadk/SCRUB,
github.com/aiim-research/ERASURE and github.com/Harry24k/machine-unlearning-pytorch, each under its own name. What they import
and do not need here (image folders, graphs, trackers) is replaced by nothing. MNIST, `paper_cnn`, two epochs, one thread; a
class is to be forgotten, or 5 % of the records. Every method starts from a copy of the one original, by the settings that its
own authors give, which were found on other problems. In each pair all methods run one after the other, retraining first.

Timed is unlearning alone: not what peers import, nor how data are wrapped for them, nor what they measure on the way. Peers
that are handed a loader get batches as ebbing's own training takes them; ERASURE makes its own. Accuracies are in per cent,
*test* that on the holdout: unseen images that no method reads, of the classes that stay. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers_code import METHODS, RECIPE, YARDSTICK, Case, Method, commit, imported, quiet
from torch import nn

import ebbing as eb
from ebbing.allocator import keep_freed_memory
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models import paper_cnn
from ebbing.task import Classification, accuracy
from ebbing.training import seeded, stream

CELLS = ("class:3", "random:0.05")


def main() -> None:
    """Run what is missing, and write after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "peers.json")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first pair, where others were made on another day"
    )
    parser.add_argument("--train-size", type=int, help="training images; all of them where it is left out")
    parser.add_argument("--only", nargs="+", choices=[name for name in METHODS if name != YARDSTICK], metavar="METHOD")
    parser.add_argument("--cell", choices=CELLS, help="one of the two alone")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    methods = {n: m for n, m in METHODS.items() if n == YARDSTICK or not options.only or n in options.only}
    require_checkouts(options.references, methods)
    facts = started(options)
    bundle = load("mnist", data_dir=options.data_dir, train_size=options.train_size, seed=0)
    original = eb.Trainer(paper_cnn, RECIPE)(bundle.train, seed=0)
    requests = {cell: select(cell, bundle, seed=0) for cell in ([options.cell] if options.cell else CELLS)}
    facts["original"] |= {cell: accuracies(original, request) for cell, request in requests.items()}
    facts["methods"] |= {name: about(method, options.references) for name, method in methods.items()}
    code = imported(options.references, {m.repository for m in methods.values()})
    for pair in range(options.first, options.first + options.pairs):
        for cell, request in requests.items():
            for name, method in methods.items():
                key = f"{cell}/{name}/{pair}"
                if key not in facts["runs"]:
                    facts["runs"][key] = found = timed(method, original, request, pair, code)
                    facts["table"] = table(facts["runs"])
                    write_text(options.out, json.dumps(facts, indent=1) + "\n")
                    print(key, json.dumps(found), flush=True)


def require_checkouts(references: Path, methods: dict[str, Method]) -> None:
    """Stop where a peer's code is not there."""
    wanted = sorted({m.repository for m in methods.values() if m.repository})
    missing = [name for name in wanted if not (references / name.rpartition("/")[2]).is_dir()]
    if missing:
        lines = "".join(f"\n    git -C {references} clone https://github.com/{name}" for name in missing)
        sys.exit(
            f"--references must hold a checkout of each peer, but {references} lacks {', '.join(missing)}. Get what is "
            f"missing, or name methods that do without by --only:{lines}"
        )


def started(options: argparse.Namespace) -> dict[str, Any]:
    """What the file to write holds already, or the beginning of it."""
    words = ["python", "benchmarks/peers.py", "--references", "DIR", "--pairs", str(options.pairs)]  # wherever DIR was
    if options.first:
        words += ["--first", str(options.first)]
    if options.cell:
        words += ["--cell", options.cell]
    if options.train_size:
        words += ["--train-size", str(options.train_size)]
    if options.only:
        words += ["--only", *options.only]
    problem = {"dataset": "mnist", "train_size": options.train_size, "network": "paper_cnn", "training": vars(RECIPE)}
    facts: dict[str, Any] = {"problem": problem, "original": {}, "methods": {}, "table": {}, "runs": {}}
    if options.out.exists():
        facts = json.loads(options.out.read_text(encoding="utf-8"))
        if facts["problem"] != json.loads(json.dumps(problem)):
            sys.exit(
                f"{options.out} must hold runs of the problem that is asked for to go on with them, but holds others: "
                f"{facts['problem']}. Name another file by --out, or remove this one."
            )
    before = facts.get("provenance", {}).get("command")
    command = shlex.join(words)
    if before and command not in before.split(" && "):
        command = f"{before} && {command}"
    return facts | {"provenance": describe(command) | {"threads": torch.get_num_threads()}}


def about(method: Method, references: Path) -> dict[str, str | None]:
    """Of a method, for the file."""
    if method.repository is None:
        return {"settings": method.settings}
    folder = references / method.repository.rpartition("/")[2]
    return {"settings": method.settings, "repository": method.repository, "commit": commit(folder)}


def timed(
    method: Method, original: nn.Module, request: eb.ForgetRequest, pair: int, code: dict[str, Any]
) -> dict[str, Any]:
    """Seconds of one run, what its result answers, and what the run has to say of itself."""
    with seeded(stream(pair, "unlearning")) as generator, quiet():
        np.random.seed(pair)  # noqa: NPY002 what peers draw from
        case = Case(deepcopy(original), request, pair, generator, code)
        unlearning = method.prepare(case)
        start = time.perf_counter()
        model = unlearning()
        seconds = time.perf_counter() - start
    found: dict[str, Any] = {"seconds": seconds} | accuracies(model, request)
    return found | ({"notes": case.journal.notes} if case.journal.notes else {})


def accuracies(model: nn.Module, request: eb.ForgetRequest) -> dict[str, float]:
    """In per cent."""
    parts = {"retain": request.retain, "forget": request.forget, "test": request.holdout}
    return {name: 100 * accuracy(model, part, task=Classification()) for name, part in parts.items()}


def table(runs: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Medians over the pairs: seconds, their ratio to retraining in the same pair, accuracies."""
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    for key, found in runs.items():
        cell, name, pair = key.split("/")
        numbers = {what: value for what, value in found.items() if what != "notes"}
        ratio = found["seconds"] / runs[f"{cell}/{YARDSTICK}/{pair}"]["seconds"]
        rows.setdefault(cell, {}).setdefault(name, []).append(numbers | {"ratio": ratio})
    return {
        cell: {name: {w: statistics.median(r[w] for r in found) for w in found[0]} for name, found in of_cell.items()}
        for cell, of_cell in rows.items()
    }


if __name__ == "__main__":
    main()
