"""A small vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Embedding(nn.Module):
    """Patches as tokens, behind a token for the class, each with its position."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.first = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, (size // patch) ** 2 + 1, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the token and the positions."""
        nn.init.normal_(self.first, std=0.02)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 1, size, size) images as (n, tokens, width)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        found: Tensor = torch.cat([self.first.expand(len(images), -1, -1), tokens], dim=1) + self.positions
        return found


class VisionTransformer(nn.Module):
    """ViT (Dosovitskiy et al., 2021): patches, blocks of attention and MLP with the normalisation first, a linear head."""

    def __init__(
        self,
        size: int = 28,
        patch: int = 7,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        hidden: int = 256,
        classes: int = 10,
    ) -> None:
        """For square images of one channel."""
        super().__init__()
        self.embedding = _Embedding(size, patch, width)
        block = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)
        for layer in self.encoder.layers:  # copies of one block, all alike: draw each for itself
            for module in layer.modules():
                reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
                if reset is not None:
                    reset()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes) of (n, 1, size, size) images."""
        logits: Tensor = self.head(self.encoder(self.embedding(images))[:, 0])
        return logits


def small_vit() -> nn.Module:
    """The vision transformer of the experiments: 28 x 28 pixels, 16 patches, 4 blocks of 4 heads, 205 thousand parameters."""
    return VisionTransformer()
