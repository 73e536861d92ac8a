"""The vocabulary of the C++ core: its stages, the streams between them, the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from xnorhw.plan.hls_branches import AbsSum, Add, Concat, Fork, Multiply
from xnorhw.plan.hls_stage import HlsStream, StageBase
from xnorhw.plan.model import (
    LevelUnit,
    MatrixUnit,
    Memory,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)

__all__ = [
    "AbsSum",
    "Add",
    "Codes",
    "Concat",
    "Convert",
    "Fork",
    "HlsDesign",
    "HlsStream",
    "Levels",
    "Lines",
    "Matrix",
    "Multiply",
    "Planes",
    "Pool",
    "Replay",
    "Requant",
    "Stage",
    "SumPool",
    "Taps",
    "Terms",
]


@dataclass(frozen=True)
class Convert(StageBase):
    """Changes the word width; see ``plan.model.Converter``.

    Widths are handled in grains of gcd(in, out) bits.  ``tail_bits`` of the last word out of
    a packet carry bits of the packet.  ``flushes``: that word may still be due when the
    packet's last word has come in; it leaves with the next packet's first.
    """

    in_bits: int
    out_bits: int
    packets: int
    in_words: int
    out_words: int
    grain: int
    tail_bits: int
    flushes: bool
    kind: str = "convert"

    @property
    def widens(self) -> bool:
        """True where words get longer."""
        return self.in_bits < self.out_bits

    @property
    def buffer_bits(self) -> int:
        """Bits that wait and a word more."""
        return self.in_bits + self.out_bits - self.grain

    @property
    def plain(self) -> bool:
        """True where each of the wide words is a whole number of the narrow ones."""
        whole = self.in_words * self.in_bits == self.out_words * self.out_bits
        whole = whole and self.tail_bits == self.out_bits
        return whole and self.grain == min(self.in_bits, self.out_bits)

    @property
    def rounds(self) -> int:
        """Wide words a frame."""
        return self.packets * min(self.in_words, self.out_words)

    @property
    def parts(self) -> int:
        """Narrow words a wide one."""
        return max(self.in_bits, self.out_bits) // self.grain


@dataclass(frozen=True)
class Codes(StageBase):
    """Takes codes of ``code_bits`` out of ``lanes`` lanes of ``lane_bits``; ``words`` a frame."""

    lanes: int
    lane_bits: int
    code_bits: int
    words: int
    kind: str = "codes"


@dataclass(frozen=True)
class Lines(StageBase):
    """The delay lines of a sliding window: a word in, all taps of a window out.

    Pixels are numbered in raster order over rows of ``columns`` pixels, which are longer
    than the map's ``width`` where windows of one row would otherwise leave after the first
    of the next.  ``positions`` of them a frame; a window leaves with the pixel ``first`` +
    what ``step_pixel`` and ``step_row`` add.  ``line_words`` is the delay from one row of
    taps to the next, ``column_words`` that from tap to tap in a row.  ``window_depth`` is the
    depth of the stream to the ``Taps`` behind it, 0 where there is none.
    """

    window: Window
    columns: int
    positions: int
    first: int
    step_pixel: int
    step_row: int
    line_words: int
    column_words: int
    window_depth: int
    kind: str = "lines"

    @property
    def word_bits(self) -> int:
        """Bits of one tap."""
        return self.window.lanes * self.window.bits

    @property
    def taps_bits(self) -> int:
        """Bits of all taps."""
        return self.window.geometry.taps * self.word_bits

    @property
    def clipped(self) -> bool:
        """True where some window hangs over the map's edge."""
        return self.window.geometry.pads.any() or any(end > size for end, size in self._ends)

    @property
    def place_bits(self) -> int:
        """Bits of a signed number that holds every tap's row and column."""
        ends = [end for end, _ in self._ends]
        pads = self.window.geometry.pads
        return max(*ends, pads.top, pads.left).bit_length() + 1

    @property
    def _ends(self) -> tuple[tuple[int, int], ...]:
        """For rows and columns: the place past the last window's last tap, and the map's size."""
        w, g = self.window, self.window.geometry
        spots = (w.out_height, g.pads.top, w.height), (w.out_width, g.pads.left, w.width)
        return tuple(
            ((out - 1) * g.stride[i] - pad + (g.kernel[i] - 1) * g.dilation[i] + 1, size)
            for i, (out, pad, size) in enumerate(spots)
        )


