"""Small models of the architectures that people have, with random weights, and a batch for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peft
import torch
import transformers
from torch import Tensor, nn

from ebbing.task import Outputs, Task

WORDS, LENGTH, N, CLASSES = 40, 7, 6, 3
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "vocab_size": WORDS,
}


class TextTask(Task):
    """Logits of the last position of texts, or of the text itself."""

    def forward(self, model: nn.Module, batch: Any) -> Outputs:
        """Run the model."""
        inputs, targets = batch
        raw = model(**inputs) if isinstance(inputs, dict) else model(inputs)
        logits = raw.logits if hasattr(raw, "logits") else raw
        return Outputs(logits[:, -1] if logits.ndim == 3 else logits, targets)

    def targets(self, dataset: Any) -> Tensor:
        """Not asked for."""
        raise NotImplementedError


def texts() -> tuple[dict[str, Tensor], Tensor]:
    """Tokens with padding on the left, and labels."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, WORDS, (N, LENGTH), generator=generator)
    mask = torch.ones(N, LENGTH, dtype=torch.int64)
    mask[0, :2] = mask[1, :1] = 0
    return {"input_ids": tokens, "attention_mask": mask}, torch.arange(N) % CLASSES


def both_texts() -> tuple[dict[str, Tensor], Tensor]:
    """Texts for models with a decoder."""
    inputs, labels = texts()
    return {**inputs, "decoder_input_ids": inputs["input_ids"]}, labels


def images() -> tuple[dict[str, Tensor], Tensor]:
    """Pixels, and labels."""
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.randn(N, 3, 8, 8, generator=generator)}, torch.arange(N) % CLASSES


def sequences() -> tuple[Tensor, Tensor]:
    """Sequences of vectors, and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, LENGTH, 16, generator=generator), torch.arange(N) % CLASSES


class Encoder(nn.Module):
    """PyTorch's own encoder with a head."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, **settings)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sequences."""
        out: Tensor = self.head(self.encoder(x).mean(dim=1))
        return out


class Decoder(nn.Module):
    """PyTorch's own decoder with a head, positions first and a memory of another width."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(16, 2, 24)
        self.cross = nn.MultiheadAttention(16, 2, kdim=6, vdim=5, batch_first=True, bias=False)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sequences."""
        out = self.layer(x.transpose(0, 1), x.transpose(0, 1)).transpose(0, 1)
        out = out + self.cross(query=out, key=x[..., :6], value=x[..., :5], need_weights=False)[0]
        logits: Tensor = self.head(out[:, 0])
        return logits


@dataclass(frozen=True)
class Architecture:
    """How a model is built, what it is given, and what units of blocks it has: heads and hidden units of each block."""

    build: Callable[[], nn.Module]
    batch: Callable[[], Any]
    heads: tuple[int, ...]
    hidden: tuple[int, ...]
    head_slices: int  # parameters of a head and of its part of the output projection
    hidden_slices: int


def _text(name: str, **more: Any) -> Callable[[], nn.Module]:
    """A model for texts of the transformers library by the name of its class, without dropout left to chance."""

    def build() -> nn.Module:
        kind = getattr(transformers, name)
        config = kind.config_class(**{**SIZES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more})
        model: nn.Module = kind(config)
        return model

    return build


_LABELS = {"num_labels": CLASSES}
_FFN = {"ffn_dim": 24, "d_model": 16, "word_embed_proj_dim": 16, "max_position_embeddings": 16}
_DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_inner": 24, "n_positions": 16, "tie_word_embeddings": False}
_BART = {
    **{"encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{"d_model": 16, "max_position_embeddings": 16, "tie_word_embeddings": False},
}
_T5 = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_decoder_layers": 1, "num_heads": 4, "tie_word_embeddings": False}
_VIT = {"image_size": 8, "patch_size": 4, **_LABELS}

ARCHITECTURES = {
    "torch encoder": Architecture(Encoder, sequences, (4, 4), (24, 24), 3 * 2 + 1, 3),
    "torch encoder, norm first": Architecture(
        lambda: Encoder(norm_first=True, activation="gelu"), sequences, (4, 4), (24, 24), 7, 3
    ),
    "torch decoder": Architecture(Decoder, sequences, (2, 2, 2), (24,), 0, 3),
    "bert": Architecture(_text("BertForSequenceClassification", **_LABELS), texts, (4, 4), (24, 24), 7, 3),
    "roberta": Architecture(_text("RobertaForSequenceClassification", **_LABELS), texts, (4, 4), (24, 24), 7, 3),
    "electra": Architecture(
        _text("ElectraForSequenceClassification", embedding_size=16, **_LABELS), texts, (4, 4), (24, 24), 7, 3
    ),
    "distilbert": Architecture(
        _text("DistilBertForSequenceClassification", **_DISTIL, **_LABELS), texts, (4, 4), (24, 24), 7, 3
    ),
    "vit": Architecture(_text("ViTForImageClassification", **_VIT), images, (4, 4), (24, 24), 7, 3),
    "gpt2": Architecture(_text("GPT2LMHeadModel", **_GPT2), texts, (4, 4), (24, 24), 7, 3),
    "gpt-bigcode, one key": Architecture(_text("GPTBigCodeForCausalLM", **_GPT2), texts, (4, 4), (24, 24), 1, 3),
    "gpt-bigcode": Architecture(
        _text("GPTBigCodeForCausalLM", multi_query=False, **_GPT2), texts, (4, 4), (24, 24), 3, 3
    ),
    "llama": Architecture(_text("LlamaForCausalLM"), texts, (4, 4), (24, 24), 4, 3),
    "llama, shared keys": Architecture(_text("LlamaForCausalLM", num_key_value_heads=2), texts, (4, 4), (24, 24), 2, 3),
    "qwen3": Architecture(_text("Qwen3ForCausalLM", num_key_value_heads=2, head_dim=4), texts, (4, 4), (24, 24), 2, 3),
    "phi3": Architecture(_text("Phi3ForCausalLM"), texts, (4, 4), (24, 24), 4, 3),
    "phi": Architecture(_text("PhiForCausalLM"), texts, (4, 4), (24, 24), 7, 3),
    "gpt-neox": Architecture(_text("GPTNeoXForCausalLM"), texts, (4, 4), (24, 24), 3, 3),
    "opt": Architecture(_text("OPTForCausalLM", **_FFN), texts, (4, 4), (24, 24), 7, 3),
    "bart": Architecture(_text("BartForConditionalGeneration", **_BART), both_texts, (4,) * 4, (24,) * 3, 7, 3),
    "t5": Architecture(_text("T5ForConditionalGeneration", **_T5), both_texts, (4,) * 4, (24,) * 3, 4, 2),
}


def adapted(**settings: Any) -> nn.Module:
    """A BERT whose queries and values have adapters that have learned something."""
    config = peft.LoraConfig(task_type="SEQ_CLS", r=5, target_modules=["query", "value"], lora_dropout=0.1, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model: nn.Module = peft.get_peft_model(built("bert"), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.25)
    return model


def built(name: str) -> nn.Module:
    """A model from a fixed seed, with weights so large that every part of it matters."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = ARCHITECTURES[name].build().eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.25)
    return model
