"""The summary of a network with full-precision ends."""

from __future__ import annotations

import numpy as np

from xnorhw.emit.summary import summarize, summary_json, summary_text
from xnorhw.ir.float_graph import (
    Add,
    BasesConv2d,
    BasesQuant,
    BinaryConv2d,
    BipolarQuant,
    Flatten,
    FloatGraph,
    FloatNode,
    FloatOp,
    FullConv2d,
    FullLinear,
    Grid,
    Input,
    MaxPool2d,
    QuantRelu,
    Relu,
    Value,
)
from xnorhw.ir.geometry import WindowGeometry


def ends(real: bool) -> FloatGraph:
    """full 3x3 - sign - binary 1x1 - sign or ReLU - full."""
    window, one = WindowGeometry((3, 3)), WindowGeometry((1, 1))
    first = FullConv2d(np.zeros((4, 2, 3, 3), np.float32), np.zeros(4, np.float32), 8, 1.0, window, 1)
    middle = BinaryConv2d(np.ones((6, 4, 1, 1), np.int8), None, None, 1.0, one, 1, 0.0)
    last = FullLinear(np.zeros((3, 24), np.float32), None, 8, 10 if real else None, 1.0)
    nodes = (
        FloatNode(first, "input", Value("first", (4, 2, 2), "CHW")),
        FloatNode(BipolarQuant(), "first", Value("sign", (4, 2, 2), "CHW")),
        FloatNode(middle, "sign", Value("middle", (6, 2, 2), "CHW")),
        FloatNode(Relu() if real else BipolarQuant(), "middle", Value("act", (6, 2, 2), "CHW")),
        FloatNode(Flatten(), "act", Value("flat", (24,), "C")),
        FloatNode(last, "flat", Value("last", (3,), "C")),
    )
    return FloatGraph(Input((2, 4, 4)), nodes, "last")


def test_full_precision_is_counted_as_such() -> None:
    summary = summarize(ends(real=False))
    first, middle, last = (x for x in summary.layers if x.macs)
    assert (first.macs, first.input_bits, first.binary_bits) == (4 * 2 * 9 * 4, 8, 0)
    assert first.other_bits == 32 * (4 * 2 * 9 + 4)
    assert (last.macs, last.input_bits, last.other_bits) == (72, 1, 32 * 72)
    assert summary.binarised_macs == middle.macs == 96
    assert summary.macs == 288 + 96 + 72
    assert summary_json(summary)["binarised_macs"] == 96
    assert "21.1 % of them 1 bit x 1 bit" in summary_text(summary)


def test_real_inputs_have_no_bits() -> None:
    assert summarize(ends(real=True)).layers[-1].input_bits == 0


def family() -> FloatGraph:
    """Three bits a weight on codes, a residual sum of grids, bases of both."""
    one = WindowGeometry((1, 1))
    signs = np.ones((3, 4, 4, 1, 1), np.int8)
    bits = BasesConv2d(signs, np.array([1, 2, 4], np.int64), 0, None, None, 1.0, one, 1)
    bases = BasesConv2d(signs[:2], np.array([3, 1], np.int64), 2, None, None, 1.0, one, 1)
    binary = BinaryConv2d(signs[0], None, None, 1.0, one, 1, 0.0)
    shifts, betas = np.float32([0.5, 0.0]), np.array([2, 1], np.int64)

    def node(name: str, op: FloatOp, *inputs: str) -> FloatNode:
        return FloatNode(op, inputs[0], Value(name, (4, 2, 2), "CHW"), inputs[1:])

    nodes = (
        node("bits", bits, "input"),
        node("grid", Grid(6, 3), "bits"),
        node("relu", QuantRelu(4, 0.5), "bits"),
        node("add", Add(), "grid", "relu"),
        node("on_add", binary, "add"),
        node("codes", BasesQuant(shifts, betas, 2), "on_add"),
        node("pool", MaxPool2d(one), "codes"),
        node("bases", bases, "pool"),
        node("real", Add(), "bases", "grid"),
        node("on_real", binary, "real"),
    )
    return FloatGraph(Input((4, 2, 2), 5), nodes, "on_real")


def test_bits_and_macs_of_the_family() -> None:
    summary = summarize(family())
    found = {x.name: (x.input_bits, x.weight_bits, x.binary_bits, x.macs) for x in summary.layers if x.macs}
    assert found == {
        "bits": (5, 3, 48, 64),
        "on_add": (7, 1, 16, 64),
        "bases": (2, 2, 32, 64),
        "on_real": (0, 1, 16, 64),
    }
    assert summary.binarised_macs == 0
    other = {x.name: x.other_bits for x in summary.layers}
    assert (other["bits"], other["bases"], other["codes"]) == (96, 64, 128)
