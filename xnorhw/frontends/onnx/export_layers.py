"""Layers as QONNX: integer weights, the scale and the bias behind the sum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xnorhw.frontends.onnx.writer import Writer, window
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

__all__ = ["product"]

Linear = fg.BinaryLinear | fg.BasesLinear | fg.FullLinear
Conv = fg.BinaryConv2d | fg.BasesConv2d | fg.FullConv2d


def product(w: Writer, node: fg.FloatNode) -> None:
    op, name = node.op, node.output.name
    assert isinstance(op, Linear | Conv)
    weight = _weight(w, op, name)
    read, pads = node.input, None
    if isinstance(op, fg.FullLinear) and op.in_frac is not None:
        read = _rounded(w, node, op.in_frac)
    if isinstance(op, Conv):
        sizes = window(op.geometry)
        if isinstance(op, fg.BinaryConv2d) and op.pad_value != 0 and op.geometry.pads.any():
            top, left, bottom, right = sizes.pop("pads")
            pads = w.constant(f"{name}:pads", [0, 0, top, left, 0, 0, bottom, right], np.int64)
            value = w.constant(f"{name}:pad_value", np.float32(op.pad_value))
            read = w.emit("Pad", f"{name}_pad", [read, pads, value], f"{name}:padded", mode="constant")
    steps: list[Callable[[str, str, str], str]] = []
    extra = {} if isinstance(op, fg.BinaryConv2d | fg.BinaryLinear) else {"frac": op.frac}
    note = w.note(node, **extra)
    if isinstance(op, Conv):
        steps.append(
            lambda label, x, made: w.emit(
                "Conv",
                label,
                [read, weight],
                made,
                note,
                group=op.groups,
                dilations=list(op.geometry.dilation),
                **sizes,
            )  # fmt: skip
        )
    else:
        steps.append(lambda label, x, made: w.emit("MatMul", label, [read, weight], made, note))
    factor = _factor(w, op, node)
    if factor is not None:
        steps.append(lambda label, x, made: w.emit("Mul", label, [x, factor], made))
    if op.bias is not None:
        bias = w.constant(f"{name}:bias", w.per_channel(node, op.bias))
        steps.append(lambda label, x, made: w.emit("Add", label, [x, bias], made))
    w.chain(node, steps)


def _rounded(w: Writer, node: fg.FloatNode, in_frac: int) -> str:
    """What the layer reads, rounded to multiples of 2^-in_frac."""
    name, read = node.output.name, node.input
    for kind, exponent in (("up", in_frac), ("round", 0), ("down", -in_frac)):
        made = f"{name}:{kind}"
        if kind == "round":
            read = w.emit("Round", f"{name}_round", [read], made)
        elif in_frac:
            step = w.constant(f"{name}:{kind}_step", np.float32(2.0**exponent))
            read = w.emit("Mul", f"{name}_{kind}", [read, step], made, "FullLinear")
    return read


def _factor(w: Writer, op: Linear | Conv, node: fg.FloatNode) -> str | None:
    """scale * in_scale, rounded once in float32 as the layer does."""
    name = node.output.name
    scale = None if isinstance(op, fg.FullConv2d | fg.FullLinear) else op.scale
    if scale is None:
        return None if op.in_scale == 1.0 else w.constant(f"{name}:in_scale", np.float32(op.in_scale))
    factors = [
        w.constant(f"{name}:scale", w.per_channel(node, scale)),
        w.constant(f"{name}:in_scale", np.float32(op.in_scale)),
    ]
    return w.emit("Mul", f"{name}_scales", factors, f"{name}:scales")


def _weight(w: Writer, op: Linear | Conv, name: str) -> str:
    """The weight as the name of a tensor, [O, I, kh, kw] or [I, O]."""
    flat = isinstance(op, Linear)
    if isinstance(op, fg.BinaryConv2d | fg.BinaryLinear):
        latent = w.constant(f"{name}:weight", op.weight.T if flat else op.weight)
        one = w.constant(f"{name}:weight_scale", np.float32(1))
        w.types[f"{name}:signs"] = "BIPOLAR"
        return w.emit("BipolarQuant", f"{name}_weight", [latent, one], f"{name}:signs")
    if isinstance(op, fg.FullConv2d | fg.FullLinear):
        return w.constant(f"{name}:weight", op.weight.T if flat else op.weight)
    return _bases(w, op, name)


def _bases(w: Writer, op: fg.BasesConv2d | fg.BasesLinear, name: str) -> str:
    """sum_m c_m * 2^-frac * B_m as constants multiplied and added: exact in float32 up to 24 bits."""
    rank = op.weight.ndim
    steps = np.ldexp(op.coefficients.astype(np.float64), -op.frac)
    largest = int(np.abs(op.coefficients).sum())
    if largest >= 1 << 24 or not np.array_equal(steps.astype(np.float32), steps):
        raise ModelError(
            f"has weights of {largest} steps of 2^-{op.frac}, more than float32 holds",
            module=name,
            remedy="Use a smaller frac",
        )
    bases = w.constant(f"{name}:bases", op.weight)
    weighed = w.constant(f"{name}:coefficients", steps.reshape(-1, *[1] * (rank - 1)))
    product = w.emit("Mul", f"{name}_bases", [bases, weighed], f"{name}:weighed")
    axes = w.constant(f"{name}:axes", [0], np.int64)
    total = w.emit("ReduceSum", f"{name}_sum", [product, axes], f"{name}:weight", keepdims=0)
    if isinstance(op, fg.BasesConv2d):
        return total
    return w.emit("Transpose", f"{name}_transpose", [total], f"{name}:transposed", perm=[1, 0])
