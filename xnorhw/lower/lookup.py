"""Fold per-channel modules between the input and the first sign into the input's table."""

from __future__ import annotations

import dataclasses

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import BipolarQuant
from xnorhw.ir.int_graph import IntGraph, IntNode, Lookup, Real
from xnorhw.ir.types import BIPOLAR
from xnorhw.lower.context import Context

__all__ = ["fold_lookups"]

MAX_BITS = 8


def fold_lookups(context: Context, graph: IntGraph) -> IntGraph:
    """[Lookup] -> batch norm, ReLU, ... -> Sign at the front becomes one table per channel.

    Each of the at most 256 input values is sent through the modules as they are, so the
    table needs no monotony.
    """
    nodes = list(graph.nodes)
    first = 1 if isinstance(nodes[0].op, Lookup) else 0
    end = first
    while end < len(nodes) and isinstance(nodes[end].op, Real):
        end += 1
        if _is_sign(context, nodes[end - 1]):
            break
    chain = nodes[first:end]
    if not chain or not _is_sign(context, chain[-1]):
        return graph
    source = graph.input_tensor
    assert source.type is not None
    if source.type.bits > MAX_BITS:
        raise ModelError(
            f"the input has {source.type.bits} bits; a table in front of the first sign takes {MAX_BITS}",
            module=chain[0].output.name,
            remedy=f"Declare an input of {MAX_BITS} bits or fewer, or let a binary layer come first",
        )
    span = np.arange(source.type.min, source.type.max + 1, dtype=np.float64)
    channels = source.shape[0]
    x = np.broadcast_to(span[:, None, None, None], (len(span), channels, 1, 1))
    if first:
        table = nodes[0].op
        assert isinstance(table, Lookup)
        x = np.broadcast_to(table.table.T[:, :, None, None], (len(span), channels, 1, 1))
    for node in chain:
        assert isinstance(node.op, Real)
        if node.output.shape != source.shape:
            raise ModelError(
                "changes the map's shape before the first sign",
                module=node.output.name,
                remedy="Put the sign first",
            )
        x = context.run_real(node.op, x)
    folded = np.ascontiguousarray(x[:, :, 0, 0].T).astype(np.int32)
    last = dataclasses.replace(chain[-1].output, type=BIPOLAR)
    made = IntNode(Lookup(folded), source.name, last)
    return dataclasses.replace(graph, nodes=(made, *nodes[end:]))


def _is_sign(context: Context, node: IntNode) -> bool:
    return isinstance(node.op, Real) and isinstance(context.op(node.op.node), BipolarQuant)
