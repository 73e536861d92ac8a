"""Plan -> stages of the C++ core: processes, the streams between them, their loop bounds.

The C++ form of a plan is a graph of processes that share nothing but streams.  Each takes
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
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xnorhw.ir.errors import FitError
from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.geometry import WIDEST_WORD
from xnorhw.plan.hls_depth import stream_depths
from xnorhw.plan.hls_model import (
    AbsSum,
    Add,
    Codes,
    Concat,
    Convert,
    Fork,
    HlsDesign,
    HlsStream,
    Levels,
    Lines,
    Matrix,
    Multiply,
    Planes,
    Pool,
    Requant,
    Stage,
    SumPool,
    Terms,
)
from xnorhw.plan.hls_turns import turns
from xnorhw.plan.hls_windows import window_stages
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    Edge,
    Fifo,
    ForkUnit,
    LevelUnit,
    MatrixUnit,
    MultiplyUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

__all__ = ["hls_design"]

_OUTSIDE = -1
"""Stands for a stage: who writes the core's input."""
_OPEN = ((), ())
"""Stands for a stage's streams until the graph is closed."""


@dataclass(frozen=True)
class _Wire:
    """What stage ``writer`` gives as its target ``slot``; see ``HlsStream``."""

    writer: int
    width: int
    words: int
    tensor: str
    slot: int = 0
    depth: int = 0
    observed: str = ""


@functools.lru_cache(maxsize=4)
def hls_design(plan: Plan) -> HlsDesign:
    """The C++ form of ``plan``.

    Raises FitError, naming the layer, where a word is wider than C++ for synthesis can hold.
    """
    graph = _Graph(plan)
    for unit in plan.units:
        if not isinstance(unit, WeightRom | StartRom):
            graph.add(unit)
    return graph.finish()


