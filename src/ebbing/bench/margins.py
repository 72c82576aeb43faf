"""Margins of a task's originals and retrained models in one small file, to compare with where no model is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebbing.observations import SPLITS, Observations, Signals, load_arrays, save_arrays
from ebbing.seen import Seen


def publish_margins(path: Path, seen: Mapping[str, Sequence[Seen]]) -> None:
    """Write margins in half precision, three digits, and exactly what is predicted as labelled.

    Args:
        path: of the file.
        seen: of the models by role, "original" and "retrained".
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for role, models in seen.items():
        answers = Observations.concatenate([one.answers for one in models])
        for split in SPLITS:
            signals = getattr(answers, split)
            if signals is not None:
                arrays[f"{role}/{split}/margin"] = signals.margin.astype(np.float16)
                arrays[f"{role}/{split}/correct"] = np.packbits(signals.correct, axis=1)
    save_arrays(path, arrays)


def read_margins(path: Path, role: str) -> Observations:
    """The answers of a task's originals or retrained models, from the file that `publish_margins` wrote.

    Raises:
        InputError: if the file cannot be read.
    """

    def make(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Observations:
        found: dict[str, Signals | None] = dict.fromkeys(SPLITS)
        for split in SPLITS:
            if f"{role}/{split}/margin" in arrays:
                margin = arrays[f"{role}/{split}/margin"].astype(np.float32)
                correct = np.unpackbits(arrays[f"{role}/{split}/correct"], axis=1, count=margin.shape[1]).astype(bool)
                found[split] = Signals.from_margins(margin, correct=correct)
        return Observations(**found)  # type: ignore[arg-type]

    return load_arrays(path, make)
