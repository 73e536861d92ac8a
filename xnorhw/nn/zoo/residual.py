"""ResNet-18 as BWN, XNOR-Net, ABC-Net and Bi-Real: every sum on fixed-point numbers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from xnorhw.nn.activations import BasesActivation, Grid, QuantReLU
from xnorhw.nn.full import FullLinear
from xnorhw.nn.layers import BinaryConv2d
from xnorhw.nn.quant_layers import QuantConv2d
from xnorhw.nn.quantizers import InputQuant, Sign
from xnorhw.nn.weights import BasesWeight
from xnorhw.nn.zoo.parts import GRID_FRAC, Mean, colour_quant, first_conv, grid

__all__ = ["ABCBlock", "BWNBlock", "BiRealBlock", "ResNet18", "XNORBlock", "resnet18"]

Block = Callable[[int, int, int], nn.Module]

RELU_SCALE = 2.0**-5


class XNORBlock(nn.Module):
    """Twice BN, sign and convolution, and a shortcut: a binary 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.sign1 = nn.BatchNorm2d(inputs), Sign()
        self.conv1 = BinaryConv2d(inputs, outputs, 3, stride=stride, padding=1, scale="channel")
        self.bn2, self.sign2 = nn.BatchNorm2d(outputs), Sign()
        self.conv2 = BinaryConv2d(outputs, outputs, 3, padding=1, scale="channel")
        self.grid2 = grid()
        self.changes = stride != 1 or inputs != outputs
        if self.changes:
            self.conv3 = BinaryConv2d(inputs, outputs, 1, stride=stride, scale="channel")
            self.grid3 = grid()

    def forward(self, x: Tensor) -> Tensor:
        """Fixed-point numbers [N, C, H, W] to such."""
        signs = self.sign1(self.bn1(x))
        y: Tensor = self.grid2(self.conv2(self.sign2(self.bn2(self.conv1(signs)))))
        return y + (self.grid3(self.conv3(signs)) if self.changes else x)


