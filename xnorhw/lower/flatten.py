"""A linear layer behind a flatten is a convolution whose kernel is the whole map."""

from __future__ import annotations

import dataclasses

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import FullProduct, IntGraph, IntNode, Product, Reshape, Term
from xnorhw.lower.context import Context

__all__ = ["absorb_reshapes"]


def absorb_reshapes(context: Context, graph: IntGraph) -> IntGraph:
    """Reshape -> Product 1x1 becomes one Product with the kernel H x W.

    Flattening is in torch's order (channel, y, x), so the weight row [C*H*W] is the kernel
    [C, H, W] as it stands.
    """
    nodes: list[IntNode] = []
    for node in graph.nodes:
        last = nodes[-1] if nodes else None
        if (
            last is not None
            and isinstance(node.op, Product | FullProduct)
            and isinstance(last.op, Reshape)
            and graph.tensor(last.input).type is not None
        ):
            channels, height, width = graph.tensor(last.input).shape
            op = _over_map(node.op, channels, height, width)
            source = last.input
            if source.startswith(f"{last.output.name}:") and len(nodes) > 1:
                # a sign behind the flatten: its bits, still a map, are the sign's own
                maker = nodes[-2]
                source = last.output.name
                nodes[-2] = dataclasses.replace(maker, output=dataclasses.replace(maker.output, name=source))
            nodes[-1] = IntNode(op, source, node.output)
        else:
            nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _over_map(op: Product | FullProduct, channels: int, height: int, width: int) -> Product | FullProduct:
    """``op`` on vectors as the same sum over a map [channels, height, width]."""
    shape = (-1, channels, height, width)
    geometry = WindowGeometry(kernel=(height, width))
    if isinstance(op, FullProduct):
        return dataclasses.replace(op, weight=op.weight.reshape(shape), geometry=geometry)
    terms = tuple(Term(t.coefficient, t.weight.reshape(shape)) for t in op.terms)
    return dataclasses.replace(op, terms=terms, geometry=geometry)
