"""Modified entropy through to the attack's scores: by hand, against published code, one right and one wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import TensorDataset

from ebbing.attacks import ModifiedEntropyThreshold
from ebbing.observations import observe
from ebbing.request import ForgetRequest
from ebbing.task import Classification, Outputs, modified_entropy

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1])
# Of these, in github.com/OPTML-Group/Unlearn-Saliency at a6e89fd, folder Classification/evaluation: MIA.py, and SVC_MIA.py,
# which writes into the columns of all labels in every row, and takes log p where log(1 - p) is meant
PUBLISHED = [0.21363354, 1.76758969, 0.04218099]
PUBLISHED_WRONG = [3.3904, 2.6790, 4.9853]


def test_values_by_hand_are_those_of_the_right_one_of_two_published() -> None:
    by_hand = []
    for z, y in zip(LOGITS.numpy(), LABELS.tolist(), strict=True):
        p = np.exp(z) / np.exp(z).sum()
        others = sum(p[j] * np.log(1 - p[j]) for j in range(3) if j != y)
        by_hand.append(-(1 - p[y]) * np.log(p[y]) - others)
    found = modified_entropy(Outputs(LOGITS, LABELS)).numpy()
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    np.testing.assert_allclose(found, PUBLISHED, atol=1e-8)
    assert np.abs(found - PUBLISHED_WRONG).min() > 0.9


def test_the_surest_and_right_record_is_the_one_that_the_mistaken_form_takes_for_the_least_sure() -> None:
    found = modified_entropy(Outputs(LOGITS, LABELS))
    assert int(found.argmin()) == int(np.argmax(PUBLISHED_WRONG)) == 2


@given(st.permutations(range(6)), st.integers(0, 1000))
def test_no_record_depends_on_the_labels_beside_it(order: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, labels = torch.randn(6, 4, generator=generator).double(), torch.randint(4, (6,), generator=generator)
    together = modified_entropy(Outputs(logits, labels))
    alone = [modified_entropy(Outputs(logits[[i]], labels[[i]])) for i in range(6)]
    torch.testing.assert_close(together, torch.cat(alone))
    torch.testing.assert_close(modified_entropy(Outputs(logits[order], labels[order])), together[order])


def test_the_attack_scores_what_was_observed() -> None:
    data = TensorDataset(LOGITS.float(), LABELS)
    unseen = TensorDataset(LOGITS.float() + torch.tensor([0.1, 0.2, 0.3]), LABELS)
    request = ForgetRequest.from_ids(data, [0, 2], holdout=unseen)
    seen = observe([nn.Identity()], request, task=Classification())
    scores = ModifiedEntropyThreshold().scores(seen.forget)
    assert scores[0] == pytest.approx([-PUBLISHED[0], -PUBLISHED[2]], abs=1e-6)
