"""What is left of the budget buys a single frame's latency, at the same clocks a frame.

The frame's latency is the sum of what each stage adds behind the one before: the small layers at the
end, which begin when the layer in front of them is nearly done, add their whole work.  Step by step
the layer is sped up that gains most clocks for its price; then what no longer gains anything is
taken back.
"""

from __future__ import annotations

import numpy as np

from xnorhw.plan.assemble import input_frame, output_frame
from xnorhw.plan.candidates import KINDS
from xnorhw.plan.columns import column_stages
from xnorhw.plan.joins import join_shape
from xnorhw.plan.pick import stages
from xnorhw.plan.relax import Choice, Relaxation, Vector
from xnorhw.plan.schedule import LoneFrames, Stage
from xnorhw.plan.search import Found, Search

__all__ = ["quicker"]

_STEPS = 200
_ROUNDS = 3
# Rungs of a layer's ladder: each option this much faster than the one before at least.
_RUNG = 1.12
# What a DSP is worth where they are to be used up, of its share of the board.
_IDLE = 0.02


def quicker(search: Search, start: Found) -> Found:
    """A design of ``start``'s period or fewer clocks, of less latency where there is room for it."""
    return _Quicker(search, start).best


class _Quicker:
    def __init__(self, search: Search, start: Found) -> None:
        self._search, self.best = search, start
        self._period = start.design.period
        self._relaxation: Relaxation = search.relaxation(self._period)
        network = search.network
        self._frames = LoneFrames(
            input_frame(network.source, search.beat_bits).beats,
            output_frame(network.result, search.beat_bits).beats,
        )
        self._joins = {join.index: join_shape(join, self._period) for join in network.joins}
        self._prices = search.prices
        self._known: dict[tuple[tuple[int, bool], ...], int] = {}
        self._settle()
        if any(slot[1] for part in search.tables(self._period)[0] for slot, _ in part.memories):
            # DSPs free LUTs that buy latency: what nothing else asks for is worth little here
            self._prices = search.prices * np.array([_IDLE if kind == "dsp" else 1.0 for kind in KINDS])
            self._settle()

    def _settle(self) -> None:
        choice = self.best.choice
        for _ in range(_ROUNDS):
            room = self._search.left(self._relaxation, self.best)
            start = self.best.choice
            if self._prices is not self._search.prices:
                start = self._relaxation.refitted(start, self._prices, room)
            path = self._climb(start, room)
            if len(path) == 1:
                break
            self._take(path)
            if choice == self.best.choice:
                break
            choice = self.best.choice
        self._descend()

    def _latency(self, choice: Choice) -> int:
        tables = self._search.tables(self._period)[0]
        key = tuple((x[0], table.form(*x).dsp_pes > 0) for x, table in zip(choice, tables, strict=True))
        if key not in self._known:
            self._known[key] = self._frames.latency(self._line(choice))
        return self._known[key]

    def _line(self, choice: Choice) -> tuple[Stage, ...]:
        picks, shapes = self._search.picks(choice), self._search.shapes(choice)
        return stages(self._search.network, shapes, picks, self._joins)

    def _take(self, path: list[Choice]) -> None:
        """The farthest choice of ``path`` that fits when it is worked out."""
        low, high = 0, len(path)
        while high - low > 1:
            middle = (low + high) // 2 if high < len(path) else high - 1
            found = self._search.work_out(path[middle], self.best.least_price)
            if self._betters(found):
                self.best, low = found, middle
            else:
                high = middle

    def _betters(self, found: Found) -> bool:
        latency, before = found.design.schedule.latency, self.best.design.schedule.latency
        return found.fits and found.design.period <= self._period and latency < before

    def _climb(self, choice: Choice, room: Vector) -> list[Choice]:
        """Choices of ever less latency that fit ``room``."""
        relaxation, prices = self._relaxation, self._prices
        path = [choice]
        self._frames.keep(self._line(choice))
        for _ in range(_STEPS):
            latency = self._latency(choice)
            used = relaxation.cost(choice)
            tries: list[tuple[float, float, Choice]] = []
            for layer in range(len(choice)):
                for option in relaxation.ladder(layer, choice, prices, room, _RUNG):
                    tried = (*choice[:layer], option, *choice[layer + 1 :])
                    price = max(float((relaxation.cost(tried) - used) @ prices), 1e-6)
                    tries.append((self._most(layer, choice, option) / price, price, tried))
            best: Choice | None = None
            gain = 0.0
            for most, price, tried in sorted(tries, key=lambda entry: -entry[0]):
                if most <= gain:
                    break
                faster = latency - self._latency(tried)
                if faster / price > gain:
                    best, gain = tried, faster / price
            if best is None:
                return path
            choice = best
            path.append(choice)
            self._frames.keep(self._line(choice))
        return path

    def _most(self, layer: int, choice: Choice, option: tuple[int, int]) -> float:
        """Clocks that a frame can gain from a layer and its pools, each no more than the layer itself."""
        found = self._search.tables(self._period)[0][layer]
        now, _ = choice[layer]
        gained = found.cycles[now] - found.cycles[option[0]]
        # and those through the registers of DSPs that add no more
        through = column_stages(found.shapes[now].simd) if found.form(*choice[layer]).dsp_pes else 0
        return float(gained) * (1 + len(found.layer.pools)) + through

    def _descend(self) -> None:
        """Cheaper options wherever the latency stays what it is."""
        relaxation, prices = self._relaxation, self._search.prices
        choice = self.best.choice
        latency = self._latency(choice)
        room = self._search.room
        for layer in reversed(range(len(choice))):
            for option in relaxation.cheaper(layer, choice, prices, room):
                tried = (*choice[:layer], option, *choice[layer + 1 :])
                if self._latency(tried) <= latency:
                    choice = tried
                    break
        if choice != self.best.choice:
            found = self._search.work_out(choice, self.best.least_price)
            of = self._search.settler.prices.of
            same = found.design.schedule.latency <= self.best.design.schedule.latency
            if found.fits and same and of(found.design.total) < of(self.best.design.total):
                self.best = found
