"""A residual network for small photographs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """relu(shortcut(x) + BN(conv(relu(BN(conv(x)))))), 3x3; the shortcut is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Two convolutions from one number of channels to another."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        found = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(found + self.shortcut(x))


class ResNet(nn.Module):
    """A 3x3 convolution, four stages of two `BasicBlock`s with 64 to 512 channels, mean over places, a linear layer."""

    def __init__(self, classes: int = 10) -> None:
        """For some classes."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages, inputs = [], 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            stages.append(nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 3, h, w) to logits (n, classes)."""
        found = self.stages(functional.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(found.mean(dim=(2, 3)))
        return logits


def resnet18() -> nn.Module:
    """ResNet-18 with a first convolution of 3x3 and no pooling, for 32 x 32 photographs; 11,173,962 parameters.

    Source: He et al., CVPR 2016.
    """
    return ResNet()
