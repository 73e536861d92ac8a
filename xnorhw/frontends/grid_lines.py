"""A batch norm that feeds a grid as one multiplication and addition of integers, as near as they come."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.exact_numbers import Channels, NotExactError
from xnorhw.frontends.steps import Step, Steps
from xnorhw.ir import float_graph as fg

__all__ = ["grid_behind", "grid_line"]

Float64 = npt.NDArray[np.float64]

_MULTIPLIER_BITS = 28
"""Two fewer than lowering takes: it may need a larger shift for the same codes."""
_MOST_SHIFT = 40
_SUMS = 2.0**24
"""float32 holds the integers up to here: these are what a layer hands on."""
_ADDENDS = 2.0**60


def grid_behind(steps: Steps, end: Step, between: tuple[str, ...]) -> fg.Grid | None:
    """The one grid on which all lands that ``end`` makes, through ``between``; None where there is none.

    Grids of the same step count as the widest of them.
    """
    if end.name == steps.output:
        return None
    found: list[fg.Grid] = []
    for user in steps.users(end):
        grid = user.op if user.kind == "quant" else None
        if user.kind in between:
            grid = grid_behind(steps, user, between)
        if not isinstance(grid, fg.Grid):
            return None
        found.append(grid)
    if len({grid.frac for grid in found}) != 1:
        return None
    return max(found, key=lambda grid: grid.bits)


def grid_line(wished: Channels, grid: fg.Grid) -> fg.GridLine:
    """The numbers of ``grid`` that y = x * a + b is rounded to, where no y lies half way between two.

    a and b become multiples of 2^-shift steps.  NotExactError where x or b is too large for that.
    """
    if not (np.isfinite(wished.a).all() and np.isfinite(wished.b).all()):
        raise NotExactError("its factors are not finite")
    if not (wished.reach * 2.0**wished.point <= _SUMS).all():
        raise NotExactError("the sums in front of it are larger than float32 holds exactly")
    slopes = wished.a * 2.0 ** (grid.frac - wished.point)
    offsets = wished.b * 2.0**grid.frac + 0.5
    shift = min(_spare(slopes, 2.0**_MULTIPLIER_BITS), _spare(offsets, _ADDENDS))
    if shift < 0:
        raise NotExactError("its factors are too large")
    half = 1 << (grid.bits - 1)
    multiplier, addend = (np.rint(v * 2.0**shift).astype(np.int64) for v in (slopes, offsets))
    return fg.GridLine(multiplier, addend, shift, wished.point, -half, half - 1, grid.frac)


def _spare(values: Float64, limit: float) -> int:
    """The largest exponent by which the values stay below ``limit``."""
    peak = float(np.abs(values).max())
    return _MOST_SHIFT if peak == 0 else min(_MOST_SHIFT, math.floor(math.log2(limit / peak)))
