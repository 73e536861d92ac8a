"""Two detectors of robots in proposals of 32 x 32 pixels, small enough for a NAO's processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xnorhw.nn.full import FullLinear
from xnorhw.nn.layers import BinaryConv2d
from xnorhw.nn.quantizers import Sign
from xnorhw.nn.zoo.parts import chain, first_conv, grey_quant

__all__ = ["Fire", "nao_fire", "nao_xnor"]


def nao_xnor(classes: int) -> nn.Module:
    """An XNOR-Net chain; raw pixels [N, 1, 32, 32]."""
    quant = grey_quant()
    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 1, 32, 5, stride=2, padding=2)),
        ("bn2", nn.BatchNorm2d(32)),
        ("sign2", Sign()),
        ("conv2", BinaryConv2d(32, 64, 3, padding=1, scale="channel")),
        ("pool2", nn.MaxPool2d(2)),
        ("bn3", nn.BatchNorm2d(64)),
        ("sign3", Sign()),
        ("conv3", BinaryConv2d(64, 64, 3, padding=1, scale="channel")),
        ("pool3", nn.MaxPool2d(2)),
        ("bn4", nn.BatchNorm2d(64)),
        ("sign4", Sign()),
        ("conv4", BinaryConv2d(64, 128, 4, scale="channel")),
        ("bn5", nn.BatchNorm2d(128)),
        ("relu5", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("linear5", FullLinear(128, classes, frac=10, in_frac=10)),
    )


class Fire(nn.Module):
    """A binary fire module: 1x1 to few channels, then 1x1 and 3x3 side by side, put together as signs."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = BinaryConv2d(inputs, squeezed, 1, scale="channel")
        self.bn1, self.sign1 = nn.BatchNorm2d(squeezed), Sign()
        self.expand1 = BinaryConv2d(squeezed, expanded, 1, scale="channel")
        self.bn2, self.sign2 = nn.BatchNorm2d(expanded), Sign()
        self.expand3 = BinaryConv2d(squeezed, expanded, 3, padding=1, scale="channel")
        self.bn3, self.sign3 = nn.BatchNorm2d(expanded), Sign()

    def forward(self, x: Tensor) -> Tensor:
        """-1 and +1 [N, inputs, H, W] -> [N, 2 expanded, H, W]."""
        few = self.sign1(self.bn1(self.squeeze(x)))
        sides = self.sign2(self.bn2(self.expand1(few))), self.sign3(self.bn3(self.expand3(few)))
        return torch.cat(sides, dim=1)


def nao_fire(classes: int) -> nn.Module:
    """A SqueezeNet-like network of three binary fire modules; raw pixels [N, 1, 32, 32]."""
    quant = grey_quant()
    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 1, 32, 5, stride=2, padding=2)),
        ("bn1", nn.BatchNorm2d(32)),
        ("sign1", Sign()),
        ("fire2", Fire(32, 32, 32)),
        ("pool2", nn.MaxPool2d(2)),
        ("fire3", Fire(64, 32, 48)),
        ("pool3", nn.MaxPool2d(2)),
        ("fire4", Fire(96, 48, 64)),
        ("conv5", BinaryConv2d(128, 128, 4, scale="channel")),
        ("bn5", nn.BatchNorm2d(128)),
        ("relu5", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("linear5", FullLinear(128, classes, frac=10, in_frac=10)),
    )
