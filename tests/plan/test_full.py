"""Layers of integer weights on the chip: packed words against golden, widths, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.plan.code_networks import Conv, Dense, Levels, Maker, Values, network
from tests.plan.full_cases import CASES, draw_full
from xnorhw import golden, pack
from xnorhw.board import load_board
from xnorhw.golden.run import windows
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import FullProduct, IntGraph, IntNode
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.geometry import legal_pe, legal_simd
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.model import MatrixUnit, Plan, StartRom, WeightRom
from xnorhw.plan.stages import chip_layers
from xnorhw.plan.starts import flipped_weights

BOARD = load_board("pynq-z2")
SIGN = Levels(1, "sign")


def folded(graph: IntGraph, seed: int) -> Folding:
    """A random folding, most of which divides nothing."""
    rng = np.random.default_rng(seed)
    return Folding(
        tuple(
            LayerFolding(x.name, int(rng.choice(legal_pe(x))), int(rng.choice(legal_simd(x))))
            for x in chip_layers(graph)
        )
    )


def rom(plan: Plan, matrix: str, port: str) -> WeightRom | StartRom:
    unit = plan.unit(next(e.source for e in plan.edges if e.target == matrix and e.port == port))
    assert isinstance(unit, WeightRom | StartRom)
    return unit


def accumulated(graph: IntGraph, plan: Plan, layer: ChipLayer, unit: MatrixUnit, x: Values) -> Values:
    """The last accumulator values [N, O, H, W] that the packed words make of ``x``."""
    product = layer.product
    assert isinstance(product, FullProduct)
    weights, starts = rom(plan, unit.name, "weights"), rom(plan, unit.name, "starts")
    assert isinstance(weights, WeightRom) and isinstance(starts, StartRom)
    words = pack.weight_words(plan, graph, weights)
    assert max(words) < 1 << weights.width and len(words) == weights.depth
    kernels = pack.unpack_weight_words(words, unit, product).astype(np.int64)
    assert np.array_equal(kernels, flipped_weights(layer))
    # a padded tap of signs reads bit 0, which is -1
    pad = np.full(x.shape[1], -1 if unit.act_bipolar else 0)
    taken = windows(x, layer.geometry, pad)
    inputs, outputs = x.shape[1] // layer.groups, layer.outputs // layer.groups
    sums = np.concatenate(
        [
            np.einsum(
                "ncyxij,ocij->noyx",
                taken[:, g * inputs : (g + 1) * inputs],
                kernels[g * outputs : (g + 1) * outputs],
            )
            for g in range(layer.groups)
        ],
        axis=1,
    )
    rows, columns = sums.shape[2:]
    # a word has the starts of several columns where several pixels are made at once
    lanes = pack.start_lanes(plan, graph, starts).reshape(starts.classes, unit.pixels, -1)[
        ..., : layer.outputs
    ]
    place = np.zeros((rows, columns // unit.pixels), np.int64)
    if starts.classes > 1:
        place = np.array(starts.row_class)[:, None] * starts.column_classes + np.array(starts.column_class)
    total: Values = sums + lanes[place].reshape(rows, columns, -1).transpose(2, 0, 1)[None]
    half = 1 << unit.acc_bits - 1
    assert -half <= total.min() and total.max() < half
    return total


def check(graph: IntGraph, plan: Plan, x: Values) -> int:
    """Compare every layer of integers with golden; how many there were."""
    tensors = golden.run(graph, x)
    found = 0
    for layer in chip_layers(graph):
        unit = plan.unit(next(p.matrix for p in plan.layers if p.name == layer.name))
        assert isinstance(unit, MatrixUnit) and unit.full == layer.full
        if not layer.full:
            continue
        found += 1
        total = accumulated(graph, plan, layer, unit, tensors[layer.source.name])
        if unit.thresholded:
            assert layer.bits is not None
            assert np.array_equal(total >= 0, tensors[layer.bits.name] > 0)
        else:
            assert np.array_equal(total, tensors[layer.name])
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_packed_words_make_goldens_sums_and_bits(name: str) -> None:
    graph, x = CASES[name]()
    assert check(graph, make_plan(graph, BOARD), x) == check(
        graph, make_plan(graph, BOARD, folding=folded(graph, 1)), x
    )


def test_random_networks_of_integers() -> None:
    found = 0
    for seed in range(60):
        drawn = draw_full(seed)
        if drawn is None:
            continue
        graph, x = drawn
        plan = make_plan(graph, load_board("zcu104"), folding=folded(graph, seed))
        found += check(graph, plan, x)
    assert found >= 40


def test_the_words_of_a_weight_in_twos_complement() -> None:
    graph, _ = CASES["first and last"]()
    plan = make_plan(graph, BOARD, folding=folded(graph, 3))
    unit = plan.unit("l0_mvu")
    assert isinstance(unit, MatrixUnit)
    memory = rom(plan, "l0_mvu", "weights")
    assert isinstance(memory, WeightRom) and memory.width == unit.pe * unit.simd * unit.weight_bits
    word = pack.weight_words(plan, graph, memory)[0]
    layer = chip_layers(graph)[0]
    # channel 0 of the last PE's first input: PE p from bit p * SIMD * bits on
    p, bits = unit.pe - 1, unit.weight_bits
    value = word >> (p * unit.simd * bits) & (1 << bits) - 1
    assert value == int(flipped_weights(layer)[p, 0, 0, 0]) & (1 << bits) - 1


def full_graph(weight: int, kind: object = None) -> IntGraph:
    """A layer of integers in front of a binary one; one of its weights is ``weight``."""
    graph, _ = network(
        (2, 4, 4),
        [Conv(3, codes=SIGN, weight_bits=4), Dense(2)],
        kind or code(8, True),
        seed=0,  # type: ignore[arg-type]
    )
    node = graph.nodes[0]
    assert isinstance(node.op, FullProduct)
    weights = node.op.weight.copy()
    weights[0, 0, 0, 0] = weight
    return replace(graph, nodes=(replace(node, op=replace(node.op, weight=weights)), *graph.nodes[1:]))


def with_direction(graph: IntGraph, way: int) -> IntGraph:
    node = graph.nodes[1]
    op = replace(node.op, direction=np.full(3, way, np.int8))  # type: ignore[arg-type]
    return replace(graph, nodes=(graph.nodes[0], IntNode(op, node.input, node.output), *graph.nodes[2:]))


@pytest.mark.parametrize(("weight", "way", "in_matrix", "bits"), [
    (-128, 1, True, 8), (-128, -1, False, 8), (-127, -1, True, 8), (127, -1, True, 8), (7, -1, True, 5),
    (7, 1, True, 4),
])  # fmt: skip
def test_negated_weights_ask_for_a_bit_more(weight: int, way: int, in_matrix: bool, bits: int) -> None:
    graph = with_direction(full_graph(weight), way)
    layer = chip_layers(graph)[0]
    assert layer.in_matrix is in_matrix
    unit = make_plan(graph, BOARD).unit("l0_mvu")
    assert isinstance(unit, MatrixUnit) and (unit.weight_bits, unit.thresholded) == (bits, in_matrix)
    check(graph, make_plan(graph, BOARD), np.random.default_rng(0).integers(-128, 128, (3, 2, 4, 4)))


@pytest.mark.parametrize("weight", [128, -129, 4000])
def test_more_than_8_bits_are_refused(weight: int) -> None:
    with pytest.raises(ModelError, match="9 bits|13 bits") as error:
        make_plan(full_graph(weight), BOARD)
    assert error.value.module == "layer0"
    assert "--ends auto" in error.value.remedy and "--full-bits 8" in error.value.remedy


def test_activations_of_more_than_8_bits_are_refused() -> None:
    maker = Maker((2, 4, 4), code(9, False), 0, 2)
    maker.product("layer0", Conv(3, weight_bits=4))
    maker.codes("codes0", SIGN)
    maker.product("layer1", Dense(2))
    with pytest.raises(ModelError, match="a matrix unit takes"):
        make_plan(maker.graph(), BOARD)


def test_weights_of_another_shape_are_refused() -> None:
    graph = full_graph(1)
    node = graph.nodes[0]
    assert isinstance(node.op, FullProduct)
    op = replace(node.op, weight=node.op.weight[:, :1])
    with pytest.raises(ModelError, match="not integers of shape"):
        chip_layers(replace(graph, nodes=(replace(node, op=op), *graph.nodes[1:])))


def test_padded_signs_have_starts_by_class_and_codes_have_none() -> None:
    graph, _ = CASES["on signs"]()
    first = rom(make_plan(graph, BOARD, folding=folded(graph, 1)), "l0_mvu", "starts")
    assert isinstance(first, StartRom) and first.classes == 9
    graph, _ = CASES["first and last"]()
    first = rom(make_plan(graph, BOARD), "l0_mvu", "starts")
    assert isinstance(first, StartRom) and first.classes == 1


def test_dsps_are_a_budget() -> None:
    graph, _ = network((16, 8, 8), [Conv(32, codes=SIGN, weight_bits=8), Dense(4)], code(8, True), seed=0)
    plan = make_plan(graph, BOARD)
    dsps = sum(u.dsps for u in plan.units if isinstance(u, MatrixUnit))
    assert 0 < dsps <= BOARD.fill * BOARD.budget.dsp and plan.figures.resources.dsp >= dsps
    with pytest.raises(FitError, match="DSPs"):
        make_plan(
            graph, BOARD, folding=Folding((LayerFolding("layer0", 32, 16), LayerFolding("layer1", 1, 1)))
        )
