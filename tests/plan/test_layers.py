"""What the chip runs, and what it refuses by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, Pool, digits, network
from xnorhw.board import load_board
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Product,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, IntType, code, type_for_range
from xnorhw.plan import make_plan
from xnorhw.plan.layers import chip_input, chip_layers, chip_output

SAME = Pads(1, 1, 1, 1)


def changed(graph: IntGraph, index: int, **fields: Any) -> IntGraph:
    """The graph with fields of one node's operation replaced."""
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], op=replace(nodes[index].op, **fields))
    return replace(graph, nodes=tuple(nodes))


def test_a_chain_becomes_layers() -> None:
    layers = chip_layers(digits())
    assert [x.name for x in layers] == ["layer0", "layer1", "layer3"]
    assert [x.output.name for x in layers] == ["sign0", "pool2", "layer3"]
    assert [p.name for p in layers[1].pools] == ["pool2"]
    assert layers[2].threshold is None
    assert [x.whole_map for x in layers] == [False, False, True]
    assert layers[0].macs == 64 * 32 * 9


def test_lookups_at_the_front_run_on_the_host() -> None:
    graph = network((2, 4, 4), [Linear(3)], code(8, False))
    source = Tensor("quantised", (2, 4, 4), code(4, True))
    lookup = IntNode(Lookup(np.zeros((1, 256), np.int32)), "input", source)
    nodes = (lookup, *(replace(n, input="quantised") for n in graph.nodes))
    graph = replace(graph, nodes=nodes)
    assert chip_input(graph) == source
    assert chip_layers(graph)[0].act.bits == 4


def test_grouped_products_are_refused() -> None:
    graph = changed(network((4, 4, 4), [Conv(4), Linear(3)]), 0, groups=2)
    with pytest.raises(ModelError, match="groups") as caught:
        chip_layers(graph)
    assert caught.value.module == "layer0"


def test_several_terms_are_refused() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    op = graph.nodes[0].op
    assert isinstance(op, Product)
    for terms in ((op.terms[0], op.terms[0]), (replace(op.terms[0], coefficient=2),)):
        with pytest.raises(ModelError, match="terms") as caught:
            chip_layers(changed(graph, 0, terms=terms))
        assert caught.value.module == "layer0"


@pytest.mark.parametrize("kind", [code(9, False), IntType(4, True, BIPOLAR.encoding)])
def test_wide_inputs_are_refused(kind: IntType) -> None:
    with pytest.raises(ModelError, match="codes of 1 to 8 bits") as caught:
        chip_layers(network((4, 4, 4), [Linear(3)], kind))
    assert caught.value.module == "layer0"


def test_thresholds_of_several_levels_are_refused() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    table = np.zeros((1, 4, 3), np.int64)
    with pytest.raises(ModelError, match="3 levels") as caught:
        chip_layers(changed(graph, 1, table=table, strict=np.zeros(3, np.bool_)))
    assert caught.value.module == "sign0"


def test_thresholds_by_position_and_strict_ones_are_refused() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    with pytest.raises(ModelError, match="position"):
        chip_layers(changed(graph, 1, table=np.zeros((9, 4, 1), np.int64)))
    with pytest.raises(ModelError, match="compares with >"):
        chip_layers(changed(graph, 1, strict=np.ones(1, np.bool_)))


def test_a_pool_on_codes_at_the_front_runs_on_the_host() -> None:
    graph = network((2, 4, 4), [Linear(3)], code(8, False))
    pooled = Tensor("pool", (2, 2, 2), code(8, False))
    pool = network((2, 4, 4), [Conv(2, (1, 1)), Pool(), Linear(3)]).nodes[2].op
    assert isinstance(pool, MaxPool)
    linear = network((2, 2, 2), [Linear(3)], code(8, False)).nodes[0]
    graph = replace(graph, nodes=(IntNode(pool, "input", pooled), replace(linear, input="pool")))
    assert chip_input(graph) == pooled
    assert [layer.name for layer in chip_layers(graph)] == ["layer0"]


def full(name: str, source: Tensor, outputs: int) -> IntNode:
    """A full-precision layer on the whole map of ``source``."""
    channels, height, width = source.shape
    weight = np.full((outputs, channels, height, width), 3, np.int32)
    op = FullProduct(weight, 4, WindowGeometry(kernel=(height, width)), 1, 0)
    return IntNode(op, source.name, Tensor(name, (outputs, 1, 1), type_for_range(-999, 999)))


def with_ends() -> IntGraph:
    """full - sign | conv - sign - linear | sign - full: between the bars the chip."""
    given = Tensor("pixels", (2, 3, 3), code(8, False))
    chip = network((4, 1, 1), [Conv(4, (1, 1)), Linear(5), Linear(6)])
    first = full("first", given, 4)
    sign = chip.nodes[1].op
    assert isinstance(sign, Threshold)
    nodes = [
        first,
        IntNode(sign, "first", Tensor("input", (4, 1, 1), BIPOLAR)),
        *chip.nodes[:4],
        full("last", chip.nodes[3].output, 2),
    ]
    return replace(chip, input_tensor=given, nodes=tuple(nodes), output="last")


