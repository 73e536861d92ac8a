"""The ranges of tensors: no input leaves them, and some input reaches their ends."""

from __future__ import annotations

import numpy as np
import pytest

from xnorhw import golden
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
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
    Term,
)
from xnorhw.ir.types import Encoding, IntType, code, twos_complement
from xnorhw.lower.ranges import ranges

SHAPE = (4, 3, 3)
WIDE = twos_complement(24)


def graph_of(kind: IntType, *ops: tuple[IntOp, tuple[str, ...], tuple[int, int, int]]) -> IntGraph:
    """Nodes n0, n1, ... on the input."""
    nodes = tuple(
        IntNode(op, inputs[0], Tensor(f"n{i}", shape, WIDE), inputs[1:])
        for i, (op, inputs, shape) in enumerate(ops)
    )
    return IntGraph(Input(SHAPE), Tensor("input", SHAPE, kind), nodes, f"n{len(ops) - 1}", (), SHAPE)


def extremes(graph: IntGraph, channels: int = 4, frames: int = 3000) -> dict[str, tuple[np.ndarray, ...]]:
    """What random frames of extreme values reach, per channel."""
    kind = graph.input_tensor.type
    assert kind is not None
    rng = np.random.default_rng(3)
    x = rng.choice([kind.min, kind.max], (frames, channels, 3, 3))
    constant = rng.choice([kind.min, kind.max], (frames, channels, 1, 1))
    x = np.where(rng.random((frames, 1, 1, 1)) < 0.5, np.broadcast_to(constant, x.shape), x)
    return {
        name: (value.min(axis=(0, 2, 3)), value.max(axis=(0, 2, 3)))
        for name, value in golden.run(graph, x).items()
    }


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).choice([-1, 1], shape).astype(np.int8)


ONE = WindowGeometry((1, 1))
PADDED = WindowGeometry((3, 3), pads=Pads(1, 1, 1, 1))
ABOVE = Requant(np.ones(4, np.int64), np.full(4, 20), 0, -100, 100)
SHIFTED = Requant(np.array([1, -1, 1, 0]), np.array([20, 40, -3, 5]), 0, -100, 100)
TABLE = Lookup(np.random.default_rng(1).integers(-9, 30, (4, 16)).astype(np.int32))

CASES: dict[str, IntGraph] = {
    "1x1": graph_of(
        code(4, False), (Product((Term(1, weights(6, 2, 1, 1)),), ONE, 2, 0), ("input",), (6, 3, 3))
    ),
    "bits": graph_of(
        code(4, True),
        (
            Product((Term(1, weights(3, 4, 1, 1)), Term(2, -weights(3, 4, 1, 1))), ONE, 1, 0),
            ("input",),
            (3, 3, 3),
        ),
    ),
    "full": graph_of(
        code(3, True),
        (FullProduct(weights(3, 4, 1, 1).astype(np.int32) * 5, 2, ONE, 1, 0), ("input",), (3, 3, 3)),
    ),
    "planes": graph_of(
        IntType(3, False, Encoding.THERMOMETER),
        (
            Product(tuple(Term(c, weights(3, 4, 1, 1), n) for n, c in enumerate((5, -2, 3))), ONE, 1, 0),
            ("input",),
            (3, 3, 3),
        ),
    ),
    "requant": graph_of(code(4, True), (SHIFTED, ("input",), SHAPE)),
    "add": graph_of(code(4, True), (SHIFTED, ("input",), SHAPE), (Add((2,)), ("n0",), SHAPE)),
    "concat": graph_of(code(4, True), (SHIFTED, ("input",), SHAPE), (Concat(), ("n0", "input"), (8, 3, 3))),
    "sum": graph_of(
        code(4, False),
        (SumPool(WindowGeometry((3, 3))), ("input",), (4, 1, 1)),
        (Reshape(), ("n0",), (4, 1, 1)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_ends_are_reached(name: str) -> None:
    graph = CASES[name]
    found, reached = ranges(graph), extremes(graph)
    for node in graph.nodes:
        low, high = found[node.output.name]
        least, most = reached[node.output.name]
        assert (low <= least).all() and (most <= high).all()
        if name != "planes":  # in between lies what extremes do not show
            assert low.tolist() == least.tolist() and high.tolist() == most.tolist()


LOOSE: dict[str, IntGraph] = {
    # all values are 12..27: a padded tap, 0, lies outside
    "padded": graph_of(
        code(4, True),
        (ABOVE, ("input",), SHAPE),
        (Product((Term(1, weights(5, 4, 3, 3)),), PADDED, 1, 0), ("n0",), (5, 3, 3)),
        (Product((Term(1, np.ones((1, 4, 3, 3), np.int8)),), PADDED, 1, 0), ("n0",), (1, 3, 3)),
    ),
    "padded sum": graph_of(code(4, True), (ABOVE, ("input",), SHAPE), (SumPool(PADDED), ("n0",), (4, 3, 3))),
    "K": graph_of(
        code(4, True),
        (BoxSum(PADDED), ("input",), (1, 3, 3)),
        (Multiply(), ("input", "n0"), SHAPE),
        (MaxPool(WindowGeometry((2, 2)), np.zeros(4, np.bool_)), ("n1",), (4, 2, 2)),
    ),
    "table": graph_of(code(4, True), (TABLE, ("input",), SHAPE)),
}


@pytest.mark.parametrize("name", LOOSE)
def test_nothing_leaves_them(name: str) -> None:
    graph = LOOSE[name]
    found, reached = ranges(graph), extremes(graph)
    for node in graph.nodes:
        low, high = found[node.output.name]
        least, most = reached[node.output.name]
        assert (low <= least).all() and (most <= high).all()
    if name == "table":
        low, high = found["n0"]
        assert low.tolist() == TABLE.table.min(axis=1).tolist()
        assert high.tolist() == TABLE.table.max(axis=1).tolist()
