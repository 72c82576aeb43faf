"""Freeze the tasks of the leaderboard: write which records each is about into the package.

    python benchmarks/freeze_tasks.py digits          # all tasks whose names begin so
    python benchmarks/freeze_tasks.py fashion10k --workers 2

A task that is frozen is left as it is; to change it, give it a new version. The most memorised records are found by training
48 models on random parts of the data, which takes minutes on digits and half an hour on images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

import ebbing.bench
from ebbing.allocator import keep_freed_memory
from ebbing.bench.memorisation import Memorisation
from ebbing.bench.tasks import MATCHED_TIMES, MEMORISED, TASKS, BenchTask, made, unseen_parts
from ebbing.data import load
from ebbing.files import write_text
from ebbing.store import ModelStore

FOLDER = Path(ebbing.bench.__file__).parent / "frozen"


def main() -> None:
    """Freeze what is not frozen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("begins", help="with what the names of the tasks begin")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--store", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    for task in TASKS.values():
        path = FOLDER / f"{task.folder}.json"
        if task.name.startswith(options.begins) and not path.exists():
            write_text(path, json.dumps(_facts(task, options), separators=(",", ":")) + "\n")
            print(path, flush=True)


def _facts(task: BenchTask, options: argparse.Namespace) -> dict[str, Any]:
    """Records and fingerprint of a task."""
    known = _memorised(task, options) if task.rule.startswith(MEMORISED) else {}
    request = made(task, options.data_dir, known)
    forget = known.get("forget", request.forget_ids.tolist())
    return {"name": task.name, "rule": task.rule, "fingerprint": request.fingerprint, "forget": forget, **known}


def _memorised(task: BenchTask, options: argparse.Namespace) -> dict[str, list[int]]:
    """The most memorised records of the training set, and unseen ones that would be."""
    share = float(task.rule.partition(":")[2])
    bundle = load(task.dataset, data_dir=options.data_dir, train_size=task.train_size, seed=0)
    validation, spare, _ = unseen_parts(bundle.test)
    unseen = torch.tensor([*validation.indices, *spare.indices])
    together = zip(bundle.train.tensors, bundle.test.tensors, strict=True)
    pool = TensorDataset(*(torch.cat([train, test[unseen]]) for train, test in together))
    store = ModelStore(options.store / task.folder / "memorisation")
    scores = Memorisation(task.trainer, pool, store).scores(workers=options.workers)
    n, cut = len(bundle.train), len(bundle.train) + len(validation)
    return {
        "forget": _largest(scores[:n], share).tolist(),
        "matched": unseen[cut - n :][_largest(scores[cut:], MATCHED_TIMES * share)].tolist(),
        "validation_matched": unseen[: cut - n][_largest(scores[n:cut], MATCHED_TIMES * share)].tolist(),
    }


def _largest(scores: np.ndarray, share: float) -> np.ndarray:
    """Positions of the share with the largest scores, ascending."""
    return np.sort(np.argsort(-scores)[: round(share * len(scores))])


if __name__ == "__main__":
    main()
