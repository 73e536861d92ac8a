"""Frames a second against what they cost: the cheapest design of each of a number of rates."""

from __future__ import annotations

from math import ceil

from xnorhw.board import Board
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.budget import clock_of, ddr_cycles, fabric_of, limits_of
from xnorhw.plan.model import Resources, Trade, TradePoint
from xnorhw.plan.network import network_of
from xnorhw.plan.search import Found, Search

__all__ = ["trade_off"]

_BEYOND = 4
"""Rates are looked at up to so many times that of the fastest design that fits."""
_DOWN_TO = 1024
"""And down to so many times less."""


def trade_off(
    graph: IntGraph, board: Board, clock_mhz: float | None = None, points: int = 32, thorough: bool = False
) -> Trade:
    """The cheapest design of each of at most ``points`` frame rates, the fastest first.

    From rates past what fits, where some folding has them, to a thousandth of the fastest
    that does; what is neither faster nor cheaper than another is left out.  ``graph``: with its
    full-precision layers placed.  Each design is found nearly; ``thorough``: the fastest that fits as
    ``make_plan`` finds it.  Raises ModelError and FitError as ``make_plan`` does, but none where
    nothing fits.
    """
    clock = clock_of(board, clock_mhz)
    network = network_of(graph, fabric_of(board, clock))
    limits = limits_of(board, board.fill)
    least = ddr_cycles(network, board, clock)
    search = Search(network, board.stream_bits, limits, least, thorough=False)
    wide = Search(network, board.stream_bits, limits, least) if thorough else search
    fastest, slowest = wide.fastest(), search.slowest()
    centre = slowest if fastest is None else fastest.design.period
    first, last = max(search.floor, ceil(centre / _BEYOND)), min(slowest, centre * _DOWN_TO)
    search.tables(last)
    step = max((last / first) ** (1 / max(points - 2, 1)), 1.0)
    wanted = sorted({centre, *(min(int(first * step**i), last) for i in range(points - 1))})
    found = [search.at(period) for period in wanted]
    rows = {f.design.period: _point(f, clock) for f in found if f is not None}
    if fastest is not None:
        rows[centre] = _point(fastest, clock)
    room = Resources(limits.lut, limits.ff, limits.bram36, dsp=limits.dsp)
    return Trade(room, _useful([rows[period] for period in sorted(rows)]))


def _point(found: Found, clock: float) -> TradePoint:
    design = found.design
    fps = clock * 1e6 / design.period
    return TradePoint(design.period, design.schedule.latency, fps, design.total, found.fits)


def _useful(points: list[TradePoint]) -> tuple[TradePoint, ...]:
    """The points than which no other is both as fast and no dearer but for flip-flops."""

    def beats(one: TradePoint, other: TradePoint) -> bool:
        a, b = one.resources, other.resources
        cheap = a.lut <= b.lut and a.bram36 <= b.bram36 and a.dsp <= b.dsp
        return one is not other and one.cycles_per_frame <= other.cycles_per_frame and cheap

    return tuple(p for p in points if not any(beats(other, p) for other in points))
