"""bound_cycles by hand, and never above what is planned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, Pool, dense, digits, network, street_view
from xnorhw.board import load_board
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import FullProduct, IntNode, Tensor
from xnorhw.ir.types import BIPOLAR, code, type_for_range
from xnorhw.plan import Folding, LayerFolding, bound_cycles, layer_bounds, make_plan

BOARD = load_board("pynq-z2")


def folding(*numbers: tuple[str, int, int]) -> Folding:
    return Folding(tuple(LayerFolding(*n) for n in numbers))


def test_each_layer_by_hand() -> None:
    graph = network((3, 8, 8), [Conv(6), Pool(), Conv(5, (1, 1)), Linear(7)], code(8, True))
    bounds = layer_bounds(graph, folding(("layer0", 4, 2), ("layer2", 5, 4), ("layer3", 3, 45)))
    # 36 output pixels, 2 groups of 6 channels by 4, 9 taps x 2 words of 3 channels by 2
    # 9 output pixels, 1 group, 1 tap x 2 words of 6 channels by 4
    # a linear layer on 9 taps of 5 channels: 3 groups of 7 by 3, all 45 lanes at once
    assert bounds == [("layer0", 36 * 2 * 18), ("layer2", 9 * 2), ("layer3", 3)]


def test_terms_are_done_in_turn() -> None:
    """Twice or three times the clocks of one binary weight tensor."""
    graph = network((3, 8, 8), [Conv(6), Linear(7)], code(8, True))
    numbers = folding(("layer0", 4, 2), ("layer1", 3, 54))
    once = dict(layer_bounds(graph, numbers))
    nodes = list(graph.nodes)
    for at, count in ((0, 2), (2, 3)):
        op = nodes[at].op
        nodes[at] = replace(nodes[at], op=replace(op, terms=op.terms * count))  # type: ignore[union-attr, arg-type]
    bounds = dict(layer_bounds(replace(graph, nodes=tuple(nodes)), numbers))
    assert bounds == {"layer0": 2 * once["layer0"], "layer1": 3 * once["layer1"]}


def test_input_pixels_bound_a_layer_with_stride() -> None:
    graph = network((1, 9, 9), [Conv(2, (1, 1), stride=(3, 3)), Linear(2)])
    bounds = dict(layer_bounds(graph, folding(("layer0", 2, 1), ("layer1", 2, 18))))
    assert bounds == {"layer0": 81, "layer1": 1}


def test_a_strided_kernel_as_large_as_its_map_is_no_linear_layer() -> None:
    graph = network((2, 3, 3), [Conv(2, (3, 3), Pads(1, 1, 1, 1))])
    assert layer_bounds(graph, folding(("layer0", 2, 2))) == [("layer0", 9 * 9)]


def test_layers_on_the_host_bound_nothing() -> None:
    chip = network((1, 8, 8), [Linear(12), Linear(300)])
    given = Tensor("pixels", (1, 40, 40), code(8, False))
    wide = FullProduct(np.ones((64, 1, 40, 40), np.int32), 0, WindowGeometry((40, 40)), 1, 0)
    narrow = FullProduct(np.ones((2, 300, 1, 1), np.int32), 0, WindowGeometry((1, 1)), 1, 0)
    nodes = (
        IntNode(wide, "pixels", Tensor("input", (1, 8, 8), BIPOLAR)),
        *chip.nodes,
        IntNode(narrow, "layer1", Tensor("last", (2, 1, 1), type_for_range(-300, 300))),
    )
    graph = replace(chip, input_tensor=given, nodes=nodes, output="last")
    numbers = folding(("layer0", 12, 64), ("layer1", 300, 12))
    assert layer_bounds(graph, numbers) == [("layer0", 1), ("layer1", 1)]
    # 64 signs are one beat, 300 sums are 150: not 200 beats of pixels, nor one of two scores
    assert bound_cycles(graph, numbers, BOARD) == bound_cycles(chip, numbers, BOARD) == 150
    first = replace(graph, nodes=(*nodes[:2], replace(nodes[-1], input="layer0")))
    assert bound_cycles(first, numbers, BOARD) == 6


def test_input_and_output_beats() -> None:
    # 784 bits are 13 beats of 64, ten results are 5
    graph = network((1, 28, 28), [Linear(10)])
    assert bound_cycles(graph, folding(("layer0", 10, 784)), BOARD) == 13
    # a byte a code
    graph = network((1, 28, 28), [Linear(10)], code(4, True))
    assert bound_cycles(graph, folding(("layer0", 10, 784)), BOARD) == 98
    graph = network((1, 2, 2), [Linear(100)])
    assert bound_cycles(graph, folding(("layer0", 100, 4)), BOARD) == 50


def test_memory_bandwidth() -> None:
    graph = network((1, 28, 28), [Linear(10)])
    slow = replace(BOARD, ddr_gbytes_per_s=0.1)
    # 18 beats of 8 bytes at one byte a clock
    assert bound_cycles(graph, folding(("layer0", 10, 784)), slow) == 144
    assert bound_cycles(graph, folding(("layer0", 10, 784)), slow, clock_mhz=200.0) == 288
    assert make_plan(graph, slow).figures.cycles_per_frame >= 144


def test_the_street_view_network_as_others_fold_it() -> None:
    """The folding of the published CNV accelerator: its slowest layer takes 32,768 clocks."""
    names = ["layer0", "layer1", "layer3", "layer4", "layer6", "layer7", "layer8", "layer9", "layer10"]
    pe_simd = [(16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (5, 1)]
    numbers = folding(*((n, p, s) for n, (p, s) in zip(names, pe_simd, strict=True)))
    bounds = [clocks for _, clocks in layer_bounds(street_view(), numbers)]
    assert bounds == [32400, 28224, 20736, 28800, 20736, 18432, 32768, 32768, 1024]
    assert bound_cycles(street_view(), numbers, BOARD) == 32768


@pytest.mark.parametrize("graph", [digits(), dense(), street_view()], ids=["digits", "dense", "street view"])
def test_a_plan_keeps_to_its_bound(graph: object) -> None:
    figures = make_plan(graph, BOARD).figures  # type: ignore[arg-type]
    assert figures.bound_cycles <= figures.cycles_per_frame <= 1.01 * figures.bound_cycles