@dataclass(frozen=True)
class Taps(StageBase):
    """Gives the taps of a window in words of ``word_bits``, ``groups`` of them a window word.

    For each of ``pixels``: takes ``words`` window words; gives them ``repeats`` times, tap
    groups outside of words; with ``words_outer`` tap groups inside.  Each slice of a pixel is
    one by itself.
    """

    pixels: int
    repeats: int
    groups: int
    words: int
    word_bits: int
    words_outer: bool
    kind: str = "taps"


@dataclass(frozen=True)
class Replay(StageBase):
    """Gives each of ``blocks`` of ``words`` words ``repeats`` times."""

    blocks: int
    words: int
    repeats: int
    word_bits: int
    memory: Memory
    kind: str = "replay"


@dataclass(frozen=True)
class Matrix(StageBase):
    """A matrix unit with its ROMs; ``rows`` x ``columns`` output pixels.

    ``terms``: how many of its channel groups in a row are the terms of one.
    """

    unit: MatrixUnit
    weights: WeightRom
    starts: StartRom
    rows: int
    columns: int
    terms: int
    kind: str = "matrix"

    @property
    def row_bits(self) -> int:
        """Bits of a weight word's part for one PE."""
        return self.unit.simd * self.unit.weight_bits


@dataclass(frozen=True)
class Pool(StageBase):
    """A pool unit over ``pixels`` output pixels."""

    unit: PoolUnit
    pixels: int
    kind: str = "pool"


@dataclass(frozen=True)
class SumPool(StageBase):
    """A sum pool over ``words`` output words."""

    unit: SumPoolUnit
    words: int
    kind: str = "sum_pool"


@dataclass(frozen=True)
class Planes(StageBase):
    """A plane unit: ``rounds`` times all of its terms."""

    unit: PlaneUnit
    rounds: int
    kind: str = "planes"


@dataclass(frozen=True)
class Terms(StageBase):
    """A terms unit over ``words`` output words."""

    unit: TermsUnit
    words: int
    kind: str = "terms"


@dataclass(frozen=True)
class _Quantiser(StageBase):
    """What makes codes of sums, a word a word of ``table``, which is gone through ``rounds`` times."""

    table: WeightRom
    rounds: int


@dataclass(frozen=True)
class Levels(_Quantiser):
    """A level unit with its table."""

    unit: LevelUnit
    kind: str = "levels"

    @property
    def lane_bits(self) -> int:
        """Bits of the table for one lane: the levels, lowest first, then the flip."""
        return self.unit.levels * self.unit.in_bits + 1


@dataclass(frozen=True)
class Requant(_Quantiser):
    """A requantisation unit with its table."""

    unit: RequantUnit
    kind: str = "requant"

    @property
    def lane_bits(self) -> int:
        """Bits of the table for one lane: the multiplier, then the addend."""
        return self.unit.multiplier_bits + self.unit.addend_bits

    @property
    def scaled_bits(self) -> int:
        """Bits that hold every sum times its multiplier plus its addend."""
        return max(self.unit.in_bits + self.unit.multiplier_bits, self.unit.addend_bits) + 1

    @property
    def code_bits(self) -> int:
        """Bits that hold what is left after the shift, and both bounds."""
        return max(self.scaled_bits, self.unit.out_bits + 1)

    @property
    def tie_bits(self) -> int:
        """Bits of the scaled sum that the shift drops; all of them are 0 at a tie."""
        return min(self.unit.shift, self.scaled_bits)


Stage = Union[
    Convert,
    Codes,
    Lines,
    Taps,
    Replay,
    Matrix,
    Pool,
    SumPool,
    Planes,
    Terms,
    Levels,
    Requant,
    Fork,
    Add,
    Concat,
    AbsSum,
    Multiply,
]


@dataclass(frozen=True)
class HlsDesign:
    """The stages, each behind those whose words it reads; the first reads the core's input.

    ``cycles_per_frame`` is the slowest stage's: what the streams' depths are made to reach.
    """

    stages: tuple[Stage, ...]
    cycles_per_frame: int

    @property
    def streams(self) -> tuple[HlsStream, ...]:
        """The streams between the stages, in the order of those that write them."""
        return tuple(stream for stage in self.stages[:-1] for stream in stage.targets)

    @property
    def is_chain(self) -> bool:
        """True where no stream parts or meets another."""
        return all(len(stage.sources) == len(stage.targets) == 1 for stage in self.stages)
