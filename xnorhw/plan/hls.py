"""Plan -> stages of the C++ core: processes, the streams between them, their loop bounds.

The C++ form of a plan is a chain of processes that share nothing but streams.  Each takes
one frame a call with blocking reads and writes, in a loop nest whose bounds are constants:
what it gives depends on what it took alone, never on time (a Kahn process network), so the
sequential C simulation, threads and hardware agree.

A window is two processes.  ``Lines`` takes a word a clock into delay lines and gives, when
the last tap of an output pixel is in, all its taps as one word; ``Taps`` gives them out in
the matrix unit's order, as often as that repeats them.  While ``Taps`` works off what lies
in the stream between, ``Lines`` takes the first rows of the next frame.  Where a window only
repeats whole blocks of the stream, one process ``Replay`` does it.  ROMs are arrays of the
matrix process.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.geometry import WIDEST_WORD
from xnorhw.plan.hls_depth import line_buffer_depth, stream_depths
from xnorhw.plan.hls_model import (
    Codes,
    Convert,
    HlsDesign,
    HlsStream,
    Levels,
    Lines,
    Matrix,
    Planes,
    Pool,
    Replay,
    Requant,
    Stage,
    SumPool,
    Taps,
    Terms,
)
from xnorhw.plan.hls_turns import turns
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    LevelUnit,
    MatrixUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)

__all__ = ["hls_design"]


@dataclass(frozen=True)
class _Wire:
    """What a stage gives before the next one is known; see ``HlsStream``."""

    width: int
    words: int
    depth: int
    tensor: str
    observed: str = ""


_OPEN = HlsStream("", 0, 0, 0, "")
"""Stands for a stage's streams until the chain is closed."""


@functools.lru_cache(maxsize=4)
def hls_design(plan: Plan) -> HlsDesign:
    """The C++ form of ``plan``.

    Raises FitError, naming the layer, where a word is wider than C++ for synthesis can hold.
    """
    chain = _Chain(plan)
    edge = chain.edge_from("input")
    while edge.target != "output":
        unit = plan.unit(edge.target)
        chain.take(edge)
        if isinstance(unit, Converter):
            chain.convert(unit)
        elif isinstance(unit, Window):
            chain.window(unit)
        elif isinstance(unit, MatrixUnit):
            chain.matrix(unit)
        elif isinstance(unit, PlaneUnit):
            chain.planes(unit)
        elif isinstance(unit, TermsUnit):
            chain.terms(unit)
        elif isinstance(unit, LevelUnit | RequantUnit):
            chain.quantiser(unit)
        elif isinstance(unit, PoolUnit | SumPoolUnit):
            chain.pool(unit)
        else:
            raise ValueError(f"{unit.name}: a {type(unit).__name__} takes no stream")
        edge = chain.edge_from(unit.name)
    chain.take(edge)
    return chain.finish()


