"""The plan: hardware units, the jobs they run, the edges between them, the weight image.

A plan holds decisions and figures, no bits: ``pack`` turns it and the integer graph into
words, ``emit`` prints it.  Everything is a frozen dataclass and serialises with
``ir.serial``.

Words on a stream.  A tensor travels pixel by pixel in raster order, channels innermost,
``lanes`` elements a word, lane 0 in the lowest bits; a pixel takes ceil(channels / lanes)
words.  Of several pixels of a row in one word (``plan.rows``) the stream says that they are one of so many
times the channels.  Lanes past the last channel are undefined behind a matrix unit or a pool and zero
behind a converter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from xnorhw.ir.serial import later
from xnorhw.plan.branch_model import AbsSumUnit, AddUnit, ConcatUnit, ForkUnit, MultiplyUnit
from xnorhw.plan.unit_model import (
    Converter,
    LevelUnit,
    MatrixUnit,
    Memory,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    RomPart,
    Spread,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

__all__ = [
    # the whole
    "Figures",
    "Frame",
    "Job",
    "LayerPlan",
    "Plan",
    "Proof",
    "Trade",
    "TradePoint",
    "TrimmedBuffer",
    # units
    "AbsSumUnit",
    "AddUnit",
    "ConcatUnit",
    "Converter",
    "ForkUnit",
    "LevelUnit",
    "MatrixUnit",
    "Memory",
    "MultiplyUnit",
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
    ``port`` is the target's port: "data" ("data0", "data1", ... of a unit that joins streams),
    "weights", "starts", "levels" or "factors".  ``observed`` names the
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
    the layer.  ``pe``, ``simd``, ``pixels`` (of its map, a clock) are its folding; ``cycles`` the
    clocks a frame of its slowest unit; ``work_cycles`` the layer's part of ``bound_cycles``.
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
class Proof:
    """How good the folding is that the planner found, by bounds.

    ``goal``: what came after the frame rate, "latency" or "area".  ``least_cycles``: no folding that
    fits takes fewer clocks a frame; 0 where a rate was asked for.  ``area_gap``: no folding of this
    rate is cheaper by more than this share, all kinds of resource weighed; None where the area was
    spent on latency.
    """

    goal: str
    least_cycles: int
    area_gap: float | None


@dataclass(frozen=True)
class TradePoint:
    """The cheapest design of a frame rate, by formula; ``fits``: it keeps to ``Trade.limits``."""

    cycles_per_frame: int
    latency_cycles: int
    fps: float
    resources: Resources
    fits: bool


@dataclass(frozen=True)
class Trade:
    """Frames a second against their cost, the fastest first; ``limits``: what the planner may fill."""

    limits: Resources
    points: tuple[TradePoint, ...]


@dataclass(frozen=True)
class TrimmedBuffer:
    """A ring, called as its window, or a FIFO, called as the port behind it.

    ``planned`` and ``depth`` are the words that it would hold by the schedule and that it holds;
    ``saved`` is what the difference is worth.
    """

    name: str
    planned: int
    depth: int
    saved: Resources


@dataclass(frozen=True)
class Plan:
    """Everything an emitter needs besides the packed words.

    ``on_host``: the full-precision layers that the host runs, and why.  ``family``: the board's, "" in
    plans from before it was kept.  ``proof``: None where the folding was given.  ``trade``: what
    other frame rates would take, None where nobody asked.  ``trimmed``: the buffers of which a
    simulation told how deep they must be.
    """

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
    on_host: tuple[tuple[str, str], ...] = later(())
    family: str = later("")
    proof: Proof | None = later(None)
    trade: Trade | None = later(None)
    trimmed: tuple[TrimmedBuffer, ...] = later(())

    def unit(self, name: str) -> Unit:
        """The unit called ``name``."""
        for unit in self.units:
            if unit.name == name:
                return unit
        raise KeyError(name)
