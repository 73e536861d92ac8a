"""Golden operations of the family, against torch in float64 or against numbers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from xnorhw import golden
from xnorhw.golden.codes import in_steps
from xnorhw.golden.run import product, requant, sum_pool
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    IntGraph,
    IntNode,
    Multiply,
    Product,
    Requant,
    SumPool,
    Tensor,
    Term,
)
from xnorhw.ir.types import Encoding, IntType, code, twos_complement


def test_requant_rounds_down_and_clamps() -> None:
    op = Requant(np.array([3, -2]), np.array([1, 5]), 2, -2, 3)
    x = np.array([[-4, -1, 0, 1, 5], [-4, -1, 0, 2, 9]]).T[:, :, None, None]
    # floor((3x + 1) / 4) and floor((5 - 2x) / 4), clamped to -2..3
    assert requant(op, x)[:, :, 0, 0].T.tolist() == [[-2, -1, 0, 1, 3], [3, 1, 1, 0, -2]]


def test_requant_sends_ties_to_even() -> None:
    """x / 4 and -x / 4, half of 4 added: Python's round is the tie to even."""
    op = Requant(np.array([1, -1]), np.array([2, 2]), 2, -5, 4, even=True)
    x = np.repeat(np.arange(-30, 31)[:, None], 2, axis=1)[:, :, None, None]
    wanted = [[min(max(round(sign * int(s) / 4), -5), 4) for sign in (1, -1)] for s in x[:, 0, 0, 0]]
    assert requant(op, x)[:, :, 0, 0].tolist() == wanted
    up = requant(dataclasses.replace(op, even=False), x)[:, :, 0, 0]
    assert {x[i, 0, 0, 0] % 8 for i in np.flatnonzero(up[:, 0] != np.array(wanted)[:, 0])} == {2}


def test_a_sum_shorter_than_the_shift_is_a_tie_at_zero_alone() -> None:
    op = Requant(np.array([1]), np.array([0]), 5, -5, 5, even=True)
    x = np.arange(-31, 32)[:, None, None, None]
    # -1 is odd and no tie; 0 is one, and even
    assert requant(op, x).ravel().tolist() == [-1] * 31 + [0] * 32
    assert requant(op, np.array([-32]).reshape(1, 1, 1, 1)).item() == -2


@pytest.mark.parametrize("pads", [Pads(), Pads(1, 1, 1, 1), Pads(1, 0, 0, 2)])
def test_sum_pool_is_an_average_without_its_division(pads: Pads) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-50, 50, (2, 3, 7, 6))
    geometry = WindowGeometry((3, 2), (2, 1), pads)
    padded = F.pad(torch.from_numpy(x.astype(np.float64)), (pads.left, pads.right, pads.top, pads.bottom))
    expected = F.avg_pool2d(padded, (3, 2), (2, 1), divisor_override=1)
    assert np.array_equal(sum_pool(geometry, x), expected.numpy())


def test_planes_read_a_thermometer_code() -> None:
    """Two bases of activations and two of weights: sum of c_m * beta_n * (A_n conv B_m), pads count 0."""
    rng = np.random.default_rng(2)
    ones = rng.integers(0, 3, (2, 4, 5, 5))
    weights = rng.choice([-1, 1], (2, 6, 4, 3, 3)).astype(np.int8)
    c, beta = (3, -2), (5, 1)
    geometry = WindowGeometry((3, 3), pads=Pads(1, 1, 1, 1))
    terms = tuple(Term(cm * bn, w, n) for cm, w in zip(c, weights, strict=True) for n, bn in enumerate(beta))
    values = sum(b * np.where(ones > n, 1, -1) for n, b in enumerate(beta))
    whole = sum(cm * w.astype(np.float64) for cm, w in zip(c, weights, strict=True))
    expected = F.conv2d(torch.from_numpy(np.asarray(values, np.float64)), torch.from_numpy(whole), padding=1)
    assert np.array_equal(product(Product(terms, geometry, 1, 0), ones), expected.numpy())


def test_a_graph_with_branches() -> None:
    """Add with shifts, Concat, BoxSum times a map: by hand."""
    one, box = WindowGeometry((1, 1)), WindowGeometry((2, 1))
    shape = (2, 2, 1)
    kind = code(4, True)
    sums = twos_complement(12)
    twice = Product((Term(2, np.array([[1, -1], [-1, -1]], np.int8)[:, :, None, None]),), one, 1, 0)
    graph = IntGraph(
        Input(shape, 4, True),
        Tensor("input", shape, kind),
        (
            IntNode(twice, "input", Tensor("p", shape, sums)),
            IntNode(Add((0, 3)), "p", Tensor("add", shape, sums), ("input",)),
            IntNode(Concat(), "add", Tensor("cat", (4, 2, 1), sums), ("p",)),
            IntNode(BoxSum(box), "input", Tensor("k", (1, 1, 1), sums)),
            IntNode(SumPool(box), "cat", Tensor("pool", (4, 1, 1), sums)),
            IntNode(Multiply(), "pool", Tensor("out", (4, 1, 1), sums), ("k",)),
        ),
        "out",
        (),
        (4,),
    )
    x = np.array([[[[3], [-1]], [[2], [4]]]])  # channel 0: 3, -1; channel 1: 2, 4
    found = {name: value.reshape(-1).tolist() for name, value in golden.run(graph, x).items()}
    assert found["p"] == [2, -10, -10, -6]
    assert found["add"] == [2 + 24, -10 - 8, -10 + 16, -6 + 32]
    assert found["cat"] == [26, -18, 6, 26, 2, -10, -10, -6]
    assert found["k"] == [3 + 1 + 2 + 4]
    assert found["pool"] == [8, 32, -8, -16]
    assert found["out"] == [80, 320, -80, -160]


def test_traced_values_are_taken_in_the_tensors_steps() -> None:
    shape = (1, 1, 1)
    grid = IntType(8, True, Encoding.TWOS, 3)
    given = Tensor("input", shape, IntType(4, True, Encoding.CODE, -1))
    nodes = (
        IntNode(Add((0, 0)), "input", Tensor("grid", shape, grid), ("input",)),
        IntNode(Add((0, 0)), "grid", Tensor("plain", shape, twos_complement(8)), ("grid",)),
    )
    graph = IntGraph(Input(shape, 4, True, 2.0), given, nodes, "plain", (), shape)
    traced = {"grid": np.array([0.625]), "plain": np.array([3.0]), ":scores": np.array([7.0])}
    found = in_steps(graph, traced)
    assert {name: float(v[0]) for name, v in found.items()} == {"grid": 5.0, "plain": 3.0, ":scores": 7.0}
