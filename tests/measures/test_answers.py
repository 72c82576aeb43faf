"""Figures of answers: closed forms, and a model whose every probability is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ebbing.batches import NamedTensors
from ebbing.errors import InputError
from ebbing.language import IGNORED
from ebbing.measures.answers import (
    answer_figures,
    continued,
    forget_quality,
    probabilities,
    rouge_l,
    truth_ratio,
)

WORDS = 6


class Table(nn.Module):
    """The next word by the one before, from a table of logits."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, input_ids: Tensor, **_: Tensor) -> Tensor:
        """Logits."""
        return self.table[input_ids]


def drawn(seed: int = 0) -> Table:
    return Table(2 * torch.randn(WORDS, WORDS, generator=torch.Generator().manual_seed(seed)))


def texts(rows: list[list[int]], prompts: list[int]) -> NamedTensors:
    length = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
    labels = torch.tensor(
        [[*[IGNORED] * n, *row[n:], *[IGNORED] * (length - len(row))] for row, n in zip(rows, prompts, strict=True)]
    )
    return NamedTensors(input_ids=tokens, labels=labels)


ROWS, PROMPTS = [[0, 1, 2, 3, 4], [5, 5, 1], [2, 0, 4, 1, 1, 3, 5, 0]], [1, 2, 2]


def test_probabilities_and_min_k_are_those_of_the_formulas() -> None:
    model = drawn()
    found = answer_figures(model, texts(ROWS, PROMPTS), batch_size=2)
    scores = model.table.detach().double().log_softmax(1)
    for i, (row, prompt) in enumerate(zip(ROWS, PROMPTS, strict=True)):
        own, standard = [], []
        for t in range(prompt, len(row)):
            log_p = scores[row[t - 1]]
            own.append(float(log_p[row[t]]))
            mean = float((log_p.exp() * log_p).sum())
            standard.append((own[-1] - mean) / float((log_p.exp() * (log_p - mean) ** 2).sum().sqrt()))
        assert found.probability[i] == pytest.approx(np.exp(np.mean(own)))
        lowest = sorted(standard)[: max(1, round(0.2 * len(standard)))]
        assert found.min_k[i] == pytest.approx(np.mean(lowest), rel=1e-6)
    np.testing.assert_allclose(probabilities(model, texts(ROWS, PROMPTS)), found.probability, rtol=1e-5)


def chain() -> Table:
    """0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 0, surely."""
    return Table(20 * torch.eye(WORDS).roll(1, dims=1))


@pytest.mark.parametrize(
    ("row", "strength"),
    [([0, 1, 2, 3, 4], 1.0), ([0, 2, 3, 4, 5], 0.75), ([0, 1, 2, 3, 5], 0.0), ([0, 1, 3, 4, 5], 0.5), ([0, 2], 0.0)],
)
def test_extraction_strength_is_the_share_that_comes_by_itself(row: list[int], strength: float) -> None:
    found = answer_figures(chain(), texts([row], [1]))
    assert found.extraction_strength.tolist() == [strength]
    assert found.exact.tolist() == [strength == 1.0]


def test_extraction_strength_is_that_of_trying_every_prefix() -> None:
    """The definition, by greedy continuation of each prefix."""
    model, generator = drawn(3), torch.Generator().manual_seed(1)
    rows = torch.randint(WORDS, (20, 7), generator=generator).tolist()
    found = answer_figures(model, texts(rows, [2] * 20)).extraction_strength
    for row, strength in zip(rows, found, strict=True):
        answer = row[2:]
        shortest = next(
            k
            for k in range(len(answer) + 1)
            if continued(model, torch.tensor(row[: 2 + k]), most=len(answer) - k, end=None) == answer[k:]
        )
        assert strength == pytest.approx(1 - shortest / len(answer))


def test_a_continuation_ends_at_the_end() -> None:
    assert continued(chain(), torch.tensor([1]), most=9, end=5) == [2, 3, 4]
    assert continued(chain(), torch.tensor([1]), most=2, end=5) == [2, 3]


def test_a_truth_ratio_is_wrong_over_right() -> None:
    found = truth_ratio(np.array([0.5, 0.1]), np.array([[0.1, 0.2], [0.2, 0.4]]))
    np.testing.assert_allclose(found, [0.3, 3.0])
    with pytest.raises(InputError, match=r"\(n,\) and \(n, k\)"):
        truth_ratio(np.ones(3), np.ones((2, 5)))


def test_forget_quality_of_the_same_is_perfect_and_of_a_shift_its_size() -> None:
    generator = np.random.default_rng(0)
    log = generator.normal(size=(16, 50))
    same = forget_quality(np.exp(log), np.exp(log))
    assert (same.p_value, same.statistic, same.effect) == (1.0, 0.0, 0.0)
    shifted = forget_quality(np.exp(log - 0.3 * log.std(ddof=1)), np.exp(log))
    assert shifted.effect == pytest.approx(-0.3)
    assert shifted.p_value < 1e-3


def test_the_p_value_falls_with_the_number_of_facts_and_the_effect_does_not() -> None:
    generator = np.random.default_rng(0)
    few, many = (
        forget_quality(np.exp(generator.normal(-0.3, 1, n)), np.exp(generator.normal(size=n))) for n in (40, 4000)
    )
    assert many.p_value < 1e-6 < few.p_value
    assert abs(many.effect + 0.3) < 0.1


def test_forget_quality_needs_two_of_each() -> None:
    with pytest.raises(InputError, match="two ratios"):
        forget_quality(np.ones(1), np.ones(5))


SENTENCES = st.lists(st.sampled_from("abc"), max_size=6)


@given(SENTENCES, SENTENCES.filter(bool))
def test_rouge_l_is_the_longest_common_subsequence(found: list[str], wanted: list[str]) -> None:
    def longest(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return 0
        if a[-1] == b[-1]:
            return 1 + longest(a[:-1], b[:-1])
        return max(longest(a[:-1], b), longest(a, b[:-1]))

    assert rouge_l(found, wanted) == longest(found, wanted) / len(wanted)
    assert rouge_l(wanted, wanted) == 1.0


def test_rouge_l_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least"):
        rouge_l(["a"], [])
