"""Automatic folding: the fastest that fits, the cheapest of a rate, and a proof of how good they are.

Lexicographic: first the clocks a frame; then, where the caller asks for it, a single frame's latency
(``quicker``); then area.  What each layer can be is in ``candidates``, the knapsack over the layers
in ``relax``; the depths of rings are known once a folding is worked out (``settle``), so what it
then takes more than the knapsack thought is taken off the room, and the knapsack filled again.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.budget import Limits
from xnorhw.plan.candidates import Candidates, Costs, Links, candidates, links, vector
from xnorhw.plan.design import Design, Pick
from xnorhw.plan.exact import LeastLuts
from xnorhw.plan.geometry import LayerShape, layer_shape, legal_pe, legal_simd, legal_taps, pool_cycles
from xnorhw.plan.joins import slowest_join
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.network import Network
from xnorhw.plan.relax import Choice, Relaxation, Vector
from xnorhw.plan.rows import pools_and_pixels
from xnorhw.plan.settle import Settler

__all__ = ["Found", "Search", "pool_taps"]

_ROUNDS = 4
# Foldings of one period, and of a whole search, that are worked out one after the other where bounds
# decide nothing: by the number of layers, for each takes its time.  Of more a few, in hope.
_LEAVES = 1200
_ALL_LEAVES = 3000
_TRIES = 6
_NODES = 2000
_NEIGHBOURS = 24
# A lane costs at least this many LUTs, with weights in the adders.
_LUT_A_LANE = 0.5
# How many times slower than the ideal folding the options are that are looked at first.
_FIRST = 6


@dataclass(frozen=True)
class Found:
    """A design, whether it fits, and the choice that it was worked out from.

    ``least_price``: no design of its period is cheaper; ``proved``: no other fits, where this one
    does not.
    """

    design: Design
    fits: bool
    choice: Choice
    least_price: float
    proved: bool = False


def pool_taps(layer: ChipLayer, pe: int, period: int, pixels: int = 1) -> tuple[int, ...] | None:
    """The fewest taps a clock with which each pool behind a layer keeps up; None where none does.

    The layer takes ``pixels`` a clock.
    """
    chosen = []
    for pool, beside in pools_and_pixels(layer, pixels):
        fitting = [t for t in legal_taps(pool, beside) if pool_cycles(pool, pe, t, beside) <= period]
        if not fitting:
            return None
        chosen.append(fitting[0])
    return tuple(chosen)


class Search:
    """Folding of one network on one board.

    ``least_cycles`` is what is proved so far: no folding that fits takes fewer clocks a frame.
    ``thorough`` False: what is the cheapest of a period is found nearly, and sooner.
    """

    def __init__(
        self, network: Network, beat_bits: int, limits: Limits, least_period: int, thorough: bool = True
    ) -> None:
        self.network, self.beat_bits, self.limits = network, beat_bits, limits
        # a kind of which there is nothing has next to nothing: it is divided by
        self.room: Vector = np.maximum(limits.kinds, 1e-3)
        self.settler = Settler(network, beat_bits, least_period, limits.prices())
        beats_in = input_frame(network.source, beat_bits).beats
        beats_out = output_frame(network.result, beat_bits).beats
        self.floor = max(least_period, beats_in, beats_out, slowest_join(network.stages))
        self.least_cycles = self.floor
        self.prices: Vector = np.array(
            [
                self.settler.prices.lut,
                self.settler.prices.ff,
                self.settler.prices.bram36,
                self.settler.prices.dsp,
            ]
        )
        self._costs = tuple(Costs(network, i) for i in range(len(network.layers)))
        self._thorough = thorough
        self._slowest = 0
        self._tables: tuple[tuple[Candidates, ...], tuple[Links, ...]] = ((), ())
        self._leaves = _ALL_LEAVES // len(network.layers)
        self._relaxed: dict[int, Relaxation] = {}
        self._found: dict[int, Found | None] = {}

    # --- what there is to choose from ----------------------------------------------------------

    def slowest(self) -> int:
        """The clocks a frame of the slowest folding."""
        shapes = (layer_shape(x, legal_pe(x)[0], legal_simd(x)[0]) for x in self.network.layers)
        pools = (pool_cycles(p, 1, 1) for x in self.network.layers for p in x.pools)
        return max(self.floor, *(shape.cycles for shape in shapes), *pools)

    def tables(self, period: int) -> tuple[tuple[Candidates, ...], tuple[Links, ...]]:
        """Every layer's options up to ``period`` clocks or more, and the converters between them."""
        if period > self._slowest:
            self._slowest = period
            count = range(len(self.network.layers))
            lanes = self.limits.lut / _LUT_A_LANE
            found = tuple(candidates(costs, period, lanes) for costs in self._costs)
            self._tables = (found, tuple(links(self.network, i, found, self.beat_bits) for i in count))
            self._relaxed, self._found = {}, {}
        return self._tables

    def relaxation(self, period: int) -> Relaxation:
        """The knapsack of the options that keep to ``period``."""
        found, between = self.tables(period)
        if period not in self._relaxed:
            self._relaxed[period] = Relaxation(found, between, period)
        return self._relaxed[period]

    def periods(self, slowest: int) -> list[int]:
        """Every number of clocks a frame, up to ``slowest``, that some folding has."""
        found, _ = self.tables(slowest)
        clocks = {self.floor}.union(*(c.cycles.tolist() for c in found))
        return sorted(p for p in clocks if self.floor <= p <= slowest)

    def picks(self, choice: Choice) -> tuple[Pick, ...]:
        """A choice as the picks of a design."""
        found = []
        for c, (option, memory) in zip(self._tables[0], choice, strict=True):
            ring, *pools = (kind.value for kind in c.memories[memory][1])
            shape, form = c.shapes[option], c.form(option, memory)
            weights, taps = form.memory.value, c.taps[option]
            memories = (weights, ring, taps, tuple(pools))
            found.append(Pick(shape.pe, shape.simd, *memories, form.dsp_pes, shape.pixels))
        return tuple(found)

    def shapes(self, choice: Choice) -> tuple[LayerShape, ...]:
        """The shapes of a choice's layers."""
        return tuple(c.shapes[option] for c, (option, _) in zip(self._tables[0], choice, strict=True))

    # --- the fastest ---------------------------------------------------------------------------

    def fastest(self) -> Found | None:
        """The design of the fewest clocks a frame that fits, None where not even the slowest does.

        No bound rules out ``least_cycles``; from there on one period after the other is tried.
        """
        macs = sum(layer.macs for layer in self.network.layers)
        ideal = max(self.floor, int(macs / max(self.limits.lut, 1.0)))
        slowest = self.slowest()
        near = min(_FIRST * ideal, slowest)
        found = self._fastest(near)
        return found if found is not None or near == slowest else self._fastest(slowest)

    def _fastest(self, end: int) -> Found | None:
        periods, room = self.periods(end), self.room

        def may_fit(period: int) -> bool:
            # of all options, for what is proved is proved of all
            relaxation = Relaxation(*self.tables(period), period, every=True)
            if not relaxation.possible or relaxation.overfull(room):
                return False
            return LeastLuts(relaxation, room).luts <= self.limits.lut

        # more clocks leave all options that there were, so what rules a period out rules out all below
        first = bisect_left(range(len(periods)), True, key=lambda i: may_fit(periods[i]))
        if first == len(periods):
            return None
        self.least_cycles = periods[first]
        reached = self._reach(periods, first)
        if reached is None:
            return None
        # nothing between what is proved and what was reached is left untried, but for a long way
        for i in range(max(first, reached - _NEIGHBOURS), reached):
            found = self.at(periods[i])
            if found is not None and found.fits:
                return found
            if found is not None and found.proved and self.least_cycles == periods[i]:
                self.least_cycles = periods[i + 1]
        best = self.at(periods[reached])
        assert best is not None
        return best

    def _reach(self, periods: list[int], first: int) -> int | None:
        """The first of ``periods`` found, in steps that grow and then shrink, that something fits."""
        step, last = 1, first - 1
        at = first
        while not self._fits(periods[at]):
            if at == len(periods) - 1:
                return None
            last, at, step = at, min(at + step, len(periods) - 1), 2 * step
        while at - last > _NEIGHBOURS:
            middle = (at + last) // 2
            if self._fits(periods[middle]):
                at = middle
            else:
                last = middle
        return at

    def _fits(self, period: int) -> bool:
        found = self.at(period)
        return found is not None and found.fits

    # --- the cheapest of a period --------------------------------------------------------------

    def within(self, period: int) -> Found | None:
        """A design of at most ``period`` clocks a frame that fits: the cheapest found; ``at`` where none is.

        What is cheapest at a slow period may fill one kind of resource that a faster design leaves free.
        """
        asked = self.at(period)
        if asked is None or (asked.fits and asked.design.period <= period):
            return asked
        fastest = self.fastest()
        if fastest is None or fastest.design.period > period:
            return self.at(period)
        between = [p for p in self.periods(period) if fastest.design.period < p < period]
        tries = (self.at(p) for p in between[:: -max(1, len(between) // _TRIES)])
        fitting = [found for found in tries if found is not None and found.fits]
        best = min([fastest, *fitting], key=self._rank)
        return replace(best, least_price=min(best.least_price, asked.least_price), proved=False)

    def at(self, period: int) -> Found | None:
        """The cheapest design of at most ``period`` clocks a frame; None where no folding is so fast.

        Where none was found to fit, the one that misses least.
        """
        if period < 1:
            return None
        self.tables(period)
        if period not in self._found:
            self._found[period] = self._at(period)
        return self._found[period]

    def _at(self, period: int) -> Found | None:
        relaxation = self.relaxation(period)
        if not relaxation.possible:
            return None
        least = relaxation.solve(self.prices).value
        best: Found | None = None
        room, seen = self.room, set()
        for _ in range(_ROUNDS):
            choice = relaxation.cheapest(self.prices, room)
            if choice in seen:
                break
            seen.add(choice)
            found = self.work_out(choice, least)
            best = self.better(best, found)
            room = self.left(relaxation, found)
        assert best is not None
        if not self._thorough:
            return best
        for _ in range(_ROUNDS):
            tight = None if best.fits else LeastLuts(relaxation, room).choice()
            if tight is None or tight in seen:
                break
            seen.add(tight)
            # the same layers with memories that cost less, if there are any
            choice = relaxation.polished(tight, self.prices, room)
            found = self.work_out(choice, least)
            best = self.better(best, found)
            room = self.left(relaxation, found)
        return self._every(relaxation, best, least)

    def _every(self, relaxation: Relaxation, best: Found, least: float) -> Found:
        """The best of all choices that bounds leave, where these are few."""
        walk = relaxation.every(self.room, self.prices, _NODES)
        walk.enough = self._price(best) if best.fits else np.inf
        most = min(_LEAVES // len(self.network.layers) ** 2, self._leaves)
        left = list(islice(walk.choices(), most + 1))
        whole = len(left) <= most and walk.whole
        for choice in left if whole else left[: 0 if best.fits else _TRIES]:
            self._leaves -= 1
            best = self.better(best, self.work_out(choice, least))
        if not whole:
            return best
        # every other choice costs more or does not fit
        return replace(best, least_price=self._price(best) if best.fits else least, proved=True)

    def area_gap(self, found: Found) -> float:
        """No design of the same period is cheaper than ``found`` by more than this share."""
        return max(0.0, self._price(found) / found.least_price - 1)

    def work_out(self, choice: Choice, least: float) -> Found:
        """A choice worked out; its memories become those that the design has."""
        made = self.settler.design(self.picks(choice), self.room)
        built = tuple(
            (option, found.place(option, x.form, (x.ring, *(pool.ring for pool in x.pools))))
            for found, (option, _), x in zip(self._tables[0], choice, made.choices, strict=True)
        )
        return Found(made, self.limits.hold(made.total), built, least)

    def left(self, relaxation: Relaxation, found: Found) -> Vector:
        """The room for what a knapsack counts: without what the design takes beside that."""
        beside = np.array(vector(found.design.total)) - relaxation.cost(found.choice)
        return np.maximum(self.room - beside, 0.01 * self.room)

    def better(self, one: Found | None, other: Found) -> Found:
        """What fits, then what is cheaper; or what misses the limits by less."""
        if one is None:
            return other
        return min(one, other, key=self._rank)

    def _rank(self, found: Found) -> tuple[float, float]:
        over = np.maximum(np.array(vector(found.design.total)) / self.room - 1, 0)
        return (0.0 if found.fits else float(over.max()) + 1e-9, self._price(found))

    def _price(self, found: Found) -> float:
        return self.settler.prices.of(found.design.total)
