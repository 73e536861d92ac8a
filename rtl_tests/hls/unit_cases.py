"""Each unit of a plan by itself, with words for three frames and what must come out of it.

The parameters are those of the RTL units' benches, and some that only the C++ can miss.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtl_tests import reference
from rtl_tests.reference import WindowShape, convert, join
from rtl_tests.units import test_mvu, test_pool, test_width_converter, test_window
from xnorhw.ir.geometry import Pads, WindowGeometry, ceil_div
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import HlsDesign, Stage
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    Figures,
    Frame,
    Job,
    MatrixUnit,
    Memory,
    Plan,
    PoolUnit,
    Resources,
    StartRom,
    Stream,
    Unit,
    WeightImage,
    WeightRom,
    Window,
)

__all__ = [
    "FRAMES",
    "UNIT",
    "UnitCase",
    "codes",
    "converters",
    "in_frames",
    "matrices",
    "pools",
    "unit_plan",
    "windows",
]

FRAMES = 3
UNIT = "unit"


@dataclass(frozen=True)
class UnitCase:
    """A plan of one unit, the words of each frame, and those that leave; ROM words where it has ROMs.

    A unit of several streams has a ``design`` of its own, from which the stage ``UNIT`` alone is
    run: its words are those of its sources in turn, then of its targets in turn.
    """

    name: str
    plan: Plan
    taken: tuple[tuple[int, ...], ...]
    given: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    table: tuple[int, ...] = ()
    design: HlsDesign | None = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the plan, or of the design."""
        return (self.design or hls_design(self.plan)).stages


def unit_plan(
    unit: Unit,
    taken: Stream,
    given: Stream,
    words: tuple[int, int],
    packets: int = 1,
    roms: Sequence[Unit] = (),
) -> Plan:
    """Input, the unit, output; ``words`` a frame that come in and leave."""
    edges = [Edge("input", UNIT, "data", taken, Fifo(0))]
    edges += [Edge(rom.name, UNIT, rom.name, given, Fifo(0)) for rom in roms]
    edges.append(Edge(UNIT, "output", "data", given, Fifo(0)))
    none = Resources()
    return Plan(
        board="none",
        part="none",
        clock_mhz=100.0,
        input_tensor="input",
        output_tensor="output",
        input_frame=Frame(taken.width, words[0], words[0], taken.width),
        output_frame=Frame(given.width, words[1], words[1], given.width),
        units=(unit, *roms),
        edges=tuple(edges),
        jobs=(Job(UNIT, UNIT, (("packets", packets),), "input", "output"),),
        layers=(),
        image=WeightImage((), 0),
        frames_in_flight=1,
        unit_resources=(),
        figures=Figures(1, 1, 1, 1.0, 1, none, none, none),
    )


# --- width converters ------------------------------------------------------------------------

Shape = test_width_converter.Shape

WIDE = (
    Shape(64, 1536, 1536 * 2),
    Shape(64, 1536, 1600),
    Shape(1536, 64, 1500),
    Shape(1100, 900, 9900),
    Shape(900, 1100, 9900),
    Shape(2000, 2096, 4001),  # the words that wait fill the widest integer
)
ONCE = (Shape(5, 7, 8), Shape(3, 10, 25), Shape(10, 3, 31), Shape(8, 64, 485))


def converters() -> list[UnitCase]:
    """All shapes with three packets a frame, some with one."""
    shapes = [(s, 3) for s in (*test_width_converter.SHAPES, *WIDE)] + [(s, 1) for s in ONCE]
    return [_converter(shape, packets) for shape, packets in shapes]


def _converter(shape: Shape, packets: int) -> UnitCase:
    generator = random.Random(f"{shape} {packets}")
    unit = Converter(UNIT, shape.taken, shape.given, shape.packet)
    taken, given = [], []
    for _ in range(FRAMES):
        frame_in: list[int] = []
        frame_out: list[int] = []
        for _ in range(packets):
            room = shape.in_words * shape.taken
            bits = generator.getrandbits(room)  # what lies past the packet must not come through
            frame_in += convert(bits, room, shape.taken)
            frame_out += convert(bits, shape.packet, shape.given)
        taken.append(tuple(frame_in))
        given.append(tuple(frame_out))
    words = len(taken[0]), len(given[0])
    into = Stream("input", shape.taken, 1, shape.taken, words[0])
    out = Stream("output", shape.given, 1, shape.given, words[1])
    name = f"{shape}n{packets}"
    return UnitCase(name, unit_plan(unit, into, out, words, packets), tuple(taken), tuple(given))