class BiRealBlock(nn.Module):
    """Bi-Real Net: a shortcut around each convolution, pooled and doubled where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.sign = Sign()
        self.conv = BinaryConv2d(inputs, outputs, 3, stride=stride, padding=1, scale="channel")
        self.bn = nn.BatchNorm2d(outputs)
        self.grid = grid()
        self.halved, self.doubled = stride != 1, inputs != outputs
        if self.halved:
            # a sum of many has many bits: it is held within 12 again
            self.pool, self.held = nn.MaxPool2d(2), grid()

    def forward(self, x: Tensor) -> Tensor:
        """Fixed-point numbers [N, C, H, W] to such."""
        y: Tensor = self.grid(self.bn(self.conv(self.sign(x))))
        if self.halved:
            x = self.pool(self.held(x))
        if self.doubled:
            x = torch.cat((x, x), dim=1)
        return y + x


class BWNBlock(nn.Module):
    """Binary weights on codes of 8 bits: conv-BN-ReLU-conv-BN, the shortcut, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()

        def conv(size: int, ins: int, step: int) -> BinaryConv2d:
            return BinaryConv2d(
                ins, outputs, size, stride=step, padding=size // 2, scale="channel", in_scale=RELU_SCALE
            )

        self.act1, self.conv1, self.bn1 = (
            QuantReLU(8, RELU_SCALE),
            conv(3, inputs, stride),
            nn.BatchNorm2d(outputs),
        )
        self.act2, self.conv2, self.bn2 = (
            QuantReLU(8, RELU_SCALE),
            conv(3, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.grid2 = grid()
        self.changes = stride != 1 or inputs != outputs
        if self.changes:
            self.conv3, self.bn3, self.grid3 = conv(1, inputs, stride), nn.BatchNorm2d(outputs), grid()
        self.relu, self.grid = nn.ReLU(), grid()

    def forward(self, x: Tensor) -> Tensor:
        """Fixed-point numbers [N, C, H, W], none of them negative, to such."""
        codes = self.act1(x)
        y: Tensor = self.grid2(self.bn2(self.conv2(self.act2(self.bn1(self.conv1(codes))))))
        shortcut = self.grid3(self.bn3(self.conv3(codes))) if self.changes else x
        out: Tensor = self.grid(self.relu(y + shortcut))
        return out


class ABCBlock(nn.Module):
    """ABC-Net: conv-BN-activation twice, M weight bases and N activation bases in each convolution."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, weights: int = 5, activations: int = 5
    ) -> None:
        super().__init__()

        def conv(size: int, ins: int, step: int) -> QuantConv2d:
            return QuantConv2d(
                ins, outputs, size, stride=step, padding=size // 2, weight=BasesWeight(weights, ABC_FRAC)
            )

        self.act1, self.conv1 = BasesActivation(activations, ABC_FRAC), conv(3, inputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act2, self.conv2 = BasesActivation(activations, ABC_FRAC), conv(3, outputs, 1)
        self.bn2, self.grid2 = nn.BatchNorm2d(outputs), Grid(ABC_GRID_BITS, GRID_FRAC)
        self.changes = stride != 1 or inputs != outputs
        if self.changes:
            self.conv3, self.bn3 = conv(1, inputs, stride), nn.BatchNorm2d(outputs)
            self.grid3 = Grid(ABC_GRID_BITS, GRID_FRAC)

    def forward(self, x: Tensor) -> Tensor:
        """Fixed-point numbers [N, C, H, W] to such."""
        bases = self.act1(x)
        y: Tensor = self.grid2(self.bn2(self.conv2(self.act2(self.bn1(self.conv1(bases))))))
        return y + (self.grid3(self.bn3(self.conv3(bases))) if self.changes else x)


FIRST_BITS, FIRST_GRID_FRAC = 10, 5
"""The first layer's sums need more than float32's 24 bits, so each of its codes is a step of its own."""

ABC_FRAC, ABC_GRID_BITS = 4, 10
"""Fraction bits of alphas and betas, and what a block adds: -8 .. 8 in steps of 1/64.

The sums of 512 channels have 20 bits and more; float32 leaves the slope of a batch norm behind
them what the grid's range and the sums' fraction do not take of its 24.
"""


class ResNet18(nn.Module):
    """ResNet-18: a first convolution in full precision, four stages of two blocks, the mean, a linear layer.

    ``block`` (inputs, outputs, stride) -> module; ``twice``: a block has one convolution, so that a stage
    has four.  Raw pixels [N, 3, 224, 224].
    """

    def __init__(self, classes: int, block: Block, *, twice: bool, width: int = 64) -> None:
        super().__init__()
        self.quant: InputQuant = colour_quant()
        self.conv1 = first_conv(self.quant, 3, width, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu1, self.pool1 = nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.grid1 = Grid(FIRST_BITS, FIRST_GRID_FRAC)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        channels = width
        for stage in range(4):
            outputs = width << stage
            for number in range(4 if twice else 2):
                stride = 2 if stage > 0 and number == 0 else 1
                blocks[f"block{stage + 1}_{number + 1}"] = block(channels, outputs, stride)
                channels = outputs
        self.blocks = nn.Sequential(blocks)
        self.bn2, self.relu2, self.grid2 = nn.BatchNorm2d(channels), nn.ReLU(), grid()
        self.mean = Mean()
        self.fc = FullLinear(channels, classes, frac=10, in_frac=10)

    def forward(self, x: Tensor) -> Tensor:
        """Scores [N, classes]."""
        first = self.grid1(self.pool1(self.relu1(self.bn1(self.conv1(self.quant(x))))))
        last = self.grid2(self.relu2(self.bn2(self.blocks(first))))
        scores: Tensor = self.fc(self.mean(last))
        return scores


_BLOCKS: dict[str, tuple[Block, bool]] = {
    "abc": (ABCBlock, False),
    "bireal": (BiRealBlock, True),
    "bwn": (BWNBlock, False),
    "xnor": (XNORBlock, False),
}


def resnet18(classes: int, scheme: str, width: int = 64) -> nn.Module:
    """ResNet-18 in the ``scheme`` "abc", "bireal", "bwn" or "xnor"; raw pixels [N, 3, 224, 224]."""
    block, twice = _BLOCKS[scheme]
    return ResNet18(classes, block, twice=twice, width=width)
