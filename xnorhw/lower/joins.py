"""Sums of tensors, channels joined, average pools: on integers alone, which no order rounds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Add, AvgPool2d, BinaryConv2d, BinaryLinear, FloatNode
from xnorhw.ir.int_graph import Add as IntAdd
from xnorhw.ir.int_graph import Concat as IntConcat
from xnorhw.ir.int_graph import IntNode, IntOp, SumPool, Tensor
from xnorhw.ir.types import type_for_range
from xnorhw.lower.context import map_shape
from xnorhw.lower.ranges import node_range, type_range

if TYPE_CHECKING:
    from xnorhw.lower.start import Builder

__all__ = ["add_join", "add_pool", "check_float32"]

FLOAT32 = 1 << 24
"""float32 holds every integer up to here."""


def add_join(builder: Builder, node: FloatNode) -> None:
    """A residual sum or a concatenation."""
    operands = [_integers(builder, value) for value in node.inputs]
    what = "adds" if isinstance(node.op, Add) else "joins"
    for value, operand in zip(node.inputs, operands, strict=True):
        if operand is None:
            builder.refuse_real(
                node,
                value,
                f"it {what} them in float32, which rounds",
                f"Put xnn.Grid(bits, frac) behind {value}, so that its values lie on a grid, and train or "
                "xnorhw.snap the network with it"
                if isinstance(node.op, Add)
                else f"Put xnn.Grid, xnn.QuantReLU or xnn.Sign behind {value}: each branch is quantised "
                "before the channels are joined",
            )
    sources = [operand for operand in operands if operand is not None]
    if isinstance(node.op, Add):
        for source in sources:
            builder.refuse_bases(node, source)
    made = _sum(node, sources) if isinstance(node.op, Add) else _joined(builder, node, sources)
    op: IntOp = IntConcat()
    if isinstance(node.op, Add):
        point = max(s.type.point for s in sources if s.type is not None)
        op = IntAdd(tuple(point - s.type.point for s in sources if s.type is not None))
    builder.value[node.output.name] = builder.emit(op, sources, made).name


def _integers(builder: Builder, value: str) -> Tensor | None:
    """The integer tensor that equals ``value``; None where it is real.

    A layer without scale and bias leaves its sum as it is.
    """
    tensor = builder.read(value)
    if tensor.type is not None or value not in {n.output.name for n in builder.context.graph.nodes}:
        return tensor if tensor.type is not None else None
    op = builder.context.op(value)
    plain = isinstance(op, BinaryConv2d | BinaryLinear) and op.scale is None and op.bias is None
    if not plain or not isinstance(op, BinaryConv2d | BinaryLinear) or op.in_scale != 1.0:
        return None
    sums = builder.tensors[value]
    check_float32(sums, value)
    return sums


def _sum(node: FloatNode, sources: list[Tensor]) -> Tensor:
    kinds = [s.type for s in sources if s.type is not None]
    point = max(kind.point for kind in kinds)
    low = sum(kind.min << (point - kind.point) for kind in kinds)
    high = sum(kind.max << (point - kind.point) for kind in kinds)
    kind = dataclasses.replace(type_for_range(low, high), point=point)
    made = Tensor(node.output.name, sources[0].shape, kind)
    check_float32(made, node.output.name)
    return made


def _joined(builder: Builder, node: FloatNode, sources: list[Tensor]) -> Tensor:
    first = sources[0]
    for value, source in zip(node.inputs, sources, strict=True):
        alike = source.type == first.type
        if alike and (source.name in builder.bases or first.name in builder.bases):
            mine, theirs = builder.bases[source.name], builder.bases[first.name]
            alike = mine.frac == theirs.frac and np.array_equal(mine.betas, theirs.betas)
        if not alike:
            raise ModelError(
                f"joins {value}, of the type {source.type}, to {node.input}, of the type {first.type}",
                module=node.output.name,
                remedy="Give every branch the same quantiser: Sign, QuantReLU of the same bits, or Grid of "
                "the same bits and frac",
            )
    if first.name in builder.bases:
        builder.bases[node.output.name] = builder.bases[first.name]
    return Tensor(node.output.name, map_shape(node.output.shape), first.type)


def add_pool(builder: Builder, node: FloatNode) -> None:
    """An average pool: the sum over its windows, and its division left real."""
    op = node.op
    assert isinstance(op, AvgPool2d)
    name = node.output.name
    source = _integers(builder, node.input)
    if source is None or source.type is None:
        builder.refuse_real(
            node,
            node.input,
            "an average of real values rounds in an order that is torch's own",
            "Put xnn.Grid(bits, frac) or xnn.QuantReLU(bits) in front of it",
        )
    builder.refuse_bases(node, source)
    pool = SumPool(op.geometry)
    made = Tensor(name, map_shape(node.output.shape), source.type)
    reached = {source.name: type_range(source.type, source.shape[0])}
    low, high = node_range(IntNode(pool, source.name, made), {source.name: source}, reached)
    kind = dataclasses.replace(type_for_range(int(low.min()), int(high.max())), point=source.type.point)
    sums = dataclasses.replace(made, type=kind)
    check_float32(sums, name)
    builder.add_sum(node, builder.emit(pool, [source], sums))


def check_float32(tensor: Tensor, module: str) -> None:
    """ModelError where the module's own float32 cannot hold every value of ``tensor``."""
    kind = tensor.type
    assert kind is not None
    if max(abs(kind.min), abs(kind.max)) > FLOAT32:
        raise ModelError(
            f"its sums need {kind.bits} bits in steps of 2^-{kind.point}; float32 holds 24 exactly",
            module=module,
            remedy="Use xnn.Grid with fewer bits, or the same frac, in front of it",
        )
