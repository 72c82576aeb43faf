"""Language models: the task of giving an answer."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from ebbing.batches import size
from ebbing.errors import InputError
from ebbing.task import Outputs, Task, cross_entropy, in_single, run_model

IGNORED = -100  # the label of a token that is not part of the answer, as the transformers library has it
AT_ONCE = 64  # texts that are run together where nothing is trained


@dataclass(frozen=True)
class AnswerOutputs(Outputs):
    """What a language model says about the answers of a batch of texts.

    With p = exp(mean log-probability of the answer's tokens), the geometric mean of their probabilities, ``logits`` are
    (0, log p - log(1 - p)) and ``targets`` are 1: whether the answer is given is a question with two outcomes, and loss,
    margin, confidence and entropy of an example are those of that question: its cross entropy is the mean loss of the tokens.

    Attributes:
        log_likelihood: (n,) sum over the answer's tokens of their log-probabilities in nats, <= 0.
        lengths: (n,) int64 tokens of each answer, >= 1.
    """

    log_likelihood: Tensor | None = None
    lengths: Tensor | None = None


@dataclass(frozen=True)
class CausalLM(Task):
    """Texts with an answer in them, for language models that predict each token from those before it.

    A batch is a dict of ``input_ids`` (n, length), ``labels`` of the same shape, -100 where a token is not part of the answer,
    and whatever else the model takes, such as ``attention_mask``: what the transformers library calls causal language
    modelling. The model returns logits (n, length, vocabulary); the token at a position is predicted by the one before.

    What the mask leaves out is padding and no answer: its labels must be -100. Texts are best filled up at their end. Models
    with positions of their own, such as GPT-2, count padding at the beginning as well, unless the batch has ``position_ids``;
    that is warned of.

    Examples have one class, that of being answered: rules by class, and methods that give wrong labels, do not apply.

    Attributes:
        at_once: texts that are run together at most where nothing is trained, >= 1: the scores of a whole vocabulary at every
            position take much memory.
    """

    at_once: int = AT_ONCE

    def __post_init__(self) -> None:
        """Check the number."""
        if self.at_once < 1:
            raise InputError(f"`at_once` must be at least 1 text, but is {self.at_once}.")

    def forward(self, model: nn.Module, batch: Any) -> AnswerOutputs:
        """Run the model on the texts of a batch.

        Raises:
            InputError: if the batch has no labels of the tokens, labels padding, a text has no answer, or the model's output
                is not (n, length, vocabulary).
        """
        _refuse_no_texts(batch)
        _check_padding(batch)
        likelihood, lengths = self._answers(model, batch)
        mean = likelihood / lengths
        # log(1 - p) from log p; p so near to 1 that nothing is left counts as one rounding below
        rest = torch.log(-torch.expm1(mean.clamp(max=-torch.finfo(mean.dtype).eps)))
        logits = torch.stack([torch.zeros_like(mean), mean - rest], dim=1)
        return AnswerOutputs(logits, torch.ones_like(lengths), None, likelihood, lengths)

    def _answers(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Sum of log-probabilities of each answer, and its length."""
        logits, labels = run_model(model, batch)
        if logits.ndim != 3 or logits.shape[:2] != labels.shape:
            raise InputError(
                f"a language model must return logits of shape (n, length, vocabulary) for labels (n, length) = "
                f"{tuple(labels.shape)}, but returned {tuple(logits.shape)}."
            )
        wanted = labels[:, 1:]
        counted = wanted != IGNORED
        lengths = counted.sum(dim=1)
        if not bool((lengths > 0).all()):
            raise InputError(
                f"each text must have an answer, tokens behind the first whose label is not {IGNORED}, but "
                f"{int((lengths == 0).sum())} of {len(lengths)} have none. Was an answer cut off by the longest length?"
            )
        scores = in_single(logits[:, :-1][counted])  # half precision has too few digits for sums
        losses = functional.cross_entropy(scores, wanted[counted], reduction="none")
        rows = counted.nonzero()[:, 0]
        likelihood = torch.zeros(len(labels), dtype=losses.dtype, device=losses.device).index_add(0, rows, -losses)
        return likelihood, lengths

    def targets(self, dataset: Dataset[Any]) -> Tensor:
        """(n,) int64 ones: each text has an answer."""
        return torch.ones(size(dataset), dtype=torch.int64)

    def together(self, most: int) -> int:
        """At most ``at_once``."""
        return min(most, self.at_once)

    def constant_answer(self, dataset: Dataset[Any]) -> float:
        """0: no answer fits all texts."""
        return 0.0

    def loss(self, outputs: Outputs) -> Tensor:
        """Mean over all tokens of all answers of their cross entropy in nats.

        Raises:
            InputError: if the outputs are of another task, or other labels were put in.
        """
        if not isinstance(outputs, AnswerOutputs) or outputs.log_likelihood is None or outputs.lengths is None:
            raise InputError(
                f"the loss of a language model needs its own outputs, but was given {type(outputs).__name__}."
            )
        if not bool((outputs.targets == 1).all()):
            raise InputError(
                "a language model's answers have no classes that could be exchanged, but a method puts in others. Take one "
                "that does not work by wrong labels."
            )
        return -outputs.log_likelihood.sum() / outputs.lengths.sum()

    def counted(self, outputs: Outputs) -> float:
        """The tokens of all answers."""
        lengths = outputs.lengths if isinstance(outputs, AnswerOutputs) else None
        return float(len(outputs.targets) if lengths is None else lengths.sum())


def log_likelihood(outputs: Outputs) -> Tensor:
    """(n,) log-probability in nats of each record's answer, all its tokens together, or of its label, <= 0."""
    if isinstance(outputs, AnswerOutputs) and outputs.log_likelihood is not None:
        return outputs.log_likelihood
    return -cross_entropy(outputs)


def lengths_of(outputs: Outputs) -> Tensor:
    """(n,) tokens of each record's answer; 1 for a label."""
    if isinstance(outputs, AnswerOutputs) and outputs.lengths is not None:
        return outputs.lengths
    return torch.ones_like(outputs.targets)


def _refuse_no_texts(batch: Any) -> None:
    """A batch must have a label for each token."""
    labels = batch.get("labels") if isinstance(batch, Mapping) else None
    if not isinstance(labels, Tensor) or labels.ndim != 2:
        found = f"has {sorted(batch)}" if isinstance(batch, Mapping) else f"is a {type(batch).__name__}"
        raise InputError(f"a batch of texts must be a dict with `labels` (n, length), one for each token, but {found}.")


def _check_padding(batch: Mapping[str, Any]) -> None:
    """Padding, where the mask is 0, must have no labels, and had better be behind the text."""
    labels, mask = batch["labels"], batch.get("attention_mask")
    if not isinstance(mask, Tensor) or mask.shape != labels.shape:
        return
    padding = mask == 0
    labelled = padding & (labels != IGNORED)
    if bool(labelled.any()):
        raise InputError(
            f"tokens that `attention_mask` leaves out must have the label {IGNORED}, but {int(labelled.sum())} of "
            f"{int(padding.sum())} have another, so that padding would count as an answer. Set "
            f"labels[attention_mask == 0] = {IGNORED}."
        )
    if "position_ids" not in batch and bool(padding[:, 0].any()):
        warnings.warn(
            "texts are filled up at their beginning, and the batch has no `position_ids`: a model with positions of its own, "
            "such as GPT-2, then counts the padding, and says something else than of the text alone. Fill up at the end, or "
            "give `position_ids`.",
            stacklevel=4,
        )
