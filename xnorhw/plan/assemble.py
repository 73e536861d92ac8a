"""Stages and their folding -> units and edges: the netlist of a dataflow accelerator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import Add, BoxSum, Concat, Multiply, Tensor
from xnorhw.ir.types import Encoding
from xnorhw.plan.geometry import RESULT_BITS, LayerShape
from xnorhw.plan.joins import JoinShape
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipStage, wire_bits
from xnorhw.plan.memories import Form
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Frame,
    Job,
    Memory,
    MultiplyUnit,
    StartRom,
    Stream,
    Unit,
    WeightRom,
)
from xnorhw.plan.netlist import Netlist, PoolChoice, Wirer
from xnorhw.plan.starts import AccumulatorWidths, position_classes
from xnorhw.plan.units import (
    join_quantisers,
    layer_window,
    matrix_unit,
    plane_unit,
    quantisers,
    terms_unit,
)

__all__ = [
    "JoinChoice",
    "LayerChoice",
    "StageChoice",
    "assemble",
    "input_frame",
    "output_frame",
]


@dataclass(frozen=True)
class LayerChoice:
    """All that was decided for a layer: ``depth`` and ``ring`` of its window, the same of its pools'.

    ``tables`` are the memories of the tables that make codes of sums: the layer's, then one a
    pool; what needs none has an entry that says nothing.  ``dsp_pes``: so many PEs add codes in DSPs.
    """

    layer: ChipLayer
    shape: LayerShape
    widths: AccumulatorWidths
    memory: Memory
    depth: int
    ring: Memory
    pools: tuple[PoolChoice, ...]
    tables: tuple[Memory, ...]
    dsp_pes: int = 0

    @property
    def form(self) -> Form:
        """Where the weights live, and the PEs that add in DSPs."""
        return Form(self.memory, self.dsp_pes)

    @property
    def stage(self) -> ChipStage:
        """The layer."""
        return self.layer


@dataclass(frozen=True)
class JoinChoice:
    """All that was decided for a join: ``fifos`` are the words held in front of each of its inputs.

    ``pools`` and ``tables`` as of a layer.
    """

    join: ChipJoin
    shape: JoinShape
    fifos: tuple[int, ...]
    pools: tuple[PoolChoice, ...]
    tables: tuple[Memory, ...]

    @property
    def stage(self) -> ChipStage:
        """The join."""
        return self.join


StageChoice = LayerChoice | JoinChoice


def input_frame(source: Tensor, beat_bits: int) -> Frame:
    """The frame that enters: one-bit elements packed, wider ones one byte each, or two."""
    assert source.type is not None
    wire = wire_bits(source.type)
    bits = 1 if wire == 1 else 8 if wire <= 8 else 16
    elements = prod(source.shape)
    return Frame(beat_bits, ceil_div(elements * bits, beat_bits), elements, bits)


def output_frame(result: Tensor, beat_bits: int) -> Frame:
    """The frame of what leaves: 32 bits a number."""
    elements = prod(result.shape)
    return Frame(beat_bits, ceil_div(elements * RESULT_BITS, beat_bits), elements, RESULT_BITS)


def assemble(choices: tuple[StageChoice, ...], source: Tensor, beat_bits: int) -> Netlist:
    """Wire the stages from the core's input, which brings ``source``, to its output."""
    stages = [choice.stage for choice in choices]
    readers = Counter(t.name for stage in stages for t in _reads(stage))
    wiring = _Wiring(input_frame(source, beat_bits), source, dict(readers))
    for choice in choices:
        if isinstance(choice, LayerChoice):
            wiring.layer(choice)
        else:
            wiring.join(choice)
    wiring.finish(stages[-1].name, stages[-1].output, output_frame(stages[-1].output, beat_bits))
    return wiring.netlist()


def _reads(stage: ChipStage) -> tuple[Tensor, ...]:
    return stage.sources if isinstance(stage, ChipJoin) else (stage.source,)


