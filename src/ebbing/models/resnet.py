"""Residual networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """relu(shortcut(x) + BN(conv(relu(BN(conv(x)))))), 3x3; the shortcut is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, norm: bool = True) -> None:
        """Two convolutions from one number of channels to another; without BatchNorm they have biases in its place."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not norm)
        self.bn1 = _norm(outputs, norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=not norm)
        self.bn2 = _norm(outputs, norm)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=not norm), _norm(outputs, norm))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        found = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(found + self.shortcut(x))


class ResNet(nn.Module):
    """A 3x3 convolution, stages of `BasicBlock`s, mean over places, a linear layer (He et al., CVPR 2016)."""

    def __init__(
        self,
        classes: int = 10,
        *,
        colours: int = 3,
        stages: Sequence[tuple[int, int]] = ((64, 1), (128, 2), (256, 2), (512, 2)),
        blocks: int = 2,
        norm: bool = True,
    ) -> None:
        """For some classes; a stage is its channels and the stride of its first block."""
        super().__init__()
        inputs = stages[0][0]
        self.conv1 = nn.Conv2d(colours, inputs, 3, padding=1, bias=not norm)
        self.bn1 = _norm(inputs, norm)
        found = []
        for outputs, stride in stages:
            first = BasicBlock(inputs, outputs, stride, norm=norm)
            rest = [BasicBlock(outputs, outputs, 1, norm=norm) for _ in range(blocks - 1)]
            found.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.stages = nn.Sequential(*found)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, colours, h, w) to logits (n, classes)."""
        found = self.stages(functional.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(found.mean(dim=(2, 3)))
        return logits


def resnet18() -> nn.Module:
    """ResNet-18 with a first convolution of 3x3 and no pooling, for 32 x 32 photographs; 11,173,962 parameters.

    Source: He et al., CVPR 2016.
    """
    return ResNet()


def resnet18_grey() -> nn.Module:
    """`resnet18` for grey images, of 28 x 28 or larger; 11,172,810 parameters."""
    return ResNet(colours=1)


def small_resnet() -> nn.Module:
    """Three stages of one block with 16, 32 and 64 channels, for 28 x 28 images; 78,042 parameters, 1 % of them in the head."""
    return ResNet(colours=1, stages=SMALL, blocks=1)


def small_resnet_plain() -> nn.Module:
    """`small_resnet` without BatchNorm: biases in its place; 77,690 parameters."""
    return ResNet(colours=1, stages=SMALL, blocks=1, norm=False)


SMALL = ((16, 2), (32, 2), (64, 2))


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()
