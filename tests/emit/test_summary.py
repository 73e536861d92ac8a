"""The summary of a network with full-precision ends."""

from __future__ import annotations

import numpy as np

from xnorhw.emit.summary import summarize, summary_json, summary_text
from xnorhw.ir.float_graph import (
    BinaryConv2d,
    BipolarQuant,
    Flatten,
    FloatGraph,
    FloatNode,
    FullConv2d,
    FullLinear,
    Input,
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
