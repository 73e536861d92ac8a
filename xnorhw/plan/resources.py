"""What units cost: LUT, FF, block RAM, by formula.

The formulas follow the structure of the RTL; their constants were fitted to yosys 0.70,
``synth_xilinx -family xc7 -flatten -noiopad -noclkbuf``, on the units by themselves (the
counts and the band within which the formulas must lie are in tests/plan).  Vivado counts
differ; UltraScale+ has the same 6-input LUTs and block RAMs.
"""

from __future__ import annotations

from math import ceil, gcd, log2

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    Fifo,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
    Memory,
    MultiplyUnit,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    Resources,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

__all__ = [
    "block_ram",
    "fifo_in_block_ram",
    "fifo_resources",
    "lut_ram",
    "lut_rom",
    "ring_resources",
    "rom_resources",
    "unit_resources",
]

# width -> depth of a RAMB18 (UG473, table 1-14); wider words are cut into columns
_RAMB18 = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))


def clog2(n: int) -> int:
    """Bits that tell n values apart, 0 for one."""
    return (n - 1).bit_length()


def _mux(inputs: int) -> float:
    """LUTs of a multiplexer a bit: trees of 4:1 while few inputs, a logarithmic shifter beyond."""
    if inputs <= 1:
        return 0.0
    return min(ceil((inputs - 1) / 3), 1.5 * log2(inputs))


def block_ram(width: int, depth: int) -> float:
    """BRAM36 of a memory of ``depth`` words of ``width`` bits: the cheapest tiling by RAMB18."""
    return min(ceil_div(width, w) * ceil_div(depth, d) for w, d in _RAMB18) / 2


def lut_rom(width: int, depth: int) -> float:
    """LUTs of a ROM: a 6-input LUT holds 64 x 1, and the wide muxes join four of them.

    No more than 2^depth different columns exist, and equal ones are built once.  A block of
    the device, not what a synthesiser finds: yosys's abc shares logic between columns, which
    turns out between as much and several times as much, by the contents.
    """
    blocks = ceil_div(depth, 64)
    columns = min(width, 1 << min(depth, 30))
    return columns * (blocks + (ceil_div(blocks, 4) - 1) * 0.5)


def lut_ram(width: int, depth: int) -> float:
    """LUTs of a RAM with one write and one read port: 4 LUTs hold 32 x 6 or 64 x 3."""
    if depth <= 32:
        return 4 * ceil_div(width, 6)
    blocks = ceil_div(depth, 64)
    return 4 * ceil_div(width, 3) * blocks + width * _mux(blocks) + (blocks if blocks > 1 else 0)


def fifo_in_block_ram(width: int, depth: int) -> bool:
    """Whether the ring of a FIFO of ``depth`` words of ``width`` bits is a block RAM (RTL ``xh_fifo``)."""
    return depth > 128 and width * depth >= 8192


def fifo_resources(width: int, storage: Fifo) -> Resources:
    """A FIFO: nothing, a register slice, or a ring in LUT RAM or block RAM."""
    if storage.depth == 0:
        return Resources()
    if storage.depth == 1:
        return Resources(lut=2, ff=width + 1)
    if storage.depth == 2:
        return Resources(lut=width + 3, ff=2 * width + 2)
    bits = clog2(storage.depth)
    if fifo_in_block_ram(width, storage.depth):
        return Resources(lut=5 * bits + 4, ff=3 * bits + 4, bram36=block_ram(width, storage.depth))
    return Resources(lut=lut_ram(width, storage.depth) + 3 * bits + 2, ff=4 * bits + 3)


def unit_resources(unit: Unit) -> Resources:
    """The cost of one unit."""
    if isinstance(unit, Converter):
        return _converter(unit)
    if isinstance(unit, Window):
        return _window(unit)
    if isinstance(unit, MatrixUnit):
        return _matrix(unit)
    if isinstance(unit, WeightRom):
        return rom_resources(unit.width, unit.depth, unit.memory)
    if isinstance(unit, StartRom):
        return _starts(unit)
    if isinstance(unit, PlaneUnit):
        return _plane(unit)
    if isinstance(unit, TermsUnit):
        return _terms(unit)
    if isinstance(unit, LevelUnit):
        return _levels(unit)
    if isinstance(unit, RequantUnit):
        return _requant(unit)
    if isinstance(unit, SumPoolUnit):
        return _sum_pool(unit)
    if isinstance(unit, PoolUnit):
        return _pool(unit)
    return _branch(unit)


