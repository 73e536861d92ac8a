"""Which memory each ring and each weight store of a worked out folding has: exactly, by its real depth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xnorhw.plan.candidates import KINDS, Matrix, vector
from xnorhw.plan.design import Design, Pick, Prices, design
from xnorhw.plan.memories import Form, forms
from xnorhw.plan.model import Memory, Window
from xnorhw.plan.network import Network
from xnorhw.plan.relax import Vector
from xnorhw.plan.resources import unit_resources

__all__ = ["Settler", "assign"]

_Kind = Memory | Form

_NODES = 3000
_STEPS = 60
# A share of the price that is not worth looking for.
_CLOSE = 1e-6
_NEVER = 1e12


@dataclass(frozen=True)
class Settler:
    """Works foldings out.  ``least_period``: clocks a frame that something outside asks for."""

    network: Network
    beat_bits: int
    least_period: int
    prices: Prices

    def design(self, picks: tuple[Pick, ...], room: Vector) -> Design:
        """``picks`` worked out, its memories the least in price of those that fit ``room``.

        Where none fit, those that miss it least of what was looked at.
        """
        found = self._made(picks)
        slots, current = self._slots(found, picks)
        fixed = np.array(vector(found.total)) - sum(
            (slot[c] for (_, slot), c in zip(slots, current, strict=True)), np.zeros(len(KINDS))
        )
        costs = [slot for _, slot in slots]
        prices = np.array([self.prices.lut, self.prices.ff, self.prices.bram36, self.prices.dsp])
        chosen = assign(costs, room - fixed, prices)
        if chosen == current:
            return found
        return self._made(_with(picks, [kinds[k] for (kinds, _), k in zip(slots, chosen, strict=True)]))

    def _made(self, picks: tuple[Pick, ...]) -> Design:
        return design(self.network, picks, self.beat_bits, self.prices, self.least_period)

    def _slots(
        self, found: Design, picks: tuple[Pick, ...]
    ) -> tuple[list[tuple[tuple[_Kind, ...], Matrix]], tuple[int, ...]]:
        """Each memory's kinds and their costs, and the place of that which it has now."""
        windows = {u.name: u for u in found.netlist.units if isinstance(u, Window)}
        slots: list[tuple[tuple[_Kind, ...], Matrix]] = []
        current = []
        for choice, pick in zip(found.choices, picks, strict=True):
            weights = forms(self.network, choice.layer.index, choice.shape, choice.dsp_pes)
            kinds = tuple(form for form, _ in weights)
            slots.append((kinds, np.array([vector(cost) for _, cost in weights])))
            current.append(kinds.index(choice.form))
            prefix = f"l{choice.layer.index}"
            for name in (
                f"{prefix}_window",
                *(f"{prefix}_pool{i}_window" for i in range(len(pick.pool_taps))),
            ):
                window = windows.get(name)
                rings = (Memory.LUT,) if window is None else (Memory.LUT, Memory.BLOCK)
                costs = [
                    [0.0] * len(KINDS)
                    if window is None
                    else vector(unit_resources(replace(window, memory=ring)))
                    for ring in rings
                ]
                slots.append((rings, np.array(costs)))
                current.append(0 if window is None else rings.index(window.memory))
        return slots, tuple(current)


def _with(picks: tuple[Pick, ...], kinds: list[_Kind]) -> tuple[Pick, ...]:
    """``picks`` with the memories ``kinds``: of each layer the weights', the ring's, the pools'."""
    found, at = [], 0
    for pick in picks:
        form, *rings = kinds[at : at + 2 + len(pick.pool_taps)]
        at += 1 + len(rings)
        assert isinstance(form, Form)
        ring, *pools = (kind.value for kind in rings if isinstance(kind, Memory))
        weights, pes = form.memory.value, form.dsp_pes
        found.append(replace(pick, memory=weights, ring=ring, pool_rings=tuple(pools), dsp_pes=pes))
    return tuple(found)


