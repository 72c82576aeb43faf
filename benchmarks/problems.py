"""The problems behind the published numbers: what is trained, how, and what must be forgotten."""

from __future__ import annotations

from dataclasses import replace

import ebbing as eb
from ebbing.data import load
from ebbing.data.selection import select
from ebbing.models import paper_cnn
from ebbing.request import ForgetRequest

FULL = eb.Recipe(epochs=10, learning_rate=3e-3, schedule="one-cycle")
TWO_EPOCHS = eb.Recipe(epochs=2, batch_size=64)
# meant to be long enough that the original predicts 90 % of the wrong labels; the results say of each whether it does
CANARIES = {"mnist": eb.Recipe(epochs=30), "fashion-mnist": eb.Recipe(epochs=40)}


def plain(recipe: eb.Recipe) -> eb.Ebb:
    """`Ebb` as it was when these problems were first measured, for a recipe of the original's training."""
    return replace(eb.Ebb.presets["plain"], training=recipe)


def problem(cell: str, dataset: str, data_dir: str | None) -> tuple[ForgetRequest, eb.Trainer]:
    """The request, which is the same for every seed of the original, and the trainer."""
    if cell == "canaries":
        bundle = load(dataset, data_dir=data_dir, train_size=10_000, seed=0)
        return select("mislabelled:0.05", bundle, seed=0), eb.Trainer(paper_cnn, CANARIES[dataset])
    bundle = load(dataset, data_dir=data_dir)
    if cell == "class":
        return select("class:3", bundle, seed=0), eb.Trainer(paper_cnn, TWO_EPOCHS)
    return select("random:0.1", bundle, seed=0), eb.Trainer(paper_cnn, FULL)
