"""Layers whose weights are sums of binary tensors: k bits (DoReFa-Net) or bases (ABC-Net).

In training they convolve with the quantised real weight.  In eval they form the exact
integer sum first and multiply by the scale once, behind it:

    y = float32((x conv sum_m c_m B_m) * 2^-frac) * (scale * in_scale) + bias
"""

from __future__ import annotations

import operator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.nn.exact import exact_sum
from xnorhw.nn.geometry import Padding, Size, conv_shape, pads_of, pair_of
from xnorhw.nn.weights import WeightBases, WeightQuantizer

__all__ = [
    "FrozenQuantConv2d",
    "FrozenQuantLinear",
    "QuantBase",
    "QuantConv2d",
    "QuantConvBase",
    "QuantLinear",
    "QuantLinearBase",
]

_TF32_WEIGHT = 2.0**11
"""TF32 keeps 11 significant bits of a weight."""


class QuantBase(nn.Module):
    """What convolutions and linear layers, trained and frozen, have in common."""

    bias: Tensor | None
    in_scale: float

    def _set_in_scale(self, in_scale: float) -> None:
        # kept as float32 holds it, so that scale * in_scale is one product wherever it is formed
        value = float(np.float32(in_scale))
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"in_scale is positive and finite, not {in_scale}")
        self.in_scale = value

    @property
    def frac(self) -> int:
        """Sums are multiples of 2^-frac of the input's own steps."""
        raise NotImplementedError

    def bases(self) -> WeightBases:
        """The weight in eval; see ``WeightBases``."""
        raise NotImplementedError

    def real_weight(self) -> Tensor:
        """The quantised weight with its gradient, for training."""
        raise NotImplementedError

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """x with ``weight`` [O, ...], of x's dtype, without scale and bias."""
        raise NotImplementedError

    def sum(self, x: Tensor) -> Tensor:
        """(x with sum_m c_m B_m) * 2^-frac, as in eval: exact for fixed-point inputs (see ``exact``).

        float32 where that holds it, else float64.
        """
        return self._sum(x, self.bases())

    def _sum(self, x: Tensor, bases: WeightBases) -> Tensor:
        whole = bases.whole()
        x = x if x.is_floating_point() else x.to(bases.weight.dtype)
        heaviest = int(whole.detach().abs().flatten(1).sum(dim=1).max())

        def form(dtype: torch.dtype) -> Tensor:
            exact = float(whole.abs().max()) <= _TF32_WEIGHT
            dtype = dtype if exact else torch.float64
            return self.apply_weight(x.to(dtype), whole.to(dtype))

        return exact_sum(x, max(heaviest, 1), form) * 2.0**-bases.frac

    def after_sum(self, s: Tensor) -> Tensor:
        """Scale and bias on sums [N, O, ...] of any dtype: float32(s) * (scale * in_scale) + bias."""
        return self._after(s, self.bases())

    def _after(self, s: Tensor, bases: WeightBases) -> Tensor:
        shape = (-1, *[1] * (s.dim() - 2))
        y = s.to(bases.weight.dtype)
        if bases.scale is not None:
            y = y * (bases.scale * self.in_scale).view(shape)
        elif self.in_scale != 1.0:
            y = y * self.in_scale
        return y if self.bias is None else y + self.bias.view(shape)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, ...] -> [N, O, ...]; see the module."""
        if not self.training:
            bases = self.bases()
            return self._after(self._sum(x, bases), bases)
        weight = self.real_weight()
        x = x if x.is_floating_point() else x.to(weight.dtype)
        y = self.apply_weight(x, weight)
        if self.in_scale != 1.0:
            y = y * self.in_scale
        return y if self.bias is None else y + self.bias.view(-1, *[1] * (y.dim() - 2))


class QuantConvBase(QuantBase):
    """The geometry of a convolution; padded taps read 0."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int

    def _set_geometry(self, stride: Size, padding: Padding, dilation: Size, groups: int) -> None:
        self.stride = pair_of(stride, "stride", 1)
        self.pads = pads_of(padding)
        self.dilation = pair_of(dilation, "dilation", 1)
        self.groups = operator.index(groups)

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, OH, OW]."""
        left, right, top, bottom = self.pads
        pads = (top, left)
        if left != right or top != bottom:
            x = F.pad(x, self.pads)
            pads = (0, 0)
        return F.conv2d(x, weight, None, self.stride, pads, self.dilation, self.groups)

    def _repr(self, shape: tuple[int, ...]) -> str:
        out, per_group, height, width = shape
        return (
            f"{per_group * self.groups}, {out}, kernel_size=({height}, {width}), stride={self.stride}, "
            f"pads={self.pads}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}, in_scale={self.in_scale:.6g}"
        )


class QuantLinearBase(QuantBase):
    """The sum of a linear layer."""

    def apply_weight(self, x: Tensor, weight: Tensor) -> Tensor:
        """[N, I] -> [N, O]."""
        return F.linear(x, weight)

    def _repr(self, shape: tuple[int, ...]) -> str:
        return f"{shape[1]}, {shape[0]}, bias={self.bias is not None}, in_scale={self.in_scale:.6g}"


class _Trained(QuantBase):
    """A latent weight and its quantiser."""

    weight: nn.Parameter
    quant: WeightQuantizer

    def _set_weight(self, shape: tuple[int, ...], bias: bool, quant: WeightQuantizer) -> None:
        if not isinstance(quant, WeightQuantizer):
            raise TypeError(
                "weight= takes DoReFaWeight(bits) or BasesWeight(bases); weights of one bit are "
                f"BinaryConv2d's and BinaryLinear's, not {type(quant).__name__}"
            )
        self.quant = quant
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.xavier_uniform_(self.weight)
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None

    @property
    def frac(self) -> int:
        """The quantiser's."""
        return self.quant.frac

    def bases(self) -> WeightBases:
        """Computed from the latent weight."""
        with torch.no_grad():
            return self.quant.bases(self.weight)

    def real_weight(self) -> Tensor:
        """The quantiser's forward on the latent weight."""
        weight: Tensor = self.quant(self.weight)
        return weight