class _Graph:
    """The stages so far, in ``_taken`` the wires that each reads, in ``_given`` those not read yet."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._layers = {job.unit: job.layer for job in plan.jobs}
        self._from: dict[str, list[Edge]] = {}
        self._into: dict[str, dict[str, Edge]] = {}
        for edge in plan.edges:
            self._from.setdefault(edge.source, []).append(edge)
            self._into.setdefault(edge.target, {})[edge.port] = edge
        self._stages: list[Stage] = []
        self._taken: list[tuple[_Wire, ...]] = []
        self._given: dict[Edge, _Wire] = {}
        frame = plan.input_frame
        self._give("input", _Wire(_OUTSIDE, frame.beat_bits, frame.beats, plan.input_tensor))

    def _give(self, source: str, wire: _Wire) -> None:
        for slot, edge in enumerate(self._from[source]):
            self._given[edge] = replace(wire, slot=slot)

    def add(self, unit: Unit) -> None:
        """The stages of ``unit``, behind those whose words it reads."""
        into = self._into[unit.name]
        ports = sorted((p for p in into if p.startswith("data")), key=lambda p: int(p[4:] or 0))
        self._give(unit.name, self._stage(unit, [self._take(into[port]) for port in ports]))

    def _stage(self, unit: Unit, wires: list[_Wire]) -> _Wire:
        if isinstance(unit, AddUnit):
            return self._sum(unit, wires)
        if isinstance(unit, ConcatUnit):
            return self._concat(unit, wires)
        if isinstance(unit, MultiplyUnit):
            return self._multiply(unit, wires)
        (wire,) = wires
        if isinstance(unit, Converter):
            return self._convert(unit, wire)
        if isinstance(unit, Window):
            return self._window(unit, wire)
        if isinstance(unit, MatrixUnit):
            return self._matrix(unit, wire)
        if isinstance(unit, LevelUnit | RequantUnit):
            return self._quantiser(unit, wire)
        if isinstance(unit, PoolUnit | SumPoolUnit):
            return self._pool(unit, wire)
        if isinstance(unit, PlaneUnit | TermsUnit | ForkUnit | AbsSumUnit):
            return self._around(unit, wire)
        raise ValueError(f"{unit.name}: a {type(unit).__name__} takes no stream")

    def _take(self, edge: Edge) -> _Wire:
        """The wire of ``edge`` with its storage, its codes brought to the target's width."""
        assert isinstance(edge.storage, Fifo)
        if edge not in self._given:
            raise ValueError(f"{edge.target} stands in front of {edge.source}, whose words it reads")
        # where streams meet, the depth is found from the stages' own turns
        depth = edge.storage.depth if edge.port == "data" else 0
        wire = self._given.pop(edge)
        wire = replace(wire, depth=depth, tensor=edge.stream.tensor, observed=edge.observed)
        bits = 0 if edge.target == "output" else _element_bits(self._plan.unit(edge.target), edge.port)
        if not bits or edge.stream.bits <= bits:
            return wire
        stream, name = edge.stream, f"{edge.target}_codes{edge.port[4:]}"
        layer = self._layers.get(edge.target, "")
        stage = Codes(name, layer, *_OPEN, wire.words, stream.lanes, stream.bits, bits, wire.words)
        return self._append(stage, [wire], stream.lanes * bits, wire.words)

    def _append(self, stage: Stage, wires: Sequence[_Wire], width: int, words: int) -> _Wire:
        """Append ``stage``, which reads ``wires`` and gives ``words`` words of ``width`` bits a frame."""
        inside = stage.buffer_bits if isinstance(stage, Convert) else 0
        inside = stage.row_bits if isinstance(stage, Matrix) else inside
        inside = stage.taps_bits if isinstance(stage, Lines) else inside
        for bits in (*(wire.width for wire in wires), width, inside):
            if bits > WIDEST_WORD:
                raise FitError(
                    f"the folding makes words of {bits} bits, and C++ for synthesis has none of more than "
                    f"{WIDEST_WORD}",
                    module=stage.layer or stage.name,
                    remedy="Give the layer a smaller simd or pe in folding.json",
                )
        self._stages.append(stage)
        self._taken.append(tuple(wires))
        return _Wire(len(self._stages) - 1, width, words, wires[0].tensor)

    def _layer(self, unit: Unit) -> str:
        return self._layers.get(unit.name, "")

    def _convert(self, unit: Converter, wire: _Wire) -> _Wire:
        in_words = ceil_div(unit.packet_bits, unit.in_bits)
        out_words = ceil_div(unit.packet_bits, unit.out_bits)
        packets = _whole(unit, wire, in_words)
        before = (out_words - 1) * unit.out_bits
        flushes = unit.in_bits < unit.out_bits and before > (in_words - 1) * unit.in_bits
        stage = Convert(
            unit.name,
            self._layer(unit),
            *_OPEN,
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
        return self._append(stage, [wire], unit.out_bits, packets * out_words)

    def _window(self, unit: Window, wire: _Wire) -> _Wire:
        for stage in window_stages(unit, self._layer(unit)):
            if isinstance(stage, Lines):
                pixels = unit.out_height * unit.out_width
                width, words = stage.taps_bits, pixels * unit.words_per_pixel
                width = width if unit.spread is None else unit.out_lanes * unit.bits
            else:
                width, words = stage.word_bits, stage.cycles
            wire = self._append(stage, [wire], width, words)
        return wire

    def _matrix(self, unit: MatrixUnit, wire: _Wire) -> _Wire:
        into = self._into[unit.name]
        weights = self._plan.unit(into["weights"].source)
        starts = self._plan.unit(into["starts"].source)
        assert isinstance(weights, WeightRom) and isinstance(starts, StartRom)
        (edge,) = self._from[unit.name]
        pixels = edge.stream.pixels
        rows, columns = 1, pixels
        if starts.classes > 1:
            rows, columns = len(starts.row_class), len(starts.column_class)
        words = pixels * unit.groups
        cycles = words * unit.folds
        behind = None if edge.target == "output" else self._plan.unit(edge.target)
        terms = len(behind.coefficients) if isinstance(behind, TermsUnit) else 1
        stage = Matrix(
            unit.name, self._layer(unit), *_OPEN, cycles, unit, weights, starts, rows, columns, terms
        )
        return self._append(stage, [wire], unit.rows * unit.out_bits, words)

    def _pool(self, unit: PoolUnit | SumPoolUnit, wire: _Wire) -> _Wire:
        (edge,) = self._from[unit.name]
        words = edge.stream.pixels * unit.words_per_pixel
        cycles = words * unit.tap_groups
        if isinstance(unit, PoolUnit):
            pool = Pool(unit.name, self._layer(unit), *_OPEN, cycles, unit, edge.stream.pixels)
            return self._append(pool, [wire], unit.lanes * unit.bits, words)
        sums = SumPool(unit.name, self._layer(unit), *_OPEN, cycles, unit, words)
        return self._append(sums, [wire], unit.lanes * unit.out_bits, words)

    def _around(self, unit: PlaneUnit | TermsUnit | ForkUnit | AbsSumUnit, wire: _Wire) -> _Wire:
        """What takes a word a turn and holds no table."""
        common = unit.name, self._layer(unit), *_OPEN, wire.words
        if isinstance(unit, ForkUnit):
            return self._append(Fork(*common, unit, wire.words), [wire], unit.width, wire.words)
        if isinstance(unit, PlaneUnit):
            rounds = _whole(unit, wire, len(unit.planes) * unit.folds)
            return self._append(Planes(*common, unit, rounds), [wire], unit.lanes, wire.words)
        if isinstance(unit, TermsUnit):
            words = _whole(unit, wire, len(unit.coefficients))
            return self._append(Terms(*common, unit, words), [wire], unit.lanes * unit.out_bits, words)
        pixels = _whole(unit, wire, unit.words_per_pixel)
        return self._append(AbsSum(*common, unit, pixels), [wire], unit.out_bits, pixels)

    def _quantiser(self, unit: LevelUnit | RequantUnit, wire: _Wire) -> _Wire:
        port = "levels" if isinstance(unit, LevelUnit) else "factors"
        table = self._plan.unit(self._into[unit.name][port].source)
        assert isinstance(table, WeightRom)
        rounds = _whole(unit, wire, table.depth)
        common = unit.name, self._layer(unit), *_OPEN, wire.words, table, rounds
        stage = Levels(*common, unit) if isinstance(unit, LevelUnit) else Requant(*common, unit)
        return self._append(stage, [wire], unit.lanes * unit.out_bits, wire.words)

    # --- where streams meet -----------------------------------------------------------------------

    def _sum(self, unit: AddUnit, wires: list[_Wire]) -> _Wire:
        words = _alike(unit, [wire.words for wire in wires])
        stage = Add(unit.name, self._layer(unit), *_OPEN, words, unit, words)
        return self._append(stage, wires, unit.lanes * unit.out_bits, words)

    def _concat(self, unit: ConcatUnit, wires: list[_Wire]) -> _Wire:
        pixels = _alike(unit, [_whole(unit, w, n) for w, n in zip(wires, unit.words, strict=True)])
        words = pixels * sum(unit.words)
        stage = Concat(unit.name, self._layer(unit), *_OPEN, words, unit, pixels)
        return self._append(stage, wires, unit.lanes * unit.bits, words)

    def _multiply(self, unit: MultiplyUnit, wires: list[_Wire]) -> _Wire:
        values, factors = wires
        pixels = _alike(unit, [_whole(unit, values, unit.words_per_pixel), factors.words])
        stage = Multiply(unit.name, self._layer(unit), *_OPEN, values.words, unit, pixels)
        return self._append(stage, wires, unit.lanes * unit.out_bits, values.words)

    def finish(self) -> HlsDesign:
        """Close the graph at the core's output."""
        frame_in, frame_out = self._plan.input_frame, self._plan.output_frame
        result = self._take(self._into["output"]["data"])
        if result.words != frame_out.beats:
            raise ValueError(f"{result.words} result beats leave, the frame has {frame_out.beats}")
        cycles = max(frame_in.beats, frame_out.beats, *(stage.cycles for stage in self._stages))
        writers = [[wire.writer for wire in wires] for wires in self._taken]
        depths = stream_depths([turns(stage) for stage in self._stages], writers, frame_in.beats, cycles)
        # those of the core's two ports belong to the shell
        targets = {(result.writer, result.slot): _stream("output", result, 0)}
        sources: list[tuple[HlsStream, ...]] = []
        for stage, wires, found in zip(self._stages, self._taken, depths, strict=True):
            streams = []
            for port, (wire, depth) in enumerate(zip(wires, found, strict=True)):
                depth = 0 if wire.writer == _OUTSIDE else max(wire.depth, depth)
                streams.append(_stream(stage.name, wire, depth, port))
                targets[wire.writer, wire.slot] = streams[-1]
            sources.append(tuple(streams))
        stages = tuple(
            replace(
                stage,
                sources=sources[i],
                targets=tuple(targets[key] for key in sorted(targets) if key[0] == i),
            )
            for i, stage in enumerate(self._stages)
        )
        return HlsDesign(stages, cycles)


def _stream(name: str, wire: _Wire, depth: int, port: int = 0) -> HlsStream:
    return HlsStream(name, wire.width, depth, wire.words, wire.tensor, wire.observed, port)


def _element_bits(unit: Unit, port: str) -> int:
    """Bits of an element on ``port`` of ``unit``; 0 where any will do."""
    if isinstance(unit, Window | PlaneUnit | PoolUnit | ConcatUnit):
        return unit.bits
    if isinstance(unit, MatrixUnit):
        return unit.act_bits
    if isinstance(unit, AddUnit):
        return unit.in_bits[int(port[4:])]
    if isinstance(unit, MultiplyUnit):
        return unit.factor_bits if port == "data1" else unit.in_bits
    return unit.in_bits if isinstance(unit, LevelUnit | RequantUnit | SumPoolUnit | AbsSumUnit) else 0


def _whole(unit: Unit, wire: _Wire, words: int) -> int:
    """How many times ``words`` words come in a frame."""
    times, rest = divmod(wire.words, words)
    if rest:
        raise ValueError(f"{unit.name}: {wire.words} words are no rounds of {words}")
    return times


def _alike(unit: Unit, numbers: list[int]) -> int:
    """The number that all of ``numbers`` are."""
    if len(set(numbers)) != 1:
        raise ValueError(f"{unit.name}: what it joins is of different lengths: {numbers}")
    return numbers[0]
