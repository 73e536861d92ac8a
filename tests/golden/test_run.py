"""Each golden operation against torch in float64, which is exact on these integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnorhw import golden
from xnorhw.golden.run import lookup, max_pool, product, threshold
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Product,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, code, type_for_range

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def window_geometries(draw: st.DrawFn, pool: bool = False) -> tuple[WindowGeometry, int, int]:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    if pool:  # torch pools have equal pads of at most half the kernel
        py, px = draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))
        pads = Pads(px, px, py, py)
    else:
        pads = Pads(*(draw(st.integers(0, 2)) for _ in range(4)))
    span_y, span_x = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1
    height = draw(st.integers(span_y, span_y + 6))
    width = draw(st.integers(span_x, span_x + 6))
    ceil_mode = draw(st.booleans()) if pool else False
    return WindowGeometry(kernel, stride, pads, dilation, ceil_mode), height, width


@SETTINGS
@given(window_geometries(), st.sampled_from([1, 3]), st.sampled_from([-1, 0, 1]), st.integers(0, 2**32 - 1))
def test_product_is_a_convolution(
    drawn: tuple[WindowGeometry, int, int], groups: int, pad_value: int, seed: int
) -> None:
    geometry, height, width = drawn
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (2, 2 * groups, height, width))
    terms = tuple(
        Term(k, (rng.integers(0, 2, (3 * groups, 2, *geometry.kernel)) * 2 - 1).astype(np.int8))
        for k in (1, -3)
    )
    p = geometry.pads
    padded = torch.nn.functional.pad(
        torch.tensor(x, dtype=torch.float64), (p.left, p.right, p.top, p.bottom), value=pad_value
    )
    expected = sum(
        t.coefficient
        * torch.nn.functional.conv2d(
            padded,
            torch.tensor(t.weight, dtype=torch.float64),
            stride=geometry.stride,
            dilation=geometry.dilation,
            groups=groups,
        )
        for t in terms
    )
    found = product(Product(terms, geometry, groups, pad_value), x)
    assert np.array_equal(found, torch.as_tensor(expected).numpy())
    assert found.shape[2:] == geometry.output_size(height, width)


@SETTINGS
@given(window_geometries(pool=True), st.integers(0, 2**32 - 1))
def test_max_pool_is_torchs(drawn: tuple[WindowGeometry, int, int], seed: int) -> None:
    geometry, height, width = drawn
    rng = np.random.default_rng(seed)
    x = rng.integers(-5, 6, (2, 4, height, width))
    minimum = np.array([False, True, False, True])
    sign = np.where(minimum, -1, 1)[None, :, None, None]
    expected = torch.nn.functional.max_pool2d(
        torch.tensor(x * sign, dtype=torch.float64),
        geometry.kernel,
        geometry.stride,
        (geometry.pads.top, geometry.pads.left),
        geometry.dilation,
        geometry.ceil_mode,
    ).numpy()
    found = max_pool(MaxPool(geometry, minimum), x)
    assert np.array_equal(found * sign, expected)


def test_threshold_directions_and_ties() -> None:
    table = np.array([[[0], [0], [5], [-2]]])
    op = Threshold(table, np.array([1, -1, 1, -1], np.int8), np.array([False]), np.zeros(4, np.bool_))
    x = np.array([[[-1, 0, 1]], [[-1, 0, 1]], [[4, 5, 6]], [[-3, -2, -1]]])[None]
    found = threshold(op, x, BIPOLAR)[0, :, 0]
    assert found.tolist() == [[-1, 1, 1], [1, 1, -1], [-1, 1, 1], [1, 1, -1]]


def test_threshold_counts_levels_strict_and_not() -> None:
    table = np.array([[[0, 1, 2]]])
    op = Threshold(table, np.array([1], np.int8), np.array([False, True, False]), np.zeros(1, np.bool_))
    x = np.array([-1, 0, 1, 2]).reshape(1, 1, 1, 4)
    assert threshold(op, x, code(2, False)).ravel().tolist() == [0, 1, 1, 3]


def test_threshold_per_position() -> None:
    table = np.arange(6).reshape(6, 1, 1)
    op = Threshold(table, np.array([1], np.int8), np.array([False]), np.zeros(1, np.bool_))
    x = np.full((1, 1, 2, 3), 2)
    assert threshold(op, x, BIPOLAR).ravel().tolist() == [1, 1, 1, -1, -1, -1]


def test_lookup_shared_and_per_channel() -> None:
    x = np.array([[[[-2, 1]], [[-1, 0]]]])
    shared = Lookup(np.array([[10, 11, 12, 13]], np.int32))
    own = Lookup(np.array([[10, 11, 12, 13], [20, 21, 22, 23]], np.int32))
    assert lookup(shared, x, code(2, True)).ravel().tolist() == [10, 13, 11, 12]
    assert lookup(own, x, code(2, True)).ravel().tolist() == [10, 13, 21, 22]


def one_layer_graph() -> IntGraph:
    weight = np.array([[[[1]], [[-1]]], [[[1]], [[1]]]], np.int8)
    node = IntNode(
        Product((Term(1, weight),), WindowGeometry((1, 1)), 1, 0),
        "input",
        Tensor("fc", (2, 1, 1), type_for_range(-2, 2)),
    )
    host = (
        HostAffine("fc", np.array([0.5], np.float32), np.array([1.0, -1.0], np.float32)),
        HostBatchNorm("bn", np.array([2.0, 2.0], np.float32), np.array([0.0, 1.0], np.float32)),
        HostClamp("relu", 0.0, float("inf")),
    )
    return IntGraph(
        Input((2,), encoding="bipolar"), Tensor("input", (2, 1, 1), BIPOLAR), (node,), "fc", host, (2,)
    )


def test_scores_follow_the_host_operations() -> None:
    graph = one_layer_graph()
    tensors = golden.run(graph, np.array([[1, -1], [-1, -1]]).reshape(2, 2, 1, 1))
    assert tensors["fc"].reshape(2, 2).tolist() == [[2, 0], [0, -2]]
    # frame 0: (2*.5+1)*2 = 4; (0-1)*2+1 = -1 -> 0.  frame 1: (0+1)*2 = 2; (-1-1)*2+1 = -3 -> 0
    assert golden.scores(graph, tensors["fc"]).tolist() == [[4.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 2, 1, 1)), "holds 0"),
        (np.full((1, 2, 1, 1), 3), "holds 3"),
        (np.ones((1, 3, 1, 1)), "shape"),
        (np.ones((2, 1, 1)), "shape"),
        (np.ones((0, 2, 1, 1)), "empty"),
        (np.full((1, 2, 1, 1), 0.5), "no integer"),
    ],
)
def test_wrong_inputs_are_refused(x: np.ndarray, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        golden.run(one_layer_graph(), x)


@SETTINGS
@given(window_geometries(), st.sampled_from([1, 2]), st.integers(0, 2**32 - 1))
def test_a_full_product_is_a_convolution_of_integers(
    drawn: tuple[WindowGeometry, int, int], groups: int, seed: int
) -> None:
    geometry, height, width = drawn
    rng = np.random.default_rng(seed)
    shape = (2 * groups, height, width)
    x = rng.integers(-128, 128, (2, *shape))
    weight = rng.integers(-(2**24), 2**24, (3 * groups, 2, *geometry.kernel)).astype(np.int32)
    out = (3 * groups, *geometry.output_size(height, width))
    node = IntNode(
        FullProduct(weight, 20, geometry, groups, 0),
        "input",
        Tensor("y", out, type_for_range(-(2**52), 2**52)),
    )
    graph = IntGraph(Input(shape, signed=True), Tensor("input", shape, code(8, True)), (node,), "y", (), out)
    pads = geometry.pads
    padded = torch.nn.functional.pad(torch.from_numpy(x), (pads.left, pads.right, pads.top, pads.bottom))
    wanted = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weight).to(torch.int64), None, geometry.stride, 0, geometry.dilation, groups
    )
    assert np.array_equal(golden.run(graph, x)["y"], wanted.numpy())


@SETTINGS
@given(st.integers(0, 12), st.integers(0, 20), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_linear_layer_on_real_values_rounds_once(in_frac: int, frac: int, biased: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(0, 20, (2, 3, 2, 2))).astype(np.float32)
    x[0, 0] = np.array([[0.5, 1.5], [-0.5, -2.5]], np.float32) * np.float32(2.0**-in_frac)
    weight = rng.integers(-(2**20), 2**20, (4, 12)).astype(np.int32)
    bias = rng.normal(0, 3, 4).astype(np.float32) if biased else None
    y = golden.host(HostFull("fc", weight, frac, in_frac, bias), x)
    assert y.dtype == np.float32 and y.shape == (2, 4, 1, 1)
    for n in range(2):
        # Python's round takes ties to even, and its integers have no limit
        q = [round(float(v) * 2**in_frac) for v in x[n].reshape(-1)]
        for o in range(4):
            total = sum(a * int(w) for a, w in zip(q, weight[o], strict=True))
            value = np.float32(np.float32(total) * np.float32(2.0 ** -(in_frac + frac)))
            assert y[n, o, 0, 0] == (value if bias is None else value + bias[o])
