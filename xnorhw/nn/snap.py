"""A trained layer -> a full-precision layer whose weights lie on a grid of 2^-frac."""

from __future__ import annotations

import copy
from typing import Union

import torch
from torch import nn

from xnorhw.nn.full import FullBase, FullConv2d, FullLinear, grid_frac

__all__ = ["IN_FRAC", "Snappable", "snapped"]

Snappable = Union[nn.Conv2d, nn.Linear, FullBase]

IN_FRAC = 10
"""Fraction bits to which a snapped linear layer rounds real values: steps of about 0.001."""


def snapped(
    layer: Snappable, frac: int | None = None, in_frac: int | None = None, full_bits: int | None = None
) -> FullBase:
    """``layer`` as a FullConv2d or FullLinear, its weights rounded to 2^-frac, ties to even.

    ``frac`` None: the layer's own; for torch's layers the finest grid on which the weights
    fit 16 bits (``grid_frac``).  ``full_bits``: the finest on which they fit so many, of every layer.
    ``in_frac``: for a linear layer of torch's that reads real values.  The given layer is not
    changed; its bias is taken over as it is.
    """
    made: FullBase
    if frac is None and full_bits is not None:
        frac = grid_frac(layer.weight, full_bits)
    if isinstance(layer, nn.Conv2d):
        made = FullConv2d.from_conv(layer, frac)
    elif isinstance(layer, nn.Linear):
        made = FullLinear.from_linear(layer, frac, in_frac)
    else:
        made = copy.deepcopy(layer)
        if frac is not None:
            made.set_frac(frac)
    with torch.no_grad():
        steps = torch.round(made.weight.to(torch.float64) * 2.0**made.frac)
        made.weight.copy_(steps * 2.0**-made.frac)
    return made
