"""The first form of the integer graph: what sums integers is integer, the rest is real."""

from __future__ import annotations

import dataclasses
import math
from typing import NoReturn

import numpy as np

from xnorhw.ir.bases import bases_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    Add,
    AvgPool2d,
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Concat,
    Flatten,
    FloatGraph,
    FloatNode,
    FullConv2d,
    FullLinear,
    Grid,
    InputQuant,
    MaxPool2d,
    MultiThreshold,
    Quant,
    QuantRelu,
    ScaledBinaryConv2d,
)
from xnorhw.ir.int_graph import IntGraph, IntNode, IntOp, Lookup, MaxPool, Real, Reshape, Tensor
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code
from xnorhw.lower.context import Context, map_shape
from xnorhw.lower.joins import add_join, add_pool
from xnorhw.lower.products import add_full, add_product, add_scaled

__all__ = ["Builder", "start", "unit"]

BINARY = (BinaryConv2d, BinaryLinear, BasesConv2d, BasesLinear, ScaledBinaryConv2d)
QUANTISERS = (BipolarQuant, QuantRelu, Grid, BasesQuant, MultiThreshold)


def unit(kind: IntType | None) -> float:
    """What one step of an integer is worth; 1 for real values."""
    return 1.0 if kind is None else 2.0**-kind.point


def start(context: Context) -> IntGraph:
    """Split every module that sums integers into its sum and the real part behind it."""
    graph = context.graph
    first = graph.nodes[0]
    kind = code(8, False) if isinstance(first.op, InputQuant) else graph.input.type
    if isinstance(first.op, InputQuant) and graph.input.scale != 1.0:
        raise ModelError(
            "InputQuant takes raw pixels 0..255, the input is declared with a scale",
            module=first.output.name,
            remedy="Declare xnorhw.Input(shape) without bits and scale",
        )
    kind = dataclasses.replace(kind, point=1 - math.frexp(graph.input.scale)[1])
    given = Tensor(graph.INPUT_NAME, map_shape(graph.input.shape), kind)
    builder = Builder(context, given)
    for node in graph.nodes:
        builder.add(node)
    return IntGraph(
        input=graph.input,
        input_tensor=given,
        nodes=tuple(builder.nodes),
        output=builder.value[graph.output],
        host=(),
        score_shape=graph.node(graph.output).output.shape,
    )