class QuantConv2d(_Trained, QuantConvBase):
    """2-d convolution with weights of several bits or bases; see the module.

    ``weight`` is the quantiser, ``DoReFaWeight(bits)`` or ``BasesWeight(bases)``; the latent
    parameter of the same name is [O, I/groups, kh, kw].  It reads codes (``QuantReLU``; give
    its scale as ``in_scale``), signs, a grid or ``BasesActivation``.  ``padding`` an int, a pair
    (y, x) or (left, right, top, bottom), of zeros.
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
        *,
        weight: WeightQuantizer,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        self._set_geometry(stride, padding, dilation, groups)
        self._set_in_scale(in_scale)
        kernel = pair_of(kernel_size, "kernel_size", 1)
        self._set_weight((out_channels, in_channels // groups, *kernel), bias, weight)

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, weight: WeightQuantizer, in_scale: float = 1.0) -> QuantConv2d:
        """The quantised form of a torch convolution: its geometry, and copies of its weight and bias.

        ValueError where the padding mode is not zeros.
        """
        layer = cls(
            **conv_shape(conv),
            weight=weight,
            in_scale=in_scale,
        )
        _adopt(layer, conv)
        return layer

    def freeze(self) -> FrozenQuantConv2d:
        """The same layer with its bases as they are now, in eval."""
        b = self.bases()
        return FrozenQuantConv2d(
            b.weight,
            b.coefficients,
            b.frac,
            b.scale,
            self.bias,
            self.stride,
            self.pads,
            self.dilation,
            self.groups,
            self.in_scale,
        ).eval()

    def extra_repr(self) -> str:
        return self._repr(tuple(self.weight.shape))


class QuantLinear(_Trained, QuantLinearBase):
    """Linear layer with weights of several bits or bases; [N, I] -> [N, O]; see ``QuantConv2d``."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        weight: WeightQuantizer,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"a linear layer of {in_features} features and {out_features} outputs is none")
        self._set_in_scale(in_scale)
        self._set_weight((out_features, in_features), bias, weight)

    @classmethod
    def from_linear(cls, linear: nn.Linear, weight: WeightQuantizer, in_scale: float = 1.0) -> QuantLinear:
        """The quantised form of a torch linear layer, with copies of its weight and bias."""
        layer = cls(
            linear.in_features,
            linear.out_features,
            linear.bias is not None,
            weight=weight,
            in_scale=in_scale,
        )
        _adopt(layer, linear)
        return layer

    def freeze(self) -> FrozenQuantLinear:
        """The same layer with its bases as they are now, in eval."""
        b = self.bases()
        return FrozenQuantLinear(b.weight, b.coefficients, b.frac, b.scale, self.bias, self.in_scale).eval()

    def extra_repr(self) -> str:
        return self._repr(tuple(self.weight.shape))


