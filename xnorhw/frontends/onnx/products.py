"""A constant weight -> the layer of ours that multiplies by it: one bit, several bits, or real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.onnx.constants import Const
from xnorhw.frontends.onnx.graph import Node
from xnorhw.nn.full import MAX_FRAC, FullConv2d, FullLinear, grid_frac
from xnorhw.nn.layers import FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.quant_layers import FrozenQuantConv2d, FrozenQuantLinear

__all__ = ["ConvShape", "Weight", "bases_of", "layer", "weight_of"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
MOST_CODE = 128


@dataclass(frozen=True)
class ConvShape:
    """What a convolution has beside its weight; ``pads`` are left, right, top, bottom."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    pad_value: float


@dataclass(frozen=True)
class Weight:
    """A weight [O, ...]: ``codes`` (int64) times ``scale`` (float32 [1] or [O], None for 1).

    With ``bases`` the codes are of no account.

    ``bases`` are (signs [M, O, ...], coefficients [M]) where the file says how it is made of
    them; ``real`` holds a weight in full precision instead.
    """

    codes: Array | None
    scale: Float32 | None
    bases: tuple[Array, Array, int] | None = None
    real: Float32 | None = None
    frac: int | None = None
    in_frac: int | None = None

    @property
    def bits(self) -> str:
        """The weight in words."""
        if self.codes is None:
            return "full precision"
        least, most = int(self.codes.min()), int(self.codes.max())
        if least >= -1 and most <= 1:
            return "1 bit" if self.codes.all() else "ternary"
        return f"integers {least} to {most}"


def weight_of(node: Node, const: Const, transpose: bool, frac: object = None) -> Weight:
    """The weight of a layer; ``transpose`` where the file has [in, out].

    Without a quantiser in front of it a weight is binary or ternary where each output has one
    magnitude, and integer where it holds small whole numbers.  ``frac``: the fraction bits that
    the file tells of a weight in full precision or of the coefficients of bases.
    """
    told = frac if isinstance(frac, int) and 0 <= frac <= MAX_FRAC else None
    if transpose:
        const = const.moved(lambda a: a.T) if const.bases is None else _turned(const)
    values = np.ascontiguousarray(const.values, np.float32)
    if not np.isfinite(values).all():
        node.refuse("has weights that are NaN or infinite", "Train again, or load the last good checkpoint")
    if const.bases is not None:
        signs, steps = const.bases
        found = _frac(steps)
        found = found if told is None else max(found, told)
        if np.isin(signs, (-1, 1)).all():
            whole = np.ldexp(steps.astype(np.float64), found).astype(np.int64)
            return Weight(values.astype(np.int64), None, (signs, whole, found))
    if const.codes is not None and const.scale is not None:
        # a scale alike for all outputs has one row
        scale = const.scale.reshape(const.scale.shape[0], -1)
        if not (scale == scale[:, :1]).all():
            node.refuse(
                "has weights whose scales differ inside of one output, which no sum of integers expresses",
                "Use one scale for the layer, or one for each output channel",
            )
        codes = np.ascontiguousarray(const.codes)
        if max(-int(codes.min()), int(codes.max())) <= MOST_CODE:
            return Weight(codes, _short(scale[:, 0]))
        return Weight(None, None, real=values)
    if told is not None:
        return Weight(None, None, real=values, frac=told)
    rows = np.abs(values).reshape(len(values), -1)
    largest = rows.max(axis=1)
    if bool(((rows == largest[:, None]) | (rows == 0)).all()):
        # an output of zeros alone has any magnitude
        return Weight(np.sign(values).astype(np.int8), _short(np.where(largest > 0, largest, 1)))
    if float(rows.max()) <= MOST_CODE and np.array_equal(values, np.rint(values)):
        return Weight(values.astype(np.int64), None)
    return Weight(None, None, real=values)


def _turned(const: Const) -> Const:
    assert const.bases is not None
    signs, steps = const.bases
    return Const(const.values.T, const.origin, bases=(signs.transpose(0, 2, 1), steps))


