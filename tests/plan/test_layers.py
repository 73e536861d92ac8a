"""What the chip runs, and what it refuses by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.plan.networks import Conv, Linear, Pool, digits, network
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph, IntNode, Lookup, MaxPool, Product, Tensor, Term, Threshold
from xnorhw.ir.types import BIPOLAR, IntType, code
from xnorhw.plan.layers import chip_input, chip_layers

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


def test_a_pool_on_codes_is_refused() -> None:
    graph = network((2, 4, 4), [Linear(3)], code(8, False))
    pooled = Tensor("pool", (2, 2, 2), code(8, False))
    pool = network((2, 4, 4), [Conv(2, (1, 1)), Pool(), Linear(3)]).nodes[2].op
    assert isinstance(pool, MaxPool)
    linear = network((2, 2, 2), [Linear(3)], code(8, False)).nodes[0]
    graph = replace(graph, nodes=(IntNode(pool, "input", pooled), replace(linear, input="pool")))
    with pytest.raises(ModelError, match="MaxPool cannot stand here") as caught:
        chip_layers(graph)
    assert caught.value.module == "pool"


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
