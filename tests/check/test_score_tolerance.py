"""How far scores behind a layer that rounds its input may lie apart, and that no more passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from xnorhw import golden
from xnorhw.check.torch_link import check_torch, score_tolerance
from xnorhw.ir.evaluator import Array
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import HostBatchNorm, HostFull, HostOp, IntGraph, IntNode, Product, Tensor, Term
from xnorhw.ir.types import BIPOLAR, type_for_range

WEIGHT = np.array([[64, -3], [1, 5]], np.int32)


def graph_of(*host: HostOp) -> IntGraph:
    product = Product((Term(1, np.ones((2, 4, 1, 1), np.int8)),), WindowGeometry((1, 1)), 1, 0)
    sums = Tensor("sums", (2, 1, 1), type_for_range(-4, 4))
    node = IntNode(product, "input", sums)
    given = Tensor("input", (4, 1, 1), BIPOLAR)
    return IntGraph(Input((4,), encoding="bipolar"), given, (node,), "sums", host, (2,))


def norm(a: float, b: float) -> HostBatchNorm:
    return HostBatchNorm("norm", np.full(2, a, np.float32), np.full(2, b, np.float32))


def sums(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64).reshape(-1, 2, 1, 1)


def test_a_rounded_input_hides_what_lies_in_front() -> None:
    """x = 4.1 and 2.1 are far from any half: their own rounding error of 1e-7 does not matter."""
    graph = graph_of(norm(1.0, 0.1), HostFull("fc", WEIGHT, 0, 0, None))
    tolerance = score_tolerance(graph, sums(4, 2))
    y = np.array([4 * 64 - 2 * 3, 4 + 10], np.float32)
    assert np.array_equal(tolerance.reshape(2), 4.0 * np.spacing(y))


def test_an_input_in_the_middle_of_two_steps_may_go_either_way() -> None:
    graph = graph_of(norm(0.25, 0.0), HostFull("fc", WEIGHT, 3, 0, None))
    tolerance = score_tolerance(graph, sums(2, 4)).reshape(2)
    # the first input is 0.5: one step more or less is a weight in steps of 1/8
    assert np.allclose(tolerance, [64 / 8, 1 / 8], atol=1e-5)
    assert (tolerance > [64 / 8, 1 / 8]).all()


class Other:
    """A trained model whose last layer rounds halves up, and whose scores are golden's but for that."""

    def __init__(self, graph: IntGraph, offset: float) -> None:
        self.graph, self.offset = graph, offset

    def call(self, node: str, x: Array, rounding: str = "module") -> Array:
        return self.last(np.asarray(x, np.float64))

    def last(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        return (np.floor(x + self.offset) @ WEIGHT.T).astype(np.float32)

    def after_sum(self, node: str, sums: Array) -> Array:
        raise AssertionError("not asked for")

    def trace(self, x: Array) -> dict[str, Array]:
        tensors = golden.run(self.graph, np.asarray(x).astype(np.int64).reshape(-1, 4, 1, 1))
        real = tensors["sums"].reshape(-1, 2) * 0.25
        return {**tensors, ":scores": self.last(real)}


@pytest.mark.parametrize("offset", [0.5, 0.75])
def test_a_layer_that_rounds_another_way_is_found(offset: float) -> None:
    graph = graph_of(norm(0.25, 0.0), HostFull("fc", WEIGHT, 0, 0, None))
    frame = np.array([1, 1, 1, -1], np.int64).reshape(1, 4, 1, 1)  # sums of 2, inputs of 0.5
    link = check_torch(graph, Other(graph, offset), frame, golden.run(graph, frame))  # type: ignore[arg-type]
    assert link.comparison.mismatches > 0 and link.comparison.first is not None
    assert link.comparison.first.tensor == "fc"