def _branch(unit: ForkUnit | AddUnit | ConcatUnit | AbsSumUnit | MultiplyUnit) -> Resources:
    if isinstance(unit, ForkUnit):
        return Resources(lut=3 * unit.copies, ff=unit.copies)
    if isinstance(unit, AddUnit):
        return _add(unit)
    if isinstance(unit, ConcatUnit):
        return _concat(unit)
    return _abs_sum(unit) if isinstance(unit, AbsSumUnit) else _multiply(unit)


def _converter(unit: Converter) -> Resources:
    """A multiplexer over the places where a word may start, a history, a packet counter."""
    grain = gcd(unit.in_bits, unit.out_bits)
    in_words = ceil_div(unit.packet_bits, unit.in_bits)
    out_words = ceil_div(unit.packet_bits, unit.out_bits)
    counted = bool(unit.packet_bits % unit.in_bits or unit.packet_bits % unit.out_bits)
    if in_words == out_words == 1 or (unit.in_bits == unit.out_bits and not counted):
        return Resources()
    narrows = unit.in_bits >= unit.out_bits
    places = unit.in_bits // grain
    if unit.in_bits == unit.out_bits:
        places = 1
    tail = unit.packet_bits - (out_words - 1) * unit.out_bits
    # behind a multiplexer the mask of a packet's tail takes a LUT of its own
    masked = tail if not narrows else unit.out_bits if places > 1 else unit.out_bits - tail
    offset = clog2(max(places, unit.out_bits // grain))
    counter = clog2(out_words if narrows else in_words) if counted else 0
    lut = unit.out_bits * _mux(places) + (masked if counted and tail < unit.out_bits else 0)
    return Resources(
        lut=lut + 2 * offset + 2 * counter,
        ff=unit.out_bits - grain + offset + counter,
    )


def ring_resources(width: int, depth: int, copies: int, memory: Memory) -> Resources:
    """A window's ring: ``copies`` memories of ``depth`` words with a read register each."""
    if memory is Memory.BLOCK:
        return Resources(bram36=copies * block_ram(width, depth))
    return Resources(lut=copies * lut_ram(width, depth), ff=copies * width)


def _window(unit: Window) -> Resources:
    """Ring, two levels, an address for each copy, the loop counters, the mask of padded taps."""
    width, copies = unit.lanes * unit.bits, unit.taps_per_word
    geometry = unit.geometry
    frame = unit.height * unit.width * unit.words_per_pixel
    before = (geometry.pads.top * unit.width + geometry.pads.left) * unit.words_per_pixel
    level = clog2(unit.depth + frame + 2 * before + 1) + 1
    address = clog2(unit.depth)
    tap_groups = geometry.taps // copies
    loops = (unit.words_per_pixel, tap_groups, unit.repeats, unit.out_width, unit.out_height)
    counters = sum(clog2(n) for n in loops)
    wrap = 1.0 if unit.depth & (unit.depth - 1) == 0 else 2.0
    masked = copies * width if tap_groups > 1 or geometry.pads.any() else 0
    steps = 20 if tap_groups > 4 else 0  # the table of address steps between tap groups
    control = 2.5 * level + copies * wrap * address + counters + steps
    ring = ring_resources(width, unit.depth, copies, unit.memory)
    return ring + Resources(
        lut=masked + control, ff=2 * level + (copies + 1) * address + counters + copies + 2
    )


def _matrix(unit: MatrixUnit) -> Resources:
    """A PE is a popcount (2.25 LUT a lane, less its first nine) or a sum of codes, and an accumulator."""
    if unit.full:
        return _integer_matrix(unit)
    if unit.act_bipolar:
        sum_bits = clog2(unit.simd + 1)
        lanes = max(1.2 * unit.simd, 2.25 * unit.simd - 9)
    else:
        sum_bits = unit.act_bits + clog2(unit.simd) + 1
        lanes = 1.4 * unit.simd * sum_bits
    raw = unit.act_bipolar and not unit.thresholded
    return Resources(
        lut=unit.pe * (lanes + unit.acc_bits) + 6 + clog2(unit.folds),
        ff=unit.pe * (sum_bits + unit.start_bits + unit.acc_bits + raw) + 4 + clog2(unit.folds),
    )


def _integer_matrix(unit: MatrixUnit) -> Resources:
    """A PE adds weights by the signs, or products; those wait in registers, and the starts beside them.

    A product is a DSP with registers of its own, or for each bit of the code but one an adder of a
    weight; behind them is a tree of adders.
    """
    bits = clog2(unit.folds)
    product = unit.act_bits + unit.weight_bits
    sums = min(product + clog2(unit.simd), unit.acc_bits)
    registers = sums + unit.start_bits + unit.acc_bits
    if not unit.multiplies:
        lanes = unit.simd * (2.1 * unit.weight_bits + 1.4)
    else:
        lanes = 0 if unit.simd == 1 else sums + (unit.simd - 2) * 1.72 * product
        if not unit.dsps:
            lanes += unit.simd * (unit.act_bits - 1) * (2.3 * unit.weight_bits - 1.8)
            registers += unit.simd * product
        registers += unit.start_bits * (2 if unit.dsps else 1)
    return Resources(
        lut=unit.pe * (lanes + unit.acc_bits) + 6 + bits,
        ff=unit.pe * registers + 10 + bits,
        dsp=unit.dsps,
    )


def rom_resources(width: int, depth: int, memory: Memory) -> Resources:
    """A weight ROM with its address counter; a block ROM has a register behind it."""
    bits = clog2(depth)
    if memory is Memory.BLOCK:
        return Resources(lut=bits, ff=bits + 2 + width, bram36=block_ram(width, depth))
    return Resources(lut=lut_rom(width, depth) + bits, ff=bits + 1)


def _starts(unit: StartRom) -> Resources:
    """A LUT ROM; with position classes a counter for each axis and the tables behind them."""
    lines = unit.groups * unit.classes
    bits = clog2(lines)
    if unit.classes == 1:
        return Resources(lut=lut_rom(unit.width, lines) + 2 * bits, ff=2 * bits + 1)
    position = clog2(len(unit.row_class)) + clog2(len(unit.column_class))
    return Resources(
        lut=lut_rom(unit.width, lines) + 2 * bits + 3 * position, ff=bits + clog2(unit.groups) + position + 1
    )


def _plane(unit: PlaneUnit) -> Resources:
    """A comparison of a code with the term's plane, kept in a register: one LUT up to 3 bits."""
    if len(set(unit.planes)) == 1:
        # above half of the codes is the highest bit itself
        wire = unit.planes[0] + 1 == 1 << (unit.bits - 1)
        return Resources(lut=0 if wire else unit.lanes * ceil(unit.bits / 6))
    counters = clog2(unit.folds) + clog2(len(unit.planes)) + unit.bits
    compare = 1 if unit.bits <= 3 else ceil(unit.bits / 2)
    return Resources(lut=unit.lanes * compare + 2 * counters, ff=counters)


def _terms(unit: TermsUnit) -> Resources:
    """An accumulator that moves down a bit a word, or a DSP's multiplier and accumulator."""
    terms, counter = len(unit.coefficients), clog2(len(unit.coefficients))
    if unit.doubles:
        ff = unit.lanes * (unit.in_bits + terms) + counter + 1
        return Resources(lut=unit.lanes * (unit.in_bits + 0.5) + 2 * counter, ff=ff)
    # word, coefficient, product and sum are the DSP's own registers
    return Resources(lut=4 * counter + 3, ff=2 * counter + 3, dsp=unit.lanes)


def _levels(unit: LevelUnit) -> Resources:
    """A comparator of two variables a level, and the count of their results: a register behind each."""
    level = 0.65 * unit.in_bits + 1 + 0.05 * unit.levels
    return Resources(
        lut=unit.lanes * unit.levels * level + 4,
        ff=unit.lanes * (unit.levels + 1 + unit.out_bits) + 2,
    )


def _requant(unit: RequantUnit) -> Resources:
    """A multiplication in DSPs (25 x 18 bits signed, 48 to add), ties and the clamp in LUTs.

    Where one DSP does not hold it, the parts of the product and the sum are added in LUTs.
    """
    product = unit.in_bits + unit.multiplier_bits
    tiles = _multiplier_tiles(unit.in_bits, unit.multiplier_bits)
    total = max(product, unit.addend_bits) + 1
    alone = tiles == 1 and total <= 48
    clamp = unit.out_bits + 0.3 * max(total - unit.shift, 0)
    # whether all that is dropped is 0, and the code's lowest bit
    ties = 1 + unit.shift / 6 if unit.even else 0
    return Resources(
        lut=unit.lanes * (clamp + ties + (0 if alone else total)) + 6,
        ff=unit.lanes * (unit.addend_bits + unit.out_bits + (0 if alone else 2 * product)) + 6,
        dsp=unit.lanes * tiles,
    )


def _sum_pool(unit: SumPoolUnit) -> Resources:
    """An accumulator a lane, in front of it the sum of a word's taps with a register."""
    taps = unit.taps_per_word
    acc = min(unit.in_bits + clog2(taps * unit.tap_groups) + 1, unit.out_bits - unit.in_bipolar)
    word = min(unit.in_bits + clog2(taps) + 1, acc) if taps > 1 else 0
    adders = (taps - 1) * unit.in_bits + (acc if unit.tap_groups > 1 else 0)
    counters = clog2(unit.tap_groups) + 1
    return Resources(lut=unit.lanes * adders + 2 * counters, ff=unit.lanes * (acc + word) + counters)


def _code_pool(unit: PoolUnit) -> Resources:
    """A tree that compares and chooses, with a register, and a register that takes what is larger."""
    taps, bits = unit.taps_per_word, unit.bits
    counters = clog2(unit.tap_groups) + clog2(unit.words_per_pixel) + 1
    lane = (2 * bits - 2) * (taps - 1) + (bits if unit.tap_groups > 1 else 0)
    registers = bits * (2 if taps > 1 else 1)
    return Resources(lut=unit.lanes * lane + 2 * counters, ff=unit.lanes * registers + counters)


def _pool(unit: PoolUnit) -> Resources:
    """A tree of ORs a lane over the taps of a word and what came before."""
    several = unit.tap_groups > 1
    if unit.bits > 1:
        return _code_pool(unit)
    trees = ceil_div(unit.taps_per_word + several, 4) + several
    counters = clog2(unit.tap_groups) + clog2(unit.words_per_pixel)
    return Resources(lut=unit.lanes * trees + 2 * counters, ff=(unit.lanes if several else 0) + counters)


def _add(unit: AddUnit) -> Resources:
    """For each summand but the longest an adder as long as it lies beside others; the sum's register."""
    inputs = zip(unit.in_bits, unit.shifts, unit.in_signed, strict=True)
    tops = [shift + bits + (not signed) for bits, shift, signed in inputs]
    total = min(max(tops) + clog2(len(tops)), unit.out_bits)
    longest = tops.index(max(tops))
    several = len(tops) > 2
    adders = 0
    for i, bits in enumerate(unit.in_bits):
        beside = max(unit.shifts[longest] - unit.shifts[i], 0)
        if i != longest:
            adders += bits + 1 if several else max(bits + unit.in_bipolar[i] - beside, 0)
    return Resources(lut=unit.lanes * adders + 3, ff=unit.lanes * total + 1)


def _concat(unit: ConcatUnit) -> Resources:
    """An AND-OR of the inputs a bit, three to a LUT, whose choice is in registers."""
    inputs, counter = len(unit.words), clog2(max(unit.words))
    return Resources(
        lut=unit.lanes * unit.bits * ceil_div(inputs, 3) + inputs + 2 * counter, ff=inputs + counter
    )


def _abs_sum(unit: AbsSumUnit) -> Resources:
    """The sum of a word's magnitudes with a register, and an accumulator."""
    word = min(unit.in_bits + clog2(unit.lanes), unit.out_bits)
    acc = min(word + clog2(unit.words_per_pixel), unit.out_bits)
    counter = clog2(unit.words_per_pixel) + 2
    return Resources(lut=unit.lanes * 1.9 * unit.in_bits + acc + 2 * counter, ff=word + acc + counter)


def _multiply(unit: MultiplyUnit) -> Resources:
    """A multiplication in DSPs; where one does not hold it, parts of the product wait for others."""
    product = min(unit.in_bits + unit.factor_bits, unit.out_bits)
    tiles = _multiplier_tiles(unit.in_bits, unit.factor_bits)
    counter = clog2(unit.words_per_pixel) + 3
    waiting = unit.lanes * (product + 18) if tiles > 1 else 0
    return Resources(lut=2 * counter, ff=waiting + counter, dsp=unit.lanes * tiles)


def _multiplier_tiles(a: int, b: int) -> int:
    """DSPs (25 x 18 bits signed) of a product: a factor is cut into signed parts, the lower ones a bit
    shorter."""
    narrow, wide = sorted((a, b))
    return ceil_div(max(narrow - 1, 1), 17) * ceil_div(max(wide - 1, 1), 24)
