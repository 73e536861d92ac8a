"""What a graph is refused for, and what a folding of groups may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plan.graph_networks import GraphMaker, number
from tests.plan.networks import Conv, Linear, network
from xnorhw.board import load_board
from xnorhw.emit.wiring import netlist
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import IntNode, Lookup, Reshape, Tensor
from xnorhw.ir.types import BIPOLAR, code, type_for_range
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.folding import layer_hint
from xnorhw.plan.stages import chip_layers


def test_what_is_flattened_between_layers_is_said_as_it_is() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    flat = (64, 1, 1)
    for name, kind, module, reason in (
        ("fl", BIPOLAR, "fl", "not every reader"),
        ("sign:0", type_for_range(-99, 99), "sign", "a table for each feature"),
    ):
        nodes = (graph.nodes[0], IntNode(Reshape(), "layer0", Tensor(name, flat, kind)), graph.nodes[2])
        with pytest.raises(ModelError, match=reason) as caught:
            chip_layers(replace(graph, nodes=nodes))
        assert caught.value.module == module and "--board cpu" in caught.value.remedy


def test_a_table_asks_for_a_snapped_network() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    for kind, fewer in ((number(6), False), (code(6, False), True)):
        made = Tensor("between", graph.nodes[0].output.shape, kind)
        node = IntNode(Lookup(np.zeros((1, 9), np.int32)), "layer0", made)
        with pytest.raises(ModelError, match="a table for each channel") as caught:
            chip_layers(replace(graph, nodes=(graph.nodes[0], node, graph.nodes[2])))
        assert "xnorhw.snap(net)" in caught.value.remedy and "--board cpu" in caught.value.remedy
        assert ("4 bits or fewer" in caught.value.remedy) == fewer


def test_numbers_that_enter_leave_a_bit_of_their_lane_free() -> None:
    """A lane has 16 bits, and a signed number takes one more than its type."""
    for bits, good in ((15, True), (16, False)):
        maker = GraphMaker((4, 4, 4), number(bits))
        start = maker.first
        maker.sign()
        maker.conv(4)
        maker.sum(maker.grid(), start)
        maker.sign()
        maker.dense(3)
        if good:
            plan = make_plan(maker.graph(), load_board("pynq-z2"))
            netlist(plan, "net")
            assert plan.input_frame.element_bits == 16
        else:
            with pytest.raises(ModelError, match="numbers of at most 15 enter the chip") as caught:
                make_plan(maker.graph(), load_board("pynq-z2"))
            assert "15 bits or fewer" in caught.value.remedy


def test_a_folding_of_groups_names_what_divides_a_group() -> None:
    maker = GraphMaker((12, 6, 6), BIPOLAR)
    maker.conv(18, groups=3)
    graph = maker.graph()
    (layer,) = chip_layers(graph)
    assert layer_hint(layer).startswith("pe 1, 2, 3 or 6, simd 1, 2, 4, 12 or 36, pixels 1")
    for pe, simd, reason, remedy in (
        (19, 1, "18 output channels in 3 groups", "Use 1, 2, 3 or 6"),
        (4, 1, "6 output channels of a group", "Use 1, 2, 3 or 6"),
        (6, 3, "4 channels in a group", "Use simd 1, 2, 4, 12 or 36"),
    ):
        folding = Folding((LayerFolding(layer.name, pe, simd),))
        with pytest.raises(FitError, match=reason) as caught:
            make_plan(graph, load_board("pynq-z2"), folding=folding)
        assert caught.value.module == layer.name and remedy in caught.value.remedy
