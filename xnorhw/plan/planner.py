"""``make_plan``: integer graph + board -> plan."""

from __future__ import annotations

from math import ceil, floor
from typing import Literal, get_args

from xnorhw.board import Board, board_names, load_board
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import IntGraph, Product
from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.bound import bound_cycles, layer_bounds
from xnorhw.plan.budget import Limits, clock_of, ddr_cycles, fabric_of, limits_of
from xnorhw.plan.design import Design, Pick, design
from xnorhw.plan.folding import Folding, LayerFolding, check_folding
from xnorhw.plan.geometry import layer_shape, legal_taps, pool_cycles
from xnorhw.plan.image import weight_image
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.memories import check_columns, check_memory
from xnorhw.plan.model import Fifo, Figures, LayerPlan, Plan, Proof, Resources, Window
from xnorhw.plan.network import Network, network_of
from xnorhw.plan.quicker import quicker
from xnorhw.plan.refusals import ENGINE
from xnorhw.plan.rows import pools_and_pixels
from xnorhw.plan.search import Found, Search, pool_taps

__all__ = ["Goal", "make_plan"]

Goal = Literal["latency", "area"]
"""What is sought among the designs of one frame rate: the least latency that fits, or the least area."""

_NO_HURRY = 1e15
"""Clocks a frame that any folding keeps to."""


def make_plan(
    graph: IntGraph,
    board: Board,
    clock_mhz: float | None = None,
    folding: Folding | None = None,
    target_fps: float | None = None,
    goal: Goal | None = None,
) -> Plan:
    """Plan ``graph`` as a dataflow accelerator for ``board``.

    ``clock_mhz``: the clock, the board's own by default; the highest not above it that the
    board can make is taken.  ``folding``: by hand, every layer
    named.  Without it the planner folds: the fastest that fills at most the board's share
    (``board.fill``) of what the shell leaves, or, with ``target_fps`` frames a second, one that
    reaches it.  ``goal``: what is left of the board then buys latency ("latency", what the fastest does
    unless told otherwise), or nothing, and the design is the smallest ("area", what one for
    ``target_fps`` is).  Raises ModelError for what the chip cannot run, FitError for
    a folding that cannot be built, a design that does not fit, a rate out of reach.
    """
    clock = clock_of(board, clock_mhz)
    try:
        network = network_of(graph, fabric_of(board, clock))
    except ModelError as error:
        raise _with_memory(error, graph, board) from None
    least = ddr_cycles(network, board, clock)
    if goal is not None and goal not in get_args(Goal):
        raise FitError(
            f"there is no goal {goal!r}", module="goal", remedy=f"Take {' or '.join(get_args(Goal))}"
        )
    proof: Proof | None = None
    if folding is not None:
        if target_fps is not None:
            raise FitError(
                "a folding and a frame rate were both asked for",
                module="target_fps",
                remedy="Give one of the two",
            )
        check_folding(graph, folding)
        picks = tuple(_pick(layer, folding) for layer in network.layers)
        for index, pick in enumerate(picks):
            folded = pick.pe, pick.simd, pick.pixels
            check_memory(network, index, *folded, pick.memory)
            check_columns(network, index, *folded, pick.dsp_pes)
        limits = limits_of(board, 1.0)
        found = design(network, picks, board.stream_bits, limits.prices(), least)
        if not limits.hold(found.total):
            raise _too_large(found, board, 1.0, "Fold more: smaller pe and simd")
    else:
        if goal is None:
            goal = "latency" if target_fps is None else "area"
        found, proof = _search(network, board, clock, least, target_fps, goal)
    return _plan(graph, network, board, clock, found, proof)


def _pick(layer: ChipLayer, folding: Folding) -> Pick:
    """A layer's entry of the folding; pools without one keep up with the layer."""
    entry: LayerFolding = folding.layer(layer.name)
    work = layer_shape(layer, entry.pe, entry.simd, entry.pixels).cycles
    kept = pool_taps(layer, entry.pe, work, entry.pixels)
    taps, rings = [], []
    for i, (pool, pixels) in enumerate(pools_and_pixels(layer, entry.pixels)):
        given = folding.pool(pool.name)
        if given is not None:
            taps.append(given.taps_per_word)
            rings.append(given.window_memory)
        else:
            options = legal_taps(pool, pixels)
            fastest = min(options, key=lambda t: (pool_cycles(pool, entry.pe, t, pixels), t))
            taps.append(fastest if kept is None else kept[i])
            rings.append("auto")
    memories = (entry.memory, entry.window_memory)
    return Pick(entry.pe, entry.simd, *memories, tuple(taps), tuple(rings), entry.dsp_pes, entry.pixels)


