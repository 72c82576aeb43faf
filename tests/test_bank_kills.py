"""The bank is killed at random moments: no entry is torn or wrong, none that was finished is made again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ebbing.store import ModelStore

SCRIPT = """
import sys
import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models import digits_mlp

if __name__ == "__main__":
    request = select("mislabelled:0.1", load("digits", train_size=400), seed=0)
    trainer = eb.Trainer(digits_mlp, eb.Recipe(epochs=float(sys.argv[2])))
    bank = eb.OracleBank(trainer, request, sys.argv[1]).train(int(sys.argv[3]), workers=2)
    print(len(bank))
"""


def start(script: Path, folder: Path, models: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, script, folder, "30", str(models)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})


def finished(folder: Path) -> dict[str, int]:
    """Entries and when they were written."""
    return {p.name: p.stat().st_mtime_ns for p in folder.glob("[!.]*.safetensors")}


def killed_at_random(tmp_path: Path, *, trials: int, models: int) -> None:
    script = tmp_path / "bank.py"
    script.write_text(SCRIPT)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    began = time.monotonic()
    assert start(script, whole, models).wait() == 0
    length = time.monotonic() - began
    kept: dict[str, int] = {}
    moments = np.random.default_rng(0).uniform(0.2, 1.0, size=trials) * length
    fresh = 0
    for number, moment in enumerate(moments):
        folder = broken / str(fresh)
        process = start(script, folder, models)
        time.sleep(moment)
        process.kill()
        process.wait()
        time.sleep(0.3)  # workers notice that their caller is gone
        now = finished(folder)
        assert kept.items() <= now.items(), f"trial {number}: something finished was written again"
        store = ModelStore(folder)
        assert all(store.is_sound(entry.key) for entry in store.entries()), f"trial {number}"
        kept = now
        if len(now) == models:  # done before it was killed: begin with an empty folder
            fresh, kept = fresh + 1, {}
    for number in range(fresh + 1):
        folder = broken / str(number)
        assert start(script, folder, models).wait() == 0
        assert finished(folder).keys() == finished(whole).keys()
    for entry in ModelStore(whole).entries():
        digests = {ModelStore(f).facts(entry.key)["content"] for f in (whole, *(broken.iterdir()))}
        assert len(digests) == 1, "an interrupted bank holds other weights than an undisturbed one"


@pytest.mark.slow
def test_a_bank_that_is_killed_goes_on(tmp_path) -> None:
    killed_at_random(tmp_path, trials=2, models=40)


@pytest.mark.slow
def test_a_bank_that_is_killed_fifty_times_goes_on(tmp_path) -> None:
    killed_at_random(tmp_path, trials=50, models=40)
