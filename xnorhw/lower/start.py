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
    FullConv2d,
    FullLinear,
    InputQuant,
    MaxPool2d,
)
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
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
from xnorhw.lower.full import check_full_sums, integer_weight

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
        self.real_full = ""

    def emit(self, op: IntOp, name: str, shape: tuple[int, int, int], kind: IntType | None) -> None:
        tensor = Tensor(name, shape, kind)
        self.nodes.append(IntNode(op, self.last.name, tensor))
        self.last = tensor

    def add(self, node: FloatNode) -> None:
        name, op = node.output.name, node.op
        shape = map_shape(node.output.shape)
        kind = self.last.type
        self.check_behind_real(name, op)
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
        elif isinstance(op, FullConv2d | FullLinear):
            self.full(name, op, shape)
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

    def full(self, name: str, op: FullConv2d | FullLinear, shape: tuple[int, int, int]) -> None:
        kind = self.last.type
        weight = integer_weight(op, name)
        if kind is None:
            self.full_on_real(name, op, shape)
            return
        scale = self.take_scale()
        if isinstance(op, FullLinear) and op.in_frac is not None and scale * 2.0**op.in_frac < 1:
            raise ModelError(
                f"rounds its input to multiples of 2^-{op.in_frac}, which are coarser than the network's "
                f"input, in steps of {scale}",
                module=name,
                remedy="Leave in_frac out: integer codes need no rounding",
            )
        if isinstance(op, FullConv2d):
            made = FullProduct(weight, op.frac, op.geometry, op.groups, 0)
        else:
            made = FullProduct(weight[:, :, None, None], op.frac, WindowGeometry(kernel=(1, 1)), 1, 0)
        check_full_sums(weight, np.float64(max(abs(kind.min), abs(kind.max))), name)
        low, high = reachable_range(made, kind)
        self.emit(made, name, shape, type_for_range(int(low.min()), int(high.max())))
        self.emit(Real(name, after_sum=True, in_scale=scale * 2.0**-op.frac), f"{name}:out", shape, None)

    def full_on_real(self, name: str, op: FullConv2d | FullLinear, shape: tuple[int, int, int]) -> None:
        """A linear layer of the score path, left real until the tail moves to the host."""
        if isinstance(op, FullConv2d):
            raise ModelError(
                "takes real values: a full-precision convolution is exact on integer codes and signs alone",
                module=name,
                remedy="Put xnn.Sign in front of it, or make it the network's first layer; real values can "
                "be read by a last xnn.FullLinear with in_frac",
            )
        if op.in_frac is None:
            raise ModelError(
                "takes real values, whose sums have no exact form",
                module=name,
                remedy="Give it in_frac, the fraction bits to which it rounds its input (for example "
                "in_frac=10), and measure the accuracy again; or put xnn.Sign in front of it",
            )
        self.take_scale()
        self.real_full = name
        self.emit(Real(name), f"{name}:out", shape, None)

    def check_behind_real(self, name: str, op: object) -> None:
        """Behind a layer that sums real values nothing may be an integer again."""
        if self.real_full and isinstance(op, BinaryConv2d | BinaryLinear | FullConv2d | BipolarQuant):
            raise ModelError(
                f"takes real values in front of {name}; it can stand behind the last binary layer and the "
                "last sign alone, where the scores are made",
                module=self.real_full,
                remedy="Feed it signs or integer codes: put xnn.Sign in front of it",
            )


def reachable_range(product: Product | FullProduct, kind: IntType) -> tuple[np.ndarray, np.ndarray]:
    """Per output channel the smallest and the largest sum that any input can make; int64 [O]."""
    if isinstance(product, FullProduct):
        # every input type reaches from at most 0 to at least 0, so a padded tap never widens this
        weight = product.weight.astype(np.int64)
        ends = np.stack([weight * kind.min, weight * kind.max])
        return ends.min(axis=0).sum(axis=(1, 2, 3)), ends.max(axis=0).sum(axis=(1, 2, 3))
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
