"""make_plan: what fits, what is refused, and the same plan for the same input."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.plan.networks import Conv, Layer, Linear, Pool, dense, digits, network, street_view
from xnorhw import pack
from xnorhw.board import Budget, board_names, load_board
from xnorhw.ir import serial
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.model import Converter, Fifo, MatrixUnit, Memory, Plan, PoolUnit, WeightRom, Window

BOARD = load_board("pynq-z2")
SAME = Pads(1, 1, 1, 1)
ROOT = Path(__file__).resolve().parents[2]


def vgg() -> IntGraph:
    """Twenty products: sixteen convolutions on 32 x 32 and four linear layers."""
    layers: list[Layer] = []
    for width, count in ((64, 4), (96, 4), (128, 4), (160, 4)):
        layers += [Conv(width, pads=SAME) for _ in range(count)]
        layers.append(Pool())
    layers += [Linear(n) for n in (256, 256, 128, 10)]
    return network((3, 32, 32), layers, code(8, True))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(street_view(), BOARD)


@pytest.mark.parametrize("board", board_names())
@pytest.mark.parametrize("graph", [digits(), dense(), street_view()], ids=["digits", "dense", "street view"])
def test_what_is_planned_fits_its_board(board: str, graph: IntGraph) -> None:
    target = load_board(board)
    figures = make_plan(graph, target).figures
    for kind in ("lut", "ff", "bram36"):
        left = getattr(target.budget, kind) - getattr(target.shell, kind)
        assert getattr(figures.resources, kind) <= target.fill * left
    assert figures.resources.lut > 0
    assert figures.fps == pytest.approx(target.clock_mhz * 1e6 / figures.cycles_per_frame)


def test_the_street_view_network_is_as_fast_as_the_device_allows(plan: Plan) -> None:
    assert plan.figures.fps > 10_000
    assert plan.figures.cycles_per_frame == max(x.cycles for x in plan.layers)
    convolutions = 27 * 64 * 900 + 576 * 64 * 784 + 576 * 128 * 144 + 1152 * 128 * 100
    rest = 1152 * 256 * 9 + 2304 * 256 + 256 * 512 + 512 * 512 + 512 * 10
    assert sum(x.macs for x in plan.layers) == convolutions + rest
    slower = make_plan(street_view(), BOARD, clock_mhz=50.0)
    assert slower.figures.cycles_per_frame == plan.figures.cycles_per_frame
    assert slower.figures.fps == pytest.approx(plan.figures.fps / 2)


@pytest.mark.parametrize("fps", [10.0, 500.0, 3_000.0, 9_000.0])
def test_a_target_is_reached_by_less(plan: Plan, fps: float) -> None:
    small = make_plan(street_view(), BOARD, target_fps=fps)
    assert small.figures.fps >= fps
    assert small.figures.resources.lut < plan.figures.resources.lut


def test_smaller_targets_take_less() -> None:
    costs = [make_plan(street_view(), BOARD, target_fps=f).figures.resources.lut for f in (100, 1000, 5000)]
    assert costs == sorted(costs)


def test_a_target_met_exactly_is_met() -> None:
    clocks = make_plan(digits(), BOARD).figures.cycles_per_frame
    assert make_plan(digits(), BOARD, target_fps=1e8 / clocks).figures.cycles_per_frame == clocks


def test_no_faster_than_the_edges() -> None:
    """64 bytes in, 10 results out: 8 beats; more units would only wait."""
    graph = network((1, 8, 8), [Linear(32), Linear(10)], code(8, True))
    plan = make_plan(graph, load_board("zcu104"), goal="area")
    assert plan.figures.cycles_per_frame == plan.input_frame.beats == 8
    assert max(x.work_cycles for x in plan.layers) == 8


def test_a_rate_out_of_reach_names_the_best() -> None:
    best = make_plan(street_view(), BOARD).figures.fps
    with pytest.raises(FitError) as caught:
        make_plan(street_view(), BOARD, target_fps=60_000.0)
    assert caught.value.module == "pynq-z2"
    assert "LUTs" in caught.value.reason
    words = caught.value.remedy.split()
    printed = float(words[words.index("frames") - 1])
    assert best - 0.1 < printed <= best
    make_plan(street_view(), BOARD, target_fps=printed)
    assert "zcu104" in caught.value.remedy
    with pytest.raises(FitError, match="no folding of this network takes so few clocks"):
        make_plan(street_view(), BOARD, target_fps=1e7)
    with pytest.raises(FitError, match="no rate"):
        make_plan(street_view(), BOARD, target_fps=0.0)


def test_a_rate_that_the_beats_forbid_is_out_of_reach() -> None:
    graph = network((4, 4, 4), [Conv(64, (3, 3), pads=Pads(1, 1, 1, 1))])
    plan = make_plan(graph, BOARD)
    assert plan.figures.cycles_per_frame == plan.output_frame.beats == 512
    asked = plan.figures.fps
    assert make_plan(graph, BOARD, target_fps=asked).figures.cycles_per_frame == 512
    with pytest.raises(FitError, match="512 clocks whatever the folding") as caught:
        make_plan(graph, BOARD, target_fps=1.01 * asked)
    assert "The best that can be reached here" in caught.value.remedy


def test_a_network_that_does_not_fit_says_by_how_much() -> None:
    tiny = replace(BOARD, budget=Budget(9000, 18000, 10), shell=Budget(5000, 7000, 5))
    with pytest.raises(FitError) as caught:
        make_plan(street_view(), tiny)
    assert "BRAM36" in caught.value.reason
    assert "more than the 4.0 left" in caught.value.reason
    assert "zcu104" in caught.value.remedy


def test_a_folding_that_does_not_fit_says_by_how_much() -> None:
    graph = digits()
    folding = Folding(
        (LayerFolding("layer0", 32, 9), LayerFolding("layer1", 48, 288), LayerFolding("layer3", 10, 48))
    )
    tiny = replace(BOARD, budget=Budget(15000, 60000, 10), shell=Budget(5000, 7000, 5))
    with pytest.raises(FitError) as caught:
        make_plan(graph, tiny, folding=folding)
    need = make_plan(graph, load_board("zcu104"), folding=folding).figures.resources.lut
    assert f"{need:,.0f} LUTs, {need - 10000:,.0f} more" in caught.value.reason
    assert "smaller pe and simd" in caught.value.remedy


def test_a_folding_and_a_target_exclude_one_another() -> None:
    folding = Folding((LayerFolding("layer0", 1, 1),))
    with pytest.raises(FitError, match="both"):
        make_plan(network((1, 4, 4), [Linear(2)]), BOARD, folding=folding, target_fps=10.0)


@pytest.mark.parametrize("clock", [0.0, -1.0, 464.1, 5000.0, float("nan")])
def test_a_clock_out_of_range(clock: float) -> None:
    with pytest.raises(FitError, match="out of range: the clock network of xc7z020clg400-1 takes at most 46"):
        make_plan(digits(), BOARD, clock_mhz=clock)


@pytest.mark.parametrize(
    ("asked", "made"), [(464.0, 333.333), (333.333, 333.333), (150.0, 142.857), (100.0, 100.0), (1.0, 1.0)]
)
def test_a_clock_that_the_board_can_make(asked: float, made: float) -> None:
    """A whole part of the processing system's 1,000 MHz, never above what was asked for."""
    assert make_plan(digits(), BOARD, clock_mhz=asked).clock_mhz == made


