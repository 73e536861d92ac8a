"""The hardware units that a plan is made of; each names the RTL module that it is.

Everything is a frozen dataclass; ``plan.model`` says how words travel between them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Union

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.serial import later
from xnorhw.plan.branch_model import AbsSumUnit, AddUnit, ConcatUnit, ForkUnit, MultiplyUnit

__all__ = [
    "Converter",
    "LevelUnit",
    "MatrixUnit",
    "Memory",
    "PlaneUnit",
    "PoolUnit",
    "RequantUnit",
    "RomPart",
    "Spread",
    "StartRom",
    "SumPoolUnit",
    "TermsUnit",
    "Unit",
    "WeightRom",
    "Window",
    "ring_copies",
    "shares_codes",
    "takes_dsp",
]


class Memory(enum.Enum):
    """Where weights live."""

    LEAF = "leaf"  # built into the LUTs that add
    LUT = "lut"  # LUT ROM
    BLOCK = "block"  # block ROM
    TALL = "tall"  # block ROM in columns that are one block RAM high
    MIXED = "mixed"  # block ROM, and LUTs for what would fill no block
    ULTRA = "ultra"  # UltraRAM, written by the driver at start
    DDR = "ddr"  # streamed


@dataclass(frozen=True)
class Converter:
    """Changes the word width (RTL ``xh_width_converter``).

    The stream is cut into packets of ``packet_bits`` bits.  A packet arrives in
    ceil(packet_bits / in_bits) words and leaves in ceil(packet_bits / out_bits) words; bits
    of the last incoming word past the packet are dropped, bits of the last outgoing word
    past it are zero.
    """

    name: str
    in_bits: int
    out_bits: int
    packet_bits: int


def ring_copies(taps: int, repeats: int) -> int:
    """The fewest taps of a word that must be read at a time, where it is given ``repeats`` times.

    A divisor of ``taps``: in the clocks in which a word is given, the parts of the next one are read.
    """
    return next(copies for copies in range(1, taps + 1) if taps % copies == 0 and taps <= copies * repeats)


@dataclass(frozen=True)
class Spread:
    """Where in a window's word the taps of each of ``pixels`` output pixels are (RTL ``xh_spread``).

    The word has rows of ``row`` pixels, as many as ``kernel`` has.  Tap (y, x) of output pixel p is pixel
    first + p * stride + x * dilation of row y.  They leave pixel by pixel, each with its taps, or with
    ``taps_outer`` tap by tap, each of all pixels.
    """

    pixels: int
    kernel: tuple[int, int]
    row: int
    first: int
    stride: int
    dilation: int
    taps_outer: bool

    @property
    def taps(self) -> int:
        """Taps of one output pixel."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Window:
    """Sliding window over a ring of words (RTL ``xh_window``).

    Takes the map [height, width] in words of ``lanes`` elements of ``bits`` bits,
    ``words_per_pixel`` words a pixel, and gives for each output pixel in raster order
    words of ``taps_per_word`` taps (``taps_per_word * lanes * bits`` bits, the first tap
    lowest; taps are in the flattened order ky, kx).  Loop order for one output pixel:
    ``channels_outer`` False: repeats, tap groups, channel words (innermost); True: channel
    words, tap groups (innermost), ``repeats`` being 1.  With ``slices`` > 1 (groups of a
    convolution; ``channels_outer`` False) a pixel's words are that many equal parts, and the
    loop is slices, repeats, tap groups, words of the slice.  A tap on padding reads
    ``pad_word`` (one int of words_per_pixel * lanes * bits bits).  The ring holds
    ``depth`` words; the unit takes the words of the next frames while it drains this one.

    ``spread``: a pixel here is a word of several pixels of a row (``plan.rows``), a window is one word, and
    what leaves are the taps of several output pixels.
    """

    name: str
    bits: int
    lanes: int
    words_per_pixel: int
    height: int
    width: int
    geometry: WindowGeometry
    out_height: int
    out_width: int
    taps_per_word: int
    repeats: int
    channels_outer: bool
    depth: int
    pad_word: str
    memory: Memory = Memory.LUT
    slices: int = 1
    spread: Spread | None = later(None)

    @property
    def out_lanes(self) -> int:
        """Elements of a word that leaves."""
        if self.spread is None:
            return self.taps_per_word * self.lanes
        channels = self.lanes * self.geometry.kernel[1] // self.spread.row
        return self.spread.pixels * self.spread.taps * channels

    @property
    def out_words_per_pixel(self) -> int:
        """Words given for one output pixel."""
        return self.repeats * (self.geometry.taps // self.taps_per_word) * self.words_per_pixel

    @property
    def copies(self) -> int:
        """Copies of the ring: as many taps are read at a time, fewer than a word's if a register holds it."""
        held = self.words_per_pixel == 1 and self.taps_per_word == self.geometry.taps
        return ring_copies(self.taps_per_word, self.repeats if held and not self.channels_outer else 1)


def takes_dsp(act_bits: int, weight_bits: int) -> bool:
    """True where a DSP multiplies an activation by an integer: LUTs do with fewer bits, and with 4 by 4."""
    return min(act_bits, weight_bits) >= 4 and act_bits + weight_bits >= 9


def shares_codes(pe: int, simd: int) -> bool:
    """True where the PEs of a matrix unit with binary weights on codes share sums of pairs of them."""
    return pe > 1 and simd > 1


@dataclass(frozen=True)
class MatrixUnit:
    """PE x SIMD products, accumulate, threshold (RTL ``xh_mvu``).

    For each pixel, for each of ``groups`` channel groups, for each of ``folds`` words:
    takes one activation word (SIMD x act_bits) and one weight word (PE x SIMD x weight_bits
    bits, PE p at bits p*SIMD*weight_bits, its element i at i*weight_bits from there); takes
    one start word (PE x start_bits, signed) a group; gives one word of PE x out_bits a group.

    Bipolar activations (``act_bipolar``): p = popcount(xnor).  Codes: sum of +code or
    -code by the weight bit.  ``thresholded``: the accumulator starts at the start value,
    the output bit is acc >= 0.  Otherwise the sum leaves, sign-extended to ``out_bits``:
    bipolar 2p + start, codes sum + start.  ``acc_bits`` holds every partial value of the
    accumulator (raw bipolar: of p + (start >> 1)).

    ``weight_bits`` of 1: binary weights, as above.  2 to 8: integer weights in two's
    complement; a word adds the sum of activation times weight, bipolar activations being
    -1 and +1, and a sum that leaves is start + sum (no 2p form).

    ``lut6_2``: binary products are counted by a netlist of 6-input LUTs with two outputs
    (``plan.compressor``), not by the portable unit; ``count_stages``: registers inside of a count.
    ``leaf``: the weights are built into its adders (RTL: a generated module around ``xh_mvu``).  What
    is on its port "weights" then is a ``WeightRom`` that is no hardware: it says which weights.
    ``dsp_pes``: the sums of the first so many PEs, of codes with binary weights, are formed by columns of
    DSPs (RTL ``xh_code_columns``), each for ``packed`` PEs.

    ``pixels``: so many output pixels at once, each with SIMD activations, PE starts and PE results of its
    own, pixel by pixel in their words; the weights are those of all.  One fold, one group.
    """

    name: str
    pe: int
    simd: int
    act_bits: int
    act_signed: bool
    act_bipolar: bool
    folds: int
    groups: int
    start_bits: int
    acc_bits: int
    thresholded: bool
    out_bits: int
    weight_bits: int = later(1)
    leaf: bool = later(False)
    lut6_2: bool = later(False)
    count_stages: int = later(0)
    dsp_pes: int = later(0)
    packed: int = later(0)
    pixels: int = later(1)

    @property
    def rows(self) -> int:
        """Results of a word: PE of each pixel."""
        return self.pe * self.pixels

    @property
    def full(self) -> bool:
        """True where the weights are integers, not signs."""
        return self.weight_bits > 1

    @property
    def multiplies(self) -> bool:
        """True where activations are multiplied by integers: a stage of products stands in front."""
        return self.full and not self.act_bipolar

    @property
    def dsps(self) -> int:
        """The DSPs: one a product, where the factors are wide enough for one; one a code of a column."""
        if self.dsp_pes:
            return -(-self.dsp_pes // self.packed) * self.simd
        wide = takes_dsp(self.act_bits, self.weight_bits)
        return self.rows * self.simd if self.multiplies and wide else 0


@dataclass(frozen=True)
class RomPart:
    """Bits ``low`` to ``low + width - 1`` of a ROM's ``words`` words from word ``first`` on, in a memory
    of their own: ``Memory.BLOCK`` from word 0 on, or ``Memory.LUT``."""

    low: int
    width: int
    first: int
    words: int
    memory: Memory


@dataclass(frozen=True)
class WeightRom:
    """Gives ``depth`` weight words of ``width`` bits over and over (RTL ``xh_weight_rom``).

    In ``Memory.LEAF`` they are part of the matrix unit that it feeds, and it is no unit of the RTL.
    ``luts``: its columns are LUTs by name, for a device with 6-input LUTs (RTL: a generated module);
    else a ROM of LUTs is what a synthesiser makes of a table.  ``parts``: the memories that it is cut
    into in ``Memory.TALL`` and ``Memory.MIXED`` (RTL: a generated module too), each bit of each word in one.
    """

    name: str
    width: int
    depth: int
    memory: Memory
    file: str
    luts: bool = later(False)
    parts: tuple[RomPart, ...] = later(())


@dataclass(frozen=True)
class StartRom:
    """Gives the accumulators' start words (RTL ``xh_start_rom``).

    The ROM holds classes x groups words of ``width`` bits.  For output pixel (y, x) the
    class is row_class[y] * column_classes + column_class[x]; it gives the words of that
    class's groups in order, frame after frame.  One class: the pixels do not matter.  ``luts`` as
    of a ``WeightRom``.
    """

    name: str
    width: int
    groups: int
    row_class: tuple[int, ...]
    column_class: tuple[int, ...]
    row_classes: int
    column_classes: int
    file: str
    luts: bool = later(False)

    @property
    def classes(self) -> int:
        """Number of position classes."""
        return self.row_classes * self.column_classes


@dataclass(frozen=True)
class PlaneUnit:
    """Codes to one bipolar plane of them a term (RTL ``xh_plane``).

    Takes words of ``lanes`` codes of ``bits`` bits, unsigned, gives words of ``lanes`` bits:
    code > planes[t].  t goes round the terms, ``folds`` words each.
    """

    name: str
    lanes: int
    bits: int
    folds: int
    planes: tuple[int, ...]


@dataclass(frozen=True)
class TermsUnit:
    """Weighted sum of the terms that a matrix unit gives in turn (RTL ``xh_terms``).

    Takes len(coefficients) words of ``lanes`` signed sums of ``in_bits``, word t times
    coefficients[t], and gives their sum as one word of ``lanes`` x ``out_bits``.
    """

    name: str
    lanes: int
    in_bits: int
    coefficients: tuple[int, ...]
    out_bits: int

    @property
    def doubles(self) -> bool:
        """True where the coefficients are 1, 2, 4, ...: no multiplier is built."""
        return self.coefficients == tuple(1 << t for t in range(len(self.coefficients)))


@dataclass(frozen=True)
class LevelUnit:
    """Signed sums to codes: how many of a channel's levels a sum has passed (RTL ``xh_levels``).

    Takes one word of ``lanes`` x ``in_bits``, and on its port "levels" one word of ``lanes`` x
    (``levels`` * ``in_bits`` + 1) bits: a lane's levels, lowest first, then its flip.  A level t
    is passed where (s >= t) differs from the flip; the code is their number, ``out_bits`` wide.
    """

    name: str
    lanes: int
    in_bits: int
    levels: int
    out_bits: int


@dataclass(frozen=True)
class RequantUnit:
    """Signed sums to codes by one multiplication (RTL ``xh_requant``).

    clamp((s * multiplier + addend) >> shift, low, high), ``out_bits`` wide, two's complement
    where ``low`` is negative.  Takes one word of ``lanes`` x ``in_bits``, and on its port
    "factors" one word of ``lanes`` x (``multiplier_bits`` + ``addend_bits``), the multiplier
    lowest, both signed.  ``even``: where every bit that the shift drops is 0, the lowest bit
    that it leaves is 0 as well.
    """

    name: str
    lanes: int
    in_bits: int
    multiplier_bits: int
    addend_bits: int
    shift: int
    low: int
    high: int
    out_bits: int
    even: bool = later(False)


@dataclass(frozen=True)
class SumPoolUnit:
    """Per lane the sum over a window's taps (RTL ``xh_sum_pool``), as ``PoolUnit`` takes them.

    Codes of ``in_bits``, signed or not or bipolar (bit 1 is +1, bit 0 is -1); sums are signed,
    ``out_bits`` wide.
    """

    name: str
    lanes: int
    in_bits: int
    in_signed: bool
    in_bipolar: bool
    taps_per_word: int
    tap_groups: int
    words_per_pixel: int
    out_bits: int


@dataclass(frozen=True)
class PoolUnit:
    """Per lane maximum (minimum where ``invert`` has a one) over a window's taps (RTL ``xh_pool``).

    Takes ``tap_groups`` words of ``taps_per_word`` taps of ``lanes`` elements for each channel
    word, gives one word of ``lanes`` elements of ``bits`` bits, unsigned, or two's complement
    where ``signed``.  ``invert`` is an int
    in hex of words_per_pixel * lanes bits.  On one bit these are OR and AND.
    """

    name: str
    lanes: int
    taps_per_word: int
    tap_groups: int
    words_per_pixel: int
    invert: str
    bits: int = 1
    signed: bool = False


Unit = Union[
    Converter, Window, MatrixUnit, WeightRom, StartRom, PlaneUnit, TermsUnit, LevelUnit, RequantUnit,
    SumPoolUnit, PoolUnit, ForkUnit, AddUnit, ConcatUnit, AbsSumUnit, MultiplyUnit,
]  # fmt: skip
