"""One folding worked out: rings, netlist, clocks and cost, by formula."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from math import prod

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.assemble import JoinChoice, LayerChoice, assemble, input_frame, output_frame
from xnorhw.plan.geometry import LayerShape, layer_shape
from xnorhw.plan.joins import JoinShape, join_shape, slowest_join
from xnorhw.plan.layers import ChipJoin, ChipLayer, ChipPool
from xnorhw.plan.memories import LUT_ROM_DEPTH, placed, weight_options
from xnorhw.plan.model import Converter, Edge, Fifo, Job, Memory, Resources, StartRom, Unit, WeightRom, Window
from xnorhw.plan.netlist import Netlist, PoolChoice
from xnorhw.plan.network import Network
from xnorhw.plan.pick import Pick, join_stage, layer_line, stages
from xnorhw.plan.resources import fifo_resources, ring_resources, rom_resources, unit_resources
from xnorhw.plan.rows import pool_pixels, pool_view
from xnorhw.plan.schedule import Schedule, schedule
from xnorhw.plan.starts import AccumulatorWidths
from xnorhw.plan.units import join_quantisers, quantisers, table_rom

__all__ = ["LUT_ROM_DEPTH", "Design", "Pick", "Prices", "design", "join_tables", "table_roms", "unit_cycles"]


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
        return self.cheapest(((Memory.LUT, lut), (Memory.BLOCK, block)))

    def cheapest(self, options: tuple[tuple[Memory, Resources], ...]) -> Memory:
        """The cheapest of some memories, the first where several are."""
        return min(options, key=lambda option: self.of(option[1]))[0]


@dataclass(frozen=True)
class Design:
    """A folding worked out.

    ``choices`` are the layers', in order, ``joins`` those of what stands between them.  ``cycles``
    and ``costs`` are by unit, in the netlist's order; a FIFO's cost is that of the unit in front of
    it, the input's of "input".
    """

    choices: tuple[LayerChoice, ...]
    joins: tuple[JoinChoice, ...]
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
    network: Network, picks: tuple[Pick, ...], beat_bits: int, prices: Prices, least_period: int = 1
) -> Design:
    """Work out ``picks``, one a layer.

    ``least_period``: clocks a frame that something outside asks for (DDR).
    """
    pairs = zip(network.layers, picks, strict=True)
    shapes = tuple(layer_shape(layer, p.pe, p.simd, p.pixels) for layer, p in pairs)
    beats_in = input_frame(network.source, beat_bits).beats
    beats_out = output_frame(network.result, beat_bits).beats
    lines = zip(network.layers, shapes, network.widths, picks, strict=True)
    line = [stage for parts in lines for stage in layer_line(*parts)]
    period = max(
        least_period,
        beats_in,
        beats_out,
        slowest_join(network.stages),
        *(round(s.cost * s.pixels) for s in line),
        *(s.in_words for s in line),
    )
    joins = {join.index: join_shape(join, period) for join in network.joins}
    plan = schedule(stages(network, shapes, picks, joins), beats_in, beats_out, period)
    depths, fifos = dict(plan.depths), dict(plan.fifos)
    chosen: list[LayerChoice | JoinChoice] = []
    for stage in network.stages:
        if isinstance(stage, ChipLayer):
            at = stage.index
            chosen.append(_choice(network, stage, shapes[at], picks[at], depths, prices))
        else:
            chosen.append(_join_choice(stage, joins[stage.index], depths, fifos, prices))
    netlist = assemble(tuple(chosen), network.source, beat_bits)
    netlist = replace(netlist, units=tuple(placed(unit, network) for unit in netlist.units))
    jobs = {job.unit: job for job in netlist.jobs}
    cycles = tuple((u.name, unit_cycles(u, jobs[u.name])) for u in netlist.units)
    late = [name for name, clocks in cycles if clocks > period]
    assert not late, f"{late} are slower than the period of {period} clocks"
    costs = _costs(netlist.units, netlist.edges)
    total = reduce(Resources.__add__, (c for _, c in costs), Resources())
    layers = tuple(c for c in chosen if isinstance(c, LayerChoice))
    between = tuple(c for c in chosen if isinstance(c, JoinChoice))
    return Design(layers, between, netlist, cycles, costs, plan, total)


def _choice(
    network: Network,
    layer: ChipLayer,
    shape: LayerShape,
    pick: Pick,
    depths: dict[str, int],
    prices: Prices,
) -> LayerChoice:
    widths = network.widths[layer.index]
    if pick.memory == "auto":
        memory = prices.cheapest(weight_options(network, layer.index, shape, pick.dsp_pes))
    else:
        memory = Memory(pick.memory)
    ring_depth = depths.get(layer.name, 0)
    ring = _ring_memory(pick.ring, shape.lanes * layer.act_bits, ring_depth, shape.copies, prices)
    beside = pairwise(pool_pixels(layer, shape.pixels))
    pools = tuple(
        _pool_choice(pool, shape.pe, taps, depths[pool.name], wish, prices, *pixels)
        for pool, taps, wish, pixels in zip(layer.pools, pick.pool_taps, pick.pool_rings, beside, strict=True)
    )
    tables = _table_memories(table_roms(layer, shape, widths), prices)
    return LayerChoice(layer, shape, widths, memory, ring_depth, ring, pools, tables, pick.dsp_pes)


def _join_choice(
    join: ChipJoin,
    shape: JoinShape,
    depths: dict[str, int],
    fifos: dict[tuple[str, int], int],
    prices: Prices,
) -> JoinChoice:
    pools = tuple(
        _pool_choice(pool, shape.pool_lanes, taps, depths[pool.name], "auto", prices)
        for pool, taps in zip(join.pools, shape.pool_taps, strict=True)
    )
    held = tuple(fifos.get((join_stage(join), i), 0) for i in range(len(join.sources)))
    roms = {codes: rom for codes, rom, _ in join_tables(join, shape)}
    made = (join.bits, *(pool.output for pool in join.pools))
    tables = tuple(None if codes is None else roms.get(codes.name) for codes in made)
    return JoinChoice(join, shape, held, pools, _table_memories(tables, prices))


def join_tables(join: ChipJoin, shape: JoinShape) -> tuple[tuple[str, WeightRom, int], ...]:
    """The tables of a join: the codes that each makes, the table, and the channel groups of a pixel."""
    made = (join.bits, *(pool.output for pool in join.pools))
    words = (ceil_div(join.joined.shape[0], shape.lanes), *(shape.pool_words(pool) for pool in join.pools))
    return tuple(
        (codes.name, table_rom(unit, quantiser, count, Memory.LUT), count)
        for codes, (unit, quantiser), count in zip(made, join_quantisers(join, shape), words, strict=True)
        if codes is not None and unit is not None and quantiser is not None
    )


def _pool_choice(
    pool: ChipPool,
    lanes: int,
    taps: int,
    depth: int,
    wish: str,
    prices: Prices,
    pixels: int = 1,
    made: int = 1,
) -> PoolChoice:
    view = pool_view(pool, pixels) if pixels > 1 else None
    copies = taps if view is None else view.geometry.taps
    ring = _ring_memory(wish, lanes * pixels * pool.bits, depth, copies, prices)
    return PoolChoice(taps, depth, ring, pixels, made)


def _table_memories(roms: tuple[WeightRom | None, ...], prices: Prices) -> tuple[Memory, ...]:
    return tuple(Memory.LUT if rom is None else _rom_memory(rom.width, rom.depth, prices) for rom in roms)


def table_roms(
    layer: ChipLayer, shape: LayerShape, widths: AccumulatorWidths
) -> tuple[WeightRom | None, ...]:
    """The tables of the layer's quantiser and of its pools', None where there is none."""
    beside = (shape.made, *pool_pixels(layer, shape.pixels)[1:])
    return tuple(
        None
        if unit is None or quantiser is None
        else table_rom(unit, quantiser, ceil_div(layer.outputs, shape.pe), Memory.LUT, pixels)
        for (unit, quantiser), pixels in zip(quantisers(layer, shape, widths), beside, strict=True)
    )


def _rom_memory(width: int, depth: int, prices: Prices) -> Memory:
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
        cost = fifo_resources(edge.stream.width, edge.storage)
        behind[edge.source] = behind.get(edge.source, Resources()) + cost
    costs = [(u.name, unit_resources(u) + behind[u.name]) for u in units]
    return (("input", behind["input"]), *costs)