class _Frozen(QuantBase):
    """Bases in buffers, never recomputed."""

    weight: Tensor
    coefficients: Tensor
    scale: Tensor | None

    def _register(
        self,
        weight: Tensor,
        coefficients: Tensor,
        frac: int,
        scale: Tensor | None,
        bias: Tensor | None,
        rank: int,
    ) -> None:
        values = weight.detach()
        if values.dim() != rank:
            raise ValueError(
                f"the weight [M, O, ...] of this layer has {rank} axes, not {list(values.shape)}"
            )
        if not bool(((values == 1) | (values == -1)).all()):
            raise ValueError("frozen weights are -1 and +1 alone")
        if coefficients.is_floating_point() or tuple(coefficients.shape) != (values.size(0),):
            raise ValueError(
                f"{values.size(0)} bases have as many integer coefficients, not {list(coefficients.shape)}"
            )
        outputs = values.size(1)
        for name, value, sizes in (("scale", scale, (1, outputs)), ("bias", bias, (outputs,))):
            if value is not None and (value.dim() != 1 or value.size(0) not in sizes):
                raise ValueError(f"the {name} of {outputs} outputs has the shape {list(value.shape)}")
        self._frac = operator.index(frac)
        dtype = values.dtype if values.is_floating_point() else torch.float32
        self.register_buffer("weight", values.to(dtype).clone())
        self.register_buffer("coefficients", coefficients.detach().to(torch.int64).clone())
        self.register_buffer("scale", None if scale is None else scale.detach().to(dtype).clone())
        self.register_buffer("bias", None if bias is None else bias.detach().to(dtype).clone())

    @property
    def frac(self) -> int:
        """As given."""
        return self._frac

    def bases(self) -> WeightBases:
        """The stored ones."""
        return WeightBases(self.weight, self.coefficients, self._frac, self.scale)

    def real_weight(self) -> Tensor:
        """The stored weight in real numbers."""
        b = self.bases()
        weight = (b.whole() * 2.0**-b.frac).to(self.weight.dtype)
        return weight if b.scale is None else weight * b.scale.view(-1, *[1] * (weight.dim() - 1))


class FrozenQuantConv2d(_Frozen, QuantConvBase):
    """A convolution of known bases -1 and +1 [M, O, I/groups, kh, kw] and integer coefficients [M]."""

    def __init__(
        self,
        weight: Tensor,
        coefficients: Tensor,
        frac: int = 0,
        scale: Tensor | None = None,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._register(weight, coefficients, frac, scale, bias, 5)
        if groups < 1 or weight.size(1) % groups:
            raise ValueError(f"a weight of shape {list(weight.shape)} is none of {groups} groups")
        self._set_geometry(stride, padding, dilation, groups)
        self._set_in_scale(in_scale)

    def extra_repr(self) -> str:
        return self._repr(tuple(self.weight.shape[1:]))


class FrozenQuantLinear(_Frozen, QuantLinearBase):
    """A linear layer of known bases -1 and +1 [M, O, I] and integer coefficients [M]."""

    def __init__(
        self,
        weight: Tensor,
        coefficients: Tensor,
        frac: int = 0,
        scale: Tensor | None = None,
        bias: Tensor | None = None,
        in_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._register(weight, coefficients, frac, scale, bias, 3)
        self._set_in_scale(in_scale)

    def extra_repr(self) -> str:
        return self._repr(tuple(self.weight.shape[1:]))


def _adopt(layer: QuantConv2d | QuantLinear, source: nn.Conv2d | nn.Linear) -> None:
    layer.weight = nn.Parameter(source.weight.detach().clone(), requires_grad=source.weight.requires_grad)
    if source.bias is not None:
        layer.bias = nn.Parameter(source.bias.detach().clone(), requires_grad=source.bias.requires_grad)
    layer.train(source.training)
