"""The netlist while it is wired: units, edges, jobs, and the ends of streams that nothing reads yet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xnorhw.ir.int_graph import Tensor
from xnorhw.ir.types import IntType
from xnorhw.plan.layers import ChipPool, Quantiser, wire_bits
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    ForkUnit,
    Frame,
    Job,
    LevelUnit,
    MatrixUnit,
    Memory,
    PoolUnit,
    RequantUnit,
    StartRom,
    Stream,
    SumPoolUnit,
    Unit,
    WeightRom,
    Window,
)
from xnorhw.plan.streams import conversion
from xnorhw.plan.units import pool_unit, pool_window, table_rom

__all__ = ["Netlist", "PoolChoice", "Wirer"]

SLICE = Fifo(2)
WIRE = Fifo(0)


@dataclass(frozen=True)
class Netlist:
    """Units, each behind what it reads, the edges between them, a job for each unit."""

    units: tuple[Unit, ...]
    edges: tuple[Edge, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class PoolChoice:
    """What was decided for a pool: taps a clock, its ring, the pixels of a word in and of a word out."""

    taps: int
    depth: int
    ring: Memory
    pixels: int = 1
    made: int = 1


@dataclass(frozen=True)
class End:
    """The end of a stream that is not yet connected: ``source`` gives ``stream``.

    ``packed``: its words run through the whole frame.  ``observed`` as in ``Edge``.  ``open``:
    the ready of what reads it runs through the source, so a register slice has to follow.
    """

    source: str
    stream: Stream
    packed: bool
    observed: str = ""
    open: bool = False


class Wirer:
    """Adds units behind one another; ``end`` is where the next one is connected.

    ``readers``: for each tensor how many read it.  Where several do, a fork gives each an end.
    """

    def __init__(self, frame: Frame, source: Tensor, readers: dict[str, int]) -> None:
        self.units: list[Unit] = []
        self.edges: list[Edge] = []
        self.jobs: list[Job] = []
        self._readers = readers
        self._ends: dict[str, list[End]] = {}
        lanes = frame.beat_bits // frame.element_bits
        # beats run through the whole frame, so the frame is one long pixel
        self.end = End("input", Stream(source.name, lanes, frame.element_bits, frame.elements, 1), True)
        self.leave(source.name, "input", "")

    def leave(self, tensor: str, prefix: str, layer: str) -> None:
        """``end`` carries ``tensor``: put it where its readers find it."""
        copies = self._readers.get(tensor, 1)
        ends = [self.end]
        if copies > 1:
            name, stream, packed = f"{prefix}_fork", self.end.stream, self.end.packed
            self.connect(name)
            job = Job(layer, name, (("word", stream.words),), tensor, tensor)
            self.add(ForkUnit(name, stream.width, copies), stream, job)
            ends = [replace(self.end, packed=packed, open=True)] * copies
        self._ends[tensor] = ends

    def read(self, tensor: str) -> None:
        """Go on at an end of ``tensor``."""
        self.end = self._ends[tensor].pop()

    def connect(self, target: str, slice_here: bool = False, port: str = "data", depth: int = 0) -> None:
        """The edge from ``end`` to ``target``.

        A register slice of two words stands behind what follows a window, whose ready runs
        through it to that window, and where ``slice_here`` asks for one; a window ends a chain
        by itself.  ``depth`` words are held in front of a join.
        """
        storage = SLICE if slice_here or self.end.open else WIRE
        if depth:
            storage = Fifo(max(depth, SLICE.depth))
        end = self.end
        self.edges.append(Edge(end.source, target, port, end.stream, storage, end.observed))

    def add(self, unit: Unit, stream: Stream, job: Job, observed: str = "") -> None:
        """``unit`` stands at the end and gives ``stream``."""
        self.units.append(unit)
        self.jobs.append(job)
        runs_through = isinstance(unit, MatrixUnit | PoolUnit | SumPoolUnit | LevelUnit | RequantUnit)
        self.end = End(unit.name, stream, False, observed, runs_through)

    def close(self) -> None:
        """What follows needs no register slice: the unit in front of it cuts the ready itself."""
        self.end = replace(self.end, open=False)

    def open(self) -> None:
        """What follows needs a register slice: a ready runs through the unit in front of it."""
        self.end = replace(self.end, open=True)

    def convert(self, name: str, layer: str, want: Stream, packed: bool) -> None:
        """Bring the stream to ``want``; ``packed``: its words run through the whole frame."""
        steps = conversion(self.end.stream, self.end.packed, want, packed)
        for i, step in enumerate(steps):
            unit = f"{name}_converter" + (f"_{'ab'[i]}" if len(steps) > 1 else "")
            tensor = self.end.stream.tensor
            # two converters in a row would be one long path in both directions
            self.connect(unit, slice_here=i > 0)
            job = Job(layer, unit, (("packet", step.packets),), tensor, tensor)
            self.add(Converter(unit, step.in_bits, step.out_bits, step.packet_bits), step.stream, job)
        self.end = replace(self.end, packed=packed)

    def windows(self, window: Window, layer: str, stream: Stream, loops: tuple[tuple[str, int], ...]) -> None:
        """A window that gives ``stream``."""
        self.connect(window.name)
        self.add(window, stream, Job(layer, window.name, loops, stream.tensor, stream.tensor))

    def feed(
        self, rom: WeightRom | StartRom, target: str, port: str, layer: str, bits: int, pixels: int
    ) -> None:
        """Add ``rom``, the words of each of ``pixels`` read from it at ``port``."""
        words = rom.depth if isinstance(rom, WeightRom) else rom.groups
        lanes = rom.width // bits
        stream = Stream(layer, lanes, bits, lanes * words, pixels)
        self.edges.append(Edge(rom.name, target, port, stream, WIRE))
        self.units.append(rom)
        self.jobs.append(Job(layer, rom.name, (("pixel", pixels), ("word", words)), "", ""))

    def quantise(
        self, layer: str, unit: LevelUnit | RequantUnit, quantiser: Quantiser, codes: Tensor, memory: Memory
    ) -> None:
        """``unit`` makes ``codes`` of the stream, its table in ``memory``."""
        source = self.end.stream
        channels, rows, columns = codes.shape
        beside, groups = source.channels // channels, source.words_per_pixel
        columns //= beside
        pixels = rows * columns
        self.close()
        self.connect(unit.name)
        rom = table_rom(unit, quantiser, groups, memory, beside)
        port = "levels" if isinstance(unit, LevelUnit) else "factors"
        # a table of every position is read once a frame, not once a pixel
        times = pixels * groups // rom.depth
        self.feed(rom, unit.name, port, layer, rom.width // unit.lanes, times)
        out = Stream(codes.name, unit.lanes, unit.out_bits, source.channels, pixels)
        loops = (("y", rows), ("x", columns), ("group", groups))
        self.add(unit, out, Job(layer, unit.name, loops, source.tensor, codes.name), codes.name)

    def values(self, name: str, layer: str, kind: IntType, pixels: int, bits: int) -> None:
        """Codes or signs become signed numbers of ``bits`` bits."""
        have = self.end.stream
        words = have.words_per_pixel
        own = min(have.bits, wire_bits(kind))
        signed = kind.signed and not kind.is_bipolar
        unit = SumPoolUnit(name, have.lanes, own, signed, kind.is_bipolar, 1, 1, words, bits)
        self.connect(name, slice_here=True)
        out = Stream(have.tensor, have.lanes, bits, have.channels, pixels)
        loops = (("pixel", pixels), ("word", words))
        self.add(unit, out, Job(layer, name, loops, have.tensor, have.tensor))

    def pool(self, name: str, layer: str, pool: ChipPool, choice: PoolChoice) -> None:
        """A pool's window and the pool, as many lanes as come."""
        if pool.numbers:
            self.values(f"{name}_values", layer, pool.act, pool.in_pixels // choice.pixels, pool.bits)
        have, made = self.end.stream, choice.made
        words, lanes = have.words_per_pixel, have.lanes // choice.pixels * made
        channels, out_height, out_width = pool.pooled.shape
        out_width, pixels = out_width // made, pool.out_pixels // made
        tap_groups = pool.op.geometry.taps // choice.taps
        window = pool_window(name, pool, have.lanes, choice.taps, choice.depth, choice.ring, choice.pixels)
        loops = (("y", out_height), ("x", out_width), ("word", words), ("tap_group", tap_groups))
        wide = choice.taps * lanes
        stream = Stream(pool.source.name, wide, pool.bits, words * tap_groups * wide, pixels)
        self.windows(window, layer, stream, loops)
        self.connect(name)
        job = Job(layer, name, loops, pool.source.name, pool.name)
        unit = pool_unit(name, pool, lanes, choice.taps, made)
        bits = unit.bits if isinstance(unit, PoolUnit) else unit.out_bits
        out = Stream(pool.name, lanes, bits, channels * made, pixels)
        self.add(unit, out, job, observed=pool.name)

    def netlist(self) -> Netlist:
        """What was wired."""
        return Netlist(tuple(self.units), tuple(self.edges), tuple(self.jobs))
