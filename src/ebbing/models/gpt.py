"""A small language model of GPT-2's architecture."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ebbing.errors import InputError


@dataclass(frozen=True)
class SmallGPT:
    """What builds GPT-2's architecture (transformers' ``GPT2LMHeadModel``) at a size that a processor can train from scratch.

    With the defaults and 700 words it has .89 M parameters. Output and input embeddings are tied, there is no dropout.

    Attributes:
        words: size of the vocabulary, >= 2.
        length: longest text in tokens.
        width: features of a token, a multiple of ``heads``.
        layers: blocks.
        heads: attention heads in a block.
    """

    words: int
    length: int = 48
    width: int = 128
    layers: int = 4
    heads: int = 4

    def __call__(self) -> nn.Module:
        """A fresh model, drawn by torch's global generators.

        Raises:
            InputError: if the transformers library is not installed.
        """
        try:
            from transformers import GPT2Config, GPT2LMHeadModel
        except ImportError as error:
            raise InputError("SmallGPT needs the transformers library: pip install 'ebbing[transformers]'.") from error
        config = GPT2Config(
            vocab_size=self.words,
            n_positions=self.length,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=1,
            use_cache=False,
        )
        model: nn.Module = GPT2LMHeadModel(config)
        return model
