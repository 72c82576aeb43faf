"""A tokenizer whose tokens are words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ebbing.errors import InputError
from ebbing.files import write_text

PAD, END, UNKNOWN = "<pad>", "<end>", "<unknown>"
_WORD = re.compile(r"\w+|[^\w\s]")


class WordTokenizer:
    """Words and punctuation marks as tokens, by a list of them; called as tokenizers of the transformers library are.

    Args:
        words: the list; those for padding, the end and what is not known come before it.

    Attributes:
        pad_token_id: 0.
        eos_token_id: 1.
        unk_token_id: 2.
    """

    pad_token_id, eos_token_id, unk_token_id = 0, 1, 2

    def __init__(self, words: Sequence[str]) -> None:
        self.words = (PAD, END, UNKNOWN, *words)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise InputError("the words of a tokenizer must differ, but some come twice.")

    @classmethod
    def of(cls, texts: Iterable[str]) -> WordTokenizer:
        """A tokenizer that knows every word of some texts, in the order of the alphabet."""
        return cls(sorted({word for text in texts for word in _WORD.findall(text)}))

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.words)

    def __call__(
        self,
        texts: Sequence[str],
        *,
        truncation: bool = False,
        max_length: int | None = None,
        padding: bool = False,
        add_special_tokens: bool = True,
    ) -> dict[str, list[list[int]]]:
        """``input_ids`` and ``attention_mask`` of texts, as lists; nothing is put before or behind them.

        Args:
            texts: a list.
            truncation: whether texts are cut off.
            max_length: tokens after which they are.
            padding: must be False; see `ebbing.data.tokenised`.
            add_special_tokens: there are none.
        """
        rows = [[self._ids.get(word, self.unk_token_id) for word in _WORD.findall(text)] for text in texts]
        if truncation:
            rows = [row[:max_length] for row in rows]
        return {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}

    def decode(self, ids: Iterable[int]) -> str:
        """Tokens as text, up to the end."""
        found = []
        for i in ids:
            if int(i) == self.eos_token_id:
                break
            found.append(self.words[int(i)])
        return " ".join(found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the list of words as JSON, whole or not at all."""
        write_text(Path(path), json.dumps(self.words[3:], ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WordTokenizer:
        """What `save` wrote."""
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))
