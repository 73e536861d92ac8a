"""Layers with weights as sums of integers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    BasesConv2d,
    BasesLinear,
    BinaryConv2d,
    BinaryLinear,
    Concat,
    Flatten,
    FloatNode,
    FullConv2d,
    FullLinear,
    MaxPool2d,
    Relu,
    ScaledBinaryConv2d,
)
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import BoxSum, FullProduct, Multiply, Product, Tensor, Term, Threshold
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, type_for_range
from xnorhw.lower.context import map_shape
from xnorhw.lower.full import EXACT, check_full_sums, integer_weight
from xnorhw.lower.ranges import Range, product_range, type_range

if TYPE_CHECKING:
    from xnorhw.lower.start import Builder

__all__ = ["add_full", "add_product", "add_scaled"]

ONE = WindowGeometry(kernel=(1, 1))


def add_product(builder: Builder, node: FloatNode) -> None:
    """A layer with binary weights, one or several of them a weight."""
    op, name = node.op, node.output.name
    assert isinstance(op, BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear)
    source = builder.read(node.input)
    kind = source.type
    if kind is None:
        _refuse_real(builder, node)
    weights, coefficients, frac = _weights(op)
    pad = 0
    if isinstance(op, BinaryConv2d):
        pad = _pad(op, kind, name, bases=source.name in builder.bases)
    point = kind.point
    if source.name in builder.bases:
        bases = builder.bases[source.name]
        point = bases.frac
        terms = tuple(
            Term(c * int(beta), weight, plane)
            for c, weight in zip(coefficients, weights, strict=True)
            for plane, beta in enumerate(bases.betas)
        )
    else:
        terms = tuple(Term(c, weight) for c, weight in zip(coefficients, weights, strict=True))
    if isinstance(op, BinaryConv2d | BasesConv2d):
        made = Product(terms, op.geometry, op.groups, pad)
    else:
        made = Product(terms, ONE, 1, 0)
    reach = product_range(made, *type_range(kind, source.shape[0]), kind)
    _check_exact(reach, name)
    shape = map_shape(node.output.shape)
    builder.add_sum(node, builder.emit(made, [source], Tensor(name, shape, _typed(reach, point))), frac)


def _weights(
    op: BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear,
) -> tuple[list[np.ndarray], list[int], int]:
    """(weights [O, I/groups, kh, kw] of each base, their coefficients, fraction bits of these)."""
    if isinstance(op, BinaryConv2d):
        return [op.weight], [1], 0
    if isinstance(op, BinaryLinear):
        return [op.weight[:, :, None, None]], [1], 0
    weight = op.weight if isinstance(op, BasesConv2d) else op.weight[:, :, :, None, None]
    return list(weight), [int(c) for c in op.coefficients], op.frac


def _pad(op: BinaryConv2d, kind: IntType, name: str, *, bases: bool) -> int:
    """The padded taps' value in steps of what the layer reads."""
    pad = op.pad_value * 2.0**kind.point
    if pad != int(pad) or (bases and pad) or not (kind.min <= pad <= kind.max):
        raise ModelError(
            f"pads with {op.pad_value}, which is no value of its input's type {kind}",
            module=name,
            remedy="Use pad_value=0",
        )
    return int(pad)


def _refuse_real(builder: Builder, node: FloatNode) -> NoReturn:
    """Name what makes the real activations, and what to put in its place."""
    value = node.input
    what = "only +-1 and integer codes can be multiplied by binary weights exactly"
    relu = _relu_behind(builder, value)
    if relu is not None:
        builder.refuse_real(
            node,
            relu,
            what,
            f"Put xnn.QuantReLU(bits) in the place of {relu}: `xnorhw calibrate model.pt` does so in a "
            "trained network; or put xnn.Sign in front of it (XNOR-Net: BatchNorm, Sign, convolution)",
        )
    builder.refuse_real(
        node,
        value,
        what,
        "Put xnn.Sign in front of it (XNOR-Net: BatchNorm, Sign, convolution), or xnn.QuantReLU(bits) for "
        "activations of several bits",
    )