# --- windows ---------------------------------------------------------------------------------


def _shape(size: tuple[int, int], kernel: tuple[int, int], **numbers: object) -> WindowShape:
    """As the bench makes them."""
    return test_window._shape(size, kernel, **numbers)  # type: ignore[arg-type]


MORE_WINDOWS = {
    # every side by itself; rows of the delay lines longer than the map's
    "left": _shape((5, 5), (3, 3), pad=(0, 2), pad_end=(0, 0), pad_seed=21),
    "right": _shape((5, 5), (3, 3), pad_end=(0, 2), pad_seed=22),
    "top": _shape((5, 5), (3, 3), pad=(2, 0), pad_end=(0, 0), pad_seed=23),
    "bottom": _shape((5, 5), (3, 3), pad_end=(2, 0), pad_seed=24),
    "full": _shape((4, 5), (3, 3), pad=(2, 2), taps=9, words=2, repeats=2, pad_seed=25),
    "full_wide": _shape((3, 2), (4, 5), pad=(3, 4), pad_seed=26),
    "full_outer": _shape((3, 3), (2, 2), pad=(1, 1), words=3, outer=True, pad_seed=27),
    "ceil": _shape((5, 7), (2, 2), stride=(2, 2), outer=True, out=(3, 4), pad_seed=28),
    "ceil_three": _shape((6, 6), (3, 3), stride=(2, 2), outer=True, out=(3, 3), words=2, taps=9, pad_seed=29),
    "one_pixel": _shape((1, 1), (3, 3), pad=(1, 1), words=2, repeats=2, pad_seed=30),
    "one_point": _shape((1, 1), (1, 1), stride=(2, 2), words=2, outer=True),
    "one_row": _shape((1, 6), (3, 3), pad=(1, 1), pad_seed=31),
    "one_column": _shape((6, 1), (3, 3), pad=(1, 1), taps=9, pad_seed=32),
    "dilated_words": _shape((5, 7), (2, 2), dilation=(1, 2), words=5, lanes=3),
    "many_words": _shape((3, 3), (2, 2), words=9, lanes=2, repeats=2, taps=2),
    "many_words_outer": _shape((4, 4), (2, 2), stride=(2, 2), words=9, lanes=2, outer=True),
    "pointwise_words": _shape((3, 3), (1, 1), words=10, repeats=3),
    "wide": _shape((4, 4), (3, 3), pad=(1, 1), lanes=200, taps=9, words=2, pad_seed=33),
    "wide_codes": _shape((4, 4), (3, 3), lanes=20, bit=8, taps=3, pad_seed=34),
    "words_pad_alike": replace(
        _shape((4, 4), (3, 3), pad=(1, 1), lanes=70, words=2), pad_word=((1 << 70) - 5) * ((1 << 70) + 1)
    ),
    "stride_past": _shape((7, 8), (2, 2), stride=(3, 4), words=2, outer=True),
    "groups_at_once": _shape((4, 5), (3, 3), pad=(1, 1), words=3, slices=3, taps=9, pad_seed=35),
    "groups_in_parts": _shape((3, 3), (3, 3), words=4, slices=2, repeats=2),
    "first_columns": _shape((5, 8), (3, 3), out=(3, 2), repeats=2),
}


def windows() -> list[UnitCase]:
    """The bench's windows, and more; sliding ones that give their taps in parts go through two stages."""
    instances = [(w.name, w.shape, w.depth, w.block) for w in test_window.WINDOWS]
    instances += [
        (f"{name}_more", shape, shape.smallest_depth + 1, shape.words_per_pixel > 4)
        for name, shape in MORE_WINDOWS.items()
    ]
    return [_window(*instance, code_bits=0) for instance in instances]


def codes() -> list[UnitCase]:
    """Windows over codes that arrive in byte lanes, noise in the bits above."""
    shapes = {
        "codes3": _shape((4, 5), (3, 3), lanes=5, bit=3),
        "codes1": _shape((4, 5), (2, 2), lanes=8, bit=1, pad=(1, 1), pad_seed=41),
        "codes7": _shape((3, 3), (3, 3), lanes=2, bit=7, taps=9, words=2),
    }
    return [_window(name, shape, shape.smallest_depth, False, code_bits=8) for name, shape in shapes.items()]


