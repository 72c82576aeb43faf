"""Texts as tensors: tokens, their mask, and labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ebbing.batches import NamedTensors
from ebbing.errors import InputError
from ebbing.language import IGNORED

log = logging.getLogger(__name__)

LABELS = ("labels", "label")
TOKENS, MASK = "input_ids", "attention_mask"
LONGEST = 128


def tokenised(
    texts: Sequence[str], labels: Sequence[int] | Tensor, *, tokenizer: Callable[..., Any], longest: int = LONGEST
) -> NamedTensors:
    """Texts and their classes, as a sequence classifier takes them.

    Args:
        texts: n of them.
        labels: (n,) whole numbers, the classes.
        tokenizer: of the transformers library, or any that is called alike.
        longest: tokens after which a text is cut off, >= 1.

    Returns:
        n records of ``input_ids``, ``attention_mask``, what else the tokenizer gives, and ``labels``; texts are padded to
        the longest of them.

    Raises:
        InputError: if there are not as many labels as texts.
    """
    if len(texts) != len(labels):
        raise InputError(f"there must be one label for each text, but are {len(labels)} for {len(texts)}.")
    made = tokenizer(list(texts), truncation=True, max_length=longest, padding=False)
    columns = {name: [list(row) for row in rows] for name, rows in made.items()}
    pad = _pad_of(tokenizer)
    return NamedTensors(
        **{name: _padded(name, rows, pad=pad) for name, rows in columns.items()},
        labels=torch.as_tensor(labels, dtype=torch.int64),
    )


def answers(
    prompts: Sequence[str], texts: Sequence[str], *, tokenizer: Callable[..., Any], longest: int = LONGEST
) -> NamedTensors:
    """Prompts and the answers to them, as a language model takes them: only tokens of answers have labels.

    Args:
        prompts: n of them, each at least one token long.
        texts: n answers.
        tokenizer: of the transformers library, or any that is called alike; its token for the end is put behind an answer.
        longest: tokens of prompt and answer together, >= 2.

    Returns:
        n records of ``input_ids``, ``attention_mask`` and ``labels``, -100 outside of answers; padded on the right.

    Raises:
        InputError: if there are not as many prompts as answers, or they are too long together.
    """
    if len(prompts) != len(texts):
        raise InputError(f"there must be one answer for each prompt, but are {len(texts)} for {len(prompts)}.")
    rows: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    end = getattr(tokenizer, "eos_token_id", None)
    before = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    behind = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    for prompt, answer in zip(before, behind, strict=True):
        own = [*answer, *([] if end is None else [end])]
        if not prompt or not answer or len(prompt) + len(own) > longest:
            raise InputError(
                f"prompt and answer must have at least one token each and at most {longest} together, but one has "
                f"{len(prompt)} and {len(own)}. Give a larger `longest`, or leave the record out."
            )
        rows["input_ids"].append([*prompt, *own])
        rows["attention_mask"].append([1] * (len(prompt) + len(own)))
        rows["labels"].append([*([IGNORED] * len(prompt)), *own])
    pad = _pad_of(tokenizer)
    return NamedTensors(**{name: _padded(name, each, pad=pad) for name, each in rows.items()})


def tensors_of_columns(dataset: Any, *, pad: int = 0) -> NamedTensors:
    """A data set of the datasets library, tokenised already, as tensors: its columns of numbers, padded to one length.

    Where texts differ in length and there is no ``attention_mask``, it is made: 1 for every token, 0 for what fills up. Beside
    tokens, columns of single numbers, such as an index, are left out with a warning: they are no inputs of a text.

    Args:
        dataset: with ``column_names``, and a column of labels, ``labels`` or ``label``. Of columns that ``set_format`` chose,
            only those are read.
        pad: token that texts are filled up with.

    Raises:
        InputError: if there are no labels, or no other column holds numbers.
    """
    chosen = getattr(dataset, "format", None)
    names = list(chosen["columns"] if isinstance(chosen, Mapping) and "columns" in chosen else dataset.column_names)
    label = next((name for name in LABELS if name in names), None)
    if label is None:
        raise InputError(f"a data set must have a column `labels` or `label`, but has {names}.")
    columns = {}
    for name in names:
        values = dataset[name]
        values = values.tolist() if hasattr(values, "tolist") else list(values)
        if name != label and values and _holds_numbers(values[0]):
            columns[name] = values
    if TOKENS in columns and not _is_single(columns[TOKENS][0]):
        single = [name for name, values in columns.items() if _is_single(values[0])]
        if single:
            log.warning("columns of single numbers are no inputs of a text, and are left out: %s.", ", ".join(single))
        columns = {name: values for name, values in columns.items() if name not in single}
        if len({len(row) for row in columns[TOKENS]}) > 1:
            columns.setdefault(MASK, [[1] * len(row) for row in columns[TOKENS]])
    if not columns:
        raise InputError(
            f"a data set must have columns of numbers beside its labels, such as `input_ids`, but has {names}. Tokenise the "
            "texts first, or use ebbing.data.tokenised."
        )
    labels = dataset[label]
    labels = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    made = {name: _padded(name, values, pad=pad) for name, values in columns.items()}
    return NamedTensors(**made, labels=_padded("labels", labels))


def _is_single(value: Any) -> bool:
    """Whether a value is one number, not a list or array of them."""
    return getattr(value, "ndim", None) == 0 or not hasattr(value, "__len__")


def _holds_numbers(value: Any) -> bool:
    """Whether a value is a number or a list, nested or not, of numbers."""
    while isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        value = value.tolist() if hasattr(value, "tolist") else value[0] if value else 0
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _pad_of(tokenizer: Any) -> int:
    """The token that a tokenizer fills up with: models that read the last token look for it; 0 where it has none."""
    pad = getattr(tokenizer, "pad_token_id", None)
    return pad if isinstance(pad, int) else 0


def _padded(name: str, rows: Sequence[Any], *, pad: int = 0) -> Tensor:
    """Rows as one tensor; lists of different lengths are filled up at their ends."""
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in rows]
    if not rows or not isinstance(rows[0], (list, tuple)):
        return torch.as_tensor(rows)
    length = max(len(row) for row in rows)
    fill = {"input_ids": pad, "labels": IGNORED}.get(name, 0)
    return torch.tensor([[*row, *([fill] * (length - len(row)))] for row in rows])
