"""Float graph -> torch modules: the network as it was trained, rebuilt from its file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Flatten,
    FloatOp,
    FullConv2d,
    FullLinear,
    Hardtanh,
    InputQuant,
    MaxPool2d,
    MultiThreshold,
    Quant,
    Relu,
)
from xnorhw.nn import full, layers, quantizers

__all__ = ["BipolarQuantModule", "MultiThresholdModule", "QuantModule", "module_of"]


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
    if isinstance(op, FullConv2d | FullLinear):
        return _full(op)
    if isinstance(op, BatchNorm):
        return _batch_norm(op)
    if isinstance(op, InputQuant):
        return quantizers.InputQuant(op.table, bits=op.bits, signed=op.signed, scale=op.scale)
    if isinstance(op, MaxPool2d):
        return _max_pool(op, name)
    if isinstance(op, BipolarQuant):
        return quantizers.Sign() if op.scale == 1.0 else BipolarQuantModule(op.scale)
    if isinstance(op, Quant):
        return QuantModule(op)
    if isinstance(op, MultiThreshold):
        return MultiThresholdModule(op)
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


class MultiThresholdModule(nn.Module):
    """QONNX MultiThreshold: out_scale * #{j: x >= T[c][j]} + out_bias; [N, C, ...]."""

    thresholds: Tensor

    def __init__(self, op: MultiThreshold) -> None:
        super().__init__()
        self.out_scale, self.out_bias = op.out_scale, op.out_bias
        self.register_buffer("thresholds", _float(op.thresholds))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] float32 -> same shape."""
        count = torch.zeros_like(x)
        for level in self.thresholds.unbind(1):
            count += x >= level.view(-1, *[1] * (x.dim() - 2))
        return count * self.out_scale + self.out_bias


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
            op.frac,
            op.in_scale,
        )
    else:
        module = full.FullLinear(inputs, outputs, bias, op.frac, op.in_frac, op.in_scale)
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
