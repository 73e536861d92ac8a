"""Sizes, strides and paddings as a user writes them, to pairs and four sides."""

from __future__ import annotations

import operator
from typing import TypedDict, Union

from torch import nn

__all__ = ["ConvShape", "Padding", "Size", "conv_pads", "conv_shape", "pads_of", "pair_of"]

Padding = Union[int, tuple[int, int], tuple[int, int, int, int]]
"""Padding: all sides; (y, x); or (left, right, top, bottom)."""
Size = Union[int, tuple[int, int]]


class ConvShape(TypedDict):
    """A convolution's arguments but for its weights, as the layers of this package take them."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    bias: bool


def pair_of(value: Size, name: str, least: int) -> tuple[int, int]:
    """``value`` as a pair (y, x); ValueError, which calls it ``name``, where one is below ``least``."""
    sizes = value if isinstance(value, tuple | list) else (value, value)
    pair = tuple(operator.index(v) for v in sizes)
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(f"{name} is an int or a pair (y, x) of at least {least}, not {value}")
    return pair[0], pair[1]


def pads_of(padding: int | tuple[int, ...]) -> tuple[int, int, int, int]:
    """(left, right, top, bottom); ValueError where ``padding`` describes none."""
    given = padding if isinstance(padding, tuple | list) else (padding,) * 4
    sides = tuple(operator.index(v) for v in given)
    if len(sides) == 2:
        sides = (sides[1], sides[1], sides[0], sides[0])
    if len(sides) != 4 or min(sides) < 0:
        raise ValueError(f"padding is an int, a pair (y, x) or (left, right, top, bottom), not {padding}")
    return sides[0], sides[1], sides[2], sides[3]


def conv_pads(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """The four sides of a torch convolution's padding, "same" and "valid" included."""
    if conv.padding == "valid":
        return 0, 0, 0, 0
    if conv.padding == "same":
        totals = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        # torch puts the odd pixel to the right and to the bottom
        top, left = (t // 2 for t in totals)
        return left, totals[1] - left, top, totals[0] - top
    assert not isinstance(conv.padding, str)
    return pads_of(conv.padding)


def conv_shape(conv: nn.Conv2d) -> ConvShape:
    """The shape of a torch convolution; ValueError where the padding mode is not zeros."""
    if conv.padding_mode != "zeros":
        raise ValueError(f"padding_mode={conv.padding_mode!r} has no form here: only zeros are padded")
    return ConvShape(
        in_channels=conv.in_channels,
        out_channels=conv.out_channels,
        kernel_size=(conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        padding=conv_pads(conv),
        dilation=(conv.dilation[0], conv.dilation[1]),
        groups=conv.groups,
        bias=conv.bias is not None,
    )
