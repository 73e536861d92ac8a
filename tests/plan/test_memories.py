"""Where weights can live: what is offered, what is refused, and what a plan makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.plan.networks import Conv, Linear, digits, network
from xnorhw import pack
from xnorhw.board import load_board
from xnorhw.emit import store
from xnorhw.emit.store import plan_bytes
from xnorhw.ir import serial
from xnorhw.ir.errors import FitError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, folding_of, make_plan
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import layer_shape
from xnorhw.plan.memories import LEAF_DEPTH, LUT_ROM_DEPTH, weight_options
from xnorhw.plan.model import MatrixUnit, Memory, Plan, WeightRom
from xnorhw.plan.network import network_of

BOARD = load_board("pynq-z2")


def signs() -> IntGraph:
    """A layer of 9 x 12 on 4 x 4, one of 12 x 108."""
    return network((9, 4, 4), [Conv(12, (1, 1)), Linear(6)])


def folding(first: tuple[int, int, str], second: tuple[int, int, str]) -> Folding:
    return Folding(
        (
            LayerFolding("layer0", first[0], first[1], memory=first[2]),
            LayerFolding("layer1", second[0], second[1], memory=second[2]),
        )
    )


def memories(plan: Plan) -> dict[str, Memory]:
    return {u.name: u.memory for u in plan.units if isinstance(u, WeightRom)}


def leaves(plan: Plan) -> dict[str, bool]:
    return {u.name: u.leaf for u in plan.units if isinstance(u, MatrixUnit)}


@pytest.mark.parametrize(
    ("pe", "simd", "words"), [(12, 9, 1), (6, 9, 2), (4, 9, 3), (3, 9, 4), (6, 3, 6), (2, 9, 6), (1, 1, 108)]
)
def test_leaves_are_offered_up_to_four_words(pe: int, simd: int, words: int) -> None:
    planned = network_of(signs(), Fabric("xc7"))
    shape = layer_shape(planned.layers[0], pe, simd)
    assert shape.turns * shape.folds == words
    kinds = [kind for kind, _ in weight_options(planned, 0, shape)]
    assert kinds == [Memory.LEAF] * (words <= LEAF_DEPTH) + [Memory.LUT, Memory.BLOCK]
    portable = [kind for kind, _ in weight_options(network_of(signs()), 0, shape)]
    assert portable == [Memory.LUT, Memory.BLOCK]


def test_codes_have_no_leaves_and_deep_memories_no_luts() -> None:
    graph = network((9, 4, 4), [Conv(12, (1, 1)), Linear(6)], code(4, False))
    planned = network_of(graph, Fabric("xc7"))
    whole = layer_shape(planned.layers[0], 12, 9)
    assert [kind for kind, _ in weight_options(planned, 0, whole)] == [Memory.LUT, Memory.BLOCK]
    shape = layer_shape(planned.layers[1], 1, 1)
    assert shape.folds * shape.turns > LUT_ROM_DEPTH
    assert [kind for kind, _ in weight_options(planned, 1, shape)] == [Memory.BLOCK]


def wide() -> IntGraph:
    """A layer of 48 x 96, one of 96 x 204: 384 words of 12 bits and more."""
    return network((48, 4, 4), [Conv(96, (1, 1)), Conv(204, (1, 1)), Linear(12)])


def wide_folding(*memories: str) -> Folding:
    sizes = ((3, 48), (6, 6), (12, 3))
    layers = zip(sizes, memories, strict=True)
    return Folding(tuple(LayerFolding(f"layer{i}", *s, memory=m) for i, (s, m) in enumerate(layers)))


def test_cuts_are_offered_where_they_gain() -> None:
    planned = network_of(wide(), Fabric("xc7"))

    def kinds(index: int, pe: int, simd: int, family: str = "xc7") -> list[Memory]:
        network = planned if family == "xc7" else network_of(wide(), Fabric(family))
        shape = layer_shape(planned.layers[index], pe, simd)
        return [kind for kind, _ in weight_options(network, index, shape)]

    assert kinds(0, 3, 48) == [Memory.LUT, Memory.BLOCK, Memory.MIXED]
    assert kinds(1, 6, 6) == [Memory.BLOCK, Memory.MIXED]
    assert kinds(2, 12, 3) == [Memory.BLOCK, Memory.TALL, Memory.MIXED]
    assert kinds(1, 6, 3) == [Memory.BLOCK, Memory.MIXED] and kinds(1, 4, 6) == [Memory.BLOCK]
    assert kinds(2, 12, 3, "ecp5") == [Memory.BLOCK]


def test_a_folding_cuts_block_roms_and_is_read_back() -> None:
    plan = make_plan(wide(), BOARD, folding=wide_folding("mixed", "mixed", "tall"))
    assert list(memories(plan).values()) == [Memory.MIXED, Memory.MIXED, Memory.TALL]
    assert [layer.memory for layer in plan.layers] == [Memory.MIXED, Memory.MIXED, Memory.TALL]
    again = make_plan(wide(), BOARD, folding=folding_of(plan))
    assert again == plan
    blocks = make_plan(wide(), BOARD, folding=wide_folding("block", "block", "block"))
    for name in ("l0_weights", "l1_weights"):
        assert dict(plan.unit_resources)[name].bram36 < dict(blocks.unit_resources)[name].bram36
    assert dict(plan.unit_resources)["l2_weights"].lut < dict(blocks.unit_resources)["l2_weights"].lut
    # plans without cuts are written as before
    assert b"parts" not in plan_bytes(blocks)
    assert serial.decode(json.loads(plan_bytes(plan)), {}, store._PLAN_CLASSES) == plan


@pytest.mark.parametrize(
    ("memories", "family", "why"),
    [
        (("tall", "block", "block"), "xc7", "no better cut for 32 weight words of 144 bits"),
        (("block", "tall", "block"), "xc7", "no better cut for 544 weight words of 36 bits"),
        (("mixed", "block", "block"), "ecp5", "block RAM is cut best is not known"),
    ],
)
def test_cuts_that_gain_nothing_are_refused(memories: tuple[str, ...], family: str, why: str) -> None:
    with pytest.raises(FitError, match=why) as caught:
        make_plan(wide(), replace(BOARD, family=family), folding=wide_folding(*memories))
    assert caught.value.module in ("layer0", "layer1")


@pytest.mark.parametrize(("lut", "bram36", "rate"), [(5000, 12, 2000.0), (4800, 6, 500.0)])
def test_the_planner_cuts_where_blocks_are_scarce(lut: float, bram36: float, rate: float) -> None:
    """Some weights lie in block RAM and in LUTs; without cuts it would take more of one of them."""
    graph = network((64, 8, 8), [Conv(128, (3, 3)), Linear(64)])
    budget = replace(BOARD.budget, lut=BOARD.shell.lut + lut, bram36=BOARD.shell.bram36 + bram36)
    board = replace(BOARD, budget=budget, fill=1.0)
    plan = make_plan(graph, board, target_fps=rate)
    assert Memory.MIXED in memories(plan).values()
    cut, whole = plan.figures.resources, folding_of(plan)
    layers = tuple(replace(x, memory=x.memory.replace("mixed", "block")) for x in whole.layers)
    uncut = make_plan(graph, BOARD, folding=replace(whole, layers=layers)).figures.resources
    assert cut.bram36 < uncut.bram36


def test_leaves_cost_no_memory_and_less_than_a_rom_of_luts() -> None:
    planned = network_of(network((64, 4, 4), [Conv(64, (1, 1)), Linear(6)]), Fabric("xc7"))
    options = dict(weight_options(planned, 0, layer_shape(planned.layers[0], 16, 64)))
    assert options[Memory.LEAF].bram36 == options[Memory.LUT].bram36 == 0 < options[Memory.BLOCK].bram36
    assert options[Memory.LEAF].lut < options[Memory.LUT].lut


def test_a_folding_builds_weights_into_the_adders() -> None:
    plan = make_plan(signs(), BOARD, folding=folding((3, 9, "leaf"), (6, 1, "lut")))
    assert memories(plan) == {"l0_weights": Memory.LEAF, "l1_weights": Memory.LUT}
    assert leaves(plan) == {"l0_mvu": True, "l1_mvu": False}
    assert plan.layers[0].memory is Memory.LEAF
    rom = plan.unit("l0_weights")
    assert isinstance(rom, WeightRom) and dict(plan.unit_resources)[rom.name].lut == 0


def test_the_weight_image_does_not_ask_where_the_weights_live() -> None:
    graph = signs()
    inside, outside = (
        make_plan(graph, BOARD, folding=folding((3, 9, kind), (6, 1, "lut"))) for kind in ("leaf", "block")
    )
    assert inside.image == outside.image
    assert pack.weight_image(inside, graph) == pack.weight_image(outside, graph)


def test_the_planner_takes_leaves_where_they_are_cheapest() -> None:
    graph = network((64, 4, 4), [Conv(64, (1, 1)), Linear(6)])
    plan = make_plan(graph, BOARD, folding=folding((16, 64, "auto"), (6, 4, "auto")))
    assert memories(plan)["l0_weights"] is Memory.LEAF
    assert memories(plan)["l1_weights"] is not Memory.LEAF


def test_too_many_words_for_leaves_are_refused() -> None:
    with pytest.raises(FitError, match="has 12 weight words, and an adder has room for 4") as caught:
        make_plan(signs(), BOARD, folding=folding((3, 3, "leaf"), (6, 1, "lut")))
    assert caught.value.module == "layer0" and "simd" in caught.value.remedy


def test_codes_have_no_adders_with_room() -> None:
    graph = network((9, 4, 4), [Conv(12, (1, 1)), Linear(6)], code(4, False))
    with pytest.raises(FitError, match="adds numbers") as caught:
        make_plan(graph, BOARD, folding=folding((12, 9, "leaf"), (6, 1, "lut")))
    assert caught.value.module == "layer0" and "pe" not in caught.value.remedy


def test_other_devices_have_no_such_adders() -> None:
    other = replace(BOARD, family="ecp5")
    with pytest.raises(FitError, match="six inputs and two outputs"):
        make_plan(signs(), other, folding=folding((12, 9, "leaf"), (6, 1, "lut")))
    plan = make_plan(signs(), other)
    assert not any(leaves(plan).values()) and Memory.LEAF not in memories(plan).values()


def test_the_word_is_known_to_weights_alone() -> None:
    layers = tuple(replace(x, window_memory="leaf") for x in folding((12, 9, "lut"), (6, 1, "lut")).layers)
    with pytest.raises(FitError, match="window_memory 'leaf' is unknown"):
        make_plan(signs(), BOARD, folding=Folding(layers))


def test_a_plan_without_leaves_is_written_as_before() -> None:
    plan = make_plan(digits(), replace(BOARD, family="ecp5"))
    assert b"leaf" not in plan_bytes(plan)