class Builder:
    """Collects the nodes; ``value`` maps a value of the float graph to the tensor that holds it."""

    def __init__(self, context: Context, given: Tensor) -> None:
        self.context = context
        self.nodes: list[IntNode] = []
        self.tensors = {given.name: given}
        self.value = {FloatGraph.INPUT_NAME: given.name}
        self.bases: dict[str, BasesQuant] = {}
        """What the bases are worth that a thermometer code counts."""
        self.behind_full: dict[str, str] = {}
        """Real values behind a linear layer on real values, and that layer."""

    def read(self, value: str) -> Tensor:
        """The tensor that holds a value of the float graph."""
        return self.tensors[self.value[value]]

    def emit(self, op: IntOp, sources: list[Tensor], made: Tensor) -> Tensor:
        """Append a node."""
        names = [s.name for s in sources]
        self.nodes.append(IntNode(op, names[0], made, tuple(names[1:])))
        self.tensors[made.name] = made
        for name in names:
            if name in self.behind_full and made.type is None:
                self.behind_full[made.name] = self.behind_full[name]
        return made

    def add_sum(self, node: FloatNode, sums: Tensor, frac: int = 0) -> None:
        """The real part of ``node`` behind its ``sums``, which count steps of 2^-frac of their point."""
        scale = unit(sums.type) * 2.0**-frac
        made = Tensor(f"{node.output.name}:out", sums.shape, None)
        self.emit(Real(node.output.name, after_sum=True, in_scale=scale), [sums], made)
        self.value[node.output.name] = made.name

    def add(self, node: FloatNode) -> None:
        """Append what computes ``node``."""
        op, source = node.op, self.read(node.input)
        self._check_behind_real(node, source)
        if isinstance(op, Add | Concat):
            add_join(self, node)
        elif isinstance(op, AvgPool2d):
            add_pool(self, node)
        elif isinstance(op, ScaledBinaryConv2d):
            add_scaled(self, node)
        elif isinstance(op, BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear):
            add_product(self, node)
        elif isinstance(op, FullConv2d | FullLinear) and source.type is not None:
            add_full(self, node)
        else:
            self.value[node.output.name] = self._plain(node, source).name

    def _plain(self, node: FloatNode, source: Tensor) -> Tensor:
        """Everything that has no sum of its own."""
        name, op, kind = node.output.name, node.op, source.type
        made = Tensor(name, map_shape(node.output.shape), kind)
        if isinstance(op, InputQuant):
            if node.input != FloatGraph.INPUT_NAME:
                raise ModelError(
                    "InputQuant must be the first module, for it takes raw pixels",
                    module=name,
                    remedy="Put it first",
                )
            return self.emit(Lookup(op.table), [source], dataclasses.replace(made, type=op.type))
        if isinstance(op, FullConv2d | FullLinear):
            return self._full_on_real(node, source)
        if isinstance(op, Flatten | MaxPool2d) and (isinstance(op, Flatten) or kind is not None):
            if source.name in self.bases:
                self.bases[name] = self.bases[source.name]
            if isinstance(op, Flatten):
                return self.emit(Reshape(), [source], made)
            self._check_pooled_bases(name)
            return self.emit(MaxPool(op.geometry, np.zeros(made.shape[0], np.bool_)), [source], made)
        self.refuse_bases(node, source)
        if isinstance(op, BipolarQuant) and op.scale != 1.0:
            raise ModelError(
                f"a sign with the scale {op.scale} is not +-1",
                module=name,
                remedy="Move the scale into the next layer's in_scale",
            )
        if isinstance(op, MultiThreshold) and not op.whole:
            raise ModelError(
                f"makes {op.out_scale:g} times a count and {op.out_bias:g}, which are no whole numbers",
                module=name,
                remedy="Let it make integers, and move what a step is worth into the next layer's in_scale",
            )
        if isinstance(op, Quant):
            raise ModelError(
                f"({self.context.graph.kind(name)}) makes activations that no module of xnorhw.nn makes",
                module=name,
                remedy="Use xnn.Sign, or xnn.QuantReLU for activations of several bits",
            )
        bases = bases_of(self.context.graph, node)
        if bases is not None:
            self.bases[name] = bases
        real = Real(name, in_scale=unit(kind))
        found = IntType(len(bases.betas), False, Encoding.THERMOMETER) if bases else _quantised(op)
        return self.emit(real, [source], dataclasses.replace(made, type=found))

    def _full_on_real(self, node: FloatNode, source: Tensor) -> Tensor:
        """A linear layer of the score path, left real until the tail moves to the host."""
        op, name = node.op, node.output.name
        if isinstance(op, FullConv2d):
            raise ModelError(
                "takes real values: a full-precision convolution is exact on integer codes and signs alone",
                module=name,
                remedy="Put xnn.Sign or xnn.QuantReLU in front of it, or make it the network's first layer; "
                "real values can be read by a last xnn.FullLinear with in_frac",
            )
        assert isinstance(op, FullLinear)
        if op.in_frac is None:
            raise ModelError(
                "takes real values, whose sums have no exact form",
                module=name,
                remedy="Give it in_frac, the fraction bits to which it rounds its input (for example "
                "in_frac=10), and measure the accuracy again; or put xnn.Sign or xnn.QuantReLU before it",
            )
        made = Tensor(f"{name}:out", map_shape(node.output.shape), None)
        self.behind_full[made.name] = name
        return self.emit(Real(name), [source], made)

    def _check_behind_real(self, node: FloatNode, source: Tensor) -> None:
        """Behind a layer that sums real values nothing may be an integer again."""
        if source.name in self.behind_full and isinstance(node.op, (*BINARY, FullConv2d, *QUANTISERS)):
            raise ModelError(
                f"takes real values in front of {node.output.name}; it can stand behind the last binary "
                "layer and the last sign alone, where the scores are made",
                module=self.behind_full[source.name],
                remedy="Feed it signs or integer codes: put xnn.Sign or xnn.QuantReLU in front of it",
            )

    def refuse_bases(self, node: FloatNode, source: Tensor) -> None:
        """ModelError where ``node`` computes with bases, which only layers can read."""
        if source.name in self.bases:
            raise ModelError(
                f"({self.context.graph.kind(node.output.name)}) computes with the bases of {source.name}, "
                "which only a layer with binary weights, a max-pool or a flatten can read",
                module=node.output.name,
                remedy="Take it in front of xnn.BasesActivation, or use xnn.QuantReLU there",
            )

    def _check_pooled_bases(self, name: str) -> None:
        """A maximum of bases is that of their numbers of ones only where each adds."""
        if name in self.bases and bool((self.bases[name].betas < 0).any()):
            raise ModelError(
                "takes the maximum of bases of which one has a negative beta: more of them may be less",
                module=name,
                remedy="Pool in front of xnn.BasesActivation, as the paper does",
            )

    def refuse_real(self, node: FloatNode, value: str, what: str, remedy: str) -> NoReturn:
        """ModelError for ``node``, which reads ``value`` although that is real."""
        kind = self.context.graph.kind(value)
        raise ModelError(
            f"takes the real-valued activations of {value} ({kind}): {what}",
            module=node.output.name,
            remedy=remedy,
        )


def _quantised(op: object) -> IntType | None:
    """The type that a quantiser makes; None for what stays real."""
    if isinstance(op, BipolarQuant):
        return BIPOLAR
    if isinstance(op, QuantRelu):
        return code(op.bits, False)
    if isinstance(op, Grid):
        return IntType(op.bits, True, Encoding.TWOS, op.frac)
    if isinstance(op, MultiThreshold):
        return op.type
    return None
