"""What the networks of the zoo are put together from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from xnorhw.nn.activations import Grid
from xnorhw.nn.full import FullConv2d
from xnorhw.nn.quantizers import InputQuant

__all__ = [
    "GRID_BITS",
    "GRID_FRAC",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Mean",
    "chain",
    "colour_quant",
    "first_conv",
    "grey_quant",
    "grid",
    "named",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRID_BITS = 12
GRID_FRAC = 6
FIRST_FRAC = 10
"""Fraction bits of a full-precision layer's weights: with codes of 8 bits their sums are exact."""


def named(**layers: nn.Module) -> nn.Sequential:
    """A chain whose modules have these names."""
    return nn.Sequential(OrderedDict(layers))


def chain(*blocks: tuple[str, nn.Module]) -> nn.Sequential:
    """A chain of (name, module)."""
    return nn.Sequential(OrderedDict(blocks))


def colour_quant() -> InputQuant:
    """Pixels of three colours by ImageNet's means and deviations (torchvision's numbers)."""
    return InputQuant(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def grey_quant() -> InputQuant:
    """Grey or coloured pixels to -1..1: 2 x / 255 - 1."""
    return InputQuant(mean=0.5, std=0.5)


def first_conv(quant: InputQuant, channels: int, out: int, size: int, **options: Any) -> FullConv2d:
    """A first layer in full precision behind ``quant``."""
    return FullConv2d(channels, out, size, frac=FIRST_FRAC, in_scale=quant.scale, **options)


def grid() -> Grid:
    """The fixed point of every shortcut: 12 bits, 6 of them behind the point."""
    return Grid(GRID_BITS, GRID_FRAC)


class Mean(nn.Module):
    """The mean over height and width: [N, C, H, W] -> [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1)
