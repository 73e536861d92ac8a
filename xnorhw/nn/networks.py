"""Networks that the project trains itself."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.quantizers import InputQuant, Sign

__all__ = ["digits"]


def digits(width: int = 32, classes: int = 10) -> nn.Sequential:
    """A binary convolutional network for 8 x 8 grey digits; raw pixels [N, 1, 8, 8] -> scores
    [N, classes].

    XNOR-Net's block order (batch norm, sign, convolution, pool).  The first convolution has
    binary weights on 8-bit pixels; every other product is XNOR-popcount with a scale per
    channel.  ``width``: channels of the first layer; the next have twice as many.
    """
    quant = InputQuant(mean=0.5, std=0.5)
    layers: list[tuple[str, nn.Module]] = [
        ("quant", quant),
        ("conv1", BinaryConv2d(1, width, 3, padding=1, scale="channel", in_scale=quant.scale)),
        ("norm1", nn.BatchNorm2d(width)),
        ("sign1", Sign()),
        ("conv2", BinaryConv2d(width, 2 * width, 3, padding=1, scale="channel")),
        ("pool2", nn.MaxPool2d(2)),
        ("norm2", nn.BatchNorm2d(2 * width)),
        ("sign2", Sign()),
        ("conv3", BinaryConv2d(2 * width, 2 * width, 3, padding=1, scale="channel")),
        ("pool3", nn.MaxPool2d(2)),
        ("norm3", nn.BatchNorm2d(2 * width)),
        ("sign3", Sign()),
        ("flatten", nn.Flatten()),
        ("linear", BinaryLinear(8 * width, classes, bias=True, scale="channel")),
    ]
    return nn.Sequential(OrderedDict(layers))
