"""How much a language model still knows of texts: figures of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ebbing.batches import iterate
from ebbing.errors import InputError
from ebbing.language import IGNORED, CausalLM, lengths_of, log_likelihood
from ebbing.task import evaluation_mode, run_model

LOWEST = 0.2  # of an answer's tokens
FLOOR = 1e-12  # of a probability


@dataclass(frozen=True)
class AnswerFigures:
    """What a model makes of n answers, text by text.

    Attributes:
        probability: (n,) exp(mean log-probability of the tokens), in (0, 1].
        extraction_strength: (n,) 1 - k / T, where T is the length of the answer and k the smallest number of its first tokens
            behind which the model goes on with all the others if it always takes the likeliest token; 0 where the last token
            is not found. Source: Carlini et al., "Extracting Training Data from Large Language Models", 2021.
        min_k: (n,) Min-K%++: the mean of the lowest 20 % of z = (log p - mean) / deviation, mean and deviation of log p over
            the vocabulary, weighted by p. Source: Zhang et al., "Min-K%++", 2024.
        exact: (n,) bool, whether every token is the likeliest, those before it given.
    """

    probability: np.ndarray
    extraction_strength: np.ndarray
    min_k: np.ndarray
    exact: np.ndarray


def answer_figures(model: nn.Module, texts: Dataset[Any], *, batch_size: int = 64) -> AnswerFigures:
    """Figures of the answers of texts, in one pass.

    Args:
        model: a language model, in evaluation mode meanwhile and left as it was.
        texts: as `CausalLM` takes them, see `ebbing.data.answers`.
        batch_size: texts in a pass.
    """
    rows: list[tuple[float, float, float, bool]] = []
    with evaluation_mode(model):
        for log_p, tokens in _answers(model, texts, batch_size):
            own = log_p.gather(1, tokens[:, None])[:, 0]
            p = log_p.exp()
            mean = (p * log_p).sum(dim=1)
            spread = ((p * log_p.square()).sum(dim=1) - mean.square()).clamp(min=FLOOR).sqrt()
            lowest = ((own - mean) / spread).sort().values[: max(1, round(LOWEST * len(tokens)))]
            hit = (log_p.argmax(dim=1) == tokens).tolist()
            rows.append((float(own.mean().exp()), _strength(hit), float(lowest.mean()), all(hit)))
    columns = list(zip(*rows, strict=True))
    return AnswerFigures(*(np.array(column) for column in columns))


def probabilities(model: nn.Module, texts: Dataset[Any], *, batch_size: int = 64) -> np.ndarray:
    """(n,) exp(mean log-probability of the tokens) of the answers of texts, see `answer_figures`."""
    task = CausalLM()
    found = []
    with evaluation_mode(model):
        for batch in iterate(texts, batch_size=task.together(batch_size)):
            outputs = task.forward(model, batch)
            found.append((log_likelihood(outputs) / lengths_of(outputs)).exp().cpu().numpy())
    return np.concatenate(found)


def truth_ratio(paraphrased: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
    """(n,) mean probability of wrong answers over that of the right one in other words.

    Near 0 the model knows; near 1 it takes wrong answers to be as likely. Source: Maini et al., "TOFU", 2024.

    Args:
        paraphrased: (n,) probabilities of the right answers, see `probabilities`.
        perturbed: (n, k) those of the wrong ones.

    Raises:
        InputError: if the shapes do not go together.
    """
    if perturbed.ndim != 2 or paraphrased.shape != perturbed.shape[:1]:
        raise InputError(
            f"probabilities must be (n,) and (n, k), but have shapes {paraphrased.shape} and {perturbed.shape}."
        )
    ratio: np.ndarray = perturbed.mean(axis=1) / np.maximum(paraphrased, FLOOR)
    return ratio


@dataclass(frozen=True)
class ForgetQuality:
    """How truth ratios differ from those of retrained models.

    Attributes:
        p_value: of the two-sample Kolmogorov-Smirnov test, TOFU's forget quality; it falls with the number of facts however
            small the difference is.
        statistic: the largest gap of the two distributions, in [0, 1].
        effect: difference of the mean log ratios, unlearned less retrained, in standard deviations of the retrained ones: it
            does not hang on how many there are. Below 0 more is known than by the retrained, above 0 less.
    """

    p_value: float
    statistic: float
    effect: float


def forget_quality(unlearned: np.ndarray, retrained: np.ndarray) -> ForgetQuality:
    """Truth ratios of an unlearned model, or several, against those of retrained models.

    Args:
        unlearned: ratios > 0 of any shape.
        retrained: likewise.

    Raises:
        InputError: if there are fewer than two of either.
    """
    one, other = np.log(np.maximum(unlearned.ravel(), FLOOR)), np.log(np.maximum(retrained.ravel(), FLOOR))
    if min(len(one), len(other)) < 2:
        raise InputError(f"forget quality needs two ratios of each at least, but has {len(one)} and {len(other)}.")
    test = scipy.stats.ks_2samp(one, other)
    spread = max(float(other.std(ddof=1)), FLOOR)
    return ForgetQuality(float(test.pvalue), float(test.statistic), float(one.mean() - other.mean()) / spread)


def rouge_l(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Recall of the longest common subsequence of words, in [0, 1]: its length over that of what is wanted.

    Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.

    Args:
        found: words that were given.
        wanted: words that are right, at least one.

    Example:
        >>> rouge_l("the cat sat".split(), "the black cat sat down".split())
        0.6
    """
    if not wanted:
        raise InputError("what is wanted must have a word at least, but is empty.")
    row = [0] * (len(wanted) + 1)
    for word in found:
        before = 0
        for i, other in enumerate(wanted, start=1):
            kept = row[i]
            row[i] = before + 1 if word == other else max(row[i], row[i - 1])
            before = kept
    return row[-1] / len(wanted)


def continued(model: nn.Module, prompt: Tensor, *, most: int, end: int | None) -> list[int]:
    """The likeliest token after the other behind a prompt.

    Args:
        model: a language model; in evaluation mode meanwhile.
        prompt: (length,) tokens.
        most: tokens after which it ends.
        end: token at which it ends, which is not given; None for no such.
    """
    tokens = prompt[None]
    said: list[int] = []
    with evaluation_mode(model):
        for _ in range(most):
            batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens}
            logits, _ = run_model(model, batch)
            token = int(logits[0, -1].argmax())
            if token == end:
                break
            said.append(token)
            tokens = torch.cat([tokens, torch.tensor([[token]], device=tokens.device)], dim=1)
    return said


def _answers(model: nn.Module, texts: Dataset[Any], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens, vocabulary) log-probabilities at the tokens of each answer, and these tokens."""
    for batch in iterate(texts, batch_size=batch_size):
        logits, labels = run_model(model, batch)
        for scores, wanted in zip(logits[:, :-1], labels[:, 1:], strict=True):
            counted = wanted != IGNORED
            if not bool(counted.any()):
                raise InputError(f"each text must have an answer, but one has no label other than {IGNORED}.")
            yield scores[counted].double().log_softmax(dim=1), wanted[counted]


def _strength(hit: Sequence[bool]) -> float:
    """1 - k / T, k the position behind the last token that is not the likeliest."""
    k = next((i + 1 for i in reversed(range(len(hit))) if not hit[i]), 0)
    return 1 - k / len(hit)
