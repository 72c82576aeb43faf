"""Heads of attentions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ebbing.units.group import Slice, UnitGroup
from ebbing.units.kinds.kind import Kind, features, inside_block, is_linear, rows

SIZES = ("head_dim", "attention_head_size")  # features of a head
COUNTS = ("num_heads", "num_attention_heads", "n_heads", "nhead")


@dataclass(frozen=True)
class AttentionLayout:
    """How an attention is laid out, by names below its module.

    Attributes:
        inward: the layers that make queries, keys and values, in that order; or the one that makes all three.
        outward: the layer that reads what all heads say, one after the other.
        by_head: whether the one layer has query, key and value of a head together, and not all queries first.
    """

    inward: tuple[str, ...]
    outward: str
    by_head: bool = False


LAYOUTS = (
    AttentionLayout(("self.query", "self.key", "self.value"), "output.dense"),  # BERT, RoBERTa, ELECTRA
    AttentionLayout(
        ("attention.query", "attention.key", "attention.value"), "output.dense"
    ),  # ViT before transformers 5
    AttentionLayout(("q_proj", "k_proj", "v_proj"), "o_proj"),  # Llama, Mistral, Qwen, Gemma, ViT
    AttentionLayout(("q_proj", "k_proj", "v_proj"), "out_proj"),  # BART, OPT, CLIP
    AttentionLayout(("q_proj", "k_proj", "v_proj"), "dense"),  # Phi
    AttentionLayout(("qkv_proj",), "o_proj"),  # Phi-3
    AttentionLayout(("q_lin", "k_lin", "v_lin"), "out_lin"),  # DistilBERT
    AttentionLayout(("q", "k", "v"), "o"),  # T5
    AttentionLayout(("c_attn",), "c_proj"),  # GPT-2, GPT-BigCode
    AttentionLayout(("qkv",), "proj"),  # timm
    AttentionLayout(("query_key_value",), "dense", by_head=True),  # GPT-NeoX
)


class Heads(Kind):
    """Attention heads: what a head says is a block of what the output projection reads.

    A gate there is exact: it scales the block's columns of the output projection. A head also owns its rows of the query, key
    and value projections; where several heads share keys and values, those belong to none of them.

    `nn.MultiheadAttention` and the attentions that the table of layouts names are known.
    """

    name = "heads"

    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every attention of a known layout."""
        for name, module in model.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                yield self._torch(model, name, module)
                continue
            layout = next((each for each in LAYOUTS if has_layers(module, (*each.inward, each.outward))), None)
            group = None if layout is None else self._laid_out(model, name, module, layout)
            if group is not None:
                yield group

    def _torch(self, model: nn.Module, name: str, module: nn.MultiheadAttention) -> UnitGroup:
        """The heads of `nn.MultiheadAttention`, whose three projections are one parameter or three."""
        n, size = module.num_heads, module.head_dim
        out = f"{name}.out_proj"
        third = module.embed_dim
        if module.in_proj_weight is not None:
            inward = [Slice(f"{name}.in_proj_weight", 0, i * third, size) for i in range(3)]
        else:
            inward = [Slice(f"{name}.{part}_proj_weight", 0, 0, size) for part in "qkv"]
        if module.in_proj_bias is not None:
            inward += [Slice(f"{name}.in_proj_bias", 0, i * third, size) for i in range(3)]
        return inside_block(model, name, self.name, out, n, inward, claims=(name, out), runs=(name,), block=size)

    def _laid_out(self, model: nn.Module, name: str, module: nn.Module, layout: AttentionLayout) -> UnitGroup | None:
        """The heads of an attention of a known layout; None where how many there are is not said."""
        prefix = f"{name}." if name else ""
        out, inward = prefix + layout.outward, [prefix + each for each in layout.inward]
        width = features(module.get_submodule(layout.outward))[0]
        size = _head_size(module, width)
        if size is None or width % size:
            return None
        n = width // size
        parts: list[Slice] = []
        made = [features(module.get_submodule(each))[1] for each in layout.inward]
        if len(inward) == 3:
            for each, outputs in zip(inward, made, strict=True):
                parts += rows(model, each, block=size) if outputs == width else ()
        elif made[0] == 3 * width:
            keys_for_each = getattr(module, "multi_query", None) is False  # GPT-BigCode
            by_head = layout.by_head or keys_for_each
            for start in [0] if by_head else [0, width, 2 * width]:
                parts += rows(model, inward[0], start=start, block=3 * size if by_head else size)
        return inside_block(model, name, self.name, out, n, parts, claims=(*inward, out), runs=(out,), block=size)


def has_layers(module: nn.Module, names: Sequence[str]) -> bool:
    """Whether all of these below a module are linear layers."""
    try:
        return all(is_linear(module.get_submodule(name)) for name in names)
    except AttributeError:
        return False


def _head_size(module: nn.Module, width: int) -> int | None:
    """Features of a head, as an attention, a part of it or its configuration says."""
    said = [module, *module.children(), getattr(module, "config", None)]
    size = next((value for each in said for name in SIZES if (value := _whole(each, name))), None)
    count = next((value for each in said for name in COUNTS if (value := _whole(each, name))), None)
    return size if size is not None else None if count is None else width // count


def _whole(module: Any, name: str) -> int | None:
    """A whole number above 0 that an object holds under a name, None if it holds none."""
    value = getattr(module, name, None)
    return value if isinstance(value, int) and value > 0 else None
