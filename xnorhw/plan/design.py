"""One folding worked out: rings, netlist, clocks and cost, by formula."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from math import prod

from xnorhw.ir.geometry import WindowGeometry, ceil_div
from xnorhw.plan.assemble import LayerChoice, Netlist, assemble, input_frame, output_frame
from xnorhw.plan.geometry import LayerShape, layer_shape
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.model import Converter, Edge, Fifo, Job, Memory, Resources, StartRom, Unit, WeightRom, Window
from xnorhw.plan.resources import fifo_resources, ring_resources, rom_resources, unit_resources
from xnorhw.plan.schedule import (
    Schedule,
    Stage,
    pool_latency,
    quantiser_latency,
    schedule,
    terms_latency,
    window_ring,
)
from xnorhw.plan.starts import AccumulatorWidths
from xnorhw.plan.units import quantisers, table_rom

__all__ = ["LUT_ROM_DEPTH", "Design", "Pick", "Prices", "design", "stages", "table_roms", "unit_cycles"]


# A deeper ROM becomes block RAM by itself in the tools (they move its address register into it).
LUT_ROM_DEPTH = 256


@dataclass(frozen=True)
class Pick:
    """A layer's folding as decided; memories are "auto", "lut" or "block", pools in order."""

    pe: int
    simd: int
    memory: str
    ring: str
    pool_taps: tuple[int, ...]
    pool_rings: tuple[str, ...]


@dataclass(frozen=True)
class Prices:
    """What a LUT, an FF, a BRAM36 and a DSP are worth beside one another."""

    lut: float
    ff: float
    bram36: float
    dsp: float

    def of(self, cost: Resources) -> float:
        """The price of ``cost``."""
        price = self.lut * cost.lut + self.ff * cost.ff + self.bram36 * cost.bram36
        return price + self.dsp * cost.dsp

    def cheaper(self, lut: Resources, block: Resources) -> Memory:
        """The cheaper of a LUT memory and a block memory."""
        return Memory.LUT if self.of(lut) <= self.of(block) else Memory.BLOCK


@dataclass(frozen=True)
class Design:
    """A folding worked out.

    ``cycles`` and ``costs`` are by unit, in the netlist's order; a FIFO's cost is that of
    the unit in front of it, the input's of "input".
    """

    choices: tuple[LayerChoice, ...]
    netlist: Netlist
    cycles: tuple[tuple[str, int], ...]
    costs: tuple[tuple[str, Resources], ...]
    schedule: Schedule
    total: Resources

    @property
    def period(self) -> int:
        """Clocks a frame in steady state."""
        return self.schedule.period


def design(
    layers: tuple[ChipLayer, ...],
    widths: tuple[AccumulatorWidths, ...],
    picks: tuple[Pick, ...],
    beat_bits: int,
    prices: Prices,
    least_period: int = 1,
) -> Design:
    """Work out ``picks``; ``least_period``: clocks a frame that something outside asks for (DDR)."""
    shapes = tuple(layer_shape(layer, p.pe, p.simd) for layer, p in zip(layers, picks, strict=True))
    beats = output_frame(layers[-1], beat_bits).beats
    line = stages(layers, shapes, picks, beats)
    works = [round(s.cost * s.pixels) for s in line]
    period = max(
        least_period,
        input_frame(layers[0], beat_bits).beats,
        beats,
        *works,
        *(s.in_words for s in line),
    )
    plan = schedule(line, input_frame(layers[0], beat_bits).beats, period)
    depths = dict(plan.depths)
    choices = tuple(
        _choice(layer, shape, width, pick, depths, prices)
        for layer, shape, width, pick in zip(layers, shapes, widths, picks, strict=True)
    )
    netlist = assemble(choices, beat_bits)
    jobs = {job.unit: job for job in netlist.jobs}
    cycles = tuple((u.name, unit_cycles(u, jobs[u.name])) for u in netlist.units)
    late = [name for name, clocks in cycles if clocks > period]
    assert not late, f"{late} are slower than the period of {period} clocks"
    costs = _costs(netlist.units, netlist.edges)
    total = reduce(Resources.__add__, (c for _, c in costs), Resources())
    return Design(choices, netlist, cycles, costs, plan, total)


def stages(
    layers: tuple[ChipLayer, ...], shapes: tuple[LayerShape, ...], picks: tuple[Pick, ...], beats: int
) -> tuple[Stage, ...]:
    """The pixel loops from input to output, each coupled with what stands before the next ring."""
    line: list[Stage] = []
    for layer, shape, pick in zip(layers, shapes, picks, strict=True):
        line.append(_layer_stage(layer, shape))
        for pool, taps in zip(layer.pools, pick.pool_taps, strict=True):
            words = ceil_div(layer.outputs, pick.pe)
            _, height, width = pool.source.shape
            ring = window_ring(pool.op.geometry, height, width, *pool.pooled.shape[1:], words)
            cost = words * pool.op.geometry.taps // taps
            later = pool_latency(pool.bits, pool.quantiser is not None, taps)
            if pool.quantiser is not None:
                later += quantiser_latency(pool.quantiser)
            line.append(Stage(pool.name, ring, ring.words, pool.out_pixels, float(cost), 0, later))
    return _coupled(line, beats)


