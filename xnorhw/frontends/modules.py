"""Float graph -> torch modules: the network as it was trained, rebuilt from its file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    Add,
    Affine,
    AvgPool2d,
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Concat,
    Flatten,
    FloatOp,
    FullConv2d,
    FullLinear,
    Grid,
    GridLine,
    Hardtanh,
    InputQuant,
    MaxPool2d,
    MultiThreshold,
    Quant,
    QuantRelu,
    Relu,
    ScaledBinaryConv2d,
)
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.nn import activations, foreign, full, layers, quant_layers, quantizers, scaled

__all__ = ["AveragePool", "BipolarQuantModule", "QuantModule", "module_of"]


def module_of(op: FloatOp, name: str) -> nn.Module:
    """The torch module, in eval, that computes ``op`` as the trained network does."""
    return _build(op, name).eval()


def _build(op: FloatOp, name: str) -> nn.Module:
    if isinstance(op, BinaryConv2d):
        pads, geometry = op.geometry.pads, op.geometry
        return layers.FrozenBinaryConv2d(
            _float(op.weight),
            _optional(op.scale),
            _optional(op.bias),
            geometry.stride,
            (pads.left, pads.right, pads.top, pads.bottom),
            geometry.dilation,
            op.groups,
            op.pad_value,
            op.in_scale,
        )
    if isinstance(op, BinaryLinear):
        return layers.FrozenBinaryLinear(
            _float(op.weight), _optional(op.scale), _optional(op.bias), op.in_scale
        )
    if isinstance(op, BasesConv2d | BasesLinear | ScaledBinaryConv2d):
        return _sums_of_bases(op)
    if isinstance(op, FullConv2d | FullLinear):
        return _full(op)
    if isinstance(op, QuantRelu):
        return activations.QuantReLU(op.bits, op.scale)
    if isinstance(op, Grid):
        return activations.Grid(op.bits, op.frac)
    if isinstance(op, BasesQuant):
        betas, shifts = torch.from_numpy(op.betas.copy()), _float(op.shifts)
        return activations.BasesActivation.from_frozen(betas, shifts, op.frac)
    if isinstance(op, AvgPool2d):
        return AveragePool(op.geometry)
    if isinstance(op, Add):
        return AddModule()
    if isinstance(op, Concat):
        return ConcatModule()
    if isinstance(op, BatchNorm):
        return _batch_norm(op)
    if isinstance(op, GridLine):
        return GridLineModule(op)
    if isinstance(op, InputQuant):
        return quantizers.InputQuant(op.table, bits=op.bits, signed=op.signed, scale=op.scale)
    if isinstance(op, MaxPool2d):
        return _max_pool(op, name)
    if isinstance(op, BipolarQuant):
        return quantizers.Sign() if op.scale == 1.0 else BipolarQuantModule(op.scale)
    if isinstance(op, Quant):
        return QuantModule(op)
    if isinstance(op, MultiThreshold):
        return foreign.MultiThreshold(op.thresholds, op.out_scale, op.out_bias)
    if isinstance(op, Affine):
        return foreign.Affine(op.scale, op.bias, op.divide)
    if isinstance(op, Hardtanh):
        # torch's own class refuses low == high, which a graph may hold
        return nn.Hardtanh(op.low, op.high) if op.low < op.high else _Clamp(op.low, op.high)
    if isinstance(op, Relu):
        return nn.ReLU()
    if isinstance(op, Flatten):
        return nn.Flatten()
    raise ModelError(
        f"{type(op).__name__} is not part of the vocabulary", module=name, remedy="Save the network again"
    )


class AddModule(nn.Module):
    """The sum of its inputs, from left to right."""

    def forward(self, *values: Tensor) -> Tensor:
        """Tensors of one shape."""
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


class ConcatModule(nn.Module):
    """Its inputs one behind the other along the channels."""

    def forward(self, *values: Tensor) -> Tensor:
        """[N, C_i, ...] -> [N, sum of C_i, ...]."""
        return torch.cat(values, dim=1)


class AveragePool(nn.Module):
    """torch's average pool, and its division alone."""

    def __init__(self, geometry: WindowGeometry) -> None:
        super().__init__()
        self.kernel = geometry.kernel
        self.pads = geometry.pads
        padding = (0, 0) if self._uneven else (self.pads.top, self.pads.left)
        self.pool = nn.AvgPool2d(geometry.kernel, geometry.stride, padding)
        self.one = nn.AvgPool2d(geometry.kernel)

    @property
    def _uneven(self) -> bool:
        return self.pads.left != self.pads.right or self.pads.top != self.pads.bottom

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, OH, OW]."""
        if self._uneven:
            x = F.pad(x, (self.pads.left, self.pads.right, self.pads.top, self.pads.bottom))
        averages: Tensor = self.pool(x)
        return averages

    def sum(self, x: Tensor) -> Tensor:
        """The sums over the windows, float64."""
        x = F.pad(x.to(torch.float64), (self.pads.left, self.pads.right, self.pads.top, self.pads.bottom))
        return F.avg_pool2d(x, self.kernel, self.pool.stride, divisor_override=1)

    def after_sum(self, s: Tensor) -> Tensor:
        """What the pool makes of windows that sum to ``s``, [N, C, H, W] of any dtype, float32.

        Each distinct sum is one window of the pool: all of it in one tap, the others 0.
        """
        distinct, where = torch.unique(s.to(torch.float32), return_inverse=True)
        windows = torch.zeros((distinct.numel(), 1, *self.kernel))
        windows[:, 0, 0, 0] = distinct
        averages: Tensor = self.one(windows).view(-1)[where]
        return averages


class GridLineModule(nn.Module):
    """A line per channel from integers to the numbers of a grid, formed in 64 bits; see ``GridLine``."""

    def __init__(self, op: GridLine) -> None:
        super().__init__()
        self.op = op
        self.multiplier, self.addend = torch.from_numpy(op.multiplier), torch.from_numpy(op.addend)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> same shape, float32."""
        op, shape = self.op, (-1, *[1] * (x.dim() - 2))
        steps = torch.round(x.to(torch.float64) * 2.0**op.point).to(torch.int64)
        codes = (steps * self.multiplier.view(shape) + self.addend.view(shape)) >> op.shift
        return torch.clamp(codes, op.low, op.high).to(torch.float32) * 2.0**-op.frac


