"""Memory that rankings take, at two sizes of the model and two numbers of texts: it goes by parameters and batch alone.

    python benchmarks/ranking_memory.py --out results/ranking-memory.json

Each cell is a process of its own: a language model of GPT-2's architecture, texts of 16 tokens from a vocabulary of 1,000,
units of heads and MLPs ranked by the activation ratio and by the Fisher ratio (all retained records read). The figure is how
far the peak of the resident set rises while a ranking runs, above what it was when model, data and units were there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
from pathlib import Path

import torch

import ebbing as eb
from ebbing.batches import NamedTensors, iterate
from ebbing.files import write_text
from ebbing.machine import describe
from ebbing.models.gpt import SmallGPT
from ebbing.rankings import ActivationRatio, FisherRatio
from ebbing.units import find_units

WIDTHS, RECORDS, LENGTH, WORDS = (128, 512), (1_000, 8_000), 16, 1_000
TASK = eb.CausalLM()
RANKINGS = {"activation-ratio": ActivationRatio(), "fisher-ratio": FisherRatio(retain_records=10**6)}


def texts(n: int, seed: int) -> NamedTensors:
    """Texts of random tokens, all of which but the first are answers."""
    tokens = torch.randint(3, WORDS, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    labels = tokens.clone()
    labels[:, 0] = -100
    return NamedTensors(input_ids=tokens, labels=labels)


def peak() -> float:
    """Largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def child(width: int, n: int, ranking: str) -> None:
    """One cell: parameters, and how far the peak rose, in MiB."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = SmallGPT(WORDS, length=LENGTH, width=width)()
    request = eb.ForgetRequest.from_ids(texts(n, 0), range(n // 20), holdout=texts(100, 1), task=TASK, overlap="allow")
    units = find_units(model, task=TASK, batch=next(iterate(request.retain, batch_size=8)), layers=("heads", "mlp"))
    before = peak()
    RANKINGS[ranking].scores(model, units, request, task=TASK, seed=0)
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters()), "mib": peak() - before}))


def main() -> None:
    """Run every cell and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.cell:
        child(int(options.cell[0]), int(options.cell[1]), options.cell[2])
        return
    cells = []
    for ranking, width, n in itertools.product(RANKINGS, WIDTHS, RECORDS):
        words = [sys.executable, __file__, "--cell", str(width), str(n), ranking]
        found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        cells.append({"ranking": ranking, "records": n, **found})
        print(cells[-1], flush=True)
    if options.out:
        facts = describe("python benchmarks/ranking_memory.py --out results/ranking-memory.json") | {"threads": 1}
        write_text(options.out, json.dumps({"cells": cells, "provenance": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