@pytest.mark.parametrize("name", board_names())
def test_the_boards_own_clock_can_be_made(name: str) -> None:
    board = load_board(name)
    assert board.clock_below(board.clock_mhz) == board.clock_mhz


def test_memories_follow_the_folding() -> None:
    layers = tuple(
        LayerFolding(name, pe, simd, memory=memory, window_memory=memory)
        for (name, pe, simd), memory in zip(
            (("layer0", 4, 9), ("layer1", 8, 32), ("layer3", 1, 48)), ("lut", "block", "lut"), strict=True
        )
    )
    plan = make_plan(digits(), BOARD, folding=Folding(layers))
    roms = {u.name: u.memory for u in plan.units if isinstance(u, WeightRom)}
    assert roms == {"l0_weights": Memory.LUT, "l1_weights": Memory.BLOCK, "l2_weights": Memory.LUT}
    rings = {u.name: u.memory for u in plan.units if isinstance(u, Window)}
    assert (rings["l0_window"], rings["l1_window"]) == (Memory.LUT, Memory.BLOCK)


def test_twenty_layers_are_folded_within_seconds() -> None:
    start = time.process_time()
    figures = make_plan(vgg(), load_board("zcu104")).figures
    assert time.process_time() - start < 10
    assert figures.cycles_per_frame < 60_000


# --- the netlist -----------------------------------------------------------------------------

SHAPES = {
    "digits": digits(),
    "dense": dense(),
    "street view": street_view(),
    "odd": network((3, 7, 5), [Conv(5, (3, 2), Pads(1, 0, 1, 1)), Pool(ceil_mode=True), Conv(7), Linear(3)]),
    "raw map": network((3, 6, 6), [Conv(10, pads=SAME), Conv(5, (1, 1))], code(3, False)),
    "one layer": network((3, 3, 3), [Linear(2)]),
}


