"""Which integers each tensor can hold: per channel the smallest and the largest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.golden.run import requant
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Multiply,
    Product,
    Requant,
    Reshape,
    SumPool,
    Tensor,
)
from xnorhw.ir.types import Encoding, IntType

__all__ = ["Range", "node_range", "product_range", "ranges", "type_range"]

Ints = npt.NDArray[np.int64]
Range = tuple[Ints, Ints]
"""(smallest, largest) value of each channel, int64 [C]."""

CHUNK = 1 << 22


def ranges(graph: IntGraph) -> dict[str, Range]:
    """The range of every integer tensor of ``graph``; values still real have none."""
    given = graph.input_tensor
    assert given.type is not None
    found = {given.name: type_range(given.type, given.shape[0])}
    tensors = {given.name: given, **{n.output.name: n.output for n in graph.nodes}}
    for node in graph.nodes:
        if node.output.type is not None:
            found[node.output.name] = node_range(node, tensors, found)
    return found


def type_range(kind: IntType, channels: int) -> Range:
    """All that a type can hold."""
    return np.full(channels, kind.min, np.int64), np.full(channels, kind.max, np.int64)


def node_range(node: IntNode, tensors: dict[str, Tensor], found: dict[str, Range]) -> Range:
    """What ``node`` can make of inputs with the ranges ``found``."""
    kind = tensors[node.input].type
    if kind is None or any(name not in found for name in node.inputs):
        assert node.output.type is not None
        return type_range(node.output.type, node.output.shape[0])
    sources = [found[name] for name in node.inputs]
    return _output_range(node.op, sources, kind, node.output, tensors[node.input])


def _output_range(op: IntOp, sources: list[Range], kind: IntType, output: Tensor, read: Tensor) -> Range:
    low, high = sources[0]
    if isinstance(op, Product | FullProduct):
        return product_range(op, low, high, kind)
    if isinstance(op, Requant):
        both = np.stack([low, high])[:, :, None, None]
        ends = requant(op, np.broadcast_to(both, (*both.shape[:2], op.positions, 1)))
        return ends.min(axis=(0, 2, 3)), ends.max(axis=(0, 2, 3))
    if isinstance(op, Lookup):
        return _lookup_range(op, low, high, kind)
    if isinstance(op, MaxPool):
        return low, high
    if isinstance(op, SumPool):
        return _pooled(op, low, high)
    if isinstance(op, BoxSum):
        largest = np.maximum(np.abs(low), np.abs(high)).sum() * op.geometry.taps
        return np.zeros(1, np.int64), np.array([largest], np.int64)
    if isinstance(op, Add):
        return (
            np.asarray(sum(s[0] << shift for s, shift in zip(sources, op.shifts, strict=True))),
            np.asarray(sum(s[1] << shift for s, shift in zip(sources, op.shifts, strict=True))),
        )
    if isinstance(op, Multiply):
        corners = np.stack([a * b for a in sources[0] for b in sources[1]])
        return corners.min(axis=0), corners.max(axis=0)
    if isinstance(op, Concat):
        return np.concatenate([s[0] for s in sources]), np.concatenate([s[1] for s in sources])
    if isinstance(op, Reshape):
        pixels = read.shape[1] * read.shape[2]
        return np.repeat(low, pixels), np.repeat(high, pixels)
    assert output.type is not None
    return type_range(output.type, output.shape[0])


def _pooled(op: SumPool, low: Ints, high: Ints) -> Range:
    taps = op.geometry.taps
    if op.geometry.pads.any():
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    return low * taps, high * taps


def _lookup_range(op: Lookup, low: Ints, high: Ints, kind: IntType) -> Range:
    rows = np.broadcast_to(op.table, (len(low), op.table.shape[1]))
    parts = [row[a : b + 1] for row, a, b in zip(rows, low - kind.min, high - kind.min, strict=True)]
    least = np.array([part.min() for part in parts], np.int64)
    return least, np.array([part.max() for part in parts], np.int64)


def product_range(op: Product | FullProduct, low: Ints, high: Ints, kind: IntType) -> Range:
    """Per output channel the smallest and the largest sum of inputs low[c]..high[c] of type ``kind``.

    Every padded tap may also count its pad value.
    """
    if op.geometry.pads.any():
        low, high = np.minimum(low, op.pad_value), np.maximum(high, op.pad_value)
    weight = op.weight if isinstance(op, FullProduct) else op.terms[0].weight
    outputs = weight.shape[0]
    rows = max(1, CHUNK // int(np.prod(weight.shape[1:])))
    parts = [
        _rows_range(op, slice(i, min(i + rows, outputs)), low, high, kind) for i in range(0, outputs, rows)
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _rows_range(op: Product | FullProduct, rows: slice, low: Ints, high: Ints, kind: IntType) -> Range:
    if isinstance(op, Product) and kind.encoding is Encoding.THERMOMETER:
        return _plane_range(op, rows, kind)
    if isinstance(op, FullProduct):
        outputs, weight = op.weight.shape[0], op.weight[rows].astype(np.int64)
    else:
        outputs = op.terms[0].weight.shape[0]
        weight = np.asarray(sum(t.coefficient * t.weight[rows].astype(np.int64) for t in op.terms))
    group = np.arange(rows.start, rows.stop) // (outputs // op.groups)
    least = low.reshape(op.groups, -1)[group][:, :, None, None]
    most = high.reshape(op.groups, -1)[group][:, :, None, None]
    ends = weight * least, weight * most
    return np.minimum(*ends).sum(axis=(1, 2, 3)), np.maximum(*ends).sum(axis=(1, 2, 3))


def _plane_range(op: Product, rows: slice, kind: IntType) -> Range:
    """A tap reads one of the bits + 1 numbers of ones: none and all are opposite, so 0 lies between."""
    least = most = None
    for ones in range(kind.bits + 1):
        worth = np.zeros(op.terms[0].weight[rows].shape, np.int64)
        for term in op.terms:
            assert term.plane is not None
            sign = 1 if ones > term.plane else -1
            worth += sign * term.coefficient * term.weight[rows].astype(np.int64)
        least = worth if least is None else np.minimum(least, worth)
        most = worth if most is None else np.maximum(most, worth)
    assert least is not None and most is not None
    return least.sum(axis=(1, 2, 3)), most.sum(axis=(1, 2, 3))
