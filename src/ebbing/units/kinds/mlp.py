"""Hidden units of the MLPs of transformers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ebbing.units.group import UnitGroup
from ebbing.units.kinds.heads import Heads, has_layers
from ebbing.units.kinds.kind import Kind, features, inside_block, rows


@dataclass(frozen=True)
class MlpLayout:
    """How an MLP is laid out, by names below its module.

    Attributes:
        inward: the layers that make the hidden units: one, or a gate and what it is multiplied with.
        outward: the layer that reads them.
        parts: of a layer that makes gate and the other together, one after the other.
        plain: whether the names say too little: then an attention must stand beside the MLP.
    """

    inward: tuple[str, ...]
    outward: str
    parts: int = 1
    plain: bool = False


LAYOUTS = (
    MlpLayout(("gate_proj", "up_proj"), "down_proj"),  # Llama, Mistral, Qwen, Gemma
    MlpLayout(("gate_up_proj",), "down_proj", parts=2),  # Phi-3
    MlpLayout(("c_fc",), "c_proj"),  # GPT-2
    MlpLayout(("intermediate.dense",), "output.dense"),  # BERT, RoBERTa, ELECTRA, ViT before transformers 5
    MlpLayout(("dense_h_to_4h",), "dense_4h_to_h"),  # GPT-NeoX
    MlpLayout(("wi_0", "wi_1"), "wo"),  # T5 1.1
    MlpLayout(("wi",), "wo"),  # T5
    MlpLayout(("lin1",), "lin2", plain=True),  # DistilBERT
    MlpLayout(("linear1",), "linear2", plain=True),  # nn.TransformerEncoderLayer and nn.TransformerDecoderLayer
    MlpLayout(("fc1",), "fc2", plain=True),  # ViT, BART, OPT, CLIP, timm
)


class MlpUnits(Kind):
    """Hidden units of the MLP of a transformer block: a column of the layer that reads them, and the rows that make them.

    The gate acts behind the nonlinearity, on what the output projection reads, where it is exact whatever the nonlinearity: it
    scales columns of that projection. Source: the units of Pochinkov and Schoots, arXiv 2403.01267.
    """

    name = "mlp"

    def find(self, model: nn.Module) -> Iterable[UnitGroup]:
        """Every MLP of a known layout."""
        attentions = {group.name.rpartition(":")[0] for group in Heads().find(model)}
        for name, module in model.named_modules():
            for layout in LAYOUTS:
                if has_layers(module, (*layout.inward, layout.outward)) and (
                    not layout.plain or _is_beside(name, attentions)
                ):
                    yield self._group(model, name, layout)
                    break

    def _group(self, model: nn.Module, name: str, layout: MlpLayout) -> UnitGroup:
        prefix = f"{name}." if name else ""
        out, inward = prefix + layout.outward, [prefix + each for each in layout.inward]
        n = features(model.get_submodule(out))[0]
        made = [part for each in inward for i in range(layout.parts) for part in rows(model, each, start=i * n)]
        return inside_block(model, name, self.name, out, n, made, claims=(*inward, out), runs=(out,))


def _is_beside(name: str, attentions: set[str]) -> bool:
    """Whether an attention is part of a module, or of the one around it."""
    around = {f"{name}." if name else "", f"{name.rpartition('.')[0]}." if "." in name else ""}
    return any(attention.startswith(prefix) for attention in attentions for prefix in around)