def test_the_host_runs_what_stands_around_the_binary_layers() -> None:
    graph = with_ends()
    layers = chip_layers(graph)
    assert [x.name for x in layers] == ["layer0", "layer1"]
    assert layers[0].threshold is not None and layers[1].threshold is None and layers[1].pools == ()
    assert (chip_input(graph).name, chip_output(graph).name) == ("input", "layer1")
    front, back = graph.front("input"), graph.back("layer1")
    assert [n.output.name for n in front.nodes] == ["first", "input"]
    assert [n.output.name for n in back.nodes] == ["sign1", "last"]
    assert back.input_tensor.name == "layer1" and back.output == "last"
    assert front.host == () and back.host == graph.host


def test_the_plan_says_where_the_chip_begins_and_ends() -> None:
    graph = with_ends()
    plan = make_plan(graph, load_board("pynq-z2"))
    assert (plan.input_tensor, plan.output_tensor) == ("input", "layer1")
    # four signs are one beat, five sums of 32 bits three
    assert (plan.input_frame.beats, plan.output_frame.beats) == (1, 3)
    alone = replace(graph, input_tensor=graph.tensor("input"), nodes=graph.nodes[2:5], output="layer1")
    assert make_plan(alone, load_board("pynq-z2")) == plan


def test_a_full_layer_between_binary_ones_is_refused() -> None:
    graph = with_ends()
    sign = graph.nodes[1]
    end = network((2, 1, 1), [Linear(3)]).nodes[0]
    bits = IntNode(sign.op, "last", Tensor("bits", (2, 1, 1), BIPOLAR))
    nodes = (*graph.nodes, bits, replace(end, input="bits"))
    with pytest.raises(ModelError, match="between two binary layers") as caught:
        chip_layers(replace(graph, nodes=nodes, output=end.output.name))
    assert caught.value.module == "last"


def test_branches_are_refused() -> None:
    graph = network((4, 4, 4), [Linear(4), Linear(4), Linear(3)])
    nodes = list(graph.nodes)
    nodes[4] = replace(nodes[4], input="sign0")
    with pytest.raises(ModelError, match="another module reads"):
        chip_layers(replace(graph, nodes=tuple(nodes)))


def test_a_network_that_ends_in_a_sign_is_refused() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    with pytest.raises(ModelError, match="ends in a sign"):
        chip_layers(replace(graph, nodes=graph.nodes[:2], output="sign0"))


def test_a_network_of_no_layer_is_refused() -> None:
    graph = network((4, 4, 4), [Linear(3)])
    with pytest.raises(ModelError, match="no binary layer"):
        chip_layers(replace(graph, nodes=(), output="input"))


@pytest.mark.parametrize("pads", [Pads(right=2), Pads(bottom=1), Pads(top=1), Pads(left=1)])
def test_windows_beside_the_map_are_refused(pads: Pads) -> None:
    with pytest.raises(ModelError, match="wholly on padding") as caught:
        chip_layers(network((2, 4, 4), [Conv(3, (1, 1), pads), Linear(2)]))
    assert caught.value.module == "layer0"
    chip_layers(network((2, 4, 4), [Conv(3, (3, 3), Pads(2, 2, 2, 2)), Linear(2)]))


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [(None, 1, True), (None, 2, False), (code(4, True), -8, True), (code(4, True), 8, False)],
)
def test_pad_values_are_values_of_the_input(kind: IntType | None, value: int, good: bool) -> None:
    graph = network((2, 4, 4), [Conv(3, pads=SAME, pad_value=value), Linear(2)], kind)
    if good:
        chip_layers(graph)
    else:
        with pytest.raises(ModelError, match="padding with"):
            chip_layers(graph)


def test_weights_must_be_signs() -> None:
    graph = network((2, 4, 4), [Linear(2)])
    with pytest.raises(ModelError, match="not \\+-1"):
        chip_layers(changed(graph, 0, terms=(Term(1, np.zeros((2, 2, 4, 4), np.int8)),)))


def test_a_threshold_without_a_product_is_refused() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    extra = Tensor("again", graph.nodes[1].output.shape, BIPOLAR)
    threshold = graph.nodes[1].op
    assert isinstance(threshold, Threshold)
    nodes = (*graph.nodes[:2], IntNode(threshold, "sign0", extra), replace(graph.nodes[2], input="again"))
    with pytest.raises(ModelError, match="Threshold cannot stand here"):
        chip_layers(replace(graph, nodes=nodes))
