"""Numbers of imported networks: weights centred, rounded to grids, and how large values can get."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xnorhw.nn.full import MAX_FRAC
from xnorhw.nn.layers import FrozenBinaryConv2d

__all__ = ["centred", "grid_of", "on_grid", "reach"]


def centred(weight: Tensor, recentre: bool | None) -> tuple[Tensor, bool]:
    """XNOR-Net's weights as its evaluation has them: minus the mean over the inputs, clamped to -1..1.

    True with them where a clamp changed one.  ``recentre`` False: as they are.
    """
    if recentre is False:
        return weight, False
    moved = weight - weight.mean(1, keepdim=True)
    clamped = moved.clamp(-1.0, 1.0)
    return clamped, not torch.equal(moved, clamped)


def reach(layers: Sequence[tuple[str, nn.Module]]) -> float:
    """The largest magnitude behind the last binary layer of a chain, and the batch norm behind it if any."""
    norm = None
    for _, module in reversed(layers):
        if isinstance(module, nn.BatchNorm2d):
            norm = module
        if isinstance(module, FrozenBinaryConv2d):
            largest = torch.full((len(module.weight),), float(module.weight[0].numel()) * module.in_scale)
            largest = largest if module.scale is None else largest * module.scale.abs()
            largest = largest if module.bias is None else largest + module.bias.abs()
            if norm is not None and norm.running_mean is not None and norm.running_var is not None:
                largest = (largest + norm.running_mean.abs()) / torch.sqrt(norm.running_var + norm.eps)
            return float(largest.max())
    raise AssertionError("no binary convolution stands in front of a grid")


def grid_of(weight: Tensor, bits: int) -> int:
    """The finest frac with which the weights fit ``bits`` signed bits."""
    peak = float(weight.abs().max()) if weight.numel() else 0.0
    if peak == 0:
        return 0
    return max(0, min(MAX_FRAC, bits - 1 - (math.frexp(peak)[1])))


def on_grid(weight: Tensor, frac: int) -> Tensor:
    """Rounded to multiples of 2^-frac, in float32."""
    return (torch.round(weight.to(torch.float64) * 2.0**frac) * 2.0**-frac).to(torch.float32)
