"""A script that defines what it trains: the network, the task and a training function."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import torch
from torch.utils.data import TensorDataset
import ebbing as eb

class Network(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

class OwnTask(eb.Classification):
    pass

def train(dataset, *, seed):
    return eb.Trainer(Network, eb.Recipe(epochs=1))(dataset, seed=seed)

if __name__ == "__main__":
    folder, address = sys.argv[1:]
    workers = 2 if address == "here" else eb.RayExecutor(address=address)
    inputs = torch.arange(240.0).reshape(60, 4) / 240
    data, unseen = (TensorDataset(part, torch.arange(len(part)) % 2) for part in (inputs[:40], inputs[40:]))
    request = eb.ForgetRequest.from_ids(data, [0, 1], holdout=unseen)
    by_task, by_function = eb.Trainer(Network, eb.Recipe(epochs=1), task=OwnTask()), eb.OwnTrainer(train, Network)
    for where in (workers, None):
        for trainer, models in ((by_task, 2), (by_function, 1)):
            print(len(eb.OracleBank(trainer, request, folder).train(models, workers=where)))
"""


def run_twice(folder: Path, address: str) -> None:
    """Train three models by workers; neither the script itself nor a second run of it may train any again."""
    script, models = folder / "own.py", folder / "models"
    script.write_text(SCRIPT)
    written = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, script, models, address],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["2", "1"] * 2
        written.append({path.name: path.stat().st_mtime_ns for path in models.glob("[!.]*")})
    assert len(written[0]) == 3
    assert written[1] == written[0]
