"""Layers and their folding -> units and edges: the netlist of a dataflow accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import Tensor
from xnorhw.plan.geometry import RESULT_BITS, LayerShape
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
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
from xnorhw.plan.starts import AccumulatorWidths, position_classes
from xnorhw.plan.streams import conversion
from xnorhw.plan.units import (
    layer_window,
    matrix_unit,
    plane_unit,
    pool_unit,
    pool_window,
    quantisers,
    table_rom,
    terms_unit,
)

__all__ = [
    "LayerChoice",
    "Netlist",
    "assemble",
    "input_frame",
    "output_frame",
]

_SLICE = Fifo(2)
_WIRE = Fifo(0)


@dataclass(frozen=True)
class LayerChoice:
    """All that was decided for a layer: ``depth`` and ``ring`` of its window, the same of its pools'.

    ``tables`` are the memories of the tables that make codes of sums: the layer's, then one a
    pool; what needs none has an entry that says nothing.
    """

    layer: ChipLayer
    shape: LayerShape
    widths: AccumulatorWidths
    memory: Memory
    depth: int
    ring: Memory
    pool_taps: tuple[int, ...]
    pool_depths: tuple[int, ...]
    pool_rings: tuple[Memory, ...]
    tables: tuple[Memory, ...]


@dataclass(frozen=True)
class Netlist:
    """Units, the edges between them, a job for each unit, and the layer each belongs to."""

    units: tuple[Unit, ...]
    edges: tuple[Edge, ...]
    jobs: tuple[Job, ...]


def input_frame(layer: ChipLayer, beat_bits: int) -> Frame:
    """The frame that the first layer takes: one-bit elements packed, wider ones a byte each."""
    bits = 1 if layer.act_bits == 1 else 8
    elements = prod(layer.source.shape)
    return Frame(beat_bits, ceil_div(elements * bits, beat_bits), elements, bits)


def output_frame(layer: ChipLayer, beat_bits: int) -> Frame:
    """The frame of the last layer's sums."""
    elements = prod(layer.sums.shape)
    return Frame(beat_bits, ceil_div(elements * RESULT_BITS, beat_bits), elements, RESULT_BITS)


def assemble(choices: tuple[LayerChoice, ...], beat_bits: int) -> Netlist:
    """Wire the layers from the core's input to its output."""
    chain = _Chain(input_frame(choices[0].layer, beat_bits), choices[0].layer)
    for choice in choices:
        chain.matrix_layer(choice)
        for position in range(len(choice.layer.pools)):
            chain.pool(choice, position)
    chain.finish(output_frame(choices[-1].layer, beat_bits))
    return Netlist(tuple(chain.units), tuple(chain.edges), tuple(chain.jobs))