def _window(name: str, shape: WindowShape, depth: int, block: bool, code_bits: int) -> UnitCase:
    """``code_bits``: bits of the lanes that codes come in, 0 for those of the window."""
    past = []
    for i in (0, 1):
        reach = (shape.kernel[i] - 1) * shape.dilation[i] + 1
        past.append(max(0, (shape.out[i] - 1) * shape.stride[i] - shape.pad[i] + reach - shape.size[i]))
    ceil_mode = name.startswith("ceil")
    bottom, right = (0, 0) if ceil_mode else past
    pads = Pads(left=shape.pad[1], right=right, top=shape.pad[0], bottom=bottom)
    unit = Window(
        UNIT,
        shape.bits,
        shape.lanes,
        shape.words_per_pixel,
        *shape.size,
        WindowGeometry(shape.kernel, shape.stride, pads, shape.dilation, ceil_mode),
        *shape.out,
        shape.taps_per_word,
        shape.repeats,
        shape.channels_outer,
        depth,
        f"{shape.pad_word:x}",
        Memory.BLOCK if block else Memory.LUT,
        shape.slices,
    )
    generator = random.Random(name)
    lane_bits = code_bits or shape.bits
    lanes = [
        [[generator.getrandbits(lane_bits) for _ in range(shape.lanes)] for _ in range(shape.in_words)]
        for _ in range(FRAMES)
    ]
    taken = tuple(tuple(join(word, lane_bits) for word in frame) for frame in lanes)
    plain = [[join(word, shape.bits) for word in frame] for frame in lanes]  # the lowest bits of each lane
    given = tuple(tuple(reference.window(shape, words)) for words in plain)
    channels = shape.lanes * shape.words_per_pixel
    into = Stream("input", shape.lanes, lane_bits, channels, shape.size[0] * shape.size[1])
    out_lanes = shape.lanes * shape.taps_per_word
    out = Stream("output", out_lanes, shape.bits, out_lanes, shape.out_words)
    plan = unit_plan(unit, into, out, (shape.in_words, shape.out_words))
    return UnitCase(name, plan, taken, given)


# --- matrix units ----------------------------------------------------------------------------

Matrix = test_mvu.Matrix

CLASSES = (
    # rows and columns of a map by position class
    (Matrix(3, 4, "bipolar", 3, False, groups=2, start_bits=7), (0, 1, 1, 2), (0, 1, 2, 2, 3)),
    (Matrix(2, 5, "bipolar", 1, False, start_bits=6), (0, 1, 0), (1, 0)),
    (Matrix(2, 3, "bipolar", 2, True, groups=3, start_bits=9), (0,), (0, 1, 0)),
    (Matrix(4, 2, "s4", 2, False, groups=1, start_bits=8), (1, 0), (0,)),
)
MORE_MATRICES = (
    Matrix(2, 1100, "bipolar", 2, False, groups=2, start_bits=13),
    Matrix(1, 64, "bipolar", 1, True),
    Matrix(2, 33, "u8", 1, True, groups=2, start_bits=16),
    Matrix(70, 2, "bipolar", 2, False, start_bits=4),
)


def matrices() -> list[UnitCase]:
    """The bench's units on four pixels, and those with position classes on whole maps."""
    binary = [unit for unit in test_mvu.MATRICES if not unit.full]
    plain = [(unit, (0,), (0,)) for unit in (*binary, *MORE_MATRICES)]
    return [_matrix(*case) for case in (*plain, *CLASSES)]


