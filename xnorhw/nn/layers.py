"""Binary layers: y = (x * sign(W)) * (scale * in_scale) + bias, the scale behind the sum."""

from __future__ import annotations

import operator
from typing import Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.nn.exact import exact_sum
from xnorhw.nn.geometry import Padding, Size, conv_shape, pads_of, pair_of
from xnorhw.nn.quantizers import BinaryWeight, ScaleKind
from xnorhw.nn.weights import BinaryConnectWeight

__all__ = [
    "BinaryConv2d",
    "BinaryLinear",
    "ConvBase",
    "FrozenBinaryConv2d",
    "FrozenBinaryLinear",
    "LinearBase",
]

SignQuantizer = Union[BinaryWeight, BinaryConnectWeight]
"""What makes signs, and perhaps a scale, of latent weights."""


class _BinaryBase(nn.Module):
    """What convolutions and linear layers, trained and frozen, have in common."""

    weight: Tensor
    bias: Tensor | None
    in_scale: float

    def _set_in_scale(self, in_scale: float) -> None:
        # kept as float32 holds it, so that scale * in_scale is one product wherever it is formed
        value = float(np.float32(in_scale))
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"in_scale is positive and finite, not {in_scale}")
        self.in_scale = value

    def binarised(self) -> tuple[Tensor, Tensor | None]:
        """(weights -1.0 and +1.0, scale [O] or [1] or None)."""
        raise NotImplementedError

    def sum(self, x: Tensor) -> Tensor:
        """The sum of x with the weights -1 and +1, without scale and bias.

        In eval it is exact for fixed-point inputs (see ``exact``), in float64 where float32
        cannot hold it; in training the framework's plain sum with its gradient.
        """
        raise NotImplementedError

    def after_sum(self, s: Tensor) -> Tensor:
        """Scale and bias on sums [N, O, ...] of any dtype: float(s) * (scale * in_scale) + bias.

        Each operation rounds once, in the weights' dtype (float32); the product of the two
        scales is formed once.
        """
        _, scale = self.binarised()
        shape = (-1, *[1] * (s.dim() - 2))
        y = s.to(self.weight.dtype)
        if scale is not None:
            y = y * (scale * self.in_scale).view(shape)
        elif self.in_scale != 1.0:
            y = y * self.in_scale
        if self.bias is not None:
            y = y + self.bias.view(shape)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """``after_sum(sum(x))``."""
        return self.after_sum(self.sum(x))


class ConvBase(_BinaryBase):
    """The geometry and the sum of a binary convolution."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    pad_value: float

    def _set_geometry(
        self, stride: Size, padding: Padding, dilation: Size, groups: int, pad_value: float
    ) -> None:
        self.stride = pair_of(stride, "stride", 1)
        self.pads = pads_of(padding)
        self.dilation = pair_of(dilation, "dilation", 1)
        self.groups = operator.index(groups)
        if not np.isfinite(pad_value):
            raise ValueError(f"pad_value is finite, not {pad_value}")
        self.pad_value = float(pad_value)

    def sum(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, OH, OW]; see the base class."""
        signs, _ = self.binarised()
        x = _floating(x, signs)
        left, right, top, bottom = self.pads
        pads = (top, left)
        if left != right or top != bottom or (self.pad_value != 0 and any(self.pads)):
            x = F.pad(x, self.pads, value=self.pad_value)
            pads = (0, 0)

        def form(dtype: torch.dtype) -> Tensor:
            return F.conv2d(x.to(dtype), signs.to(dtype), None, self.stride, pads, self.dilation, self.groups)

        if self.training:
            return form(x.dtype)
        return exact_sum(x, signs[0].numel(), form)

    def extra_repr(self) -> str:
        out, per_group, height, width = self.weight.shape
        return (
            f"{per_group * self.groups}, {out}, kernel_size=({height}, {width}), stride={self.stride}, "
            f"pads={self.pads}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}, pad_value={self.pad_value:g}, in_scale={self.in_scale:.6g}"
        )