def _relu_behind(builder: Builder, value: str) -> str | None:
    """The ReLU whose values ``value`` consists of, as calibration looks for it; None where there is none."""
    if value == builder.context.graph.INPUT_NAME:
        return None
    op = builder.context.op(value)
    if isinstance(op, Relu):
        return value
    if not isinstance(op, MaxPool2d | Flatten | Concat):
        return None
    sources = builder.context.graph.node(value).inputs
    return next((found for s in sources if (found := _relu_behind(builder, s)) is not None), None)


def add_scaled(builder: Builder, node: FloatNode) -> None:
    """XNOR-Net's convolution with K: the sum of signs times the sum of magnitudes (eq. 11)."""
    op, name = node.op, node.output.name
    assert isinstance(op, ScaledBinaryConv2d)
    source = builder.read(node.input)
    kind = source.type
    if kind is None or kind.encoding is not Encoding.TWOS:
        raise ModelError(
            f"takes the sign and the magnitude of {node.input}, which is on no grid",
            module=name,
            remedy="Put xnn.Grid(bits, frac) in front of it, and no xnn.Sign",
        )
    channels = source.shape[0]
    positive = Threshold(
        np.zeros((1, channels, 1), np.int64),
        np.ones(channels, np.int8),
        np.zeros(1, np.bool_),
        np.zeros(channels, np.bool_),
    )
    signs = builder.emit(positive, [source], Tensor(f"{name}:sign", source.shape, BIPOLAR))
    product = Product((Term(1, op.weight),), op.geometry, 1, 0)
    shape = map_shape(node.output.shape)
    reach = product_range(product, *type_range(BIPOLAR, channels), BIPOLAR)
    sums = builder.emit(product, [signs], Tensor(f"{name}:sums", shape, _typed(reach, 0)))
    largest = max(abs(kind.min), abs(kind.max)) * channels * op.geometry.taps
    scale_type = dataclasses.replace(type_for_range(0, largest), point=kind.point)
    scale = Tensor(f"{name}:scale", (1, *shape[1:]), scale_type)
    builder.emit(BoxSum(op.geometry), [source], scale)
    scaled = reach[0] * largest, reach[1] * largest
    _check_exact(scaled, name)
    made = Tensor(name, shape, _typed(scaled, kind.point))
    builder.add_sum(node, builder.emit(Multiply(), [sums, scale], made))


def add_full(builder: Builder, node: FloatNode) -> None:
    """A layer in full precision on integers: weights in steps of 2^-frac."""
    op, name = node.op, node.output.name
    assert isinstance(op, FullConv2d | FullLinear)
    source = builder.read(node.input)
    builder.refuse_bases(node, source)
    kind = source.type
    assert kind is not None
    weight = integer_weight(op, name)
    if isinstance(op, FullLinear) and op.in_frac is not None and op.in_frac < kind.point:
        raise ModelError(
            f"rounds its input to multiples of 2^-{op.in_frac}, which are coarser than the network's "
            f"input, in steps of {2.0**-kind.point}",
            module=name,
            remedy="Leave in_frac out: integer codes need no rounding",
        )
    if isinstance(op, FullConv2d):
        made = FullProduct(weight, op.frac, op.geometry, op.groups, 0)
    else:
        made = FullProduct(weight[:, :, None, None], op.frac, ONE, 1, 0)
    check_full_sums(weight, np.float64(max(abs(kind.min), abs(kind.max))), name)
    reach = product_range(made, *type_range(kind, source.shape[0]), kind)
    sums = Tensor(name, map_shape(node.output.shape), _typed(reach, kind.point))
    builder.add_sum(node, builder.emit(made, [source], sums), op.frac)


def _typed(reach: Range, point: int) -> IntType:
    low, high = reach
    return dataclasses.replace(type_for_range(int(low.min()), int(high.max())), point=point)


def _check_exact(reach: Range, name: str) -> None:
    largest = max(abs(int(reach[0].min())), abs(int(reach[1].max())))
    if not largest < EXACT:
        raise ModelError(
            f"its sums reach 2^{float(np.log2(largest)):.1f} steps, past the 2^53 to which float64 is exact",
            module=name,
            remedy="Use a smaller frac, or fewer inputs",
        )
