"""A million records in a file: peak memory of learning and unlearning, and the time of an epoch beside the same in memory.

    python benchmarks/big_data.py --out results/big-data.json

1,000,000 x 784 numbers in float32 (2.9 GiB) in a .npy file; 784-256-10 units, batches of 128, one thread. The file is written
where ``--folder`` says, in a temporary folder by default. The first child process makes a request for 1 % of the records,
trains one epoch, ranks every unit over the forgotten records and as many of those that stay, unlearns by `Ebb`, and observes
both models as an audit does; its peak is that of its resident set. The second child times epochs in pairs, from the file and
from memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS, WIDTH, CLASSES, BATCH = 1_000_000, 784, 10, 128
LIMIT_GIB, LIMIT_RATIO = 2.0, 1.3


def main() -> None:
    """Write the file, start the children, and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the file is written, and removed again")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", choices=["peak", "epochs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        found = peak(options.folder) if options.child == "peak" else epochs(options.folder, options.pairs)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        write(Path(folder), options.records)
        found = {}
        for child in ("peak", "epochs"):
            command = [sys.executable, __file__, "--child", child, "--folder", folder, "--pairs", str(options.pairs)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            found |= json.loads(done.stdout.splitlines()[-1])
            print(found, flush=True)
    if options.out:
        from ebbing.files import write_text
        from ebbing.machine import describe

        command = f"python benchmarks/big_data.py --records {options.records} --pairs {options.pairs}"
        facts = describe(f"{command} --out results/big-data.json") | {"records": options.records, "threads": 1} | found
        write_text(options.out, json.dumps(facts | {"aims": {"gib": LIMIT_GIB, "ratio": LIMIT_RATIO}}, indent=1) + "\n")


def write(folder: Path, records: int) -> None:
    """Records around a centre for each class, in parts, so that this process stays small."""
    import numpy as np

    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    labels = generator.integers(0, CLASSES, records)
    np.save(folder / "labels.npy", labels)
    header = {"descr": "<f4", "fortran_order": False, "shape": (records, WIDTH)}
    with open(folder / "inputs.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, records, 20_000):
            rows = labels[start : start + 20_000]
            (centres[rows] + generator.normal(size=(len(rows), WIDTH)).astype(np.float32)).tofile(file)


def network():
    """784-256-10."""
    from torch import nn

    return nn.Sequential(nn.Linear(WIDTH, 256), nn.ReLU(), nn.Linear(256, CLASSES))


def peak(folder: Path) -> dict[str, float]:
    """What learning and unlearning take, in GiB and seconds."""
    import torch
    from torch.utils.data import TensorDataset

    import ebbing as eb
    from ebbing.data import MappedArrays
    from ebbing.rankings import ActivationRatio
    from ebbing.rates import RankedRate

    torch.set_num_threads(1)
    before = time.perf_counter()
    data = MappedArrays(folder / "inputs.npy", folder / "labels.npy")
    n = len(data)
    generator = torch.Generator().manual_seed(1)
    unseen = TensorDataset(torch.randn(5000, WIDTH, generator=generator), torch.arange(5000) % CLASSES)
    request = eb.ForgetRequest.from_ids(data, torch.arange(0, n, 100), holdout=unseen)
    asked = time.perf_counter()
    recipe = eb.Recipe(epochs=1, batch_size=BATCH)
    model = eb.Trainer(network, recipe)(data, seed=0)
    trained = time.perf_counter()
    ranked = RankedRate(ActivationRatio(retain_records=len(request.forget)))
    method = eb.Ebb(linear=ranked, training=recipe, by_memory=False, budget=0.1)
    after = method.unlearn(model, request, seed=0)
    unlearned = time.perf_counter()
    eb.observe([model, after], request, task=eb.Classification())
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30,
        "request_seconds": asked - before,
        "epoch_seconds": trained - asked,
        "unlearning_seconds": unlearned - trained,
    }


def epochs(folder: Path, pairs: int) -> dict[str, float | list[float]]:
    """Seconds of an epoch from the file over those from memory, in pairs that take turns at being first."""
    import numpy as np
    import torch
    from torch.utils.data import TensorDataset

    import ebbing as eb
    from ebbing.data import MappedArrays

    torch.set_num_threads(1)
    there = MappedArrays(folder / "inputs.npy", folder / "labels.npy")
    inside = TensorDataset(torch.from_numpy(np.load(folder / "inputs.npy")), there.labels)
    trainer = eb.Trainer(network, eb.Recipe(epochs=1, batch_size=BATCH))
    seconds: dict[str, list[float]] = {"file": [], "memory": []}
    for pair in range(pairs):
        both = [("file", there), ("memory", inside)]
        for name, data in both if pair % 2 else reversed(both):
            start = time.perf_counter()
            trainer(data, seed=0)
            seconds[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["file"], seconds["memory"], strict=True)]
    return {
        "epoch_ratio": statistics.median(ratios),
        "epoch_ratios": ratios,
        "memory_seconds": statistics.median(seconds["memory"]),
    }


if __name__ == "__main__":
    main()
