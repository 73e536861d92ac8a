"""The fewest LUTs that any choice of options takes, for each amount of block RAM: dynamic programming.

Exact in LUT and block RAM, which decide what fits; flip-flops and DSPs are left out, so its answer is
a bound for those that count them.  Layers are taken from the last to the first: for each PE of the
layer in front a row of the fewest LUTs of all behind it, over the halves of a BRAM36 that these
may take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.plan.candidates import Links, Matrix
from xnorhw.plan.relax import Choice, Part, Relaxation, Vector

__all__ = ["LeastLuts"]

_LUT, _BRAM = 0, 2
_MOST_UNITS = 400
_SLACK = 1e-6

Ints = npt.NDArray[np.int64]


@dataclass(eq=False)
class _Rows:
    """Options of a layer with a kind of memory each, no two alike in words, PE and block RAM.

    By units of block RAM, then by words: ``want`` is the place among the part's wants.
    """

    option: Ints
    memory: Ints
    want: Ints
    pe: Ints
    units: Ints
    luts: Vector


class LeastLuts:
    """The table of one relaxation within ``limits``.

    ``luts``: the fewest that any choice takes, inf where none keeps to the block RAM.
    """

    def __init__(self, relaxation: Relaxation, limits: Vector) -> None:
        self._links, self._parts = relaxation.links, relaxation.parts
        self._children = relaxation.children
        halves = int(limits[_BRAM] * 2 + _SLACK)
        # of many blocks several make a unit, and what takes a part of one takes none: still a bound
        self._unit = 0.5 * max(1, -(-halves // _MOST_UNITS))
        self._count = int(limits[_BRAM] / self._unit + _SLACK) + 1
        number = len(self._parts)
        self._rows = [_rows(part, limits, self._unit) for part in self._parts]
        self._behind: list[Matrix] = [np.zeros((0, 0))] * number
        self._wants: list[Matrix] = [np.zeros((0, 0))] * number
        self._message: list[Matrix] = [np.zeros((0, 0))] * number
        self._roots = [i for i, link in enumerate(self._links) if link.feeder < 0]
        for i in reversed(range(number)):
            self._layer(i)
        whole = np.zeros((1, self._count))
        for root in self._roots:
            whole = _sum(whole, self._message[root][:1])
        self.luts = float(whole[0, -1])

    def _layer(self, i: int) -> None:
        part, link, rows = self._parts[i], self._links[i], self._rows[i]
        pes = int(part.pe.max()) + 1
        behind = np.zeros((pes, self._count))
        if link.back is not None:
            behind += link.back[:pes, _LUT, None]
        for child in self._children[i]:
            behind = _sum(behind, self._message[child][:pes])
        best = np.full((part.wants.size, self._count), np.inf)
        for units in np.unique(rows.units).tolist():
            low, high = np.searchsorted(rows.units, [units, units + 1])
            want = rows.want[low:high]
            tried = rows.luts[low:high, None] + behind[rows.pe[low:high], : self._count - units]
            first = np.flatnonzero(np.append(True, want[1:] != want[:-1]))
            least = np.minimum.reduceat(tried, first, axis=0)
            place = want[first]
            best[place, units:] = np.minimum(best[place, units:], least)
        self._behind[i], self._wants[i] = behind, best
        front = _front(link, part)
        message = np.full((front.shape[0], self._count), np.inf)
        for w in range(part.wants.size):
            message = np.minimum(message, front[:, w, None] + best[w])
        self._message[i] = message

    def choice(self) -> Choice | None:
        """A choice of the fewest LUTs; None where none keeps to the block RAM."""
        if not np.isfinite(self.luts):
            return None
        found: dict[int, tuple[int, int]] = {}
        self._follow([(root, 0) for root in self._roots], self._count - 1, found)
        return tuple(found[i] for i in range(len(self._parts)))

    def _follow(self, open_: list[tuple[int, int]], units: int, found: dict[int, tuple[int, int]]) -> None:
        """Choose for each (layer, PE in front of it), that together take ``units`` at most."""
        rows = [self._message[i][p] for i, p in open_]
        for (i, p), left in zip(open_, _split(rows, units), strict=True):
            part, mine = self._parts[i], self._rows[i]
            want = int((_front(self._links[i], part)[p] + self._wants[i][:, left]).argmin())
            fit = np.flatnonzero((mine.want == want) & (mine.units <= left))
            value = mine.luts[fit] + self._behind[i][mine.pe[fit], left - mine.units[fit]]
            row = int(fit[value.argmin()])
            found[i] = (int(mine.option[row]), int(mine.memory[row]))
            behind = [(child, int(mine.pe[row])) for child in self._children[i]]
            if behind:
                self._follow(behind, left - int(mine.units[row]), found)


def _rows(part: Part, limits: Vector, unit: float) -> _Rows:
    options, memories = part.cost.shape[:2]
    luts = part.cost[:, :, _LUT].ravel()
    units = np.floor(part.cost[:, :, _BRAM].ravel() / unit + _SLACK).astype(np.int64)
    kept = np.flatnonzero((luts <= limits[_LUT]) & (units * unit <= limits[_BRAM] + _SLACK))
    row, memory = np.divmod(kept, memories)
    order = np.lexsort((luts[kept], part.pe[row], part.want[row], units[kept]))
    kept, row, memory = kept[order], row[order], memory[order]
    keys = np.stack([units[kept], part.want[row], part.pe[row]])
    new = np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)) if kept.size else np.zeros(0, np.bool_)
    row, memory, kept = row[new], memory[new], kept[new]
    return _Rows(part.index[row], memory, part.want[row], part.pe[row], units[kept], luts[kept])


def _front(link: Links, part: Part) -> Matrix:
    front: Matrix = link.front[:, part.wants, _LUT]
    return front


def _sum(one: Matrix, other: Matrix) -> Matrix:
    """Row by row the least sum for each number of units that two may take together."""
    if not one.any():
        return other
    count = one.shape[1]
    best = np.full_like(one, np.inf)
    for units in range(count):
        best[:, units:] = np.minimum(best[:, units:], one[:, units, None] + other[:, : count - units])
    return best


def _split(rows: list[Vector], units: int) -> list[int]:
    """How ``units`` are shared out among ``rows`` for the least sum."""
    if len(rows) == 1:
        return [units]
    rest = rows[1][None, :]
    for row in rows[2:]:
        rest = _sum(rest, row[None, :])
    mine = int((rows[0][: units + 1] + rest[0, units::-1]).argmin())
    return [mine, *_split(rows[1:], units - mine)]