class LinearBase(_BinaryBase):
    """The sum of a binary linear layer."""

    def sum(self, x: Tensor) -> Tensor:
        """[N, I] -> [N, O]; see the base class."""
        signs, _ = self.binarised()
        x = _floating(x, signs)

        def form(dtype: torch.dtype) -> Tensor:
            return F.linear(x.to(dtype), signs.to(dtype))

        if self.training:
            return form(x.dtype)
        return exact_sum(x, signs.size(1), form)

    def extra_repr(self) -> str:
        out, features = self.weight.shape
        return f"{features}, {out}, bias={self.bias is not None}, in_scale={self.in_scale:.6g}"


class BinaryConv2d(ConvBase):
    """2-d convolution with binary weights: y = (x conv sign(W)) * (scale * in_scale) + bias.

    ``weight`` [O, I/groups, kh, kw] is latent, float, binarised in every forward; a weight of
    exactly 0 is +1.  ``scale`` None, "channel" (alpha = mean |W| of each output channel,
    XNOR-Net eq. 6) or "layer".  ``padding`` an int, a pair (y, x) or (left, right, top,
    bottom); padded taps read ``pad_value`` (0 contributes nothing, as in torch).
    ``in_scale``: what one unit of the input is worth (``InputQuant.scale``, ``QuantReLU.scale``).
    ``weight``: a quantiser of its own in place of ``scale``, as ``BinaryConnectWeight()``; the
    layer keeps it as ``quant``.
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
        bias: bool = False,
        scale: ScaleKind = None,
        pad_value: float = 0,
        in_scale: float = 1.0,
        *,
        weight: SignQuantizer | None = None,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        self._set_geometry(stride, padding, dilation, groups, pad_value)
        self._set_in_scale(in_scale)
        self.quant = _quantizer(scale, weight)
        kernel = pair_of(kernel_size, "kernel_size", 1)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, scale: ScaleKind = None, in_scale: float = 1.0) -> BinaryConv2d:
        """The binary form of a torch convolution: its geometry, and copies of its weight and bias.

        ValueError where the padding mode is not zeros.
        """
        layer = cls(
            **conv_shape(conv),
            scale=scale,
            in_scale=in_scale,
        )
        _adopt(layer, conv)
        return layer

    @classmethod
    def from_frozen(
        cls,
        weight: Tensor,
        scale: Tensor | None = None,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        pad_value: float = 0,
        in_scale: float = 1.0,
    ) -> FrozenBinaryConv2d:
        """A convolution of known weights -1 and +1 [O, I/groups, kh, kw] and a known scale [O] or [1]."""
        return FrozenBinaryConv2d(weight, scale, bias, stride, padding, dilation, groups, pad_value, in_scale)

    def binarised(self) -> tuple[Tensor, Tensor | None]:
        """(sign(W), scale), computed from the latent weight."""
        signs, scale = self.quant(self.weight)
        return signs, scale

    def freeze(self) -> FrozenBinaryConv2d:
        """The same layer with signs and scale as they are now, in eval."""
        signs, scale, bias = _frozen_parts(self)
        return FrozenBinaryConv2d(
            signs,
            scale,
            bias,
            self.stride,
            self.pads,
            self.dilation,
            self.groups,
            self.pad_value,
            self.in_scale,
        ).eval()


class FrozenBinaryConv2d(ConvBase):
    """A binary convolution whose signs and scale are buffers, never recomputed."""

    scale: Tensor | None

    def __init__(
        self,
        weight: Tensor,
        scale: Tensor | None = None,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        pad_value: float = 0,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if weight.dim() != 4 or groups < 1 or weight.size(0) % groups:
            raise ValueError(f"a weight of shape {list(weight.shape)} is none of {groups} groups")
        self._set_geometry(stride, padding, dilation, groups, pad_value)
        self._set_in_scale(in_scale)
        _register_frozen(self, weight, scale, bias)

    def binarised(self) -> tuple[Tensor, Tensor | None]:
        """The stored (signs, scale)."""
        return self.weight, self.scale

    def freeze(self) -> FrozenBinaryConv2d:
        """Itself."""
        return self


class BinaryLinear(LinearBase):
    """Linear layer with binary weights: y = (x sign(W)^T) * (scale * in_scale) + bias; [N, I] -> [N, O].

    ``weight`` [O, I] is latent; the options are those of ``BinaryConv2d``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        scale: ScaleKind = None,
        in_scale: float = 1.0,
        *,
        weight: SignQuantizer | None = None,
    ) -> None:
        super().__init__()
        self._set_in_scale(in_scale)
        self.quant = _quantizer(scale, weight)
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    @classmethod
    def from_linear(cls, linear: nn.Linear, scale: ScaleKind = None, in_scale: float = 1.0) -> BinaryLinear:
        """The binary form of a torch linear layer, with copies of its weight and bias."""
        layer = cls(linear.in_features, linear.out_features, linear.bias is not None, scale, in_scale)
        _adopt(layer, linear)
        return layer

    @classmethod
    def from_frozen(
        cls, weight: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, in_scale: float = 1.0
    ) -> FrozenBinaryLinear:
        """A linear layer of known weights -1 and +1 [O, I] and a known scale [O] or [1]."""
        return FrozenBinaryLinear(weight, scale, bias, in_scale)

    def binarised(self) -> tuple[Tensor, Tensor | None]:
        """(sign(W), scale), computed from the latent weight."""
        signs, scale = self.quant(self.weight)
        return signs, scale

    def freeze(self) -> FrozenBinaryLinear:
        """The same layer with signs and scale as they are now, in eval."""
        return FrozenBinaryLinear(*_frozen_parts(self), self.in_scale).eval()


