"""Every example runs as it stands, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LONG = (
    "own_images",
    "own_table",
    "own_texts",
    "encoder",
    "language_model",
    "vision_transformer",
    "convolutions",
    "own_attack",
    "own_curve",
    "own_method",
)  # `make examples` runs them too, in CI as well
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in LONG else ()) for path in EXAMPLES],
)
def test_example_runs(example, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", example],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # many threads on few cores crawl
        capture_output=True,
        text=True,
        timeout=180,  # each takes some seconds; this only ends one that hangs
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example shows something"
