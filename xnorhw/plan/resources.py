"""What units cost: LUT, FF, block RAM, by formula.

The formulas follow the structure of the RTL; their constants were fitted to yosys 0.70,
``synth_xilinx -family xc7 -flatten -noiopad -noclkbuf``, on the units by themselves (the
counts and the band within which the formulas must lie are in tests/plan).  Vivado counts
differ; UltraScale+ has the same 6-input LUTs and block RAMs.
"""

from __future__ import annotations

from math import ceil, gcd

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.matrix_cost import count_cost, matrix_resources
from xnorhw.plan.memory_cost import (
    block_ram,
    clog2,
    fifo_in_block_ram,
    fifo_resources,
    lut_ram,
    lut_rom,
    mux,
    ring_resources,
    rom_resources,
    start_resources,
)
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
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
from xnorhw.plan.rom_parts import parts_resources

__all__ = [
    "block_ram",
    "count_cost",
    "fifo_in_block_ram",
    "fifo_resources",
    "lut_ram",
    "lut_rom",
    "ring_resources",
    "rom_resources",
    "unit_resources",
]


def unit_resources(unit: Unit) -> Resources:
    """The cost of one unit."""
    if isinstance(unit, Converter):
        return _converter(unit)
    if isinstance(unit, Window):
        return _window(unit)
    if isinstance(unit, MatrixUnit):
        return matrix_resources(unit)
    if isinstance(unit, WeightRom):
        if unit.parts:
            return parts_resources(unit.depth, unit.parts)
        return rom_resources(unit.width, unit.depth, unit.memory, unit.luts)
    if isinstance(unit, StartRom):
        return start_resources(unit)
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


# yosys builds products of fewer bits in LUTs.
_DSP_PRODUCT = 9


def choice(places: int, width: int) -> float:
    """LUTs that choose ``width`` bits from one of ``places`` that lie one behind the other.

    A multiplexer a bit, or where there are many bits a shifter of a stage a bit of the choice.
    """
    if places <= 8:
        return width * mux(places)
    if places < 16:
        return width * 0.31 * (places - 1)
    stages = clog2(places)
    share = 1.17 if width >= 32 else 1.55 if places <= 32 else 1.38
    return min(width * (0.36 * places + 1.2), share * (stages * width + places - stages))