class _Wiring(Wirer):
    """Wires layers and joins, stage by stage."""

    def layer(self, choice: LayerChoice) -> None:
        """A product layer with its pools."""
        layer = choice.layer
        prefix = f"l{layer.index}"
        self.read(layer.source.name)
        self._matrix_layer(choice, prefix)
        for i, (pool, chosen) in enumerate(zip(layer.pools, choice.pools, strict=True)):
            self.pool(f"{prefix}_pool{i}", layer.name, pool, chosen)
            unit, quantiser = quantisers(layer, choice.shape, choice.widths)[1 + i]
            if unit is not None and quantiser is not None:
                self.quantise(layer.name, unit, quantiser, pool.output, choice.tables[1 + i])
        self.leave(layer.output.name, prefix, layer.name)

    def _matrix_layer(self, choice: LayerChoice, prefix: str) -> None:
        layer, shape = choice.layer, choice.shape
        tensor, bits = layer.source.name, self.end.stream.bits
        if shape.flat:
            want = Stream(tensor, shape.lanes, bits, layer.channels * layer.taps, 1)
        else:
            channels, pixels = layer.channels * shape.pixels, layer.in_pixels // shape.pixels
            want = Stream(tensor, shape.lanes, bits, channels, pixels)
        self.convert(prefix, layer.name, want, packed=shape.flat)
        _, rows, columns = layer.sums.shape
        columns, pixels = columns // shape.made, layer.out_pixels // shape.made
        turns = (("term", shape.terms),) if shape.terms > 1 else ()
        loops = (("y", rows), ("x", columns), ("group", shape.groups), *turns, ("fold", shape.folds))
        words, wide = shape.turns * shape.folds, shape.simd * shape.made
        if shape.windowed:
            stream = Stream(tensor, wide, layer.act_bits, words * wide, pixels)
            self.windows(layer_window(layer, shape, choice.depth, choice.ring), layer.name, stream, loops)
        # without a window the words come from a converter's multiplexers or from the core's port
        bare = not shape.windowed
        plane = plane_unit(layer, shape)
        if plane is not None:
            self.connect(plane.name, slice_here=bare)
            bare = False
            signs = Stream(tensor, shape.simd, 1, words * shape.simd, layer.out_pixels)
            self.add(plane, signs, Job(layer.name, plane.name, loops, tensor, tensor))
        self._matrix(choice, prefix, loops, slice_here=bare)
        self._behind(choice, loops[:-1])

    def _matrix(
        self, choice: LayerChoice, prefix: str, loops: tuple[tuple[str, int], ...], slice_here: bool
    ) -> None:
        layer, shape, widths = choice.layer, choice.shape, choice.widths
        unit = matrix_unit(layer, shape, widths, choice.memory, choice.dsp_pes)
        weights = WeightRom(
            f"{prefix}_weights",
            shape.pe * shape.simd * widths.weight_bits,
            shape.turns * shape.folds,
            choice.memory,
            f"{prefix}_weights.mem",
        )
        rows, columns, row_classes, column_classes = position_classes(layer, shape.made)
        pixels = layer.out_pixels // shape.made
        starts = StartRom(
            f"{prefix}_starts",
            unit.rows * widths.start_bits,
            shape.turns,
            rows,
            columns,
            row_classes,
            column_classes,
            f"{prefix}_starts.mem",
        )
        self.connect(unit.name, slice_here)
        self.feed(weights, unit.name, "weights", layer.name, widths.weight_bits, pixels)
        self.feed(starts, unit.name, "starts", layer.name, widths.start_bits, pixels)
        made = layer.bits if layer.in_matrix else layer.sums
        assert made is not None
        out = Stream(made.name, unit.rows, unit.out_bits, layer.outputs * shape.made, pixels)
        if shape.terms > 1:
            # a pixel's word of each term of a group, and then the next group's
            whole = shape.turns * shape.pe
            out = Stream(made.name, shape.pe, unit.out_bits, whole, layer.out_pixels)
        job = Job(layer.name, unit.name, loops, layer.source.name, made.name)
        self.add(unit, out, job, observed="" if layer.weighted else made.name)

    def _behind(self, choice: LayerChoice, loops: tuple[tuple[str, int], ...]) -> None:
        """What weighs the matrix unit's sums and what makes codes of them."""
        layer, shape, widths = choice.layer, choice.shape, choice.widths
        sums = layer.sums.name
        terms = terms_unit(layer, shape, widths)
        if terms is not None:
            # the sums of the matrix unit go on as they come
            self.close()
            self.connect(terms.name)
            out = Stream(sums, shape.pe, terms.out_bits, layer.outputs, layer.out_pixels)
            self.add(terms, out, Job(layer.name, terms.name, loops, sums, sums), observed=sums)
            self.open()
        unit, quantiser = quantisers(layer, shape, widths)[0]
        if unit is not None and quantiser is not None:
            assert layer.bits is not None
            self.quantise(layer.name, unit, quantiser, layer.bits, choice.tables[0])

    def join(self, choice: JoinChoice) -> None:
        """What joins streams or begins a branch, with its pools."""
        join, shape = choice.join, choice.shape
        prefix = f"j{join.index}"
        joins = isinstance(join.op, Add | Concat | Multiply)
        unit = _join_unit(choice, prefix)
        for i, source in enumerate(join.sources):
            self.read(source.name)
            channels, pixels = source.shape[0], source.shape[1] * source.shape[2]
            lanes = 1 if isinstance(join.op, Multiply) and i else shape.lanes
            want = Stream(source.name, lanes, self.end.stream.bits, channels, pixels)
            self.convert(f"{prefix}_in{i}" if joins else prefix, join.name, want, packed=False)
            if self.end.stream.pixels != pixels:
                # beats that are whole words of pixels need no converter
                self.end = replace(self.end, stream=want)
            if unit is not None:
                port, depth = (f"data{i}", choice.fifos[i]) if joins else ("data", 0)
                self.connect(unit.name, slice_here=not joins, port=port, depth=depth)
        if unit is not None:
            self._joined(choice, unit)
        if join.makes_values:
            self.values(f"{prefix}_values", join.name, join.kind, join.pixels, join.level_bits)
        made = join_quantisers(join, shape)
        unit_, quantiser = made[0]
        if unit_ is not None and quantiser is not None:
            assert join.bits is not None
            self.quantise(join.name, unit_, quantiser, join.bits, choice.tables[0])
        for i, (pool, chosen) in enumerate(zip(join.pools, choice.pools, strict=True)):
            self.pool(f"{prefix}_pool{i}", join.name, pool, chosen)
            behind, quantiser = made[1 + i]
            if behind is not None and quantiser is not None:
                self.quantise(join.name, behind, quantiser, pool.output, choice.tables[1 + i])
        self.leave(join.output.name, prefix, join.name)

    def _joined(self, choice: JoinChoice, unit: Unit) -> None:
        join, shape = choice.join, choice.shape
        boxed = isinstance(join.op, BoxSum)
        bits = unit.bits if isinstance(unit, ConcatUnit) else _out_bits(unit)
        channels = 1 if boxed else join.channels
        out = Stream(join.joined.name, 1 if boxed else shape.lanes, bits, channels, join.pixels)
        _, rows, columns = join.joined.shape
        words = sum(shape.words) if isinstance(join.op, Concat) else max(shape.words)
        loops = (("y", rows), ("x", columns), ("word", words))
        job = Job(join.name, unit.name, loops, join.sources[0].name, join.joined.name)
        # the sum of magnitudes is no tensor of the network
        self.add(unit, out, job, observed="" if boxed else join.joined.name)

    def finish(self, layer: str, result: Tensor, frame: Frame) -> None:
        """From the last stage to the core's output."""
        self.read(result.name)
        if self.end.stream.bits != RESULT_BITS:
            assert result.type is not None
            pixels = result.shape[1] * result.shape[2]
            self.values("output_values", layer, result.type, pixels, RESULT_BITS)
        lanes = frame.beat_bits // frame.element_bits
        want = Stream(self.end.stream.tensor, lanes, frame.element_bits, frame.elements, 1)
        self.convert("output", self.jobs[-1].layer, want, packed=True)
        self.connect("output", slice_here=True)


