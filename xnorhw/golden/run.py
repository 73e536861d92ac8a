"""Plain execution of every operation of the integer graph, on integer values [N, C, H, W]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    HostOp,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Multiply,
    Product,
    Real,
    Requant,
    Reshape,
    SumPool,
    Threshold,
)
from xnorhw.ir.types import IntType

__all__ = ["RealRunner", "host", "run", "scores"]

Values = npt.NDArray[np.int64]
RealRunner = Callable[[Real, npt.NDArray[Any]], npt.NDArray[Any]]
"""Runs a module not yet lowered on [N, C, H, W]; only lowering has one."""


def run(graph: IntGraph, x: npt.NDArray[Any], real: RealRunner | None = None) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of ``graph`` by name for a batch of input values.

    ``x`` holds integers [N, C, H, W] within the input tensor's type.  Integer tensors come
    back as int64, values still real (a graph being lowered) as ``real`` gives them.
    Raises ModelError where ``x`` has another shape or leaves the type's range.
    """
    given = graph.input_tensor
    values = check_input(x, given.shape, given.type)
    tensors: dict[str, npt.NDArray[Any]] = {given.name: values}
    for node in graph.nodes:
        sources = [tensors[name] for name in node.inputs]
        tensors[node.output.name] = _execute(graph, node, sources, real)
    return tensors


def check_input(x: npt.NDArray[Any], shape: tuple[int, ...], kind: IntType | None) -> Values:
    """``x`` as int64 [N, C, H, W], checked against shape and type."""
    if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != tuple(shape):
        raise ModelError(
            f"the input has shape {tuple(x.shape)}, the network takes (N, {', '.join(map(str, shape))})",
            module="input",
            remedy="Pass a batch, frames first",
        )
    if x.shape[0] == 0:
        raise ModelError("the batch is empty", module="input", remedy="Pass at least one frame")
    values = x.astype(np.int64)
    if not np.array_equal(values, x):
        raise ModelError(
            "the input holds numbers that are no integer codes",
            module="input",
            remedy="Pass codes: the input's values divided by its scale",
        )
    if kind is not None:
        wrong = (values < kind.min) | (values > kind.max)
        if kind.is_bipolar:
            wrong |= values == 0
        if wrong.any():
            raise ModelError(
                f"the input holds {int(values[wrong][0])}, outside of the declared type {kind} "
                f"({kind.min}..{kind.max})",
                module="input",
                remedy="Pass what the network was declared to take, or declare the input that it takes",
            )
    return values


def _execute(
    graph: IntGraph, node: IntNode, sources: list[npt.NDArray[Any]], real: RealRunner | None
) -> npt.NDArray[Any]:
    op, x = node.op, sources[0]
    if isinstance(op, Lookup):
        source = graph.tensor(node.input).type
        assert source is not None
        return lookup(op, x, source)
    if isinstance(op, Product):
        return product(op, x)
    if isinstance(op, FullProduct):
        return _convolve(op, op.weight, x)
    if isinstance(op, Threshold):
        assert node.output.type is not None
        return threshold(op, x, node.output.type)
    if isinstance(op, Requant):
        return requant(op, x)
    if isinstance(op, MaxPool):
        return max_pool(op, x)
    if isinstance(op, SumPool):
        return sum_pool(op.geometry, x)
    if isinstance(op, BoxSum):
        return sum_pool(op.geometry, np.abs(x).sum(axis=1, keepdims=True))
    if isinstance(op, Add):
        return np.asarray(sum(s << shift for s, shift in zip(sources, op.shifts, strict=True)))
    if isinstance(op, Multiply):
        return np.asarray(x * sources[1])
    if isinstance(op, Concat):
        return np.concatenate(sources, axis=1)
    if isinstance(op, Reshape):
        return x.reshape(x.shape[0], -1, 1, 1)
    if real is None:
        raise ValueError(f"{op.node} is not lowered")
    y = real(op, x)
    return y if node.output.type is None else y.astype(np.int64)


