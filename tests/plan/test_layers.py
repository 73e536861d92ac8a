"""What the chip runs, and what it refuses by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.plan.graph_networks import GraphMaker, number
from tests.plan.networks import Conv, Linear, Pool, digits, network
from xnorhw.board import load_board
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    IntGraph,
    IntNode,
    Lookup,
    MaxPool,
    Multiply,
    Requant,
    Reshape,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, type_for_range
from xnorhw.plan import make_plan
from xnorhw.plan.geometry import layer_shape, legal_pe, legal_simd
from xnorhw.plan.layers import ChipJoin, ChipLayer
from xnorhw.plan.stages import chip_input, chip_layers, chip_output, chip_stages

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


def test_groups_divide_the_channels() -> None:
    maker = GraphMaker((6, 4, 4), BIPOLAR)
    maker.conv(9, groups=3)
    layer = chip_layers(maker.graph())[0]
    assert (layer.groups, layer.slice_channels, layer.macs) == (3, 2, 16 * 9 * 2 * 9)
    assert legal_pe(layer) == [1, 3] and legal_simd(layer) == [1, 2, 6, 18]
    shape = layer_shape(layer, 3, 1)
    assert (shape.slices, shape.groups, shape.words_per_pixel, shape.folds) == (3, 3, 6, 18)


def test_terms_are_weighed_behind_the_matrix_unit() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    term = graph.nodes[0].op.terms[0]  # type: ignore[union-attr]
    for terms in ((term, term), (replace(term, coefficient=2),)):
        layer = chip_layers(changed(graph, 0, terms=terms))[0]
        assert layer.weighted and not layer.in_matrix and layer.terms == len(terms)
        assert layer.macs == len(terms) * chip_layers(graph)[0].macs
    assert not chip_layers(graph)[0].weighted and chip_layers(graph)[0].in_matrix


def test_planes_are_of_codes_alone() -> None:
    graph = network((4, 4, 4), [Linear(3)], code(2, False))
    term = graph.nodes[0].op.terms[0]  # type: ignore[union-attr]
    plane = replace(term, plane=1)
    layer = chip_layers(changed(graph, 0, terms=(plane,)))[0]
    assert layer.planes == (1,) and layer.matrix_bipolar and not layer.act.is_bipolar
    with pytest.raises(ModelError, match="others take them whole"):
        chip_layers(changed(graph, 0, terms=(plane, term)))
    with pytest.raises(ModelError, match="pads the planes"):
        chip_layers(changed(graph, 0, terms=(plane,), pad_value=1))
    for kind in (None, code(4, True)):
        with pytest.raises(ModelError, match="which has none") as caught:
            chip_layers(changed(network((4, 4, 4), [Linear(3)], kind), 0, terms=(plane,)))
        assert caught.value.module == "layer0" and "--board cpu" not in caught.value.remedy


def test_of_a_thermometer_code_the_number_of_ones_travels() -> None:
    kind = IntType(5, False, Encoding.THERMOMETER)
    layer = chip_layers(network((4, 4, 4), [Linear(3)], kind))[0]
    assert (layer.act_bits, layer.act.max) == (3, 5)
    with pytest.raises(ModelError, match="a matrix unit takes"):
        wide = network((4, 4, 4), [Linear(3)])
        wide = replace(wide, input_tensor=Tensor("input", (4, 4, 4), replace(code(16, False))))
        chip_layers(wide)


@pytest.mark.parametrize("kind", [code(9, False), IntType(4, True, BIPOLAR.encoding)])
def test_wide_inputs_are_refused(kind: IntType) -> None:
    with pytest.raises(ModelError, match="codes of 1 to 8 bits") as caught:
        chip_layers(network((4, 4, 4), [Linear(3)], kind))
    assert caught.value.module == "layer0"


def of_codes(levels: int, kind: IntType) -> IntGraph:
    """A convolution, ``levels`` levels that make ``kind``, and a linear layer."""
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    table, strict = np.zeros((1, 4, levels), np.int64), np.zeros(levels, np.bool_)
    graph = changed(graph, 1, table=table, strict=strict)
    nodes = list(graph.nodes)
    nodes[1] = replace(nodes[1], output=replace(nodes[1].output, type=kind))
    return replace(graph, nodes=tuple(nodes))


def test_levels_that_the_chip_has_no_room_for_are_refused() -> None:
    assert chip_layers(of_codes(15, code(4, False)))[0].in_matrix is False
    for levels, kind, reason in (
        (16, code(5, False), "16 levels"),
        (4, code(2, False), "count past"),
        (3, code(2, True), "it makes code:s2"),
        (3, code(9, False), "it makes code:u9"),
        (3, type_for_range(0, 7), "it makes twos"),
    ):
        with pytest.raises(ModelError, match=reason) as caught:
            chip_layers(of_codes(levels, kind))
        assert caught.value.module == "sign0"


def test_multiplications_make_unsigned_codes() -> None:
    graph = of_codes(3, code(8, False))
    factors = np.ones(4, np.int64)

    def made(low: int, high: int, kind: IntType) -> IntGraph:
        node = graph.nodes[1]
        op = Requant(factors, factors, 4, low, high)
        node = replace(node, op=op, output=replace(node.output, type=kind))
        return replace(graph, nodes=(graph.nodes[0], node, *graph.nodes[2:]))

    layer = chip_layers(made(0, 255, code(8, False)))[0]
    assert isinstance(layer.quantiser, Requant) and layer.threshold is None
    for low, high, kind in ((-8, 7, code(8, False)), (0, 256, code(8, False)), (0, 1, BIPOLAR)):
        with pytest.raises(ModelError, match="past") as caught:
            chip_layers(made(low, high, kind))
        assert caught.value.module == "sign0"


def test_strict_levels_become_others() -> None:
    """On integers s > t is s >= t + 1, and s < t is s <= t - 1."""
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    plain, strict = (chip_layers(g)[0].threshold for g in (graph, changed(graph, 1, strict=np.ones(1, bool))))
    assert plain is not None and strict is not None
    assert (strict.table == plain.table + plain.direction[None, :, None]).all()
    assert not strict.strict.any()


def test_a_table_has_one_position_or_all() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    assert chip_layers(changed(graph, 1, table=np.zeros((4, 4, 1), np.int64)))[0].by_position
    with pytest.raises(ModelError, match="9 positions, the map 4"):
        chip_layers(changed(graph, 1, table=np.zeros((9, 4, 1), np.int64)))


def test_a_sum_pool_is_followed_by_codes() -> None:
    graph = network((4, 6, 6), [Conv(4), Pool(), Linear(3)])
    pool = graph.nodes[2]
    sums = replace(pool.output, type=type_for_range(-4, 4))
    average = replace(pool, op=SumPool(WindowGeometry((2, 2), (2, 2))), output=sums)
    # a product takes the sums as they are, where they have 8 bits or fewer
    layers = chip_layers(replace(graph, nodes=(*graph.nodes[:2], average, graph.nodes[3])))
    assert layers[0].pools[0].quantiser is None and layers[1].act == sums.type
    wide = replace(average, output=replace(sums, type=type_for_range(-999, 999)))
    with pytest.raises(ModelError, match="a matrix unit takes") as caught:
        chip_layers(replace(graph, nodes=(*graph.nodes[:2], wide, graph.nodes[3])))
    assert caught.value.module == "layer2" and "--board cpu" in caught.value.remedy
    threshold = replace(graph.nodes[1], input="pool1", output=replace(pool.output, name="again"))
    nodes = (*graph.nodes[:2], average, threshold, replace(graph.nodes[3], input="again"))
    (found,) = chip_layers(replace(graph, nodes=nodes))[0].pools
    assert (found.name, found.output.name, found.sums_range) == ("pool1", "again", (-4, 4))
    padded = replace(average, op=SumPool(WindowGeometry((2, 2), (2, 2), Pads(left=1))))
    (numbers,) = chip_layers(replace(graph, nodes=(*nodes[:2], padded, *nodes[3:])))[0].pools
    # padding counts 0, for which a bit has no place
    assert numbers.numbers and numbers.bits == 2 and not found.numbers and found.bits == 1


def test_what_no_unit_joins_names_the_cpu() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    shape, long = (4, 4, 4), type_for_range(-(1 << 40), 1 << 40)
    for op, kind, reason in (
        (Concat(), code(2, False), "one type"),
        (Multiply(), type_for_range(-9, 9), "signed numbers"),
        (BoxSum(WindowGeometry((1, 1))), type_for_range(0, 9), "signed numbers"),
        (Add((0, 0)), long, "41 bits|42 bits"),
    ):
        sources = ("sign0",) if isinstance(op, BoxSum) else ("sign0", "sign0")
        node = IntNode(op, sources[0], Tensor("joined", shape, kind), sources[1:])
        table = np.zeros((1, 4, 1), np.int64)
        signs = Threshold(table, np.ones(4, np.int8), np.zeros(1, np.bool_), np.zeros(4, np.bool_))
        behind = IntNode(signs, "joined", Tensor("signs", shape, BIPOLAR))
        nodes = (*graph.nodes[:2], node, behind, replace(graph.nodes[2], input="signs"))
        with pytest.raises(ModelError, match=reason) as caught:
            chip_layers(replace(graph, nodes=nodes))
        assert caught.value.module == "joined" and "--board cpu" in caught.value.remedy


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (Lookup(np.zeros((1, 9), np.int32)), "a table for each channel"),
        (Reshape(), "not every reader of what it flattens"),
    ],
)
def test_what_stands_on_sums_names_the_cpu(op: Lookup | Reshape, reason: str) -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    node = IntNode(op, "layer0", Tensor("between", graph.nodes[0].output.shape, type_for_range(-99, 99)))
    nodes = (graph.nodes[0], node, replace(graph.nodes[1], input="between"), graph.nodes[2])
    with pytest.raises(ModelError, match=reason) as caught:
        chip_layers(replace(graph, nodes=nodes))
    assert caught.value.module == "between" and "--board cpu" in caught.value.remedy


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
    end = replace(end, output=replace(end.output, name="end"))
    bits = IntNode(sign.op, "last", Tensor("bits", (2, 1, 1), BIPOLAR))
    nodes = (*graph.nodes, bits, replace(end, input="bits"))
    with pytest.raises(ModelError, match="between two layers of the chip") as caught:
        chip_layers(replace(graph, nodes=nodes, output=end.output.name))
    assert caught.value.module == "last"


def test_a_branch_is_cut_where_one_tensor_leads_on() -> None:
    maker = GraphMaker((4, 4, 4), number(6))
    start = maker.first
    signs = maker.sign()
    maker.conv(4)
    total = maker.sum(maker.grid(6), start)
    graph = maker.graph()
    assert chip_input(graph) == start and chip_output(graph) == total
    branch, layer, joined = chip_stages(graph)
    assert isinstance(branch, ChipJoin) and branch.op is None and branch.output == signs
    assert isinstance(layer, ChipLayer) and not layer.last and layer.quantiser is not None
    assert isinstance(joined, ChipJoin) and joined.last and joined.sources[1] == start


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


def test_a_threshold_of_codes_is_a_stage_of_its_own() -> None:
    graph = network((4, 4, 4), [Conv(4), Linear(3)])
    extra = Tensor("again", graph.nodes[1].output.shape, BIPOLAR)
    threshold = graph.nodes[1].op
    assert isinstance(threshold, Threshold)
    nodes = (*graph.nodes[:2], IntNode(threshold, "sign0", extra), replace(graph.nodes[2], input="again"))
    _, again, _ = chip_stages(replace(graph, nodes=nodes))
    assert (
        isinstance(again, ChipJoin) and again.makes_values and (again.name, again.level_bits) == ("again", 3)
    )
