"""A graph read from a file -> a network of our modules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from xnorhw.frontends.foreign.base import Decision, Imported, Options
from xnorhw.frontends.onnx.builder import Builder, Product
from xnorhw.frontends.onnx.constants import Const, fold
from xnorhw.frontends.onnx.flow import Flow, Pixels, one_flow
from xnorhw.frontends.onnx.graph import Graph, Node, read_graph, refuse
from xnorhw.frontends.onnx.inputs import Fed, fed_by
from xnorhw.frontends.onnx.reading import HANDLERS, KNOWN

__all__ = ["network_of", "read_file"]

_LAST = {
    "TopK": "it takes the largest of the scores",
    "ArgMax": "it takes the largest of the scores",
    "Softmax": "it does not change which class is the largest",
    "LogSoftmax": "it does not change which class is the largest",
    "Sigmoid": "it does not change which class is the largest",
}
_LEAVING_OUT = ("Identity", "Cast", "Squeeze", "Flatten", "Reshape")


def read_file(path: Path, options: Options) -> Imported:
    """The network in an ONNX file; ModelError for everything that cannot be taken."""
    graph = read_graph(path)
    return network_of(graph, fed_by(graph, options.input, str(path)), str(path))


def network_of(graph: Graph, fed: Fed, where: str) -> Imported:
    """The network that a graph describes, fed as ``fed`` says."""
    graph, dropped = _without_classes(graph)
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers[graph.output] += 1
    builder = Builder(readers)
    shape = fed.input.shape
    start = Flow("input", shape, last=fed.last, whole=True)
    builder.values = {"": None, ":given": fed.input}
    builder.values.update({name: Const(array, name) for name, array in graph.constants.items()})
    builder.values[graph.input] = start if fed.pixels is None else Pixels(start, fed.pixels)
    alive = _alive(graph)
    for node in graph.nodes:
        if alive & set(node.outputs):
            builder.values[node.outputs[0]] = _value(builder, node)
    last = replace(_last_node(graph), op="Conv")  # a Pad at the end would be refused by a layer alone
    output = builder.plain(last, one_flow(_last_node(graph), builder.values[graph.output]))
    if output.name == "input":
        refuse(where, "holds no layer that its result depends on", "Export the network again")
    net = builder.network(output)
    decisions = (*fed.decisions, *_summary(graph, builder), *dropped)
    return Imported(net, fed.input, decisions)


def _value(builder: Builder, node: Node) -> Any:
    inputs = []
    for name in node.inputs:
        if name not in builder.values:
            node.refuse(f"reads {name!r}, which nothing before it makes", "Copy or export the file again")
        inputs.append(builder.values[name])
    known = [v for v in inputs if v is not None]
    if not node.inputs or (known and all(isinstance(v, Const) for v in known)):
        return fold(node, inputs)
    handler = HANDLERS.get(node.op)
    if handler is None:
        node.refuse("is not known, so nothing can be said about what it computes", KNOWN)
    if inputs[0] is None:
        node.refuse("has no first input", "Copy or export the file again")
    try:
        return handler(builder, node, inputs)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        node.refuse(
            f"lacks an input or an attribute, or has one of another kind: {error}",
            "Copy or export the file again",
        )


def _alive(graph: Graph) -> set[str]:
    """The tensors that the result depends on."""
    alive = {graph.output}
    for node in reversed(graph.nodes):
        if alive & set(node.outputs):
            alive.update(name for name in node.inputs if name)
    return alive


def _last_node(graph: Graph) -> Node:
    for node in graph.nodes:
        if graph.output in node.outputs:
            return node
    raise AssertionError("a graph's result is made by a node")


def _without_classes(graph: Graph) -> tuple[Graph, tuple[Decision, ...]]:
    """The graph that ends in its scores, without a TopK, ArgMax or Softmax behind them."""
    dropped: list[Decision] = []
    while True:
        node = _last_node(graph)
        passing = node
        while passing.op in _LEAVING_OUT and passing.inputs:
            before = [n for n in graph.nodes if passing.inputs[0] in n.outputs]
            if not before:
                break
            passing = before[0]
        if passing.op not in _LAST:
            return graph, tuple(dropped)
        if passing.op == "TopK" and int(passing.attributes.get("largest", 1)) != 1:
            passing.refuse("takes the smallest of the scores", "Export the network without it")
        dropped.append(Decision(f"{passing.name} ({passing.op})", "left out", _LAST[passing.op]))
        graph = replace(graph, output=passing.inputs[0])
        if graph.output not in {name for n in graph.nodes for name in n.outputs}:
            passing.refuse("is all that the network is", "Export the network again")


def _summary(graph: Graph, builder: Builder) -> tuple[Decision, ...]:
    """One line for the weights, and the sign."""
    bits = Counter(made.weight.bits for made in builder.made.values() if isinstance(made, Product))
    weights = ", ".join(f"{count} of {what}" for what, count in sorted(bits.items()))
    decisions = [Decision("layers", weights or "none", f"{len(graph.nodes)} nodes, opset {graph.opset}")]
    signs = {node.op for node in graph.nodes} & {"BipolarQuant", "MultiThreshold", "Sign"}
    if signs:
        meaning = {"BipolarQuant": "+1", "MultiThreshold": "as its threshold says", "Sign": "0"}
        for op in sorted(signs):
            decisions.append(Decision(f"sign(0) of {op}", meaning[op], "its definition"))
    return tuple(decisions)