class _Chain:
    """The stages so far, and in ``_wires`` what is in front of each; ``_wire`` is what the last gives."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._layers = {job.unit: job.layer for job in plan.jobs}
        self._from = {edge.source: edge for edge in plan.edges if edge.port == "data"}
        self._into = {(edge.target, edge.port): edge for edge in plan.edges}
        self._stages: list[Stage] = []
        self._wires: list[_Wire] = []
        frame = plan.input_frame
        self._wire = _Wire(frame.beat_bits, frame.beats, 0, plan.input_tensor)

    def edge_from(self, source: str) -> Edge:
        return self._from[source]

    def take(self, edge: Edge) -> None:
        """Put the storage of ``edge`` on the wire and bring its codes to the target's width."""
        assert isinstance(edge.storage, Fifo)
        depth = max(self._wire.depth, edge.storage.depth)
        self._wire = replace(self._wire, depth=depth, tensor=edge.stream.tensor, observed=edge.observed)
        bits = self._element_bits(edge)
        if bits and edge.stream.bits > bits:
            self._codes(edge, bits)

    def _element_bits(self, edge: Edge) -> int:
        """Bits of an element at the edge's target; 0 where any will do."""
        if edge.target == "output":
            return 0
        unit = self._plan.unit(edge.target)
        if isinstance(unit, Window | PlaneUnit):
            return unit.bits
        return unit.act_bits if isinstance(unit, MatrixUnit) else 0

    def _codes(self, edge: Edge, bits: int) -> None:
        stream, words = edge.stream, self._wire.words
        name, layer = f"{edge.target}_codes", self._layers.get(edge.target, "")
        stage = Codes(name, layer, _OPEN, _OPEN, words, stream.lanes, stream.bits, bits, words)
        self._add(stage, stream.lanes * bits, words)

    def _add(self, stage: Stage, width: int, words: int) -> None:
        """Append ``stage``, which gives ``words`` words of ``width`` bits a frame."""
        inside = stage.buffer_bits if isinstance(stage, Convert) else 0
        for bits in (self._wire.width, width, inside):
            if bits > WIDEST_WORD:
                raise FitError(
                    f"the folding makes words of {bits} bits, and C++ for synthesis has none of more than "
                    f"{WIDEST_WORD}",
                    module=stage.layer or stage.name,
                    remedy="Give the layer a smaller simd or pe in folding.json",
                )
        self._stages.append(stage)
        self._wires.append(self._wire)
        self._wire = _Wire(width, words, 0, self._wire.tensor)

    def convert(self, unit: Converter) -> None:
        in_words = ceil_div(unit.packet_bits, unit.in_bits)
        out_words = ceil_div(unit.packet_bits, unit.out_bits)
        packets, rest = divmod(self._wire.words, in_words)
        if rest:
            raise ValueError(f"{unit.name}: {self._wire.words} words are no packets of {in_words}")
        before = (out_words - 1) * unit.out_bits
        flushes = unit.in_bits < unit.out_bits and before > (in_words - 1) * unit.in_bits
        stage = Convert(
            unit.name,
            self._layers.get(unit.name, ""),
            _OPEN,
            _OPEN,
            packets * max(in_words, out_words) + flushes,
            in_bits=unit.in_bits,
            out_bits=unit.out_bits,
            packets=packets,
            in_words=in_words,
            out_words=out_words,
            grain=math.gcd(unit.in_bits, unit.out_bits),
            tail_bits=unit.packet_bits - before,
            flushes=flushes,
        )
        self._add(stage, unit.out_bits, packets * out_words)

    def window(self, unit: Window) -> None:
        pads, kernel, stride = unit.geometry.pads.any(), unit.geometry.kernel, unit.geometry.stride
        pixels = unit.height * unit.width
        if unit.channels_outer or pads:
            self._slide(unit)
        elif kernel == (unit.height, unit.width) and unit.taps_per_word == 1:
            self._replay(unit, 1, pixels * unit.words_per_pixel)
        elif kernel == (1, 1) and stride == (1, 1):
            self._replay(unit, pixels, unit.words_per_pixel)
        else:
            self._slide(unit)

    def _replay(self, unit: Window, blocks: int, words: int) -> None:
        bits, given = unit.lanes * unit.bits, blocks * words * unit.repeats
        layer = self._layers.get(unit.name, "")
        stage = Replay(unit.name, layer, _OPEN, _OPEN, given, blocks, words, unit.repeats, bits, unit.memory)
        self._add(stage, bits, given)

    def _slide(self, unit: Window) -> None:
        layer, words = self._layers.get(unit.name, ""), unit.words_per_pixel
        bits = unit.lanes * unit.bits
        groups = unit.geometry.taps // unit.taps_per_word
        pixels = unit.out_height * unit.out_width
        lines = _lines(unit, layer)
        self._add(lines, unit.geometry.taps * bits, pixels * words)
        if unit.repeats * groups == 1:
            return
        word_bits, given = unit.taps_per_word * bits, pixels * words * unit.repeats * groups
        taps = Taps(
            f"{unit.name}_taps",
            layer,
            _OPEN,
            _OPEN,
            given,
            pixels=pixels,
            repeats=unit.repeats,
            groups=groups,
            words=words,
            word_bits=word_bits,
            words_outer=unit.channels_outer,
        )
        self._add(taps, word_bits, given)

    def matrix(self, unit: MatrixUnit) -> None:
        weights = self._plan.unit(self._into[unit.name, "weights"].source)
        starts = self._plan.unit(self._into[unit.name, "starts"].source)
        assert isinstance(weights, WeightRom) and isinstance(starts, StartRom)
        pixels = self._from[unit.name].stream.pixels
        rows, columns = 1, pixels
        if starts.classes > 1:
            rows, columns = len(starts.row_class), len(starts.column_class)
        words, layer = pixels * unit.groups, self._layers.get(unit.name, "")
        cycles = words * unit.folds
        target = self._from[unit.name].target
        behind = None if target == "output" else self._plan.unit(target)
        terms = len(behind.coefficients) if isinstance(behind, TermsUnit) else 1
        stage = Matrix(unit.name, layer, _OPEN, _OPEN, cycles, unit, weights, starts, rows, columns, terms)
        self._add(stage, unit.pe * unit.out_bits, words)

    def pool(self, unit: PoolUnit | SumPoolUnit) -> None:
        pixels = self._from[unit.name].stream.pixels
        words = pixels * unit.words_per_pixel
        layer, cycles = self._layers.get(unit.name, ""), words * unit.tap_groups
        if isinstance(unit, PoolUnit):
            pool = Pool(unit.name, layer, _OPEN, _OPEN, cycles, unit, pixels)
            self._add(pool, unit.lanes * unit.bits, words)
        else:
            sums = SumPool(unit.name, layer, _OPEN, _OPEN, cycles, unit, words)
            self._add(sums, unit.lanes * unit.out_bits, words)

    def planes(self, unit: PlaneUnit) -> None:
        words = self._wire.words
        rounds = self._whole(unit.name, len(unit.planes) * unit.folds)
        layer = self._layers.get(unit.name, "")
        self._add(Planes(unit.name, layer, _OPEN, _OPEN, words, unit, rounds), unit.lanes, words)

    def terms(self, unit: TermsUnit) -> None:
        words = self._whole(unit.name, len(unit.coefficients))
        layer, cycles = self._layers.get(unit.name, ""), self._wire.words
        stage = Terms(unit.name, layer, _OPEN, _OPEN, cycles, unit, words)
        self._add(stage, unit.lanes * unit.out_bits, words)

    def quantiser(self, unit: LevelUnit | RequantUnit) -> None:
        port = "levels" if isinstance(unit, LevelUnit) else "factors"
        table = self._plan.unit(self._into[unit.name, port].source)
        assert isinstance(table, WeightRom)
        words, layer = self._wire.words, self._layers.get(unit.name, "")
        rounds = self._whole(unit.name, table.depth)
        stage: Levels | Requant
        if isinstance(unit, LevelUnit):
            stage = Levels(unit.name, layer, _OPEN, _OPEN, words, table, rounds, unit)
        else:
            stage = Requant(unit.name, layer, _OPEN, _OPEN, words, table, rounds, unit)
        self._add(stage, unit.lanes * unit.out_bits, words)

    def _whole(self, name: str, words: int) -> int:
        """How many times ``words`` words come in a frame."""
        times, rest = divmod(self._wire.words, words)
        if rest:
            raise ValueError(f"{name}: {self._wire.words} words are no rounds of {words}")
        return times

    def finish(self) -> HlsDesign:
        """Close the chain at the core's output."""
        frame_in, frame_out = self._plan.input_frame, self._plan.output_frame
        if self._wire.words != frame_out.beats:
            raise ValueError(f"{self._wire.words} result beats leave, the frame has {frame_out.beats}")
        cycles = max(frame_in.beats, frame_out.beats, *(stage.cycles for stage in self._stages))
        computed = stream_depths([turns(stage) for stage in self._stages], frame_in.beats, cycles)
        wires = [*self._wires, self._wire]
        # those of the core's two ports belong to the shell
        depths = [0, *(max(w.depth, d) for w, d in zip(wires[1:-1], computed, strict=True)), 0]
        names = [*(stage.name for stage in self._stages), "output"]
        streams = [
            HlsStream(name, w.width, depth, w.words, w.tensor, w.observed)
            for name, w, depth in zip(names, wires, depths, strict=True)
        ]
        stages = tuple(
            replace(stage, source=streams[i], target=streams[i + 1]) for i, stage in enumerate(self._stages)
        )
        return HlsDesign(stages, cycles)