class _Clamp(nn.Module):
    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(x, self.low, self.high)


class BipolarQuantModule(nn.Module):
    """QONNX BipolarQuant: (x >= 0 ? +1 : -1) * scale; NaN gives -scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, float32."""
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype) * self.scale


class QuantModule(nn.Module):
    """QONNX Quant: q = round(clamp(x / scale + zero_point)); y = (q - zero_point) * scale.

    One signed bit is bipolar, as in QONNX.  ModelError for an unknown rounding.
    """

    def __init__(self, op: Quant) -> None:
        super().__init__()
        self.op = op
        self.rounding = op.rounding.upper()
        if self.rounding not in _ROUNDINGS:
            raise ModelError(
                f"the rounding {op.rounding!r} of a Quant is unknown",
                remedy=f"Use one of {', '.join(sorted(_ROUNDINGS))}",
            )
        if op.signed:
            self.low = -(1 << (op.bits - 1)) + (1 if op.narrow else 0)
            self.high = (1 << (op.bits - 1)) - 1
        else:
            self.low = 0
            self.high = (1 << op.bits) - (2 if op.narrow else 1)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, float32."""
        op = self.op
        if op.bits == 1 and op.signed:
            return torch.where(x >= 0, 1.0, -1.0).to(x.dtype) * op.scale
        q = torch.clamp(x / op.scale + op.zero_point, self.low, self.high)
        return (_ROUNDINGS[self.rounding](q) - op.zero_point) * op.scale


def _away(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.ceil(torch.abs(x))


def _half_away(x: Tensor) -> Tensor:
    # the fraction is exact, where adding a half may round
    whole = torch.floor(torch.abs(x))
    return torch.sign(x) * (whole + (torch.abs(x) - whole >= 0.5))


def _half_toward_zero(x: Tensor) -> Tensor:
    whole = torch.floor(torch.abs(x))
    return torch.sign(x) * (whole + (torch.abs(x) - whole > 0.5))


_ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "ROUND": torch.round,
    "HALF_EVEN": torch.round,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "UP": _away,
    "DOWN": torch.trunc,
    "HALF_UP": _half_away,
    "HALF_DOWN": _half_toward_zero,
}


def _sums_of_bases(op: BasesConv2d | BasesLinear | ScaledBinaryConv2d) -> nn.Module:
    if isinstance(op, ScaledBinaryConv2d):
        geometry = op.geometry
        return scaled.FrozenScaledBinaryConv2d(
            _float(op.weight),
            _float(op.scale),
            _optional(op.bias),
            geometry.stride,
            _sides(geometry),
            geometry.dilation,
        )
    weight, coefficients = _float(op.weight), torch.from_numpy(op.coefficients.copy())
    scale, bias = _optional(op.scale), _optional(op.bias)
    if isinstance(op, BasesLinear):
        return quant_layers.FrozenQuantLinear(weight, coefficients, op.frac, scale, bias, op.in_scale)
    geometry = op.geometry
    return quant_layers.FrozenQuantConv2d(
        weight,
        coefficients,
        op.frac,
        scale,
        bias,
        geometry.stride,
        _sides(geometry),
        geometry.dilation,
        op.groups,
        op.in_scale,
    )


def _sides(geometry: WindowGeometry) -> tuple[int, int, int, int]:
    pads = geometry.pads
    return pads.left, pads.right, pads.top, pads.bottom


def _full(op: FullConv2d | FullLinear) -> nn.Module:
    outputs, inputs = op.weight.shape[:2]
    bias = op.bias is not None
    module: full.FullBase
    if isinstance(op, FullConv2d):
        pads, geometry = op.geometry.pads, op.geometry
        module = full.FullConv2d(
            inputs * op.groups,
            outputs,
            geometry.kernel,
            geometry.stride,
            (pads.left, pads.right, pads.top, pads.bottom),
            geometry.dilation,
            op.groups,
            bias,
            in_scale=op.in_scale,
        )
    else:
        module = full.FullLinear(inputs, outputs, bias, 0, op.in_frac, op.in_scale)
    # set, not given: a build that approximates takes steps finer than a layer is made with
    module.frac = op.frac
    module.weight = nn.Parameter(_float(op.weight), requires_grad=False)
    module.bias = _parameter(op.bias)
    return module


def _batch_norm(op: BatchNorm) -> nn.Module:
    cls = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}[op.rank]
    module = cls(op.mean.shape[0], eps=op.eps, affine=False)
    module.running_mean = _float(op.mean)
    module.running_var = _float(op.var)
    # set one by one: a module may have lost either
    module.weight = _parameter(op.gamma)  # type: ignore[assignment]
    module.bias = _parameter(op.beta)  # type: ignore[assignment]
    return module


def _max_pool(op: MaxPool2d, name: str) -> nn.Module:
    geometry = op.geometry
    pads = geometry.pads
    if pads.left != pads.right or pads.top != pads.bottom:
        raise ModelError(
            "a max-pool padded unevenly has no torch module",
            module=name,
            remedy="Pad both sides of an axis alike",
        )
    return nn.MaxPool2d(
        geometry.kernel,
        geometry.stride,
        (pads.top, pads.left),
        geometry.dilation,
        ceil_mode=geometry.ceil_mode,
    )


def _float(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32).copy())


def _optional(array: npt.NDArray[np.float32] | None) -> Tensor | None:
    return None if array is None else _float(array)


def _parameter(array: npt.NDArray[np.float32] | None) -> nn.Parameter | None:
    return None if array is None else nn.Parameter(_float(array), requires_grad=False)
