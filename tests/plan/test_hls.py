"""The stages of the C++ core: all units have a form, neighbours agree, depths are as small as they say."""

from __future__ import annotations

import functools
import re
from dataclasses import fields, replace
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.plan.code_cases import CASES
from tests.plan.networks import Conv, Linear, Pool, dense, digits, network, street_view
from xnorhw import resources
from xnorhw.board import board_names, load_board
from xnorhw.emit.wiring import _KINDS
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.geometry import WIDEST_WORD
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_depth import LATENCY, line_buffer_depth
from xnorhw.plan.hls_model import (
    Codes,
    Convert,
    HlsDesign,
    Levels,
    Lines,
    Matrix,
    Planes,
    Replay,
    Requant,
    Stage,
    SumPool,
    Taps,
    Terms,
)
from xnorhw.plan.hls_model import Pool as PoolStage
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    Frame,
    Job,
    LevelUnit,
    MatrixUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    Stream,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

SAME = Pads(1, 1, 1, 1)
MIXED = network(
    (3, 9, 7),
    [
        Conv(6, pads=SAME),
        Pool((3, 3), (2, 2), SAME),
        Conv(10, (3, 2), Pads(0, 1, 2, 1), (2, 1)),
        Conv(4, (1, 1)),
        Linear(7),
        Linear(3),
    ],
    code(3, False),
)
SLOW = Folding(
    tuple(LayerFolding(name, pe, simd) for name, pe, simd in (
        ("layer0", 2, 3), ("layer2", 3, 4), ("layer3", 1, 5), ("layer4", 2, 2), ("layer5", 1, 7),
    ))
)  # fmt: skip
MAKERS = {"digits": digits, "dense": dense, "street view": street_view, "mixed": lambda: MIXED}
PLANS = [
    *(f"{name} on {board}" for name in ("digits", "dense") for board in board_names()),
    "street view on pynq-z2",
    "mixed on pynq-z2",
    "mixed on zcu104",
    "mixed slow",
    *(f"{name} on pynq-z2" for name in CASES),
]


@functools.cache
def plan_of(name: str) -> Plan:
    if name == "mixed slow":
        return make_plan(MIXED, load_board("pynq-z2"), folding=SLOW)
    network_name, _, board = name.rpartition(" on ")
    graph = CASES[network_name]()[0] if network_name in CASES else MAKERS[network_name]()
    return make_plan(graph, load_board(board))


STAGES: dict[type, set[type]] = {
    Converter: {Convert},
    Window: {Lines, Taps, Replay},
    MatrixUnit: {Matrix},
    WeightRom: {Matrix, Levels, Requant},
    StartRom: {Matrix},
    PlaneUnit: {Planes},
    TermsUnit: {Terms},
    LevelUnit: {Levels},
    RequantUnit: {Requant},
    SumPoolUnit: {SumPool},
    PoolUnit: {PoolStage},
}
"""The stages that a unit becomes; ROMs are arrays of the stage that reads them."""
OF_EDGES = {Codes}
"""The stages that come from an edge whose lanes are wider than its target's."""


def kind(stage: type) -> str:
    return str(next(f.default for f in fields(stage) if f.name == "kind"))


def macros(template: str, arguments: str) -> set[str]:
    return set(re.findall(rf"{{% macro (\w+)\({arguments}\)", resources.read_text(f"templates/{template}")))


# --- the same units in both ------------------------------------------------------------------


def test_every_unit_is_in_both_cores() -> None:
    """A unit that one of the two lacks, or a stage that no unit becomes, fails here."""
    units, stages = set(get_args(Unit)), set(get_args(Stage))
    assert set(STAGES) == units
    assert set().union(*STAGES.values()) | OF_EDGES == stages
    assert {unit for unit, _ in _KINDS} == units
    assert macros("rtl/units.j2", "i, u") == {name for _, name in _KINDS}
    kinds = {kind(stage) for stage in stages}
    assert len(kinds) == len(stages)
    assert macros("hls/units.j2", "s, n") == kinds
    assert macros("hls/matrix.j2", "name, rom") == {"weight_rom", "start_rom"}


