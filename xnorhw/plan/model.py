"""The plan: hardware units, the jobs they run, the edges between them, the weight image.

A plan holds decisions and figures, no bits: ``pack`` turns it and the integer graph into
words, ``emit`` prints it.  Everything is a frozen dataclass and serialises with
``ir.serial``.

Words on a stream.  A tensor travels pixel by pixel in raster order, channels innermost,
``lanes`` elements a word, lane 0 in the lowest bits; a pixel takes ceil(channels / lanes)
words.  Lanes past the last channel are undefined behind a matrix unit or a pool and zero
behind a converter.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Union

from xnorhw.ir.geometry import WindowGeometry

__all__ = [
    # the whole
    "Figures",
    "Frame",
    "Job",
    "LayerPlan",
    "Plan",
    # units
    "Converter",
    "LevelUnit",
    "MatrixUnit",
    "Memory",
    "PlaneUnit",
    "PoolUnit",
    "RequantUnit",
    "StartRom",
    "SumPoolUnit",
    "TermsUnit",
    "Unit",
    "WeightRom",
    "Window",
    # edges
    "Buffer",
    "DdrBuffer",
    "Edge",
    "Fifo",
    "Storage",
    "Stream",
    # weight image
    "Segment",
    "WeightImage",
    # figures
    "Resources",
]


class Memory(enum.Enum):
    """Where weights live."""

    LEAF = "leaf"  # built into the LUTs that add
    LUT = "lut"  # LUT ROM
    BLOCK = "block"  # block ROM
    ULTRA = "ultra"  # UltraRAM, written by the driver at start
    DDR = "ddr"  # streamed


@dataclass(frozen=True)
class Resources:
    """What a unit or a design costs; block RAM in halves of a BRAM36 (a BRAM18 is 0.5)."""

    lut: float = 0.0
    ff: float = 0.0
    bram36: float = 0.0
    uram: float = 0.0
    dsp: float = 0.0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram36 + other.bram36,
            self.uram + other.uram,
            self.dsp + other.dsp,
        )


@dataclass(frozen=True)
class Stream:
    """What travels on an edge: ``tensor`` of the integer graph, ``pixels`` x ``channels``."""

    tensor: str
    lanes: int
    bits: int
    channels: int
    pixels: int

    @property
    def words_per_pixel(self) -> int:
        """Words of one pixel."""
        return -(-self.channels // self.lanes)

    @property
    def words(self) -> int:
        """Words of one frame."""
        return self.pixels * self.words_per_pixel

    @property
    def width(self) -> int:
        """Bits of one word."""
        return self.lanes * self.bits


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


@dataclass(frozen=True)
class Window:
    """Sliding window over a ring of words (RTL ``xh_window``).

    Takes the map [height, width] in words of ``lanes`` elements of ``bits`` bits,
    ``words_per_pixel`` words a pixel, and gives for each output pixel in raster order
    words of ``taps_per_word`` taps (``taps_per_word * lanes * bits`` bits, the first tap
    lowest; taps are in the flattened order ky, kx).  Loop order for one output pixel:
    ``channels_outer`` False: repeats, tap groups, channel words (innermost); True: channel
    words, tap groups (innermost), ``repeats`` being 1.  A tap on padding reads
    ``pad_word`` (one int of words_per_pixel * lanes * bits bits).  The ring holds
    ``depth`` words; the unit takes the words of the next frames while it drains this one.
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

    @property
    def out_words_per_pixel(self) -> int:
        """Words given for one output pixel."""
        return self.repeats * (self.geometry.taps // self.taps_per_word) * self.words_per_pixel


@dataclass(frozen=True)
class MatrixUnit:
    """PE x SIMD binary-weight products, accumulate, threshold (RTL ``xh_mvu``).

    For each pixel, for each of ``groups`` channel groups, for each of ``folds`` words:
    takes one activation word (SIMD x act_bits) and one weight word (PE x SIMD bits, PE p
    at bits p*SIMD); takes one start word (PE x start_bits, signed) a group; gives one word
    of PE x out_bits a group.

    Bipolar activations (``act_bipolar``): p = popcount(xnor).  Codes: sum of +code or
    -code by the weight bit.  ``thresholded``: the accumulator starts at the start value,
    the output bit is acc >= 0.  Otherwise the sum leaves, sign-extended to ``out_bits``:
    bipolar 2p + start, codes sum + start.  ``acc_bits`` holds every partial value of the
    accumulator (raw bipolar: of p + (start >> 1)).
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


@dataclass(frozen=True)
class WeightRom:
    """Gives ``depth`` weight words of ``width`` bits over and over (RTL ``xh_weight_rom``)."""

    name: str
    width: int
    depth: int
    memory: Memory
    file: str


@dataclass(frozen=True)
class StartRom:
    """Gives the accumulators' start words (RTL ``xh_start_rom``).

    The ROM holds classes x groups words of ``width`` bits.  For output pixel (y, x) the
    class is row_class[y] * column_classes + column_class[x]; it gives the words of that
    class's groups in order, frame after frame.  One class: the pixels do not matter.
    """

    name: str
    width: int
    groups: int
    row_class: tuple[int, ...]
    column_class: tuple[int, ...]
    row_classes: int
    column_classes: int
    file: str

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
    lowest, both signed.
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
    word, gives one word of ``lanes`` elements of ``bits`` bits, unsigned.  ``invert`` is an int
    in hex of words_per_pixel * lanes bits.  On one bit these are OR and AND.
    """

    name: str
    lanes: int
    taps_per_word: int
    tap_groups: int
    words_per_pixel: int
    invert: str
    bits: int = 1


Unit = Union[
    Converter, Window, MatrixUnit, WeightRom, StartRom, PlaneUnit, TermsUnit, LevelUnit, RequantUnit,
    SumPoolUnit, PoolUnit,
]  # fmt: skip


@dataclass(frozen=True)
class Fifo:
    """A FIFO of ``depth`` words; 0 is a wire, 2 is a full-rate register slice."""

    depth: int


@dataclass(frozen=True)
class Buffer:
    """A frame buffer on the chip (layer engine)."""

    frames: int


@dataclass(frozen=True)
class DdrBuffer:
    """A frame buffer in DDR (layer engine)."""

    frames: int


Storage = Union[Fifo, Buffer, DdrBuffer]


@dataclass(frozen=True)
class Edge:
    """A valid/ready stream from one unit to another.

    ``source`` and ``target`` are unit names; "input" and "output" are the core's ports.
    ``port`` is the target's port: "data", "weights", "starts", "levels" or "factors".  ``observed`` names the
    tensor whose words can be read off this edge as they are (a matrix unit's or a pool's
    output), or "".
    """

    source: str
    target: str
    port: str
    stream: Stream
    storage: Storage
    observed: str = ""


@dataclass(frozen=True)
class Job:
    """What a unit runs: one layer's loop nest, outermost first, under a batch loop."""

    layer: str
    unit: str
    loops: tuple[tuple[str, int], ...]
    reads: str
    writes: str


@dataclass(frozen=True)
class Segment:
    """A channel group's place in the weight image, in bytes; thresholds, then weights."""

    layer: str
    group: int
    offset: int
    start_bytes: int
    weight_bytes: int


@dataclass(frozen=True)
class WeightImage:
    """(layer, channel group, word) in the order of consumption; groups on 64-byte bursts."""

    segments: tuple[Segment, ...]
    total_bytes: int


@dataclass(frozen=True)
class Frame:
    """A frame at the IP's edge: ``elements`` of ``element_bits`` bits in whole beats."""

    beat_bits: int
    beats: int
    elements: int
    element_bits: int


@dataclass(frozen=True)
class LayerPlan:
    """One product layer and what follows it on the chip.

    ``name`` is the product's tensor (the module's name), ``output`` the tensor that leaves
    the layer.  ``pe``, ``simd``, ``pixels`` are its folding; ``cycles`` the clocks a frame
    of its slowest unit; ``work_cycles`` the layer's part of ``bound_cycles``.
    """

    name: str
    output: str
    matrix: str
    window: str
    pools: tuple[str, ...]
    pe: int
    simd: int
    pixels: int
    memory: Memory
    cycles: int
    work_cycles: int
    macs: int
    weight_bits: int
    resources: Resources


@dataclass(frozen=True)
class Figures:
    """What the plan promises, by formula."""

    cycles_per_frame: int
    bound_cycles: int
    latency_cycles: int
    fps: float
    lanes: int
    resources: Resources
    shell: Resources
    budget: Resources


@dataclass(frozen=True)
class Plan:
    """Everything an emitter needs besides the packed words."""

    board: str
    part: str
    clock_mhz: float
    input_tensor: str
    output_tensor: str
    input_frame: Frame
    output_frame: Frame
    units: tuple[Unit, ...]
    edges: tuple[Edge, ...]
    jobs: tuple[Job, ...]
    layers: tuple[LayerPlan, ...]
    image: WeightImage
    frames_in_flight: int
    unit_resources: tuple[tuple[str, Resources], ...]
    figures: Figures
    format: str = field(default="1.0")

    def unit(self, name: str) -> Unit:
        """The unit called ``name``."""
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)