def _converter(unit: Converter) -> Resources:
    """A multiplexer over the places where a word may start, a history, a packet counter."""
    grain = gcd(unit.in_bits, unit.out_bits)
    in_words = ceil_div(unit.packet_bits, unit.in_bits)
    out_words = ceil_div(unit.packet_bits, unit.out_bits)
    counted = bool(unit.packet_bits % unit.in_bits or unit.packet_bits % unit.out_bits)
    if in_words == out_words == 1 or (unit.in_bits == unit.out_bits and not counted):
        return Resources()
    narrows = unit.in_bits >= unit.out_bits
    if counted and out_words == 1 and not narrows:
        # a packet that leaves as one word stands at one place
        bits = clog2(in_words)
        return Resources(lut=1.3 * bits + 2, ff=(in_words - 1) * unit.in_bits + bits)
    places = unit.in_bits // grain
    if unit.in_bits == unit.out_bits:
        places = 1
    tail = unit.packet_bits - (out_words - 1) * unit.out_bits
    # behind a multiplexer the mask of a packet's tail takes a LUT of its own
    masked: float = unit.out_bits - tail if narrows else tail
    if (places > 1) == narrows:
        masked = unit.out_bits
    if places == 5:
        masked = unit.out_bits / 4  # five places and what chooses leave room for it in two LUTs
    offset = clog2(max(places, unit.out_bits // grain))
    counter = clog2(out_words if narrows else in_words) if counted else 0
    lut = choice(places, unit.out_bits) + (masked if counted and tail < unit.out_bits else 0)
    return Resources(
        lut=lut + (2 * offset if places > 1 else min(2 * offset, 5)) + 1.3 * counter + 1,
        ff=unit.out_bits - grain + offset + counter,
    )


def _window(unit: Window) -> Resources:
    """Ring, one level or two, an address for each copy, the loop counters, the register that holds a word."""
    width, copies = unit.lanes * unit.bits, unit.copies
    geometry, words = unit.geometry, unit.words_per_pixel
    row = unit.width * words
    frame = unit.height * row
    reach_y, reach_x = ((k - 1) * d for k, d in zip(geometry.kernel, geometry.dilation, strict=True))
    span = reach_y * row + (reach_x + 1) * words
    line = (unit.out_width - 1) * geometry.stride[1] * words
    last = (unit.out_height - 1) * geometry.stride[0] * row + line
    steps = (geometry.stride[1] * words, geometry.stride[0] * row - line, frame - last)
    level = clog2(span + max(steps) + 1) + 1
    # a window that reaches over the edge needs the second level, and asks where each tap lies
    padded = geometry.pads.any()
    written = clog2(2 * frame + 1) + 1 if padded else 0
    address, power = clog2(unit.depth), unit.depth & (unit.depth - 1) == 0
    groups, parts = geometry.taps // copies, unit.taps_per_word // copies
    loops = (words, groups, unit.repeats, unit.out_width, unit.out_height)
    uneven = sum(clog2(n) for n in loops if n & (n - 1))
    # an address that moves by one for every word of a power of two is a carry chain alone
    counts = power and (groups, unit.repeats, words) == (1, 1, 1) and len(set(steps)) == 1
    moves = 0.0 if counts else 0.8 if power else 1.5
    held = Resources()
    if parts > 1:
        held = Resources(lut=3 * parts + 8, ff=(2 * parts - 1) * copies * width)
    control = 3 + 1.7 * level + moves * copies * address + 1.3 * uneven
    control += (3 * sum(geometry.kernel) if padded else 0) - (8 if geometry.taps == 1 else 0)
    return (ring_resources(width, unit.depth, copies, unit.memory) + held) + Resources(
        lut=control,
        ff=level + written + (copies + 1) * address + sum(clog2(n) for n in loops) + 2,
    )


def _plane(unit: PlaneUnit) -> Resources:
    """A comparison of a code with the term's plane, kept in a register: one LUT up to 3 bits."""
    if len(set(unit.planes)) == 1:
        # above half of the codes is the highest bit itself
        wire = unit.planes[0] + 1 == 1 << (unit.bits - 1)
        return Resources(lut=0 if wire else unit.lanes * ceil(unit.bits / 6))
    counters = clog2(unit.folds) + clog2(len(unit.planes))
    # bits above the highest plane's are an OR
    above = unit.bits - max(unit.planes).bit_length()
    compare = 1 if unit.bits <= 3 else max(1, unit.bits - 1 - above)
    return Resources(lut=unit.lanes * compare + counters, ff=counters + unit.bits)


def _terms(unit: TermsUnit) -> Resources:
    """An accumulator that moves down a bit a word, or a DSP's multiplier and accumulator."""
    terms, counter = len(unit.coefficients), clog2(len(unit.coefficients))
    if unit.doubles:
        ff = unit.lanes * (unit.in_bits + terms) + counter + 1
        return Resources(lut=unit.lanes * (unit.in_bits + 0.25) + 2 * counter, ff=ff)
    single = abs(unit.coefficients[0])
    if terms == 1 and single & (single - 1) == 0:
        # a shift, and its sign in the carries
        return Resources(lut=4, ff=3 * unit.lanes * unit.in_bits + 3)
    factor = max((c if c >= 0 else ~c).bit_length() for c in unit.coefficients) + 1
    word, product = min(unit.in_bits, unit.out_bits), min(unit.in_bits + factor, unit.out_bits)
    if product < _DSP_PRODUCT:
        return _terms_in_luts(unit, word, min(factor, unit.out_bits), product)
    # word, coefficient, product and sum are the DSP's own registers; more than four coefficients are a table
    table = 10 if counter > 2 else 0
    return Resources(lut=min(8 * counter, 26), ff=2 * counter + 3 + table, dsp=unit.lanes)


def _terms_in_luts(unit: TermsUnit, word: int, factor: int, product: int) -> Resources:
    """Multipliers of few bits and adders: of two coefficients half of a multiplier is left, of one less."""
    terms, counter = len(unit.coefficients), clog2(len(unit.coefficients))
    acc = min(product + counter, unit.out_bits)
    if terms == 1:
        return Resources(lut=unit.lanes * 2 * word + 4, ff=unit.lanes * (word + 2 * product) + 3)
    lane = (0.75 if terms == 2 else 1.5) * word * factor + acc
    control = min(8 * counter, 26) - 4 if terms > 2 else 4
    return Resources(
        lut=unit.lanes * lane + control,
        ff=unit.lanes * (word + product + acc) + 2 * counter + 3 + factor,
    )


def _levels(unit: LevelUnit) -> Resources:
    """A comparator of two variables a level, and the count of their results: a register behind each.

    A comparator is a carry chain where that is shorter than LUTs alone.
    """
    compare = 2 / 3 * unit.in_bits + 1
    compare = max(compare, min(unit.in_bits - 1 / 3, 19 / 3))
    return Resources(
        lut=unit.lanes * unit.levels * (compare + 0.05 * unit.levels) + 5,
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
    # a LUT a bit of the code, and whether what lies above it is out of range
    above = max(total - unit.shift - unit.out_bits, 0)
    clamp = unit.out_bits + max(0.75 * above - 2.2, 1) + (3.7 if unit.low < 0 else 0)
    # whether all that is dropped is 0, and the code's lowest bit
    ties = 1 + ceil_div(unit.shift, 6) if unit.even else 0
    parts = 2 * product - 8 + (unit.shift if unit.even else 0)
    return Resources(
        lut=unit.lanes * (clamp + ties + (0 if alone else total)) + 7,
        ff=unit.lanes * (unit.addend_bits + unit.out_bits + (0 if alone else parts)) + 4,
        dsp=unit.lanes * tiles,
    )


def _sum_pool(unit: SumPoolUnit) -> Resources:
    """An accumulator a lane, in front of it the sum of a word's taps with a register.

    Up to four taps are added one after the other; more go through compressors first, which take
    two LUTs a full adder, and signs are counted.
    """
    taps, bits = unit.taps_per_word, unit.in_bits
    acc = min(bits + clog2(taps * unit.tap_groups) + 1, unit.out_bits - unit.in_bipolar)
    word = min(bits + clog2(taps) + 1, acc) if taps > 1 else 0
    if taps > 3 and bits == 1:
        summed = 0.024 * taps**2 + 0.9 * taps - 2
    else:
        summed = bits * (taps - 1 if taps <= 4 else 1.66 * taps - 3.5)
    if unit.in_signed and taps > 2:
        summed += bits + 1
    counters = clog2(unit.tap_groups) + 1
    return Resources(
        lut=unit.lanes * (summed + (acc if unit.tap_groups > 1 else 0)) + 2 * counters,
        ff=unit.lanes * (acc + word) + counters,
    )


def _code_pool(unit: PoolUnit) -> Resources:
    """A tree that compares and chooses, with a register, and a register that takes what is larger.

    A choice of two is a comparison in LUTs and a multiplexer; with few bits it is a LUT or two.
    """
    taps, bits, several = unit.taps_per_word, unit.bits, unit.tap_groups > 1
    if bits == 2:
        lane = 4.0 if several and taps == 2 else 1.25 * (taps - 1) + several * (1 if taps == 1 else 0.5)
    elif bits == 3:
        lane = 3.0 * (taps - 1) + (4 if taps == 1 else 2)
    else:
        lane = (2 * bits - 2) * (taps - 1) + several * (4 if bits <= 5 else 0.75 * bits + 0.6)
    counters = _pool_counters(unit) + 1
    registers = bits * (2 if taps > 1 else 1)
    return Resources(lut=unit.lanes * lane + 2 * counters, ff=unit.lanes * registers + counters)


def _pool_counters(unit: PoolUnit) -> int:
    """Bits of the loop counters: words are told apart where their lanes are inverted differently."""
    invert, every = int(unit.invert, 16), (1 << unit.lanes) - 1
    words = {invert >> (i * unit.lanes) & every for i in range(unit.words_per_pixel)}
    return clog2(unit.tap_groups) + (clog2(unit.words_per_pixel) if len(words) > 1 else 0)


def _pool(unit: PoolUnit) -> Resources:
    """A tree of ORs a lane over the taps of a word and what came before."""
    several = unit.tap_groups > 1
    if unit.bits > 1:
        return _code_pool(unit)
    trees = ceil_div(unit.taps_per_word + several, 4) + several
    counters = _pool_counters(unit)
    return Resources(lut=unit.lanes * trees + 2 * counters, ff=(unit.lanes if several else 0) + counters)


def _add(unit: AddUnit) -> Resources:
    """One summand after the other: an adder as long as both lie beside each other; the sum's register."""
    inputs = zip(unit.in_bits, unit.shifts, unit.in_signed, strict=True)
    tops = [shift + bits + (not signed) for bits, shift, signed in inputs]
    total = min(max(tops) + clog2(len(tops)), unit.out_bits)
    if len(tops) == 2:
        longest = tops.index(max(tops))
        other = 1 - longest
        beside = max(unit.shifts[longest] - unit.shifts[other], 0)
        adders = max(unit.in_bits[other] + unit.in_bipolar[other] - beside, 0)
    else:
        adders, width, lowest = 0, tops[0], unit.shifts[0]
        for i in range(1, len(tops)):
            below = abs(unit.shifts[i] - lowest)
            width, lowest = max(width, tops[i]) + 1, min(lowest, unit.shifts[i])
            adders += width - 1 - below - unit.in_bipolar[i] - (not unit.in_signed[i])
    return Resources(lut=unit.lanes * adders + 3, ff=unit.lanes * total + 1)


def _concat(unit: ConcatUnit) -> Resources:
    """An AND-OR of the inputs a bit, whose choice is in registers: two inputs of a LUT for each, and
    one for the LUT before."""
    inputs, counter = len(unit.words), clog2(max(unit.words))
    return Resources(
        lut=unit.lanes * unit.bits * ceil_div(2 * inputs - 1, 5) + 2 * inputs + counter + 1,
        ff=inputs + counter,
    )


def _abs_sum(unit: AbsSumUnit) -> Resources:
    """The sum of a word's magnitudes with a register, and an accumulator."""
    several = unit.words_per_pixel > 1
    word = min(unit.in_bits + clog2(unit.lanes), unit.out_bits)
    acc = min(word + clog2(unit.words_per_pixel), unit.out_bits)
    counter = clog2(unit.words_per_pixel) + 2
    # lanes that hold nothing in the last word are not built where there is no other
    lanes = unit.lanes if several else unit.last_lanes
    adders = (lanes if lanes <= 2 else 2 * lanes - 1) * unit.in_bits
    # they are held back in the last word else
    held = 1.7 * (unit.lanes - unit.last_lanes) if several else 0
    return Resources(lut=adders + 1 + held + (unit.in_bits + 7 if several else 0), ff=word + acc + counter)


def _multiply(unit: MultiplyUnit) -> Resources:
    """A multiplication in DSPs; where one does not hold it, parts of the product wait for others, and
    of four they are added in LUTs."""
    product = min(unit.in_bits + unit.factor_bits, unit.out_bits)
    tiles = _multiplier_tiles(unit.in_bits, unit.factor_bits)
    counter = clog2(unit.words_per_pixel) + 3
    waiting = 0 if tiles == 1 else product + 18 if tiles == 2 else 2 * product
    added = product - 17 if tiles > 2 else 0
    return Resources(
        lut=unit.lanes * added + (6 if unit.words_per_pixel == 1 else 8),
        ff=unit.lanes * waiting + counter,
        dsp=unit.lanes * tiles,
    )


def _multiplier_tiles(a: int, b: int) -> int:
    """DSPs (25 x 18 bits signed) of a product: a factor is cut into signed parts, the lower ones a bit
    shorter."""
    narrow, wide = sorted((a, b))
    return ceil_div(max(narrow - 1, 1), 17) * ceil_div(max(wide - 1, 1), 24)