def _lines(unit: Window, layer: str) -> Lines:
    """The delay lines of a sliding window."""
    geometry, words = unit.geometry, unit.words_per_pixel
    (kernel_y, kernel_x), (stride_y, stride_x) = geometry.kernel, geometry.stride
    dilation_y, dilation_x = geometry.dilation
    # the windows of a row leave one after the other, and all of them before the next row's first
    columns = max(unit.width, ceil_div((unit.out_width - 1) * stride_x + 1, stride_y))
    reach = (kernel_y - 1) * dilation_y * columns + (kernel_x - 1) * dilation_x
    first = reach - geometry.pads.top * columns - geometry.pads.left
    if first < 0:
        raise ValueError(f"{unit.name}: the first window does not reach the map")
    across = (unit.out_width - 1) * stride_x
    last = first + (unit.out_height - 1) * stride_y * columns + across
    positions = max((unit.height - 1) * columns + unit.width, last + 1)
    step_row = stride_y * columns - across
    serial = unit.repeats * geometry.taps > unit.taps_per_word
    return Lines(
        f"{unit.name}_lines",
        layer,
        _OPEN,
        _OPEN,
        positions * words,
        window=unit,
        columns=columns,
        positions=positions,
        first=first,
        step_pixel=stride_x,
        step_row=step_row,
        line_words=dilation_y * columns * words,
        column_words=dilation_x * words,
        window_depth=line_buffer_depth(unit, first, step_row, positions * words) if serial else 0,
    )