class FrozenBinaryLinear(LinearBase):
    """A binary linear layer whose signs and scale are buffers, never recomputed."""

    scale: Tensor | None

    def __init__(
        self, weight: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, in_scale: float = 1.0
    ) -> None:
        super().__init__()
        if weight.dim() != 2:
            raise ValueError(f"the weight of a linear layer is [O, I], not {list(weight.shape)}")
        self._set_in_scale(in_scale)
        _register_frozen(self, weight, scale, bias)

    def binarised(self) -> tuple[Tensor, Tensor | None]:
        """The stored (signs, scale)."""
        return self.weight, self.scale

    def freeze(self) -> FrozenBinaryLinear:
        """Itself."""
        return self


def _quantizer(scale: ScaleKind, given: SignQuantizer | None) -> SignQuantizer:
    if given is None:
        return BinaryWeight(scale)
    if not isinstance(given, BinaryWeight | BinaryConnectWeight):
        raise TypeError(
            f"weight= takes BinaryWeight or BinaryConnectWeight here; {type(given).__name__} belongs to "
            "QuantConv2d and QuantLinear"
        )
    if scale is not None:
        raise ValueError("give scale or weight, not both")
    return given


def _floating(x: Tensor, signs: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(signs.dtype)


def _frozen_parts(layer: _BinaryBase) -> tuple[Tensor, Tensor | None, Tensor | None]:
    with torch.no_grad():
        signs, scale = layer.binarised()
    bias = None if layer.bias is None else layer.bias.detach().clone()
    return signs.detach().clone(), None if scale is None else scale.detach().clone(), bias


def _register_frozen(layer: nn.Module, weight: Tensor, scale: Tensor | None, bias: Tensor | None) -> None:
    values = weight.detach()
    if not bool(((values == 1) | (values == -1)).all()):
        raise ValueError("frozen weights are -1 and +1 alone")
    for name, value, sizes in (("scale", scale, (1, weight.size(0))), ("bias", bias, (weight.size(0),))):
        if value is not None and (value.dim() != 1 or value.size(0) not in sizes):
            raise ValueError(f"the {name} of {weight.size(0)} outputs has the shape {list(value.shape)}")
    dtype = values.dtype if values.is_floating_point() else torch.float32
    layer.register_buffer("weight", values.to(dtype).clone())
    layer.register_buffer("scale", None if scale is None else scale.detach().to(dtype).clone())
    layer.register_buffer("bias", None if bias is None else bias.detach().to(dtype).clone())


def _adopt(layer: BinaryConv2d | BinaryLinear, source: nn.Conv2d | nn.Linear) -> None:
    layer.weight = nn.Parameter(source.weight.detach().clone(), requires_grad=source.weight.requires_grad)
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.detach().clone(), requires_grad=source.bias.requires_grad)
    layer.train(source.training)
