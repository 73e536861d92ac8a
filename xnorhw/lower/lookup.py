"""Fold per-channel modules between the input and a first quantiser into the input's table."""

from __future__ import annotations

import dataclasses

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import IntGraph, IntNode, Lookup, Real
from xnorhw.lower.chain import is_quantiser, nodes_behind_integers
from xnorhw.lower.context import Context
from xnorhw.lower.threshold import without_dead_nodes

__all__ = ["fold_lookups"]

MAX_BITS = 8


def fold_lookups(context: Context, graph: IntGraph) -> IntGraph:
    """[Lookup] -> batch norm, ReLU, ... -> quantiser at the front becomes one table per channel.

    Each of the at most 256 input values is sent through the modules as they are, so the
    table needs no monotony.  Chains that change the map (a pool) are left to the thresholds.
    """
    made = {node.output.name: node for node in graph.nodes}
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if not is_quantiser(node):
            continue
        source, chain = nodes_behind_integers(made, node)
        table = made[source].op if source in made else None
        alike = all(n.output.shape == graph.tensor(source).shape for n in chain)
        if (source == graph.input_tensor.name or isinstance(table, Lookup)) and alike:
            nodes[i] = _folded(context, graph, chain, table if isinstance(table, Lookup) else None)
    if all(new is old for new, old in zip(nodes, graph.nodes, strict=True)):
        return graph
    return without_dead_nodes(dataclasses.replace(graph, nodes=tuple(nodes)))


def _folded(context: Context, graph: IntGraph, chain: list[IntNode], table: Lookup | None) -> IntNode:
    given = graph.input_tensor
    assert given.type is not None
    if given.type.bits > MAX_BITS:
        raise ModelError(
            f"the input has {given.type.bits} bits; a table in front of the first sign takes {MAX_BITS}",
            module=chain[0].output.name,
            remedy=f"Declare an input of {MAX_BITS} bits or fewer, or let a binary layer come first",
        )
    span = np.arange(given.type.min, given.type.max + 1, dtype=np.float64)
    x = np.broadcast_to(span[:, None, None, None], (len(span), given.shape[0], 1, 1))
    if table is not None:
        x = np.broadcast_to(table.table.T[:, :, None, None], (len(span), given.shape[0], 1, 1))
    for node in chain:
        if isinstance(node.op, Real):  # a flatten of one pixel changes nothing
            x = context.run_real(node.op, x)
    folded = np.ascontiguousarray(x[:, :, 0, 0].T).astype(np.int32)
    return IntNode(Lookup(folded), given.name, chain[-1].output)
