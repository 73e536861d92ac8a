"""Layers and their folding -> units and edges: the netlist of a dataflow accelerator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.geometry import LayerShape
from xnorhw.plan.layers import ChipLayer, ChipPool
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    Frame,
    Job,
    MatrixUnit,
    Memory,
    PoolUnit,
    StartRom,
    Stream,
    Unit,
    WeightRom,
    Window,
)
from xnorhw.plan.starts import AccumulatorWidths, position_classes
from xnorhw.plan.streams import conversion

__all__ = ["LayerChoice", "Netlist", "assemble", "input_frame", "output_frame"]

RESULT_BITS = 32
_SLICE = Fifo(2)
_WIRE = Fifo(0)


@dataclass(frozen=True)
class LayerChoice:
    """All that was decided for a layer: ``depth`` and ``ring`` of its window, the same of its pools'."""

    layer: ChipLayer
    shape: LayerShape
    widths: AccumulatorWidths
    memory: Memory
    depth: int
    ring: Memory
    pool_taps: tuple[int, ...]
    pool_depths: tuple[int, ...]
    pool_rings: tuple[Memory, ...]


@dataclass(frozen=True)
class Netlist:
    """Units, the edges between them, a job for each unit, and the layer each belongs to."""

    units: tuple[Unit, ...]
    edges: tuple[Edge, ...]
    jobs: tuple[Job, ...]


def input_frame(layer: ChipLayer, beat_bits: int) -> Frame:
    """The frame that the first layer takes: one-bit elements packed, wider ones a byte each."""
    bits = 1 if layer.act.bits == 1 else 8
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
        for pool, taps, depth, ring in zip(
            choice.layer.pools, choice.pool_taps, choice.pool_depths, choice.pool_rings, strict=True
        ):
            chain.pool(choice, pool, taps, depth, ring)
    chain.finish(output_frame(choices[-1].layer, beat_bits))
    return Netlist(tuple(chain.units), tuple(chain.edges), tuple(chain.jobs))


