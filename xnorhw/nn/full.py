"""Layers in full precision that stay exact: weights on a grid of 2^-frac, sums in float64.

XNOR-Net leaves its first and its last layer unbinarised (section 4.1).  With weights and
inputs that are multiples of powers of two every partial sum below 2^53 steps is a float64
number, so no order of additions rounds.  A scale and a bias come once, behind the sum.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.nn.geometry import Padding, Size, conv_shape, pads_of, pair_of

__all__ = ["MAX_FRAC", "FullBase", "FullConv2d", "FullLinear", "grid_frac"]

MAX_FRAC = 30
WEIGHT_BITS = 16


def grid_frac(weight: Tensor, bits: int = WEIGHT_BITS) -> int:
    """The largest frac, 0 to 30, with which every weight rounded to 2^-frac fits ``bits`` signed bits.

    ValueError for ``bits`` outside of 2 to 24: float32 has no more.
    """
    if not 2 <= operator.index(bits) <= 24:
        raise ValueError(f"a weight has 2 to 24 bits, not {bits}")
    peak = float(weight.detach().abs().max()) if weight.numel() else 0.0
    top = (1 << (bits - 1)) - 1
    for frac in range(MAX_FRAC, 0, -1):
        if round(math.ldexp(peak, frac)) <= top:
            return frac
    return 0


class _RoundInput(torch.autograd.Function):
    """Rounds to multiples of 2^-frac, ties to even; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, frac: int) -> Tensor:
        return torch.round(x * 2.0**frac) * 2.0**-frac

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class FullBase(nn.Module):
    """What full-precision convolutions and linear layers have in common.

    ``weight`` is used as it is; a build takes it where it lies on the grid of 2^-frac, which
    ``xnorhw.snap`` does to a trained one.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    frac: int
    in_scale: float

    def set_frac(self, frac: int) -> None:
        """Take another grid; the weights stay as they are.  ValueError outside of 0 to 30."""
        self.frac = _grid(frac, "frac")

    def _set_grid(self, frac: int, in_scale: float) -> None:
        self.set_frac(frac)
        # kept as float32 holds it, as the binary layers do
        value = float(np.float32(in_scale))
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"in_scale is positive and finite, not {in_scale}")
        self.in_scale = value

    def _set_weight(self, shape: tuple[int, ...], bias: bool) -> None:
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None

    def sum(self, x: Tensor) -> Tensor:
        """The sum of x with the weights, without scale and bias.

        In eval float64, in which it is exact for weights and inputs on their grids; in
        training the framework's plain sum.
        """
        raise NotImplementedError

    def after_sum(self, s: Tensor) -> Tensor:
        """Scale and bias on sums [N, O, ...] of any dtype: float32(s) * in_scale + bias."""
        y = s.to(self.weight.dtype)
        if self.in_scale != 1.0:
            y = y * self.in_scale
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * (s.dim() - 2))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """``after_sum(sum(x))``."""
        return self.after_sum(self.sum(x))

    def _dtype(self, x: Tensor) -> torch.dtype:
        if self.training:
            return x.dtype if x.is_floating_point() else self.weight.dtype
        return torch.float64

    def _grid_repr(self) -> str:
        scale = "" if self.in_scale == 1.0 else f", in_scale={self.in_scale:.6g}"
        return f"bias={self.bias is not None}, frac={self.frac}{scale}"


class FullConv2d(FullBase):
    """2-d convolution with weights on a grid of 2^-frac: y = (x conv W) * in_scale + bias.

    ``weight`` [O, I/groups, kh, kw] float32.  It reads integer codes or -1 and +1.
    ``padding`` an int, a pair (y, x) or (left, right, top, bottom), of zeros.  ``in_scale``:
    what one unit of the input is worth (``InputQuant.scale``).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        frac: int = 8,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        self.stride = pair_of(stride, "stride", 1)
        self.pads = pads_of(padding)
        self.dilation = pair_of(dilation, "dilation", 1)
        self.groups = operator.index(groups)
        self._set_grid(frac, in_scale)
        kernel = pair_of(kernel_size, "kernel_size", 1)
        self._set_weight((out_channels, in_channels // groups, *kernel), bias)

    @classmethod
    def from_conv(
        cls, conv: nn.Conv2d, frac: int | None = None, in_scale: float = 1.0, bits: int = WEIGHT_BITS
    ) -> FullConv2d:
        """The same convolution with copies of its weight and bias, which are not rounded.

        ``frac`` None: the finest with which the rounded weights have ``bits`` bits (``grid_frac``);
        with 8 the layer can stand on the chip.  ValueError where the padding mode is not zeros.
        """
        layer = cls(
            **conv_shape(conv),
            frac=grid_frac(conv.weight, bits) if frac is None else frac,
            in_scale=in_scale,
        )
        _adopt(layer, conv)
        return layer

    def sum(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, OH, OW]; see the base class."""
        dtype = self._dtype(x)
        left, right, top, bottom = self.pads
        pads = (top, left)
        if left != right or top != bottom:
            x = F.pad(x, self.pads)
            pads = (0, 0)
        return F.conv2d(
            x.to(dtype), self.weight.to(dtype), None, self.stride, pads, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        out, per_group, height, width = self.weight.shape
        return (
            f"{per_group * self.groups}, {out}, kernel_size=({height}, {width}), stride={self.stride}, "
            f"pads={self.pads}, dilation={self.dilation}, groups={self.groups}, {self._grid_repr()}"
        )


class FullLinear(FullBase):
    """Linear layer with weights on a grid of 2^-frac: y = (x W^T) * in_scale + bias; [N, I] -> [N, O].

    It reads integer codes, or -1 and +1; ``in_frac`` lets it read real values, which are
    rounded to multiples of 2^-in_frac first, ties to even.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        frac: int = 8,
        in_frac: int | None = None,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"a linear layer of {in_features} features and {out_features} outputs is none")
        self._set_grid(frac, in_scale)
        self.in_frac = None if in_frac is None else _grid(in_frac, "in_frac")
        if in_frac is not None and self.in_scale != 1.0:
            raise ValueError("in_scale belongs to integer codes, in_frac to real values: give one of the two")
        self._set_weight((out_features, in_features), bias)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        frac: int | None = None,
        in_frac: int | None = None,
        in_scale: float = 1.0,
        bits: int = WEIGHT_BITS,
    ) -> FullLinear:
        """The same layer with copies of its weight and bias, which are not rounded.

        ``frac`` None: the finest with which the rounded weights have ``bits`` bits (``grid_frac``);
        with 8 the layer can stand on the chip.
        """
        frac = grid_frac(linear.weight, bits) if frac is None else frac
        bias = linear.bias is not None
        layer = cls(linear.in_features, linear.out_features, bias, frac, in_frac, in_scale)
        _adopt(layer, linear)
        return layer

    def sum(self, x: Tensor) -> Tensor:
        """[N, I] -> [N, O]; see the base class."""
        x = x.to(self._dtype(x))
        if self.in_frac is not None:
            x = _RoundInput.apply(x, self.in_frac)  # type: ignore[no-untyped-call]
        return F.linear(x, self.weight.to(x.dtype))

    def extra_repr(self) -> str:
        out, features = self.weight.shape
        rounded = "" if self.in_frac is None else f", in_frac={self.in_frac}"
        return f"{features}, {out}, {self._grid_repr()}{rounded}"


def _grid(value: int, name: str) -> int:
    bits = operator.index(value)
    if not 0 <= bits <= MAX_FRAC:
        raise ValueError(f"{name} is 0 to {MAX_FRAC} bits, not {value}")
    return bits


def _adopt(layer: FullBase, source: nn.Conv2d | nn.Linear) -> None:
    layer.weight = nn.Parameter(source.weight.detach().clone(), requires_grad=source.weight.requires_grad)
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.detach().clone(), requires_grad=source.bias.requires_grad)
    layer.train(source.training)
