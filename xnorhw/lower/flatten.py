"""A linear layer behind a flatten is a convolution whose kernel is the whole map."""

from __future__ import annotations

import dataclasses

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, Product, Reshape, Term
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
            and isinstance(node.op, Product)
            and isinstance(last.op, Reshape)
            and graph.tensor(last.input).type is not None
        ):
            channels, height, width = graph.tensor(last.input).shape
            terms = tuple(
                Term(t.coefficient, t.weight.reshape(-1, channels, height, width)) for t in node.op.terms
            )
            geometry = WindowGeometry(kernel=(height, width))
            source = last.input
            if source.startswith(f"{last.output.name}:") and len(nodes) > 1:
                # a sign behind the flatten: its bits, still a map, are the sign's own
                maker = nodes[-2]
                source = last.output.name
                nodes[-2] = dataclasses.replace(maker, output=dataclasses.replace(maker.output, name=source))
            nodes[-1] = IntNode(
                dataclasses.replace(node.op, terms=terms, geometry=geometry), source, node.output
            )
        else:
            nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes))