@pytest.mark.parametrize("graph", SHAPES.values(), ids=SHAPES.keys())
def test_every_edge_fits_both_its_units(graph: IntGraph) -> None:
    plan = make_plan(graph, BOARD)
    names = [u.name for u in plan.units]
    assert len(set(names)) == len(names)
    for edge in plan.edges:
        out = plan.input_frame.beat_bits if edge.source == "input" else output_bits(plan, edge.source)
        assert out == edge.stream.width
        assert isinstance(edge.storage, Fifo)
        if edge.target == "output":
            assert edge.stream.width == plan.output_frame.beat_bits
            continue
        need, element = input_bits(plan, edge.target, edge.port)
        # codes travel in bytes as far as the unit that takes their low bits
        assert need == edge.stream.lanes * min(element, edge.stream.bits)
    sources = [e.source for e in plan.edges]
    assert sorted(sources) == sorted(["input", *names])
    observed = [e.observed for e in plan.edges if e.observed]
    tensors = [n.output.name for n in graph.nodes if n.output.name.startswith(("sign", "pool"))]
    assert sorted(observed) == sorted([*tensors, graph.output])


def output_bits(plan: Plan, name: str) -> int:
    unit = plan.unit(name)
    if isinstance(unit, Converter):
        return unit.out_bits
    if isinstance(unit, Window):
        return unit.out_lanes * unit.bits
    if isinstance(unit, MatrixUnit):
        return unit.rows * unit.out_bits
    return unit.lanes if isinstance(unit, PoolUnit) else unit.width


def input_bits(plan: Plan, name: str, port: str) -> tuple[int, int]:
    unit = plan.unit(name)
    if isinstance(unit, Converter):
        return unit.in_bits, 64
    if isinstance(unit, Window):
        return unit.lanes * unit.bits, unit.bits
    if isinstance(unit, PoolUnit):
        return unit.taps_per_word * unit.lanes, 1
    assert isinstance(unit, MatrixUnit)
    if port == "data":
        return unit.pixels * unit.simd * unit.act_bits, unit.act_bits
    return (unit.pe * unit.simd, 64) if port == "weights" else (unit.rows * unit.start_bits, 64)


@pytest.mark.parametrize("graph", SHAPES.values(), ids=SHAPES.keys())
def test_weights_and_image_hold_every_weight(graph: IntGraph) -> None:
    plan = make_plan(graph, BOARD)
    end = 0
    for segment in plan.image.segments:
        assert segment.offset == end
        assert segment.offset % 64 == 0
        end = -(-(segment.offset + segment.start_bytes + segment.weight_bytes) // 64) * 64
    assert plan.image.total_bytes == end == len(pack.weight_image(plan, graph))
    for layer in plan.layers:
        unit = plan.unit(layer.matrix)
        assert isinstance(unit, MatrixUnit)
        assert unit.pe * unit.simd * unit.folds * unit.groups >= layer.weight_bits
        assert layer.weight_bits == layer.macs // unit_pixels(plan, layer.matrix)


def unit_pixels(plan: Plan, matrix: str) -> int:
    (loops,) = (dict(j.loops) for j in plan.jobs if j.unit == matrix)
    unit = plan.unit(matrix)
    assert isinstance(unit, MatrixUnit)
    return loops["y"] * loops["x"] * unit.pixels


def test_a_layer_that_replays_nothing_needs_no_window() -> None:
    graph = network((8, 4, 4), [Conv(8, (1, 1)), Linear(6)])
    folding = Folding((LayerFolding("layer0", 8, 8), LayerFolding("layer1", 6, 16)))
    assert [x.window for x in make_plan(graph, BOARD, folding=folding).layers] == ["", ""]
    folding = Folding((LayerFolding("layer0", 4, 8), LayerFolding("layer1", 3, 16)))
    assert [x.window for x in make_plan(graph, BOARD, folding=folding).layers] == ["l0_window", "l1_window"]


# --- the same input, the same plan -----------------------------------------------------------


def digest(plan: Plan) -> str:
    arrays: dict[str, object] = {}
    tree = serial.encode(plan, arrays)  # type: ignore[arg-type]
    assert not arrays
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_a_plan_depends_on_no_hash_seed(plan: Plan, seed: str) -> None:
    script = (
        "from tests.plan.networks import street_view\n"
        "from tests.plan.test_planner import BOARD, digest\n"
        "from xnorhw.plan import make_plan\n"
        "print(digest(make_plan(street_view(), BOARD)))\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(plan)
