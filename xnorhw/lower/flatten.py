"""A linear layer behind a flatten is a convolution whose kernel is the whole map."""

from __future__ import annotations

import dataclasses

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import FullProduct, IntGraph, Product, Reshape
from xnorhw.lower.context import Context
from xnorhw.lower.threshold import without_dead_nodes

__all__ = ["absorb_reshapes"]


def absorb_reshapes(context: Context, graph: IntGraph) -> IntGraph:
    """Reshape -> Product 1x1 becomes one Product with the kernel H x W.

    Flattening is in torch's order (channel, y, x), so the weight row [C*H*W] is the kernel
    [C, H, W] as it stands.
    """
    nodes = {node.output.name: node for node in graph.nodes}
    for name, node in list(nodes.items()):
        flat = nodes.get(node.input)
        if flat is None or not isinstance(node.op, Product | FullProduct) or not isinstance(flat.op, Reshape):
            continue
        if graph.tensor(flat.input).type is None:
            continue
        channels, height, width = graph.tensor(flat.input).shape
        nodes[name] = dataclasses.replace(
            node, op=_over_map(node.op, channels, height, width), input=flat.input
        )
    if all(nodes[node.output.name] is node for node in graph.nodes):
        return graph
    return _renamed(without_dead_nodes(dataclasses.replace(graph, nodes=tuple(nodes.values()))))


def _renamed(graph: IntGraph) -> IntGraph:
    """A quantiser whose flatten is gone has its own name again, on what is still a map."""
    there = {node.output.name for node in graph.nodes}
    names = {}
    for node in graph.nodes:
        name = node.output.name
        quantiser, _, number = name.rpartition(":")
        behind = f"{quantiser}:{int(number) + 1}" if quantiser and number.isdigit() else ""
        if behind and behind not in there and quantiser not in there:
            names[name] = quantiser
    nodes = tuple(
        dataclasses.replace(
            node,
            input=names.get(node.input, node.input),
            others=tuple(names.get(other, other) for other in node.others),
            output=dataclasses.replace(node.output, name=names.get(node.output.name, node.output.name)),
        )
        for node in graph.nodes
    )
    return dataclasses.replace(graph, nodes=nodes)


def _over_map(op: Product | FullProduct, channels: int, height: int, width: int) -> Product | FullProduct:
    """``op`` on vectors as the same sum over a map [channels, height, width]."""
    shape = (-1, channels, height, width)
    geometry = WindowGeometry(kernel=(height, width))
    if isinstance(op, FullProduct):
        return dataclasses.replace(op, weight=op.weight.reshape(shape), geometry=geometry)
    terms = tuple(dataclasses.replace(t, weight=t.weight.reshape(shape)) for t in op.terms)
    return dataclasses.replace(op, terms=terms, geometry=geometry)