@pytest.mark.parametrize("name", PLANS)
def test_every_unit_of_a_plan_has_one_form(name: str) -> None:
    plan = plan_of(name)
    design = hls_design(plan)
    left = list(design.stages)

    def take(names: set[str], types: tuple[type, ...]) -> list[Stage]:
        taken = [s for s in left if s.name in names and isinstance(s, types)]
        for stage in taken:
            left.remove(stage)
        return taken

    for unit in plan.units:
        if isinstance(unit, WeightRom):
            readers = [s.weights for s in design.stages if isinstance(s, Matrix)]
            readers += [s.table for s in design.stages if isinstance(s, Levels | Requant)]
            assert readers.count(unit) == 1
        elif isinstance(unit, StartRom):
            (matrix,) = [s for s in design.stages if isinstance(s, Matrix) and s.starts == unit]
        elif isinstance(unit, Window):
            kinds = tuple(type(s) for s in take({unit.name, f"{unit.name}_lines", f"{unit.name}_taps"},
                                                (Lines, Taps, Replay)))  # fmt: skip
            serial = unit.repeats * (unit.geometry.taps // unit.taps_per_word) > 1
            assert kinds in ((Lines, Taps) if serial else (Lines,), (Replay,))
        else:
            (found,) = take({unit.name}, tuple(STAGES[type(unit)]))
            assert type(found) in STAGES[type(unit)]
    assert all(isinstance(stage, Codes) for stage in left)
    assert len({stage.name for stage in design.stages}) == len(design.stages)


# --- neighbours ------------------------------------------------------------------------------


def words(stage: Stage) -> tuple[int, int]:
    """Words a frame in and out, from the stage's own numbers."""
    if isinstance(stage, Convert):
        return stage.packets * stage.in_words, stage.packets * stage.out_words
    if isinstance(stage, Codes):
        return stage.words, stage.words
    if isinstance(stage, Lines):
        w = stage.window
        return w.height * w.width * w.words_per_pixel, w.out_height * w.out_width * w.words_per_pixel
    if isinstance(stage, Taps):
        taken = stage.pixels * stage.words
        return taken, taken * stage.repeats * stage.groups
    if isinstance(stage, Replay):
        return stage.blocks * stage.words, stage.blocks * stage.words * stage.repeats
    if isinstance(stage, Matrix):
        given = stage.rows * stage.columns * stage.unit.groups
        return given * stage.unit.folds, given
    if isinstance(stage, Planes):
        taken = stage.rounds * len(stage.unit.planes) * stage.unit.folds
        return taken, taken
    if isinstance(stage, Terms):
        return stage.words * len(stage.unit.coefficients), stage.words
    if isinstance(stage, Levels | Requant):
        return stage.rounds * stage.table.depth, stage.rounds * stage.table.depth
    if isinstance(stage, SumPool):
        return stage.words * stage.unit.tap_groups, stage.words
    given = stage.pixels * stage.unit.words_per_pixel
    return given * stage.unit.tap_groups, given


def widths(stage: Stage) -> tuple[int, int]:
    """Bits of a word in and out, from the stage's own numbers."""
    if isinstance(stage, Convert):
        return stage.in_bits, stage.out_bits
    if isinstance(stage, Codes):
        return stage.lanes * stage.lane_bits, stage.lanes * stage.code_bits
    if isinstance(stage, Lines):
        return stage.word_bits, stage.window.geometry.taps * stage.word_bits
    if isinstance(stage, Taps):
        return stage.word_bits * stage.groups, stage.word_bits
    if isinstance(stage, Replay):
        return stage.word_bits, stage.word_bits
    if isinstance(stage, Matrix):
        return stage.unit.simd * stage.unit.act_bits, stage.unit.pe * stage.unit.out_bits
    if isinstance(stage, Planes):
        return stage.unit.lanes * stage.unit.bits, stage.unit.lanes
    if isinstance(stage, Terms | Levels | Requant):
        return stage.unit.lanes * stage.unit.in_bits, stage.unit.lanes * stage.unit.out_bits
    taps = stage.unit.lanes * stage.unit.taps_per_word
    if isinstance(stage, SumPool):
        return taps * stage.unit.in_bits, stage.unit.lanes * stage.unit.out_bits
    return taps * stage.unit.bits, stage.unit.lanes * stage.unit.bits


@pytest.mark.parametrize("name", PLANS)
def test_neighbours_agree(name: str) -> None:
    plan = plan_of(name)
    design = hls_design(plan)
    for stage in design.stages:
        assert (stage.source.words, stage.target.words) == words(stage), stage.name
        assert (stage.source.width, stage.target.width) == widths(stage), stage.name
        assert stage.cycles >= max(words(stage)), stage.name
        assert stage.source.name == stage.name
    for before, behind in pairwise(design.stages):
        assert before.target == behind.source
    assert all(stream.depth >= 2 for stream in design.streams)
    first, last = design.stages[0].source, design.stages[-1].target
    assert (first.width, first.words) == (plan.input_frame.beat_bits, plan.input_frame.beats)
    assert (last.width, last.words, last.name) == (
        plan.output_frame.beat_bits,
        plan.output_frame.beats,
        "output",
    )
    observed = [edge.observed for edge in plan.edges if edge.observed]
    assert [stage.target.observed for stage in design.stages if stage.target.observed] == observed


@pytest.mark.parametrize("name", PLANS)
def test_a_frame_takes_as_long_as_in_rtl_but_for_the_lines(name: str) -> None:
    """Delay lines go on past the map until the last window has left; a ring takes the next frame then."""
    plan = plan_of(name)
    design = hls_design(plan)
    others = [s.cycles for s in design.stages if not isinstance(s, Lines)]
    rtl = plan.figures.cycles_per_frame
    assert max(others) <= rtl <= design.cycles_per_frame
    if design.cycles_per_frame > rtl:
        slowest = max(design.stages, key=lambda s: s.cycles)
        assert isinstance(slowest, Lines)
        assert design.cycles_per_frame == slowest.cycles
        mapped = words(slowest)[0]
        # where pools of codes overlap, their window in the RTL can take longer than the map's words
        overlapping = name.startswith("15 levels, pools that overlap")
        assert rtl > mapped if overlapping else rtl == mapped


# --- too wide ----------------------------------------------------------------------------------


def wide(layer: Conv, channels: int, simd: int, pe: int = 1) -> HlsDesign:
    graph = network((channels, 4, 4), [layer, Linear(1)])
    folding = Folding((LayerFolding("layer0", pe, simd), LayerFolding("layer1", 1, 1)))
    return hls_design(make_plan(graph, load_board("zcu104"), folding=folding))


def test_the_widest_word_is_held() -> None:
    (lines,) = (s for s in wide(Conv(1, (2, 2)), 1024, 1024).stages if isinstance(s, Lines))
    assert lines.target.width == WIDEST_WORD


@pytest.mark.parametrize(
    ("layer", "channels", "simd", "bits"),
    [
        (Conv(1, (3, 3)), 512, 512, 4608),  # a window's taps, though the matrix unit takes one at a time
        (Conv(1, (1, 1)), 4095, 4095, 4158),  # with what waits in the converter in front
        (Conv(1, (1, 1)), 4160, 4160, 4160),
    ],
)
def test_too_wide_a_word_names_its_layer(layer: Conv, channels: int, simd: int, bits: int) -> None:
    with pytest.raises(FitError, match=f"words of {bits} bits") as caught:
        wide(layer, channels, simd)
    assert caught.value.module == "layer0" and "folding.json" in caught.value.remedy


# --- depths ------------------------------------------------------------------------------------


def alone(unit: Window) -> HlsDesign:
    """A window between the core's ports."""
    base = plan_of("mixed slow")
    taken = Stream(
        "input", unit.lanes, unit.bits, unit.lanes * unit.words_per_pixel, unit.height * unit.width
    )
    out = unit.lanes * unit.taps_per_word
    given = Stream("output", out, unit.bits, out, unit.out_height * unit.out_width * unit.out_words_per_pixel)
    plan = replace(
        base,
        units=(unit,),
        edges=(
            Edge("input", unit.name, "data", taken, Fifo(0)),
            Edge(unit.name, "output", "data", given, Fifo(0)),
        ),
        jobs=(Job("layer", unit.name, (), "input", "output"),),
        input_frame=Frame(taken.width, taken.words, taken.words, taken.width),
        output_frame=Frame(given.width, given.words, given.words, given.width),
    )
    return hls_design(plan)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel = pair(1, 3)
    pads = Pads(*(draw(st.integers(0, kernel[axis] - 1)) for axis in (1, 1, 0, 0)))
    geometry = WindowGeometry(kernel, pair(1, 3), pads, pair(1, 2))
    size = pair(1, 7)
    out = geometry.output_size(*size)
    assume(min(out) >= 1)
    taps = draw(st.sampled_from([t for t in range(1, geometry.taps + 1) if geometry.taps % t == 0]))
    outer = draw(st.booleans())
    repeats = 1 if outer else draw(st.integers(1, 4))
    assume(repeats * geometry.taps > taps)
    replays = kernel == (1, 1) and geometry.stride == (1, 1) or (kernel == size and taps == 1)
    assume(outer or pads.any() or not replays)
    return Window(
        "window", 1, 1, draw(st.integers(1, 3)), *size, geometry, *out, taps, repeats, outer, 99, "0"
    )


def turns(lines: Lines, taps: Taps) -> tuple[list[bool], list[bool]]:
    """Whether each turn of the lines gives a window word, and each of the taps takes one."""
    unit = lines.window
    row = lines.step_row + (unit.out_width - 1) * lines.step_pixel
    places = {
        lines.first + y * row + x * lines.step_pixel
        for y in range(unit.out_height)
        for x in range(unit.out_width)
    }
    gives = [p in places for p in range(lines.positions) for _ in range(taps.words)]
    if taps.words_outer:
        pixel = [group == 0 for _ in range(taps.words) for group in range(taps.groups)]
    else:
        rounds = range(taps.repeats * taps.groups)
        pixel = [number == 0 for number in rounds for _ in range(taps.words)]
    return gives, pixel * taps.pixels


def pace(gives: list[bool], takes: list[bool], depth: int, frames: int = 8) -> float:
    """Clocks a frame of the two processes, clock by clock, in the later half of ``frames``.

    A word can be taken ``LATENCY - 1`` clocks after it was given, its place be used again a
    clock after that.
    """
    given: list[int] = []
    taken: list[int] = []
    ends: list[int] = []
    at_lines = at_taps = clock = 0
    while len(ends) < frames:
        room = len(given) < depth or (len(taken) > len(given) - depth and taken[len(given) - depth] < clock)
        lines_go = at_lines < frames * len(gives) and (room or not gives[at_lines % len(gives)])
        there = len(given) > len(taken) and given[len(taken)] + LATENCY - 1 <= clock
        taps_go = there or not takes[at_taps % len(takes)]
        if taps_go:
            if takes[at_taps % len(takes)]:
                taken.append(clock)
            at_taps += 1
            if at_taps % len(takes) == 0:
                ends.append(clock)
        if lines_go:
            if gives[at_lines % len(gives)]:
                given.append(clock)
            at_lines += 1
        clock += 1
        assert lines_go or taps_go or clock < 100 * frames * (len(gives) + len(takes)), "they stand still"
    half = frames // 2
    return (ends[-1] - ends[half - 1]) / (frames - half)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(windows())
def test_the_depth_between_lines_and_taps_is_enough_and_no_waste(unit: Window) -> None:
    """With the depth neither waits for the other; with two words less one does, in most with one less."""
    lines, taps = alone(unit).stages
    assert isinstance(lines, Lines) and isinstance(taps, Taps)
    depth = lines.target.depth
    assert depth == line_buffer_depth(unit, lines.first, lines.step_row, lines.cycles)
    gives, takes = turns(lines, taps)
    assert (len(gives), len(takes)) == (lines.cycles, taps.cycles)
    best = max(len(gives), len(takes))
    assert pace(gives, takes, depth) == best
    if depth > 3:
        assert pace(gives, takes, depth - 2) > best


@pytest.mark.parametrize(("taps", "repeats", "words"), [(3, 1, 1), (9, 2, 1), (9, 4, 2)])
def test_the_depth_is_the_least_on_a_padded_map(taps: int, repeats: int, words: int) -> None:
    """The usual window: the taps' even pace against the lines' bursts."""
    geometry = WindowGeometry((3, 3), (1, 1), SAME)
    unit = Window("window", 1, 8, words, 8, 8, geometry, 8, 8, taps, repeats, False, 99, "0")
    lines, serial = alone(unit).stages
    assert isinstance(lines, Lines) and isinstance(serial, Taps)
    gives, takes = turns(lines, serial)
    best, depth = max(len(gives), len(takes)), lines.target.depth
    assert depth > 2
    assert pace(gives, takes, depth) == best
    assert pace(gives, takes, depth - 1) > best