def assign(slots: list[Matrix], room: Vector, prices: Vector) -> tuple[int, ...]:
    """One row of each of ``slots`` [a, 4]: of those whose sum fits ``room`` the least in price.

    Exact where few enough have to be looked at, else the best that was seen; the one that
    misses least where none fits.
    """
    scale = np.maximum(np.abs(room), 1.0)
    places = np.arange(len(slots))
    table = np.full((len(slots), max(len(slot) for slot in slots), len(KINDS)), _NEVER)
    for place, slot in enumerate(slots):
        table[place, : len(slot)] = slot
    best = np.zeros(len(slots), np.int64)
    rank = (np.inf, np.inf)
    value, tight = -np.inf, np.zeros(len(KINDS))
    more = np.zeros(len(KINDS))
    for step in range(_STEPS):
        chosen = (table @ (prices + more / scale)).argmin(axis=1)
        used = table[places, chosen].sum(axis=0)
        over = (used - room) / scale
        found = (float(np.maximum(over, 0).sum()), float(used @ prices))
        if found < rank:
            rank, best = found, chosen
        bound = found[1] + float(over @ more)
        if bound > value:
            value, tight = bound, more
        if rank[0] == 0 and rank[1] - value <= _CLOSE * rank[1]:
            break
        more = np.maximum(0, more + 4 * over / (1 + 0.1 * step))
    else:
        walk = _Assignment(slots, room, prices, prices + tight / scale, float(tight / scale @ room))
        walk.best, walk.price = tuple(best.tolist()), rank[1] if rank[0] == 0 else np.inf
        walk.go()
        best = np.array(walk.best)
    return tuple(best.tolist()) if rank[0] == 0 else _nearer(table, best.tolist(), room, scale)


def _nearer(table: Matrix, best: list[int], room: Vector, scale: Vector) -> tuple[int, ...]:
    """``best`` with one memory after the other changed for what misses ``room`` by less."""
    chosen = list(best)
    used = table[np.arange(len(chosen)), chosen].sum(axis=0)
    for place in [*range(len(chosen))] * 2:
        tried = used - table[place, chosen[place]] + table[place]
        misses = np.maximum((tried - room) / scale, 0).sum(axis=1)
        if misses.min() < misses[chosen[place]]:
            chosen[place] = int(misses.argmin())
            used = tried[chosen[place]]
    return tuple(chosen)


class _Assignment:
    """Branch and bound over the slots, those first whose kinds differ most."""

    def __init__(
        self, slots: list[Matrix], room: Vector, prices: Vector, tight: Vector, given: float
    ) -> None:
        spread = [-float(np.ptp(slot @ tight)) for slot in slots]
        self._order = np.argsort(spread, kind="stable").tolist()
        inner = [slots[place] for place in self._order]
        self._rows = [[[float(x) for x in row] for row in slot] for slot in inner]
        self._values = [(slot @ tight).tolist() for slot in inner]
        self._prices = [(slot @ prices).tolist() for slot in inner]
        self._tries = [np.argsort(values, kind="stable").tolist() for values in self._values]
        zero = np.zeros((1, len(KINDS)))
        least = np.cumsum([*zero, *(slot.min(axis=0) for slot in reversed(inner))], axis=0)[::-1]
        self._spare = (room + 1e-6 - least).tolist()
        self._bound = np.cumsum([0.0, *(min(v) for v in reversed(self._values))])[::-1].tolist()
        self._given = given
        self._nodes = _NODES
        self.best: tuple[int, ...] = ()
        self.price = np.inf

    def go(self) -> None:
        """Look for a better assignment than ``best``."""
        self._from(0, [0.0] * len(KINDS), -self._given, 0.0, ())

    def _from(self, at: int, used: list[float], value: float, price: float, chosen: tuple[int, ...]) -> None:
        if at == len(self._rows):
            if price < self.price:
                found = dict(zip(self._order, chosen, strict=True))
                self.best, self.price = tuple(found[place] for place in range(at)), price
            return
        spare, bound = self._spare[at + 1], self._bound[at + 1]
        for k in self._tries[at]:
            self._nodes -= 1
            if self._nodes < 0:
                return
            here = [u + r for u, r in zip(used, self._rows[at][k], strict=True)]
            if any(h > s for h, s in zip(here, spare, strict=True)):
                continue
            then = value + self._values[at][k]
            if then + bound < self.price - 1e-12:
                self._from(at + 1, here, then, price + self._prices[at][k], (*chosen, k))