class _Chain:
    """The chain so far: ``source`` gives ``stream``, whose word is not yet connected."""

    def __init__(self, frame: Frame, first: ChipLayer) -> None:
        self.units: list[Unit] = []
        self.edges: list[Edge] = []
        self.jobs: list[Job] = []
        self._source = "input"
        lanes = frame.beat_bits // frame.element_bits
        # beats run through the whole frame, so the frame is one long pixel
        self._stream = Stream(first.source.name, lanes, frame.element_bits, frame.elements, 1)
        self._packed = True
        self._observed = ""
        # ready runs through the chain's end from behind
        self._open = False

    def _connect(self, target: str, slice_here: bool = False) -> None:
        """The edge from the chain's end to ``target``.

        A register slice of two words stands behind what follows a window, whose ready runs
        through it to that window, and where ``slice_here`` asks for one; a window ends a chain
        by itself.
        """
        storage = _SLICE if slice_here or self._open else _WIRE
        self.edges.append(Edge(self._source, target, "data", self._stream, storage, self._observed))

    def _add(self, unit: Unit, stream: Stream, job: Job, observed: str = "") -> None:
        self.units.append(unit)
        self.jobs.append(job)
        self._source, self._stream, self._observed, self._packed = unit.name, stream, observed, False
        self._open = isinstance(unit, MatrixUnit | PoolUnit | SumPoolUnit | LevelUnit | RequantUnit)

    def _convert(self, name: str, layer: str, want: Stream, packed: bool) -> None:
        """Bring the stream to ``want``; ``packed``: its words run through the whole frame."""
        steps = conversion(self._stream, self._packed, want, packed)
        for i, step in enumerate(steps):
            unit = f"{name}_converter" + (f"_{'ab'[i]}" if len(steps) > 1 else "")
            tensor = self._stream.tensor
            # two converters in a row would be one long path in both directions
            self._connect(unit, slice_here=i > 0)
            job = Job(layer, unit, (("packet", step.packets),), tensor, tensor)
            self._add(Converter(unit, step.in_bits, step.out_bits, step.packet_bits), step.stream, job)
        self._packed = packed

    def _windows(
        self, window: Window, layer: str, stream: Stream, loops: tuple[tuple[str, int], ...]
    ) -> None:
        self._connect(window.name)
        self._add(window, stream, Job(layer, window.name, loops, stream.tensor, stream.tensor))

    def matrix_layer(self, choice: LayerChoice) -> None:
        layer, shape = choice.layer, choice.shape
        prefix = f"l{layer.index}"
        tensor, wire_bits = layer.source.name, self._stream.bits
        if shape.flat:
            want = Stream(tensor, shape.lanes, wire_bits, layer.channels * layer.taps, 1)
        else:
            want = Stream(tensor, shape.lanes, wire_bits, layer.channels, layer.in_pixels)
        self._convert(prefix, layer.name, want, packed=shape.flat)
        _, rows, columns = layer.sums.shape
        turns = (("term", shape.terms),) if shape.terms > 1 else ()
        loops = (("y", rows), ("x", columns), ("group", shape.groups), *turns, ("fold", shape.folds))
        words = shape.turns * shape.folds
        if shape.windowed:
            act_bits = layer.act_bits
            stream = Stream(tensor, shape.simd, act_bits, words * shape.simd, layer.out_pixels)
            self._windows(layer_window(layer, shape, choice.depth, choice.ring), layer.name, stream, loops)
        # without a window the words come from a converter's multiplexers or from the core's port
        bare = not shape.windowed
        plane = plane_unit(layer, shape)
        if plane is not None:
            self._connect(plane.name, slice_here=bare)
            bare = False
            bits = Stream(tensor, shape.simd, 1, words * shape.simd, layer.out_pixels)
            self._add(plane, bits, Job(layer.name, plane.name, loops, tensor, tensor))
        self._matrix(choice, prefix, loops, slice_here=bare)
        self._behind(choice, loops[:-1])

    def _matrix(
        self, choice: LayerChoice, prefix: str, loops: tuple[tuple[str, int], ...], slice_here: bool
    ) -> None:
        layer, shape, widths = choice.layer, choice.shape, choice.widths
        unit = matrix_unit(layer, shape, widths)
        weights = WeightRom(
            f"{prefix}_weights",
            shape.pe * shape.simd,
            shape.turns * shape.folds,
            choice.memory,
            f"{prefix}_weights.mem",
        )
        rows, columns, row_classes, column_classes = position_classes(layer)
        starts = StartRom(
            f"{prefix}_starts",
            shape.pe * widths.start_bits,
            shape.turns,
            rows,
            columns,
            row_classes,
            column_classes,
            f"{prefix}_starts.mem",
        )
        self._connect(unit.name, slice_here)
        self._feed(weights, unit.name, "weights", layer, 1, layer.out_pixels)
        self._feed(starts, unit.name, "starts", layer, widths.start_bits, layer.out_pixels)
        made = layer.bits if layer.in_matrix else layer.sums
        assert made is not None
        out = Stream(made.name, shape.pe, unit.out_bits, layer.outputs, layer.out_pixels)
        if shape.terms > 1:
            # a pixel's word of each term of a group, and then the next group's
            whole = shape.turns * shape.pe
            out = Stream(made.name, shape.pe, unit.out_bits, whole, layer.out_pixels)
        job = Job(layer.name, unit.name, loops, layer.source.name, made.name)
        self._add(unit, out, job, observed="" if layer.weighted else made.name)

    def _feed(
        self, rom: WeightRom | StartRom, target: str, port: str, layer: ChipLayer, bits: int, pixels: int
    ) -> None:
        """Add ``rom``, the words of each of ``pixels`` read from it at ``port``."""
        words = rom.depth if isinstance(rom, WeightRom) else rom.groups
        lanes = rom.width // bits
        stream = Stream(layer.name, lanes, bits, lanes * words, pixels)
        self.edges.append(Edge(rom.name, target, port, stream, _WIRE))
        self.units.append(rom)
        self.jobs.append(Job(layer.name, rom.name, (("pixel", pixels), ("word", words)), "", ""))

    def _behind(self, choice: LayerChoice, loops: tuple[tuple[str, int], ...]) -> None:
        """What weighs the matrix unit's sums and what makes codes of them."""
        layer, shape, widths = choice.layer, choice.shape, choice.widths
        sums = layer.sums.name
        terms = terms_unit(layer, shape, widths)
        if terms is not None:
            # the sums of the matrix unit go on as they come
            self._open = False
            self._connect(terms.name)
            out = Stream(sums, shape.pe, terms.out_bits, layer.outputs, layer.out_pixels)
            job = Job(layer.name, terms.name, loops, sums, sums)
            self._add(terms, out, job, observed=sums)
            self._open = True
        self._quantise(choice, 0, layer.bits)

    def _quantise(self, choice: LayerChoice, position: int, codes: Tensor | None) -> None:
        """Make ``codes`` of the sums of the layer (position 0) or of a pool of it, where a unit does."""
        layer, source = choice.layer, self._stream
        unit, quantiser = quantisers(layer, choice.shape, choice.widths)[position]
        if unit is None or quantiser is None:
            return
        assert codes is not None
        channels, rows, columns = codes.shape
        pixels, groups = rows * columns, source.words_per_pixel
        self._open = False
        self._connect(unit.name)
        rom = table_rom(unit, quantiser, groups, choice.tables[position])
        port = "levels" if isinstance(unit, LevelUnit) else "factors"
        # a table of every position is read once a frame, not once a pixel
        times = pixels * groups // rom.depth
        self._feed(rom, unit.name, port, layer, rom.width // unit.lanes, times)
        out = Stream(codes.name, unit.lanes, unit.out_bits, channels, pixels)
        loops = (("y", rows), ("x", columns), ("group", groups))
        self._add(unit, out, Job(layer.name, unit.name, loops, source.tensor, codes.name), codes.name)

    def pool(self, choice: LayerChoice, position: int) -> None:
        pool, taps = choice.layer.pools[position], choice.pool_taps[position]
        depth, ring = choice.pool_depths[position], choice.pool_rings[position]
        name = f"l{choice.layer.index}_pool{position}"
        have = self._stream
        words = have.words_per_pixel
        channels, out_height, out_width = pool.pooled.shape
        tap_groups = pool.op.geometry.taps // taps
        window = pool_window(name, pool, have.lanes, taps, depth, ring)
        layer = choice.layer.name
        loops = (("y", out_height), ("x", out_width), ("word", words), ("tap_group", tap_groups))
        wide = taps * have.lanes
        stream = Stream(pool.source.name, wide, have.bits, words * tap_groups * wide, pool.out_pixels)
        self._windows(window, layer, stream, loops)
        self._connect(name)
        job = Job(layer, name, loops, pool.source.name, pool.name)
        unit = pool_unit(name, pool, have.lanes, taps)
        bits = unit.bits if isinstance(unit, PoolUnit) else unit.out_bits
        out = Stream(pool.name, have.lanes, bits, channels, pool.out_pixels)
        self._add(unit, out, job, observed=pool.name)
        self._quantise(choice, 1 + position, pool.output)

    def finish(self, frame: Frame) -> None:
        tensor = self._stream.tensor
        lanes = frame.beat_bits // frame.element_bits
        want = Stream(tensor, lanes, frame.element_bits, frame.elements, 1)
        self._convert("output", self.jobs[-1].layer, want, packed=True)
        self._connect("output", slice_here=True)