def packed_word(values: npt.NDArray[np.int64], bits: int) -> str:
    """Values [C] as one word in hex, value 0 lowest, ``bits`` bits of two's complement each."""
    word = 0
    for i, value in enumerate(values.tolist()):
        word |= (value & ((1 << bits) - 1)) << (i * bits)
    return format(word, "x")


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

    def _connect(self, target: str, slice_here: bool = False) -> None:
        """The edge from the chain's end to ``target``.

        A register slice of two words stands behind each matrix unit and pool, whose ready
        runs through them to their window, and where ``slice_here`` asks for one; a window
        ends a chain by itself.
        """
        previous = self.units[-1] if self.units else None
        storage = _SLICE if slice_here or isinstance(previous, MatrixUnit | PoolUnit) else _WIRE
        self.edges.append(Edge(self._source, target, "data", self._stream, storage, self._observed))

    def _add(self, unit: Unit, stream: Stream, job: Job, observed: str = "") -> None:
        self.units.append(unit)
        self.jobs.append(job)
        self._source, self._stream, self._observed, self._packed = unit.name, stream, observed, False

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
        loops = (("y", rows), ("x", columns), ("group", shape.groups), ("fold", shape.folds))
        if shape.windowed:
            act_bits = layer.act.bits
            words = shape.groups * shape.folds
            stream = Stream(tensor, shape.simd, act_bits, words * shape.simd, layer.out_pixels)
            self._windows(_layer_window(choice), layer.name, stream, loops)
        self._matrix(choice, prefix, loops)

    def _matrix(self, choice: LayerChoice, prefix: str, loops: tuple[tuple[str, int], ...]) -> None:
        layer, shape, widths = choice.layer, choice.shape, choice.widths
        last = layer.threshold is None
        unit = MatrixUnit(
            name=f"{prefix}_mvu",
            pe=shape.pe,
            simd=shape.simd,
            act_bits=layer.act.bits,
            act_signed=layer.act.signed and not layer.act.is_bipolar,
            act_bipolar=layer.act.is_bipolar,
            folds=shape.folds,
            groups=shape.groups,
            start_bits=widths.start_bits,
            acc_bits=widths.acc_bits,
            thresholded=not last,
            out_bits=RESULT_BITS if last else 1,
        )
        weights = WeightRom(
            f"{prefix}_weights",
            shape.pe * shape.simd,
            shape.groups * shape.folds,
            choice.memory,
            f"{prefix}_weights.mem",
        )
        rows, columns, row_classes, column_classes = position_classes(layer)
        starts = StartRom(
            f"{prefix}_starts",
            shape.pe * widths.start_bits,
            shape.groups,
            rows,
            columns,
            row_classes,
            column_classes,
            f"{prefix}_starts.mem",
        )
        tensor = layer.sums if layer.bits is None else layer.bits
        # without a window the words come from a converter's multiplexers or from the core's port
        self._connect(unit.name, slice_here=not shape.windowed)
        for rom, port, bits, words in (
            (weights, "weights", 1, weights.depth),
            (starts, "starts", widths.start_bits, shape.groups),
        ):
            lanes = rom.width // bits
            stream = Stream(layer.name, lanes, bits, lanes * words, layer.out_pixels)
            self.edges.append(Edge(rom.name, unit.name, port, stream, _WIRE))
            rom_loops = (("pixel", layer.out_pixels), ("word", words))
            self.units.append(rom)
            self.jobs.append(Job(layer.name, rom.name, rom_loops, "", ""))
        out = Stream(tensor.name, shape.pe, unit.out_bits, layer.outputs, layer.out_pixels)
        job = Job(layer.name, unit.name, loops, layer.source.name, tensor.name)
        self._add(unit, out, job, observed=tensor.name)

    def pool(self, choice: LayerChoice, pool: ChipPool, taps: int, depth: int, ring: Memory) -> None:
        position = choice.layer.pools.index(pool)
        name = f"l{choice.layer.index}_pool{position}"
        have = self._stream
        words = have.words_per_pixel
        channels, height, width = pool.source.shape
        _, out_height, out_width = pool.output.shape
        invert = packed_word(pool.op.minimum.astype(np.int64), 1)
        tap_groups = pool.op.geometry.taps // taps
        window = Window(
            name=f"{name}_window",
            bits=1,
            lanes=have.lanes,
            words_per_pixel=words,
            height=height,
            width=width,
            geometry=pool.op.geometry,
            out_height=out_height,
            out_width=out_width,
            taps_per_word=taps,
            repeats=1,
            channels_outer=True,
            depth=depth,
            pad_word=invert,
            memory=ring,
        )
        layer = choice.layer.name
        loops = (("y", out_height), ("x", out_width), ("word", words), ("tap_group", tap_groups))
        wide = taps * have.lanes
        stream = Stream(pool.source.name, wide, 1, words * tap_groups * wide, pool.out_pixels)
        self._windows(window, layer, stream, loops)
        unit = PoolUnit(name, have.lanes, taps, tap_groups, words, invert)
        self._connect(name)
        out = Stream(pool.name, have.lanes, 1, channels, pool.out_pixels)
        self._add(unit, out, Job(layer, name, loops, pool.source.name, pool.name), observed=pool.name)

    def finish(self, frame: Frame) -> None:
        tensor = self._stream.tensor
        lanes = frame.beat_bits // frame.element_bits
        want = Stream(tensor, lanes, frame.element_bits, frame.elements, 1)
        self._convert("output", self.jobs[-1].layer, want, packed=True)
        self._connect("output", slice_here=True)


def _layer_window(choice: LayerChoice) -> Window:
    layer, shape = choice.layer, choice.shape
    channels, height, width = layer.source.shape
    _, out_height, out_width = layer.sums.shape
    geometry = layer.geometry
    if shape.flat:
        height = width = 1
        geometry = replace(geometry, kernel=(1, 1), stride=(1, 1), dilation=(1, 1))
    pad = layer.product.pad_value if geometry.pads.any() else 0
    if layer.act.is_bipolar:
        # a zero reads as bit 0; the start table takes away what that adds
        pad = 1 if pad == 1 else 0
    return Window(
        name=f"l{layer.index}_window",
        bits=layer.act.bits,
        lanes=shape.lanes,
        words_per_pixel=shape.words_per_pixel,
        height=height,
        width=width,
        geometry=geometry,
        out_height=out_height,
        out_width=out_width,
        taps_per_word=shape.taps_per_word,
        repeats=shape.groups,
        channels_outer=False,
        depth=choice.depth,
        pad_word=packed_word(np.full(channels, pad, np.int64), layer.act.bits),
        memory=choice.ring,
    )