def _out_bits(unit: Unit) -> int:
    assert isinstance(unit, AddUnit | AbsSumUnit | MultiplyUnit)
    return unit.out_bits


def _join_unit(choice: JoinChoice, prefix: str) -> Unit | None:
    """The unit that joins the streams; None where a branch begins with its quantiser or pool."""
    join, shape, op = choice.join, choice.shape, choice.join.op
    kinds = [source.type for source in join.sources if source.type is not None]
    bits = [wire_bits(kind) for kind in kinds]
    # sums that leave the chip at once are made in the width of a result
    made = RESULT_BITS if join.last and join.output is join.joined else wire_bits(join.kind)
    if isinstance(op, Add):
        signed = tuple(kind.encoding is not Encoding.BIPOLAR and kind.signed for kind in kinds)
        bipolar = tuple(kind.is_bipolar for kind in kinds)
        return AddUnit(f"{prefix}_add", shape.lanes, tuple(bits), signed, bipolar, op.shifts, made)
    if isinstance(op, Concat):
        return ConcatUnit(f"{prefix}_concat", shape.lanes, bits[0], shape.words)
    if isinstance(op, Multiply):
        words = shape.words[0]
        return MultiplyUnit(f"{prefix}_multiply", shape.lanes, bits[0], bits[1], words, made)
    if isinstance(op, BoxSum):
        words = shape.words[0]
        last = join.channels - (words - 1) * shape.lanes
        return AbsSumUnit(f"{prefix}_abs_sum", shape.lanes, bits[0], words, last, made)
    return None
