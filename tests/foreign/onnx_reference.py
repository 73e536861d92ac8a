"""ONNX and QONNX operations in NumPy, each as its specification says it: an executor of its own.

Sums are formed in float64 and rounded to float32 once, so that integers come out exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

Tensors = dict[str, np.ndarray]
_QUANTISERS = ("Quant", "BipolarQuant", "MultiThreshold", "DequantizeLinear", "Sign", "Trunc")


def run(model: onnx.ModelProto, x: np.ndarray) -> Tensors:
    """Every tensor of the graph for a batch [N, ...] of its one input."""
    graph = model.graph
    values: Tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    given = next(v.name for v in graph.input if v.name not in values)
    values[given] = x.astype(np.float32)
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        inputs = [values[name] if name else None for name in node.input]
        with np.errstate(all="ignore"):
            made = _OPS[node.op_type](attributes, *inputs)
        values[node.output[0]] = made.astype(np.float32) if made.dtype == np.float64 else made
    return values


def activations(model: onnx.ModelProto) -> list[str]:
    """The tensors that quantisers make of what depends on the input, in order."""
    live = {v.name for v in model.graph.input} - {t.name for t in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if live & set(node.input):
            live.update(node.output)
            if node.op_type in _QUANTISERS:
                found.append(node.output[0])
    return found


def _conv(a: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
    (sy, sx), (dy, dx) = a.get("strides", (1, 1)), a.get("dilations", (1, 1))
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    groups = a.get("group", 1)
    _, inner, kh, kw = w.shape
    span = ((kh - 1) * dy + 1, (kw - 1) * dx + 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]
    parts = []
    for g in range(groups):
        rows = slice(g * len(w) // groups, (g + 1) * len(w) // groups)
        taken = windows[:, g * inner : (g + 1) * inner]
        parts.append(np.einsum("nchwyx,ocyx->nohw", taken, w[rows].astype(np.float64)))
    y = np.concatenate(parts, axis=1).astype(np.float32)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def _gemm(a: dict[str, Any], x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    y = (x.astype(np.float64) @ (w.T if a.get("transB") else w).astype(np.float64)).astype(np.float32)
    return y if b is None else y + b


def _norm(a: dict[str, Any], x: np.ndarray, *parts: np.ndarray) -> np.ndarray:
    gamma, beta, mean, var = (p.reshape(1, -1, *[1] * (x.ndim - 2)).astype(np.float64) for p in parts)
    scale = gamma / np.sqrt(var + np.float32(a.get("epsilon", 1e-5)).astype(np.float64))
    return (x - mean) * scale + beta


def _pool(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    kh, kw = a["kernel_shape"]
    sy, sx = a.get("strides", (1, 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::sy, ::sx]
    return windows.max(axis=(4, 5))


def _average(a: dict[str, Any], x: np.ndarray) -> np.ndarray:
    assert a["count_include_pad"] and not any(a["pads"])
    kh, kw = a["kernel_shape"]
    sy, sx = a["strides"]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::sy, ::sx]
    return windows.astype(np.float64).mean(axis=(4, 5))


def _pad(a: dict[str, Any], x: np.ndarray, sides: np.ndarray, value: np.ndarray) -> np.ndarray:
    half = len(sides) // 2
    return np.pad(x, list(zip(sides[:half], sides[half:], strict=True)), constant_values=float(value))


def _quant(a: dict[str, Any], x: np.ndarray, scale: Any, zero: Any, bits: Any) -> np.ndarray:
    bits, signed, narrow = int(bits), a["signed"], a["narrow"]
    if bits == 1 and signed:
        return np.where(x / scale + zero >= 0, np.float32(1), np.float32(-1)) * scale
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    q = np.clip((x / scale + zero).astype(np.float32), low, high)
    kind = a["rounding_mode"].decode()
    rounded = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil}[kind](q)
    return ((rounded - zero) * scale).astype(np.float32)


def _trunc(a: dict[str, Any], x: np.ndarray, *parts: Any) -> np.ndarray:
    unit, zero, _, step, bits = parts
    assert not zero and not a["signed"] and not a["narrow"]
    whole = np.rint(x.astype(np.float64) / float(unit)).astype(np.int64)
    shift = int(np.rint(np.log2(float(step) / float(unit))))
    below, kept = whole & ((1 << shift) - 1), whole >> shift
    if a["rounding_mode"] == b"ROUND":
        half = 1 << (shift - 1)
        kept = kept + ((below > half) | ((below == half) & (kept % 2 == 1)))
    return (np.minimum(kept, (1 << int(bits)) - 1) * np.float64(step)).astype(np.float32)


def _count(a: dict[str, Any], x: np.ndarray, table: np.ndarray) -> np.ndarray:
    rows = table.reshape(1, len(table), *[1] * (x.ndim - 2), -1)
    return (x[..., None] >= rows).sum(axis=-1) * a.get("out_scale", 1.0) + a.get("out_bias", 0.0)


def _linear(a: dict[str, Any], x: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    info = np.iinfo(zero.dtype)
    stored = np.rint(x / _axis(a, scale, x)) + zero.astype(np.float32)
    return np.clip(stored, info.min, info.max).astype(zero.dtype)


def _axis(a: dict[str, Any], scale: np.ndarray, x: np.ndarray) -> np.ndarray:
    return scale if scale.ndim == 0 else scale.reshape([-1 if i == a["axis"] else 1 for i in range(x.ndim)])


def _back(a: dict[str, Any], q: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    return (q.astype(np.float32) - _axis(a, zero, q).astype(np.float32)) * _axis(a, scale, q)


_OPS = {
    "Identity": lambda a, x: x,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": lambda a, x, w: _gemm(a, x, w),
    "BatchNormalization": _norm,
    "Relu": lambda a, x: np.maximum(x, 0),
    "MaxPool": _pool,
    "Flatten": lambda a, x: x.reshape(len(x), -1),
    "Reshape": lambda a, x, s: x.reshape(len(x), *[int(v) for v in s[1:]]),
    "Unsqueeze": lambda a, x, s=None: np.expand_dims(x, tuple(a["axes"] if s is None else s)),
    "Squeeze": lambda a, x, s=None: np.squeeze(x, tuple(a["axes"] if s is None else s)),
    "Transpose": lambda a, x: x.transpose(a["perm"]),
    "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y,
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Clip": lambda a, x, low, high: np.clip(x, low, high),
    "Round": lambda a, x: np.rint(x),
    "Pad": _pad,
    "Concat": lambda a, *x: np.concatenate(x, axis=a["axis"]),
    "AveragePool": _average,
    "ReduceSum": lambda a, x, axes: x.sum(axis=tuple(axes)),
    "Sign": lambda a, x: np.sign(x),
    "Quant": _quant,
    "BipolarQuant": lambda a, x, scale: np.where(x >= 0, np.float32(1), np.float32(-1)) * scale,
    "MultiThreshold": _count,
    "Trunc": _trunc,
    "QuantizeLinear": _linear,
    "DequantizeLinear": _back,
    "TopK": lambda a, x, k: np.argsort(-x, axis=-1, kind="stable")[:, : int(k[0])],
}