def _frac(steps: Array) -> int:
    """The least fraction bits with which coefficients are whole."""
    for frac in range(31):
        scaled = np.ldexp(steps.astype(np.float64), frac)
        if np.array_equal(scaled, np.rint(scaled)):
            return frac
    return 0


def _short(scale: Float32) -> Float32 | None:
    if (scale == 1).all():
        return None
    kept = scale[:1] if (scale == scale[0]).all() else scale
    return np.ascontiguousarray(kept, np.float32)


def bases_of(codes: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], int]:
    """(signs [M, ...], coefficients [M], frac): codes = sum_m c_m * B_m * 2^-frac.

    Odd codes are bit planes 1, 2, 4, ...  Others are half of twice themselves: an even number
    is a sign and an odd one, so -1, 0 and +1 take two bases.
    """
    codes = codes.astype(np.int64)
    peak = int(np.abs(codes).max())
    frac = 0 if (codes % 2 == 1).all() else 1
    odd, planes, steps = codes, [], []
    if frac:
        first = np.where(codes > 0, 1, -1)
        odd = 2 * codes - first
        planes, steps = [first], [1]
        peak = max(1, 2 * peak - 1)
    bits = peak.bit_length()
    unsigned = (odd + (1 << bits) - 1) // 2
    for j in range(bits):
        planes.append(2 * ((unsigned >> j) & 1) - 1)
        steps.append(1 << j)
    return np.stack(planes).astype(np.int8), np.array(steps, np.int64), frac


def layer(weight: Weight, shape: ConvShape | None, bias: Float32 | None, in_scale: float) -> nn.Module:
    """The layer, in eval: a convolution with ``shape``, else a linear layer.

    Padded taps of several-bit and real weights read 0 alone: ``shape.pad_value`` is 0 then.
    """
    added = None if bias is None else _tensor(bias)
    scale = None if weight.scale is None else _tensor(weight.scale)
    made: nn.Module
    if weight.codes is None:
        made = _real(weight, shape, bias, in_scale)
    elif weight.bases is None and weight.bits == "1 bit":
        signs = _tensor(weight.codes)
        if shape is None:
            made = FrozenBinaryLinear(signs, scale, added, in_scale)
        else:
            made = FrozenBinaryConv2d(
                signs,
                scale,
                added,
                shape.stride,
                shape.pads,
                shape.dilation,
                shape.groups,
                shape.pad_value,
                in_scale,
            )
    else:
        signs_of, steps, frac = weight.bases or bases_of(weight.codes)
        planes, coefficients = _tensor(signs_of), torch.from_numpy(steps.astype(np.int64))
        if shape is None:
            made = FrozenQuantLinear(planes, coefficients, frac, scale, added, in_scale)
        else:
            made = FrozenQuantConv2d(
                planes,
                coefficients,
                frac,
                scale,
                added,
                shape.stride,
                shape.pads,
                shape.dilation,
                shape.groups,
                in_scale,
            )
    return made.eval().requires_grad_(False)


def _real(weight: Weight, shape: ConvShape | None, bias: Float32 | None, in_scale: float) -> nn.Module:
    assert weight.real is not None
    values = _tensor(weight.real)
    outputs, inputs = values.shape[:2]
    frac = grid_frac(values) if weight.frac is None else weight.frac
    made: FullConv2d | FullLinear
    if shape is None:
        made = FullLinear(inputs, outputs, bias is not None, frac, weight.in_frac, in_scale)
    else:
        made = FullConv2d(
            inputs * shape.groups,
            outputs,
            (values.shape[2], values.shape[3]),
            shape.stride,
            shape.pads,
            shape.dilation,
            shape.groups,
            bias is not None,
            frac,
            in_scale,
        )
    made.weight = nn.Parameter(values, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(_tensor(bias), requires_grad=False)
    return made


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32).copy())