def lookup(op: Lookup, x: Values, source: IntType) -> Values:
    """y[n, c, h, w] = table[c or 0][x - min]."""
    index = x - source.min
    if op.table.shape[0] == 1:
        return np.asarray(op.table[0].astype(np.int64)[index])
    channel = np.arange(x.shape[1])[None, :, None, None]
    return op.table.astype(np.int64)[channel, index]


def padded(x: npt.NDArray[Any], geometry: WindowGeometry, fill: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``x`` extended so that every window lies inside; ``fill`` [C] is the value of the pads."""
    n, channels, height, width = x.shape
    out_h, out_w = geometry.output_size(height, width)
    need_h = (out_h - 1) * geometry.stride[0] + (geometry.kernel[0] - 1) * geometry.dilation[0] + 1
    need_w = (out_w - 1) * geometry.stride[1] + (geometry.kernel[1] - 1) * geometry.dilation[1] + 1
    full_h = max(need_h, geometry.pads.top + height)
    full_w = max(need_w, geometry.pads.left + width)
    result = np.empty((n, channels, full_h, full_w), x.dtype)
    result[:] = fill[None, :, None, None]
    top, left = geometry.pads.top, geometry.pads.left
    result[:, :, top : top + height, left : left + width] = x
    return result


def windows(x: npt.NDArray[Any], geometry: WindowGeometry, fill: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """All windows of ``x``: [N, C, out_h, out_w, kh, kw]."""
    out_h, out_w = geometry.output_size(x.shape[2], x.shape[3])
    extended = padded(x, geometry, fill)
    (kh, kw), (dy, dx), (sy, sx) = geometry.kernel, geometry.dilation, geometry.stride
    span = ((kh - 1) * dy + 1, (kw - 1) * dx + 1)
    view = np.lib.stride_tricks.sliding_window_view(extended, span, axis=(2, 3))
    return view[:, :, ::sy, ::sx, ::dy, ::dx][:, :, :out_h, :out_w]


def product(op: Product, x: Values) -> Values:
    """sum over terms of coefficient * (x conv weight), exact integers [N, O, out_h, out_w]."""
    total: Values | None = None
    for term in op.terms:
        a = x if term.plane is None else np.where(x > term.plane, 1, -1)
        partial = term.coefficient * _convolve(op, term.weight, a)
        total = partial if total is None else total + partial
    assert total is not None
    return total


def _convolve(
    op: Product | FullProduct, weight: npt.NDArray[np.int8] | npt.NDArray[np.int32], x: Values
) -> Values:
    fill = np.full(x.shape[1], op.pad_value, np.int64)
    taken = windows(x, op.geometry, fill)
    group_in = x.shape[1] // op.groups
    group_out = weight.shape[0] // op.groups
    largest = max(abs(int(x.min())), abs(int(x.max())), abs(op.pad_value))
    heaviest = np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()
    assert int(heaviest) * largest < 2**53, "the sums would not be exact in float64"
    parts = []
    for g in range(op.groups):
        inputs = taken[:, g * group_in : (g + 1) * group_in].astype(np.float64)
        kernels = weight[g * group_out : (g + 1) * group_out].astype(np.float64)
        # every partial sum is an integer below 2^53: no order of additions rounds
        sums = np.tensordot(inputs, kernels, axes=([1, 4, 5], [1, 2, 3]))
        parts.append(sums.transpose(0, 3, 1, 2))
    return np.concatenate(parts, axis=1).astype(np.int64)


def threshold(op: Threshold, x: Values, result: IntType) -> Values:
    """Count the levels passed; with a bipolar result the value is 2 * count - 1."""
    _, channels, height, width = x.shape
    positions = op.table.shape[0]
    # [positions, C, levels] -> [levels, 1, C, H or 1, W or 1]
    shape = (height, width) if positions > 1 else (1, 1)
    table = op.table.reshape(*shape, channels, op.levels).transpose(3, 2, 0, 1)[:, None]
    # one direction for all positions, or [positions, C] -> [1, C, H, W]
    turns = op.directions
    ways = turns.reshape(*((height, width) if len(turns) > 1 else (1, 1)), channels)
    rising = (ways > 0).transpose(2, 0, 1)[None]
    count = np.zeros(x.shape, np.int64)
    for level, t in enumerate(table):
        if op.strict[level]:
            count += np.where(rising, x > t, x < t)
        else:
            count += np.where(rising, x >= t, x <= t)
    return 2 * count - 1 if result.is_bipolar else count


def requant(op: Requant, x: Values) -> Values:
    """clamp((x * multiplier + addend) >> shift, low, high), per channel; with ``even`` ties go to even."""
    _, channels, height, width = x.shape
    # one row for all positions, or [positions, C] -> [1, C, H, W]
    shape = (height, width, channels) if op.positions > 1 else (1, 1, channels)
    multiplier, addend = (v.reshape(shape).transpose(2, 0, 1)[None] for v in (op.multiplier, op.addend))
    scaled = x * multiplier + addend
    y = scaled >> op.shift
    if op.even:
        tie = scaled == y << op.shift
        y = np.where(tie & (y % 2 == 1), y - 1, y)
    return np.asarray(np.clip(y, op.low, op.high))


def sum_pool(geometry: WindowGeometry, x: Values) -> Values:
    """Sum over windows per channel; pads count 0."""
    return np.asarray(windows(x, geometry, np.zeros(x.shape[1], np.int64)).sum(axis=(4, 5)))


def max_pool(op: MaxPool, x: Values) -> Values:
    """Maximum (or minimum) over windows; pads are the operator's neutral element."""
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    fill = np.where(op.minimum, high, low)
    taken = windows(x, op.geometry, fill)
    largest = taken.max(axis=(4, 5))
    smallest = taken.min(axis=(4, 5))
    return np.asarray(np.where(op.minimum[None, :, None, None], smallest, largest))


def scores(graph: IntGraph, sums: Values) -> npt.NDArray[np.float32]:
    """The float32 scores [N, *score_shape] for the output tensor's integer sums.

    Each operation rounds once to float32, in the modules' order, with no fused
    multiply-add: scalar code on any IEEE machine gives the same bits.
    """
    x = sums.astype(np.float32)
    for op in graph.host:
        x = host(op, x)
    return x.reshape(x.shape[0], *graph.score_shape)


def _per_channel(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32).reshape(1, -1, 1, 1)


def host(op: HostOp, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One float32 operation behind the last sum; [N, C, H, W] in and out."""
    if isinstance(op, HostAffine):
        if op.scale is not None:
            x = x * _per_channel(op.scale)
        if op.bias is not None:
            x = x + _per_channel(op.bias)
        return x
    if isinstance(op, HostBatchNorm):
        return x * _per_channel(op.a) + _per_channel(op.b)
    if isinstance(op, HostFull):
        return full(op, x)
    assert isinstance(op, HostClamp)
    return np.minimum(np.maximum(x, np.float32(op.low)), np.float32(op.high))


def full(op: HostFull, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """y = float32(sum of rint(x * 2^in_frac) * weight) * 2^-(in_frac + frac) + bias; [N, O, 1, 1]."""
    q = np.rint(x.reshape(len(x), -1).astype(np.float64) * 2.0**op.in_frac)
    weight = op.weight.astype(np.float64)
    largest = np.abs(q).max(axis=0) @ np.abs(weight).T
    assert (largest < 2**53).all(), "the sums would not be exact in float64"
    y = (q @ weight.T).astype(np.float32) * np.float32(2.0 ** -(op.in_frac + op.frac))
    if op.bias is not None:
        y = y + op.bias
    return y.astype(np.float32)[:, :, None, None]
