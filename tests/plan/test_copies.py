"""How many copies of a window's ring are read at a time."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.plan.networks import Conv, Layer, Linear, network
from xnorhw.board import load_board
from xnorhw.emit import rtl
from xnorhw.ir.geometry import Pads
from xnorhw.ir.types import code
from xnorhw.plan import make_plan
from xnorhw.plan.folding import folding_of
from xnorhw.plan.geometry import layer_shape, legal_pe, legal_simd
from xnorhw.plan.stages import chip_layers
from xnorhw.plan.unit_model import Memory, Window, ring_copies
from xnorhw.plan.units import layer_window


@pytest.mark.parametrize(
    ("taps", "repeats", "copies"),
    [
        (9, 1, 9),
        (9, 2, 9),
        (9, 3, 3),
        (9, 8, 3),
        (9, 9, 1),
        (9, 100, 1),
        (25, 4, 25),
        (25, 5, 5),
        (4, 2, 2),
        (1, 7, 1),
    ],
)
def test_as_few_as_cost_no_clock(taps: int, repeats: int, copies: int) -> None:
    assert ring_copies(taps, repeats) == copies
    assert taps % copies == 0 and taps // copies <= repeats


def test_a_shape_and_its_window_agree() -> None:
    layers: list[Layer] = [Conv(16), Conv(16, pads=Pads(1, 1, 1, 1)), Linear(4)]
    fewer = 0
    for layer in chip_layers(network((3, 8, 8), layers, code(8, True))):
        for pe in legal_pe(layer):
            for simd in legal_simd(layer):
                shape = layer_shape(layer, pe, simd)
                if shape.windowed:
                    window = layer_window(layer, shape, 64, Memory.LUT)
                    assert window.copies == shape.copies
                    whole = window.words_per_pixel == 1 and window.taps_per_word == window.geometry.taps
                    fewer += window.copies < window.taps_per_word
                    assert window.copies == window.taps_per_word or whole
    assert fewer > 10


def test_the_unit_reads_as_many() -> None:
    """Three copies of nine in the emitted text, and nine where each pixel is given once."""
    layers: list[Layer] = [Conv(8), Linear(4)]
    graph = network((2, 6, 6), layers)
    board = load_board("pynq-z2")
    plan = make_plan(graph, board)
    for pe, read in ((2, "3"), (8, None)):
        asked = folding_of(plan)
        first = replace(asked.layers[0], pe=pe, simd=18, pixels=1)
        made = make_plan(graph, board, folding=replace(asked, layers=(first, *asked.layers[1:])))
        window = next(u for u in made.units if isinstance(u, Window))
        text = rtl.files(made, 1)["rtl/accel_core.sv"]
        (body,) = re.findall(rf"^  xh_window #\(\n(.*?)\n  \) u_{window.name} \(", text, re.M | re.S)
        assert dict(re.findall(r"\.(\w+)\s*\(([^\n]*?)\)", body)).get("TAPS_PER_READ") == read
        assert dict(re.findall(r"\.(\w+)\s*\(([^\n]*?)\)", body))["TAPS_PER_WORD"] == "9"