def _matrix(unit: Matrix, row_class: tuple[int, ...], column_class: tuple[int, ...]) -> UnitCase:
    classes = (max(row_class) + 1, max(column_class) + 1)
    several = classes != (1, 1)
    name = f"{unit}g{unit.groups}" + (f"c{classes[0]}x{classes[1]}" if several else "")
    generator = np.random.default_rng(list(name.encode()))
    of_map = [r * classes[1] + c for r in row_class for c in column_class]
    pixel_class = np.array(of_map if several else [0] * 4)
    pixels, count = len(pixel_class), unit.simd * unit.folds
    low, high = unit.act_range
    first, last = unit.start_range

    acts = generator.integers(low, high, (FRAMES, pixels, unit.groups, count), endpoint=True)
    acts[0, 0], acts[1, 0] = high, low
    weights = generator.choice([-1, 1], (unit.groups, unit.pe, count))
    weights[0, 0] = 1
    weights[-1, -1] = -1
    starts = generator.integers(first, last, (classes[0] * classes[1], unit.groups, unit.pe), endpoint=True)
    if not unit.raw:
        # most starts close to where the bit of some pixel turns, exact ties among them
        some = acts[generator.integers(FRAMES), generator.integers(pixels)]
        sums = reference.matrix(some, weights, np.zeros_like(starts[0]), unit.bipolar, False)
        near = -(sums // 2 if unit.bipolar else sums) + generator.integers(-1, 2, starts.shape)
        starts = np.where(generator.random(starts.shape) < 0.7, np.clip(near, first, last), starts)

    flat = acts.reshape(-1, count)
    group = np.tile(np.arange(unit.groups), FRAMES * pixels)
    its_class = np.tile(np.repeat(pixel_class, unit.groups), FRAMES)
    its_starts = starts[its_class, group]
    results = reference.matrix(flat, weights[group], its_starts, unit.bipolar, not unit.raw)
    if unit.narrow:
        sums = reference.matrix(flat, weights[group], np.zeros_like(its_starts), unit.bipolar, False)
        half = 1 << (unit.narrow - 1)
        total = its_starts + (sums // 2 if unit.bipolar else sums)
        total = (total + half) % (2 * half) - half
        results = total if unit.raw else (total >= 0).astype(np.int64)

    taken = [join(list(word), unit.act_bits) for word in flat.reshape(-1, unit.simd)]
    given = [join(list(word), unit.out_bits) for word in results]
    rows = weights.reshape(unit.groups, unit.pe, unit.folds, unit.simd).transpose(0, 2, 1, 3) == 1
    weight_words = tuple(join(list(word.flatten()), 1) for word in rows.reshape(-1, unit.pe * unit.simd))
    start_words = tuple(join(list(word), unit.start_bits) for word in starts.reshape(-1, unit.pe))
    planned = MatrixUnit(
        UNIT, unit.pe, unit.simd, unit.act_bits, unit.act[0] == "s", unit.bipolar, unit.folds, unit.groups,
        unit.start_bits, unit.acc_bits, not unit.raw, unit.out_bits,
    )  # fmt: skip
    roms = (
        WeightRom("weights", unit.pe * unit.simd, unit.folds * unit.groups, Memory.BLOCK, "weights"),
        StartRom(
            "starts", unit.pe * unit.start_bits, unit.groups, row_class, column_class, *classes, "starts"
        ),
    )
    words = len(taken) // FRAMES, len(given) // FRAMES
    into = Stream("input", unit.simd, unit.act_bits, count, pixels)
    out = Stream("output", unit.pe, unit.out_bits, unit.pe * unit.groups, pixels)
    plan = unit_plan(planned, into, out, words, roms=roms)
    return UnitCase(name, plan, in_frames(taken), in_frames(given), weight_words, start_words)


def in_frames(words: list[int]) -> tuple[tuple[int, ...], ...]:
    """Words cut into ``FRAMES`` frames of one length."""
    size = ceil_div(len(words), FRAMES)
    return tuple(tuple(words[i * size : (i + 1) * size]) for i in range(FRAMES))


# --- pools -----------------------------------------------------------------------------------


def pools() -> list[UnitCase]:
    """The bench's units and a wide one, five pixels a frame."""
    wide = test_pool.Shape(300, 2, 2, 2, "words")
    return [_pool(shape, 5) for shape in (*test_pool.SHAPES, wide)]


def _pool(shape: test_pool.Shape, pixels: int) -> UnitCase:
    taken, given = test_pool._pixels(shape, FRAMES * pixels, str(shape))
    invert = join(sum(shape.invert_bits, []), 1)
    unit = PoolUnit(
        UNIT, shape.lanes, shape.taps, shape.groups, shape.words, f"{invert:x}", shape.bits, shape.signed
    )
    channels = shape.lanes * shape.words
    into = Stream("input", shape.lanes * shape.taps, shape.bits, channels, pixels)
    out = Stream("output", shape.lanes, shape.bits, channels, pixels)
    plan = unit_plan(unit, into, out, (len(taken) // FRAMES, len(given) // FRAMES))
    return UnitCase(str(shape), plan, in_frames(taken), in_frames(given))