def _search(
    network: Network,
    board: Board,
    clock: float,
    least: int,
    target_fps: float | None,
    goal: Goal,
) -> tuple[Design, Proof]:
    limits = limits_of(board, board.fill)
    search = Search(network, board.stream_bits, limits, least)
    if target_fps is not None:
        if not target_fps > 0:
            raise FitError(
                f"{target_fps:g} frames a second is no rate", module="target_fps", remedy="Use more than 0"
            )
        # a clock more or less of the period is below what a rate in decimal digits says
        asked = min(int(min(clock * 1e6 / target_fps * (1 + 1e-9), _NO_HURRY)), search.slowest())
        found = search.within(asked)
        if found is None or found.design.period > asked or not found.fits:
            raise _too_slow(search, found, asked, board, limits, clock, target_fps)
        return _spent(search, found, goal, 0)
    fastest = search.fastest()
    if fastest is None:
        smallest = search.at(search.slowest())
        assert smallest is not None
        raise _too_large(smallest.design, board, board.fill, "Use fewer or narrower layers")
    return _spent(search, fastest, goal, search.least_cycles)


def _spent(search: Search, found: Found, goal: Goal, least_cycles: int) -> tuple[Design, Proof]:
    """What is left of the budget, spent as ``goal`` asks for."""
    if goal == "latency":
        return quicker(search, found).design, Proof(goal, least_cycles, None)
    return found.design, Proof(goal, least_cycles, search.area_gap(found))


# --- refusals --------------------------------------------------------------------------------


def _too_large(found: Design, board: Board, fill: float, advice: str) -> FitError:
    limits = limits_of(board, fill)
    others = _boards_that_hold(found.total, board, fill)
    where = (
        f", or take {' or '.join(others)}, where it fits"
        if others
        else f"; no known board holds it: {ENGINE}"
    )
    return FitError(
        f"the design does not fit: {_excess(found.total, limits, fill)}",
        module=board.name,
        remedy=f"{advice}{where}",
    )


def _with_memory(error: ModelError, graph: IntGraph, board: Board) -> ModelError:
    """The same refusal, which also says how far the weights are off the board's memory."""
    products = [n.op for n in graph.nodes if isinstance(n.op, Product)]
    bits = sum(sum({t.weight.tobytes(): t.weight.size for t in op.terms}.values()) for op in products)
    if bits <= _memory_bits(board):
        return error
    holding = [name for name in board_names() if bits <= _memory_bits(load_board(name))]
    where = f"; {' and '.join(holding)} could hold them" if holding else "; no known board could hold them"
    return ModelError(
        f"{error.reason}. Its binary weights alone take {bits:,} bits, and {board.name} has "
        f"{_memory_bits(board):,} bits of memory{where}",
        module=error.module,
        remedy=error.remedy,
    )


def _memory_bits(board: Board) -> int:
    """What the board's block and ultra RAM hold."""
    return int(board.budget.bram36 * (36 << 10) + board.budget.uram * (288 << 10))


def _too_slow(
    search: Search,
    found: Found | None,
    asked: int,
    board: Board,
    limits: Limits,
    clock: float,
    target: float,
) -> FitError:
    fastest = search.fastest()
    others: list[str] = []
    if found is None:
        reason = "no folding of this network takes so few clocks"
    elif found.design.period > asked:
        reason = (
            f"its frames' beats and what joins streams take {found.design.period:,} clocks whatever the "
            f"folding, and that rate leaves {asked:,}"
        )
    else:
        reason = f"the design for it does not fit: {_excess(found.design.total, limits, board.fill)}"
        others = _boards_that_hold(found.design.total, board, board.fill)
    if fastest is None:
        remedy = "Not even the slowest folding fits; use fewer or narrower layers"
    else:
        # rounded down: a rate that is printed can be asked for
        best = floor(clock * 1e7 / fastest.design.period) / 10
        remedy = f"The best that can be reached here is {best:.1f} frames a second at {clock:g} MHz"
    if others:
        remedy += f"; on {' or '.join(others)} the faster one fits"
    return FitError(
        f"{target:g} frames a second cannot be reached: {reason}", module=board.name, remedy=remedy
    )


