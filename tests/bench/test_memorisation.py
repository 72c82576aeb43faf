"""Self-influence: who is known only by those who have seen them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ebbing.bench.memorisation import Memorisation, scores_of
from ebbing.data import load
from ebbing.errors import InputError
from ebbing.models import digits_mlp
from ebbing.store import ModelStore
from ebbing.training import Recipe, Trainer


def test_wrong_labels_are_memorised_most(tmp_path) -> None:
    inputs, labels = load("digits").train.tensors
    wrong = labels[:300].clone()
    wrong[:15] = (wrong[:15] + 1) % 10
    work = Memorisation(
        Trainer(digits_mlp, Recipe(epochs=30, learning_rate=1e-2)),
        TensorDataset(inputs[:300], wrong),
        ModelStore(tmp_path),
        models=14,
        share=0.6,
    )
    scores = work.scores(workers=1)
    assert set(np.argsort(-scores)[:10].tolist()) <= set(range(15))
    assert float(np.median(scores[:15])) > 5 * float(np.median(scores[15:]))


def test_a_record_in_all_models_has_no_score() -> None:
    with pytest.raises(InputError, match="1 of 2 are in all of the 2 models or in none"):
        scores_of(np.zeros((2, 2)), np.array([[True, True], [True, False]]))


def test_parts_are_drawn_by_number_and_have_the_share() -> None:
    data = TensorDataset(torch.zeros(4000, 1), torch.zeros(4000, dtype=torch.int64))
    work = Memorisation(Trainer(digits_mlp), data, ModelStore("unused"))
    assert torch.equal(work.part(3), work.part(3))
    assert not torch.equal(work.part(3), work.part(4))
    assert abs(float(work.part(3).float().mean()) - 0.7) < 0.03
