"""The stages of the C++ core: all units have a form, neighbours agree, depths are as small as they say."""

from __future__ import annotations

import functools
import re
from dataclasses import fields
from typing import get_args

import pytest

from tests.plan.code_cases import CASES
from tests.plan.graph_networks import CASES as GRAPHS
from tests.plan.networks import Conv, Linear, Pool, dense, digits, network, street_view
from xnorhw import resources
from xnorhw.board import board_names, load_board
from xnorhw.emit.wiring import _KINDS
from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import Pads
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, make_plan
from xnorhw.plan.geometry import WIDEST_WORD
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import (
    AbsSum,
    Add,
    Codes,
    Concat,
    Convert,
    Fork,
    HlsDesign,
    Levels,
    Lines,
    Matrix,
    Multiply,
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
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
    MultiplyUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
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
    *(f"{name} on pynq-z2" for name in (*CASES, *GRAPHS)),
]


@functools.cache
def plan_of(name: str) -> Plan:
    if name == "mixed slow":
        return make_plan(MIXED, load_board("pynq-z2"), folding=SLOW)
    network_name, _, board = name.rpartition(" on ")
    made = CASES.get(network_name) or GRAPHS.get(network_name)
    return make_plan(made()[0] if made else MAKERS[network_name](), load_board(board))


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
    ForkUnit: {Fork},
    AddUnit: {Add},
    ConcatUnit: {Concat},
    AbsSumUnit: {AbsSum},
    MultiplyUnit: {Multiply},
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
    # modules of their own, for weights inside of adders and for ROMs of LUTs by name
    assert macros("rtl/units.j2", "i, u") == {name for _, name in _KINDS} | {"leaf", "made_rom"}
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


Ports = tuple[list[int], list[int]]


def words(stage: Stage) -> Ports:
    """Words a frame of each stream in and out, from the stage's own numbers."""
    if isinstance(stage, Fork):
        return [stage.words], [stage.words] * stage.unit.copies
    if isinstance(stage, Add):
        return [stage.words] * len(stage.unit.in_bits), [stage.words]
    if isinstance(stage, Concat):
        return [stage.pixels * n for n in stage.unit.words], [stage.pixels * sum(stage.unit.words)]
    if isinstance(stage, AbsSum):
        return [stage.pixels * stage.unit.words_per_pixel], [stage.pixels]
    if isinstance(stage, Multiply):
        values = stage.pixels * stage.unit.words_per_pixel
        return [values, stage.pixels], [values]
    taken, given = _words(stage)
    return [taken], [given]


def _words(stage: Stage) -> tuple[int, int]:
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


def widths(stage: Stage) -> Ports:
    """Bits of a word of each stream in and out, from the stage's own numbers."""
    if isinstance(stage, Fork):
        return [stage.unit.width], [stage.unit.width] * stage.unit.copies
    if isinstance(stage, Add):
        return [stage.unit.lanes * bits for bits in stage.unit.in_bits], [
            stage.unit.lanes * stage.unit.out_bits
        ]
    if isinstance(stage, Concat):
        width = stage.unit.lanes * stage.unit.bits
        return [width] * len(stage.unit.words), [width]
    if isinstance(stage, AbsSum):
        return [stage.unit.lanes * stage.unit.in_bits], [stage.unit.out_bits]
    if isinstance(stage, Multiply):
        unit = stage.unit
        return [unit.lanes * unit.in_bits, unit.factor_bits], [unit.lanes * unit.out_bits]
    taken, given = _widths(stage)
    return [taken], [given]


def _widths(stage: Stage) -> tuple[int, int]:
    if isinstance(stage, Convert):
        return stage.in_bits, stage.out_bits
    if isinstance(stage, Codes):
        return stage.lanes * stage.lane_bits, stage.lanes * stage.code_bits
    if isinstance(stage, Lines):
        window = stage.window
        spread = window.spread is not None
        return stage.word_bits, window.out_lanes * window.bits if spread else stage.taps_bits
    if isinstance(stage, Taps):
        return stage.word_bits * stage.groups, stage.word_bits
    if isinstance(stage, Replay):
        return stage.word_bits, stage.word_bits
    if isinstance(stage, Matrix):
        unit = stage.unit
        return unit.pixels * unit.simd * unit.act_bits, unit.pixels * unit.pe * unit.out_bits
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
    waiting = {design.stages[0].source}
    for stage in design.stages:
        streams = stage.sources, stage.targets
        assert tuple([s.words for s in side] for side in streams) == words(stage), stage.name
        assert tuple([s.width for s in side] for side in streams) == widths(stage), stage.name
        assert stage.cycles >= max(sum(words(stage), [])), stage.name
        assert [(s.name, s.port) for s in stage.sources] == [
            (stage.name, i) for i in range(len(stage.sources))
        ]
        # each stream is read once, behind the stage that writes it, which does so once
        assert waiting >= set(stage.sources) and not waiting & set(stage.targets), stage.name
        waiting = waiting - set(stage.sources) | set(stage.targets)
    assert waiting == {design.stages[-1].target}
    assert set(design.streams) == {s for stage in design.stages[1:] for s in stage.sources}
    assert len(set(design.streams)) == len(design.streams)
    assert all(stream.depth >= 2 for stream in design.streams)
    first, last = design.stages[0].source, design.stages[-1].target
    assert (first.width, first.words) == (plan.input_frame.beat_bits, plan.input_frame.beats)
    assert (last.width, last.words, last.name) == (
        plan.output_frame.beat_bits,
        plan.output_frame.beats,
        "output",
    )
    observed = [edge.observed for edge in plan.edges if edge.observed]
    streams = [stream for stage in design.stages for stream in (*stage.sources[:1], *stage.targets)]
    assert {stream.observed for stream in streams if stream.observed} == set(observed)
    for stream in design.streams:
        if stream.observed:
            (edge,) = (edge for edge in plan.edges if edge.observed == stream.observed)
            assert (stream.tensor, stream.width) == (edge.stream.tensor, edge.stream.width)


@pytest.mark.parametrize("name", PLANS)
def test_a_frame_takes_as_long_as_in_rtl_but_for_the_lines(name: str) -> None:
    """Delay lines go on past the map until the last window has left; a ring takes the next frame then.

    A converter whose last word leaves with the next packet's first takes a clock more for the frame's last.
    """
    plan = plan_of(name)
    design = hls_design(plan)
    flushing = [s for s in design.stages if isinstance(s, Convert) and s.flushes]
    others = [s.cycles for s in design.stages if not isinstance(s, Lines) and s not in flushing]
    late = max((s.cycles for s in flushing), default=0)
    rtl = plan.figures.cycles_per_frame
    assert max(others) <= rtl <= design.cycles_per_frame
    assert late <= rtl + 1
    if design.cycles_per_frame > rtl + (late > rtl):
        slowest = max(design.stages, key=lambda s: s.cycles)
        assert isinstance(slowest, Lines)
        assert design.cycles_per_frame == slowest.cycles
        ((mapped,), _) = words(slowest)
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
