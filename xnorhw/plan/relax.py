"""A multiple-choice knapsack over the layers: what a choice costs, the best by prices, and bounds.

Each layer takes one of its options with one kind of memory for each of its memories; the sums of
LUT, FF, block RAM and DSP must fit.  Neighbours are coupled by converters, and no layer has two
that feed it, so for given prices the cheapest choice is found exactly, layer by layer from the last
to the first.  Prices that no choice can pay prove that none fits (Lagrange, Everett 1963).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.plan.candidates import KINDS, Candidates, Links, Matrix

__all__ = ["Choice", "Part", "Relaxation", "Vector", "Walk"]

Vector = npt.NDArray[np.float64]
Choice = tuple[tuple[int, int], ...]
"""For each layer the number of its option and of its memories."""

# Stands for what cannot be had; inf times a price of nothing would be no number.
_NEVER = 1e12
_DUAL_STEPS = 150
_PRICE_STEPS = 40
_SWEEPS = 6
_FULL = 1e-9


@dataclass(eq=False)
class Part:
    """The options of a layer that are fast enough; ``index`` is their number among all."""

    index: npt.NDArray[np.int64]
    cycles: npt.NDArray[np.int64]
    cost: Matrix
    pe: npt.NDArray[np.int64]
    want: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    wants: npt.NDArray[np.int64]


@dataclass(eq=False)
class _Solved:
    """A solution by prices: its value, and what is needed to follow it."""

    value: float
    own: list[Matrix]
    total: list[Vector]
    front: list[Matrix]
    message: list[Vector]
    back: Vector | None


class Relaxation:
    """The options of at most ``period`` clocks a frame.

    Those of several pixels a clock are left out where one is quick enough, unless ``every`` is asked for.
    """

    def __init__(
        self, found: tuple[Candidates, ...], links: tuple[Links, ...], period: int, every: bool = False
    ) -> None:
        self.links = links
        self.parts = [_part(c, period, every) for c in found]
        self.children: list[list[int]] = [[] for _ in found]
        for i, link in enumerate(links):
            if link.feeder >= 0:
                self.children[link.feeder].append(i)

    @property
    def possible(self) -> bool:
        """False where some layer has no option."""
        return all(part.index.size for part in self.parts)

    # --- by prices -----------------------------------------------------------------------------

    def solve(self, prices: Vector) -> _Solved:
        """The least price of any choice; ``choice`` says which."""
        count = len(self.parts)
        own = [part.cost @ prices for part in self.parts]
        total: list[Vector] = [np.zeros(0)] * count
        front: list[Matrix] = [np.zeros((0, 0))] * count
        message: list[Vector] = [np.zeros(0)] * count
        back: Vector | None = None
        value = 0.0
        for i in reversed(range(count)):
            part, link = self.parts[i], self.links[i]
            here = own[i].min(axis=1)
            for child in self.children[i]:
                here = here + message[child][part.pe]
            if link.back is not None:
                back = link.back @ prices
                here = here + back[part.pe]
            total[i] = here
            front[i] = (link.front @ prices)[:, part.wants]
            message[i] = (front[i] + np.minimum.reduceat(here, part.first)).min(axis=1)
            if link.feeder < 0:
                value += float(message[i][0])
        return _Solved(value, own, total, front, message, back)

    def choice(self, solved: _Solved) -> Choice:
        """The choice of the value that ``solve`` found."""
        rows: list[int] = []
        chosen = []
        for i, part in enumerate(self.parts):
            feeder = self.links[i].feeder
            p = 0 if feeder < 0 else int(self.parts[feeder].pe[rows[feeder]])
            reached = np.minimum.reduceat(solved.total[i], part.first) + solved.front[i][p]
            w = int(reached.argmin())
            end = part.first[w + 1] if w + 1 < part.first.size else part.index.size
            row = int(part.first[w] + solved.total[i][part.first[w] : end].argmin())
            rows.append(row)
            chosen.append((int(part.index[row]), int(solved.own[i][row].argmin())))
        return tuple(chosen)

    def cost(self, choice: Choice) -> Vector:
        """What a choice costs, by kind of resource."""
        rows = self._rows(choice)
        total = np.zeros(len(KINDS))
        for i, (_, memory) in enumerate(choice):
            total += self.parts[i].cost[rows[i], memory] + self._linked(i, rows, rows[i : i + 1])[0]
        return total

    def _rows(self, choice: Choice) -> list[int]:
        pairs = zip(self.parts, choice, strict=True)
        return [int(np.searchsorted(part.index, option)) for part, (option, _) in pairs]

    def _linked(self, i: int, rows: list[int], options: list[int] | slice) -> Matrix:
        """[n, 4]: the converters in front of layer ``i``, and behind it where it is the last."""
        part, link = self.parts[i], self.links[i]
        p = 0 if link.feeder < 0 else int(self.parts[link.feeder].pe[rows[link.feeder]])
        front: Matrix = link.front[p, part.wants[part.want[options]]]
        return front if link.back is None else front + link.back[part.pe[options]]

    # --- bounds --------------------------------------------------------------------------------

    def overfull(self, limits: Vector) -> bool:
        """True where it is proved that no choice fits ``limits``."""
        share = np.array([0.45, 0.05, 0.45, 0.05])
        for step in range(_DUAL_STEPS):
            solved = self.solve(share / limits)
            if solved.value > 1 + _FULL:
                return True
            used = self.cost(self.choice(solved)) / limits
            if (used <= 1).all():
                return False
            share = share * np.exp(np.clip(used - 1, -4, 4) / (1 + 0.1 * step))
            share = share / share.sum()
        return False

    # --- what fits -----------------------------------------------------------------------------

    def cheapest(self, prices: Vector, room: Vector) -> Choice:
        """A choice of little price that fits ``room``, or that misses it by little."""
        best = self.choice(self.solve(prices))
        if self._misses(self.cost(best), room) == 0:
            return best
        rank = (np.inf, np.inf)
        more = np.zeros(len(KINDS))
        for step in range(_PRICE_STEPS):
            choice = self.choice(self.solve(prices + more / room))
            used = self.cost(choice)
            found = (self._misses(used, room), float(used @ prices))
            if found < rank:
                rank, best = found, choice
            more = np.maximum(0, more + 2 / np.sqrt(1 + step) * (used / room - 1))
        return self.polished(best, prices, room)

    def polished(self, choice: Choice, prices: Vector, room: Vector) -> Choice:
        """``choice`` bettered layer by layer: first what it misses ``room`` by, then its price."""
        rows, memories = self._rows(choice), [memory for _, memory in choice]
        used = self.cost(choice)
        for _ in range(_SWEEPS):
            before = (tuple(rows), tuple(memories))
            for i, part in enumerate(self.parts):
                around = self._around(i, rows)
                rest = used - part.cost[rows[i], memories[i]] - around[rows[i]]
                tried = rest + around[:, None, :] + part.cost
                misses = np.maximum(tried / room - 1, 0).sum(axis=2)
                row, memory = divmod(int((misses * 1e6 + tried @ prices).argmin()), tried.shape[1])
                rows[i], memories[i], used = row, memory, tried[row, memory]
            if before == (tuple(rows), tuple(memories)):
                break
        pairs = zip(self.parts, rows, memories, strict=True)
        return tuple((int(part.index[row]), memory) for part, row, memory in pairs)

    def refitted(self, choice: Choice, prices: Vector, room: Vector) -> Choice:
        """The same options with the memories that cost least, layer by layer, of those that fit ``room``."""
        rows, memories = self._rows(choice), [memory for _, memory in choice]
        used = self.cost(choice)
        for i, part in enumerate(self.parts):
            own = part.cost[rows[i]]
            tried = used - own[memories[i]] + own
            price = np.where((tried > room).any(axis=1), np.inf, own @ prices)
            if np.isfinite(price).any():
                memories[i] = int(price.argmin())
                used = tried[memories[i]]
        return tuple((option, memory) for (option, _), memory in zip(choice, memories, strict=True))

    def ladder(
        self, layer: int, choice: Choice, prices: Vector, room: Vector, rung: float
    ) -> list[tuple[int, int]]:
        """Options of ``layer`` that are faster than its own and fit ``room``, the others staying.

        The cheapest of each speed, each ``rung`` times faster than the one before at least.
        """
        part = self.parts[layer]
        price, memory = self._instead(layer, choice, prices, room)
        own = int(self._rows(choice)[layer])
        found: list[tuple[int, int]] = []
        least, last = np.inf, float(part.cycles[own])
        # from the fastest down: one that is slower and dearer is none
        for row in np.lexsort((price, part.cycles)).tolist():
            if part.cycles[row] >= part.cycles[own]:
                break
            if price[row] < least:
                least = float(price[row])
                found.append((row, int(memory[row])))
        rungs = []
        for row, kind in reversed(found):
            if part.cycles[row] * rung <= last:
                rungs.append((int(part.index[row]), kind))
                last = float(part.cycles[row])
        return rungs

    def cheaper(self, layer: int, choice: Choice, prices: Vector, room: Vector) -> list[tuple[int, int]]:
        """Options of ``layer`` that are cheaper than its own, the cheapest first, the fastest of a price."""
        part = self.parts[layer]
        price, memory = self._instead(layer, choice, prices, room)
        own = int(self._rows(choice)[layer])
        fastest, found = np.inf, []
        for row in np.lexsort((part.cycles, price)).tolist():
            if price[row] >= price[own]:
                break
            if part.cycles[row] < fastest:
                fastest = float(part.cycles[row])
                found.append((int(part.index[row]), int(memory[row])))
        return found

    def _instead(
        self, layer: int, choice: Choice, prices: Vector, room: Vector
    ) -> tuple[Vector, npt.NDArray[np.int64]]:
        """The price of each option of ``layer`` beside the others of ``choice``, and its memories.

        inf where it does not fit ``room`` with any.
        """
        rows, part = self._rows(choice), self.parts[layer]
        around = self._around(layer, rows)
        rest = self.cost(choice) - part.cost[rows[layer], choice[layer][1]] - around[rows[layer]]
        tried = around[:, None, :] + part.cost
        price = tried @ prices
        price[((rest + tried) > room).any(axis=2)] = np.inf
        memory = price.argmin(axis=1)
        return price[np.arange(len(price)), memory], memory

    def _around(self, i: int, rows: list[int]) -> Matrix:
        """[n, 4]: the converters in front of each option of layer ``i`` and behind it."""
        part = self.parts[i]
        around = self._linked(i, rows, slice(None))
        for child in self.children[i]:
            behind = self.parts[child]
            around = around + self.links[child].front[part.pe, behind.wants[behind.want[rows[child]]]]
        return around

    @staticmethod
    def _misses(used: Vector, room: Vector) -> float:
        return float(np.maximum(used / room - 1, 0).sum())

    # --- every choice --------------------------------------------------------------------------

    def every(self, limits: Vector, prices: Vector, nodes: int) -> Walk:
        """Every choice of options that no bound rules out, the cheaper ones of a layer first."""
        solved = [self.solve(row / limits) for row in np.eye(len(KINDS))]
        solved.append(self.solve(self._tight(limits) / limits))
        return Walk(self, [*solved, self.solve(prices)], nodes)

    def _tight(self, limits: Vector) -> Vector:
        """Shares of the limits that together say most."""
        share = best = np.full(len(KINDS), 1 / len(KINDS))
        value = -np.inf
        for step in range(_PRICE_STEPS):
            solved = self.solve(share / limits)
            if solved.value > value:
                value, best = solved.value, share
            used = self.cost(self.choice(solved)) / limits
            share = share * np.exp(np.clip(used - 1, -4, 4) / (1 + 0.2 * step))
            share = share / share.sum()
        return best


class Walk:
    """Layer by layer through the choices, each prefix with the bounds of what may follow.

    Of its choices those count that cost less than ``enough``, which may be lowered on the way.
    ``whole``: nothing was left out for more than ``nodes`` prefixes.
    """

    def __init__(self, relaxation: Relaxation, solved: list[_Solved], nodes: int) -> None:
        self._relaxation, self._solved, self._nodes = relaxation, solved, nodes
        self.enough = np.inf

    @property
    def whole(self) -> bool:
        """False where the walk was broken off."""
        return self._nodes >= 0

    def choices(self) -> Iterator[Choice]:
        """The choices, each with the memories that cost least."""
        start = np.array([solved.value for solved in self._solved])
        if (start[:-1] <= 1 + _FULL).all() and start[-1] < self.enough:
            yield from self._from(0, start, [])

    def _from(self, i: int, bounds: Vector, rows: list[int]) -> Iterator[Choice]:
        parts = self._relaxation.parts
        if i == len(parts):
            own = self._solved[-1].own
            memories = [int(costs[row].argmin()) for costs, row in zip(own, rows, strict=True)]
            options = [int(part.index[row]) for part, row in zip(parts, rows, strict=True)]
            yield tuple(zip(options, memories, strict=True))
            return
        part, feeder = parts[i], self._relaxation.links[i].feeder
        p = 0 if feeder < 0 else int(parts[feeder].pe[rows[feeder]])
        # the layer's own share of each bound gives way to what its option makes of it
        new = np.stack(
            [
                bound - solved.message[i][p] + solved.total[i] + solved.front[i][p][part.want]
                for bound, solved in zip(bounds, self._solved, strict=True)
            ]
        )
        left = np.flatnonzero((new[:-1] <= 1 + _FULL).all(axis=0) & (new[-1] < self.enough))
        for row in left[np.argsort(new[-1][left], kind="stable")].tolist():
            self._nodes -= 1
            if self._nodes < 0:
                return
            if new[-1][row] < self.enough:
                yield from self._from(i + 1, new[:, row], [*rows, row])


def _part(found: Candidates, period: int, every: bool) -> Part:
    single = found.pixels == 1
    enough = bool((found.cycles[single] <= period).any())
    index = np.flatnonzero((found.cycles <= period) & (single | every | (not enough)))
    want = found.want[index]
    wants, first, place = np.unique(want, return_index=True, return_inverse=True)
    cost = np.where(np.isfinite(found.cost[index]), found.cost[index], _NEVER)
    return Part(
        index,
        found.cycles[index],
        cost,
        found.pe[index],
        place.astype(np.int64),
        first.astype(np.int64),
        wants,
    )