def _layer_stage(layer: ChipLayer, shape: LayerShape) -> Stage:
    ring = None
    if shape.flat and shape.windowed:
        # all words of the frame for each of its channel groups
        whole = WindowGeometry(kernel=(1, shape.in_words))
        ring = window_ring(whole, 1, shape.in_words, 1, 1, 1)
    elif shape.windowed:
        _, height, width = layer.source.shape
        ring = window_ring(layer.geometry, height, width, *layer.sums.shape[1:], shape.words_per_pixel)
    coefficients = tuple(t.coefficient for t in layer.product.terms)
    later = terms_latency(coefficients) if layer.weighted else 0
    if layer.quantiser is not None and not layer.in_matrix:
        later += quantiser_latency(layer.quantiser)
    cost = float(shape.turns * shape.folds)
    return Stage(layer.name, ring, shape.in_words, layer.out_pixels, cost, 0, later)


def _coupled(line: list[Stage], beats: int) -> tuple[Stage, ...]:
    """Fill in what stands behind each stage, from the last to the first.

    A stage waits for its converter, whose narrower side moves a word a clock, and for a
    unit behind that takes words as they come.
    """
    coupled: list[Stage] = []
    next_words, behind = beats, 0.0
    for stage in reversed(line):
        work = max(stage.cost * stage.pixels, float(next_words), behind)
        coupled.append(replace(stage, cost=work / stage.pixels, next_words=next_words))
        next_words = stage.in_words
        behind = work if stage.ring is None else 0.0
    return tuple(reversed(coupled))


def _choice(
    layer: ChipLayer,
    shape: LayerShape,
    widths: AccumulatorWidths,
    pick: Pick,
    depths: dict[str, int],
    prices: Prices,
) -> LayerChoice:
    width, depth = shape.pe * shape.simd, shape.turns * shape.folds
    memory = _rom_memory(pick.memory, width, depth, prices)
    ring_depth = depths.get(layer.name, 0)
    ring = _ring_memory(pick.ring, shape.lanes * layer.act_bits, ring_depth, shape.taps_per_word, prices)
    pool_depths = tuple(depths[p.name] for p in layer.pools)
    pool_rings = tuple(
        _ring_memory(wish, shape.pe * pool.bits, depth, taps, prices)
        for wish, pool, depth, taps in zip(
            pick.pool_rings, layer.pools, pool_depths, pick.pool_taps, strict=True
        )
    )
    tables = tuple(
        Memory.LUT if rom is None else _rom_memory("auto", rom.width, rom.depth, prices)
        for rom in table_roms(layer, shape, widths)
    )
    return LayerChoice(
        layer, shape, widths, memory, ring_depth, ring, pick.pool_taps, pool_depths, pool_rings, tables
    )


def table_roms(
    layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths
) -> tuple[WeightRom | None, ...]:
    """The tables of the layer's quantiser and of its pools', None where there is none."""
    return tuple(
        None
        if unit is None or quantiser is None
        else table_rom(unit, quantiser, ceil_div(layer.outputs, shape.pe), Memory.LUT)
        for unit, quantiser in quantisers(layer, shape, widths)
    )


def _rom_memory(wish: str, width: int, depth: int, prices: Prices) -> Memory:
    if wish != "auto":
        return Memory(wish)
    if depth > LUT_ROM_DEPTH:
        return Memory.BLOCK
    return prices.cheaper(rom_resources(width, depth, Memory.LUT), rom_resources(width, depth, Memory.BLOCK))


def _ring_memory(wish: str, width: int, depth: int, copies: int, prices: Prices) -> Memory:
    if wish != "auto":
        return Memory(wish)
    return prices.cheaper(
        ring_resources(width, depth, copies, Memory.LUT), ring_resources(width, depth, copies, Memory.BLOCK)
    )


def unit_cycles(unit: Unit, job: Job) -> int:
    """Clocks a frame that ``unit`` is busy: the words of its busier port."""
    if isinstance(unit, WeightRom | StartRom):
        return 0
    loops = prod(count for _, count in job.loops)
    if isinstance(unit, Converter):
        narrow = min(unit.in_bits, unit.out_bits)
        return loops * ceil_div(unit.packet_bits, narrow)
    if isinstance(unit, Window):
        return max(loops, unit.height * unit.width * unit.words_per_pixel)
    return loops


def _costs(units: tuple[Unit, ...], edges: tuple[Edge, ...]) -> tuple[tuple[str, Resources], ...]:
    behind: dict[str, Resources] = {}
    for edge in edges:
        assert isinstance(edge.storage, Fifo)
        behind[edge.source] = fifo_resources(edge.stream.width, edge.storage)
    costs = [(u.name, unit_resources(u) + behind[u.name]) for u in units]
    return (("input", behind["input"]), *costs)