def _excess(total: Resources, limits: Limits, fill: float) -> str:
    """Each resource that is missing, by how much, and of what."""
    parts = []
    for label, need, have, digits in (
        ("LUTs", total.lut, limits.lut, 0),
        ("flip-flops", total.ff, limits.ff, 0),
        ("BRAM36", total.bram36, limits.bram36, 1),
        ("DSPs", total.dsp, limits.dsp, 0),
    ):
        if need > have:
            short = f"{need:,.{digits}f} {label}, {need - have:,.{digits}f} more than the {have:,.{digits}f}"
            parts.append(f"it needs {short} left for it")
    share = "" if fill == 1.0 else f" (automatic folding fills {fill:.0%} of what the shell leaves)"
    return ", and ".join(parts) + share


def _boards_that_hold(total: Resources, board: Board, fill: float) -> list[str]:
    """The other boards that hold ``total``; automatic folding fills each by its own share."""
    names = []
    for name in board_names():
        other = load_board(name)
        share = 1.0 if fill == 1.0 else other.fill
        if name != board.name and limits_of(other, share).hold(total):
            names.append(name)
    return names


# --- the plan --------------------------------------------------------------------------------


def _plan(
    graph: IntGraph, network: Network, board: Board, clock: float, found: Design, proof: Proof | None
) -> Plan:
    folding = Folding(
        tuple(LayerFolding(c.layer.name, c.shape.pe, c.shape.simd, c.shape.pixels) for c in found.choices),
    )
    bounds = dict(layer_bounds(graph, folding))
    figures = Figures(
        cycles_per_frame=found.period,
        bound_cycles=bound_cycles(graph, folding, board, clock),
        latency_cycles=found.schedule.latency,
        fps=clock * 1e6 / found.period,
        lanes=sum(c.shape.pe * c.shape.simd * c.shape.made for c in found.choices),
        resources=found.total,
        shell=_as_resources(board, "shell"),
        budget=_as_resources(board, "budget"),
    )
    return Plan(
        board=board.name,
        part=board.part,
        clock_mhz=clock,
        family=board.family,
        input_tensor=network.source.name,
        output_tensor=network.result.name,
        input_frame=input_frame(network.source, board.stream_bits),
        output_frame=output_frame(network.result, board.stream_bits),
        units=found.netlist.units,
        edges=found.netlist.edges,
        jobs=found.netlist.jobs,
        layers=_layer_plans(found, bounds),
        image=weight_image(found.choices, found.joins),
        frames_in_flight=_frames_in_flight(found),
        unit_resources=found.costs,
        figures=figures,
        proof=proof,
    )


def _as_resources(board: Board, which: str) -> Resources:
    part = board.shell if which == "shell" else board.budget
    return Resources(part.lut, part.ff, part.bram36, part.uram, part.dsp)


def _layer_plans(found: Design, bounds: dict[str, int]) -> tuple[LayerPlan, ...]:
    owner = {job.unit: job.layer for job in found.netlist.jobs}
    plans = []
    for choice in found.choices:
        layer, shape = choice.layer, choice.shape
        prefix = f"l{layer.index}"
        cost = Resources()
        for name, part in found.costs:
            if owner.get(name) == layer.name:
                cost = cost + part
        plans.append(
            LayerPlan(
                name=layer.name,
                output=layer.output.name,
                matrix=f"{prefix}_mvu",
                window=f"{prefix}_window" if shape.windowed else "",
                pools=tuple(f"{prefix}_pool{i}" for i in range(len(layer.pools))),
                pe=shape.pe,
                simd=shape.simd,
                pixels=shape.pixels,
                memory=choice.memory,
                cycles=max(clocks for name, clocks in found.cycles if owner[name] == layer.name),
                work_cycles=bounds[layer.name],
                macs=layer.macs,
                weight_bits=layer.terms * int(layer.weights().size) * choice.widths.weight_bits,
                resources=cost,
            )
        )
    return tuple(plans)


def _frames_in_flight(found: Design) -> int:
    """More frames than the pipeline can hold at once, so that the shell's flags never throttle it.

    Every word of storage holds its share of a frame; every unit keeps at most one word more
    than its FIFO.
    """
    frames = 0.0
    for unit in found.netlist.units:
        if isinstance(unit, Window):
            frames += unit.depth / (unit.height * unit.width * unit.words_per_pixel)
    for edge in found.netlist.edges:
        if edge.port.startswith("data"):
            depth = edge.storage.depth if isinstance(edge.storage, Fifo) else 0
            frames += (depth + 2) / edge.stream.words
    return max(2, ceil(frames) + 1)
