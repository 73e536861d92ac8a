"""The first form of the integer graph: products and reshapes are integer, the rest is real."""

from __future__ import annotations

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Flatten,
    FloatNode,
    InputQuant,
    MaxPool2d,
)
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Product,
    Real,
    Reshape,
    Tensor,
    Term,
)
from xnorhw.ir.types import BIPOLAR, IntType, code, type_for_range
from xnorhw.lower.context import Context, map_shape

__all__ = ["reachable_range", "start"]


def start(context: Context) -> IntGraph:
    """Split every product module into its integer sum and the real part behind it."""
    graph = context.graph
    first = graph.nodes[0]
    kind = code(8, False) if isinstance(first.op, InputQuant) else graph.input.type
    if isinstance(first.op, InputQuant) and graph.input.scale != 1.0:
        raise ModelError(
            "InputQuant takes raw pixels 0..255, the input is declared with a scale",
            module=first.output.name,
            remedy="Declare xnorhw.Input(shape) without bits and scale",
        )
    given = Tensor(graph.INPUT_NAME, map_shape(graph.input.shape), kind)
    builder = _Builder(context, given)
    for node in graph.nodes:
        builder.add(node)
    return IntGraph(
        input=graph.input,
        input_tensor=given,
        nodes=tuple(builder.nodes),
        output=builder.last.name,
        host=(),
        score_shape=graph.node(graph.output).output.shape,
    )


class _Builder:
    def __init__(self, context: Context, given: Tensor) -> None:
        self.context = context
        self.nodes: list[IntNode] = []
        self.last = given
        self.scale = context.graph.input.scale

    def emit(self, op: IntOp, name: str, shape: tuple[int, int, int], kind: IntType | None) -> None:
        tensor = Tensor(name, shape, kind)
        self.nodes.append(IntNode(op, self.last.name, tensor))
        self.last = tensor

    def add(self, node: FloatNode) -> None:
        name, op = node.output.name, node.op
        shape = map_shape(node.output.shape)
        kind = self.last.type
        if isinstance(op, InputQuant):
            if self.nodes:
                raise ModelError(
                    "InputQuant must be the first module, for it takes raw pixels",
                    module=name,
                    remedy="Put it first",
                )
            self.emit(Lookup(op.table), name, shape, op.type)
        elif isinstance(op, BinaryConv2d | BinaryLinear):
            self.product(name, op, shape)
        elif isinstance(op, Flatten):
            self.emit(Reshape(), name, shape, kind)
        elif isinstance(op, MaxPool2d) and kind is not None:
            self.emit(MaxPool(op.geometry, np.zeros(shape[0], np.bool_)), name, shape, kind)
        elif isinstance(op, BipolarQuant) and op.scale != 1.0:
            raise ModelError(
                f"a sign with the scale {op.scale} is not +-1",
                module=name,
                remedy="Move the scale into the next layer's in_scale",
            )
        else:
            made = BIPOLAR if isinstance(op, BipolarQuant) else None
            self.emit(Real(name, in_scale=self.take_scale()), name, shape, made)

    def take_scale(self) -> float:
        """The scale of the integers read here; behind the first reader it is 1."""
        scale, self.scale = self.scale, 1.0
        return scale

    def product(self, name: str, op: BinaryConv2d | BinaryLinear, shape: tuple[int, int, int]) -> None:
        kind = self.last.type
        if kind is None:
            raise ModelError(
                "takes real-valued activations: only +-1 and integer codes can be multiplied by "
                "binary weights exactly",
                module=name,
                remedy="Put xnn.Sign in front of it (XNOR-Net: BatchNorm, Sign, convolution)",
            )
        scale = self.take_scale()
        if isinstance(op, BinaryConv2d):
            pad = op.pad_value / scale
            if pad != int(pad) or not (kind.min <= pad <= kind.max):
                raise ModelError(
                    f"pads with {op.pad_value}, which is no value of its input's type {kind}",
                    module=name,
                    remedy="Use pad_value=0",
                )
            made = Product((Term(1, op.weight),), op.geometry, op.groups, int(pad))
        else:
            made = Product((Term(1, op.weight[:, :, None, None]),), WindowGeometry(kernel=(1, 1)), 1, 0)
        low, high = reachable_range(made, kind)
        self.emit(made, name, shape, type_for_range(int(low.min()), int(high.max())))
        self.emit(Real(name, after_sum=True, in_scale=scale), f"{name}:out", shape, None)


def reachable_range(product: Product, kind: IntType) -> tuple[np.ndarray, np.ndarray]:
    """Per output channel the smallest and the largest sum that any input can make; int64 [O]."""
    low = high = None
    for term in product.terms:
        positive = (term.weight > 0).sum(axis=(1, 2, 3)).astype(np.int64)
        negative = (term.weight < 0).sum(axis=(1, 2, 3)).astype(np.int64)
        a = positive * kind.min - negative * kind.max
        b = positive * kind.max - negative * kind.min
        # padded taps may contribute 0, which can lie outside of an extreme (unsigned codes)
        a, b = np.minimum(a, 0), np.maximum(b, 0)
        a, b = term.coefficient * a, term.coefficient * b
        a, b = np.minimum(a, b), np.maximum(a, b)
        low = a if low is None else low + a
        high = b if high is None else high + b
    assert low is not None and high is not None
    return low, high
