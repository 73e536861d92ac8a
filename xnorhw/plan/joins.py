"""How wide the units are that join streams: the narrowest that keep up with the layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import BoxSum, Concat, Multiply
from xnorhw.plan.geometry import divisors, legal_taps, pool_cycles
from xnorhw.plan.layers import ChipJoin, ChipPool, ChipStage

__all__ = ["JoinShape", "join_shape", "least_join_cycles", "slowest_join"]


@dataclass(frozen=True)
class JoinShape:
    """A join of ``lanes`` channels a clock: ``words`` for a pixel of each source.

    ``words_per_pixel`` are its clocks: of a concatenation the words of all sources.
    ``pool_lanes`` are those of the pools behind, ``pool_taps`` the taps a clock of each.
    """

    lanes: int
    words: tuple[int, ...]
    pool_lanes: int
    pool_taps: tuple[int, ...]
    cycles: int
    words_per_pixel: int

    def pool_words(self, pool: ChipPool) -> int:
        """Words of a pixel of a pool behind."""
        return ceil_div(pool.source.shape[0], self.pool_lanes)


def join_shape(join: ChipJoin, period: int) -> JoinShape:
    """The shape of the fewest lanes that takes at most ``period`` clocks a frame, or else the fastest."""
    best: JoinShape | None = None
    for lanes in _lanes(join):
        shape = _shape(join, lanes, period)
        if shape.cycles <= period:
            return shape
        if best is None or shape.cycles < best.cycles:
            best = shape
    assert best is not None
    return best


def least_join_cycles(join: ChipJoin) -> int:
    """The clocks a frame that the join takes at least, whatever its lanes."""
    return join_shape(join, 1).cycles


def slowest_join(stages: tuple[ChipStage, ...]) -> int:
    """The clocks a frame that the joins of a network take at least; 1 where there is none."""
    return max([1, *(least_join_cycles(stage) for stage in stages if isinstance(stage, ChipJoin))])


def _lanes(join: ChipJoin) -> list[int]:
    """The numbers of lanes that differ in clocks, rising."""
    if isinstance(join.op, Concat):
        return divisors(gcd(*(source.shape[0] for source in join.sources)))
    return sorted({ceil_div(join.channels, words) for words in range(1, join.channels + 1)})


def _shape(join: ChipJoin, lanes: int, period: int) -> JoinShape:
    words = tuple(ceil_div(source.shape[0], lanes) for source in join.sources)
    if isinstance(join.op, Multiply):
        words = (words[0], 1)
    pool_lanes = 1 if isinstance(join.op, BoxSum) else lanes
    taps = tuple(_taps(pool, pool_lanes, period) for pool in join.pools)
    a_pixel = sum(words) if isinstance(join.op, Concat) else max(words)
    pools = [pool_cycles(pool, pool_lanes, t) for pool, t in zip(join.pools, taps, strict=True)]
    return JoinShape(lanes, words, pool_lanes, taps, max(join.pixels * a_pixel, *pools, 1), a_pixel)


def _taps(pool: ChipPool, lanes: int, period: int) -> int:
    """The fewest taps a clock with which a pool keeps up, or all of them."""
    return next((t for t in legal_taps(pool) if pool_cycles(pool, lanes, t) <= period), legal_taps(pool)[-1])
