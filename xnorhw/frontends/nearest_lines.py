"""A line of integers laid where the norm that it stands for changes its codes in float32.

The line of ``grid_lines`` is the real one, y = x * a + b.  torch rounds to float32 between scale, norm and
grid, and so, of thousands of steps that a channel takes over its sums, it takes a few one sum earlier or
later.  Each such step is rare, but in a network of many layers a single code that changes moves codes in
all that follows.  Slope and offset have room between two sums, and so each channel's are chosen
anew, such that all of its steps stand where torch takes them.  Where no line does that, the steps
furthest from the norm's beta are given up first: a norm's results are about normally distributed around
its beta, with its gamma as their deviation.  Where not even those within a few gammas are met, it is the
line on whose missed steps the fewest results lie.

torch's norm is taken as x * a + b rounded once, as on every processor with a fused multiply-add: a line is
the same number wherever it is made.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from xnorhw.frontends.evaluator import rounded_norm
from xnorhw.frontends.modules import module_of
from xnorhw.frontends.steps import ProductOp
from xnorhw.ir import float_graph as fg

__all__ = ["nearest_line"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

_MOST_STEPS = 1 << 24
"""Steps of all channels together; a line of more stays as it is."""
_CHUNK = 1 << 22
_FAR = 8
"""Sums by which a step may stand off its line and still be looked for."""
_RADII = (np.inf, 16.0, 12.0, 10.0, 8.0, 7.0, 6.0, 5.0)
"""Gammas from beta up to which all steps are to be met; further out hardly a result lies."""
_SLOPES = (5.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5)
"""Radii whose slopes are tried where no line meets all steps within the least of those."""
_COUNT = 2.0**40
"""What a step at beta counts, in whole numbers: two lines that meet the same steps are alike everywhere."""
_FAR_OUT = 1e-6
"""What one counts at least, of that: of lines that meet the same near steps, which meets most others."""


def nearest_line(
    line: fg.GridLine,
    reach: Float64,
    norm: fg.BatchNorm,
    product: ProductOp | None,
    *,
    relu: bool,
) -> fg.GridLine:
    """``line`` with multipliers and addends of the channels whose steps float32 takes elsewhere.

    ``reach`` [C]: the largest magnitude of what the line reads; ``product``: the layer whose sums these
    are, as it was trained, or None; ``relu``: whether a ReLU stands between it and ``norm``.
    ``line`` itself where it meets every step, or where it has too many to be looked at.
    """
    codes = np.arange(line.low + 1, line.high + 1, dtype=np.int64)
    if not np.isfinite(reach).all() or codes.size * reach.size > _MOST_STEPS:
        return line
    chain = _Chain(line, norm, product)
    size = np.abs(line.multiplier)
    # a falling channel is mirrored at 0
    sign = np.where(line.multiplier < 0, -1, 1)
    far = np.floor(reach * 2.0**line.point).astype(np.int64)
    first, last = -far, far
    if relu:
        # behind it no sum is negative, and it changes no other
        first, last = np.where(sign > 0, 0, first), np.where(sign > 0, last, 0)
    steps = _first_sums(codes[:, None], size, line.addend, line.shift)
    counted = (steps > first) & (steps <= last) & (size > 0)
    at, found = chain.steps(codes, steps, counted, sign)
    off = (at != steps) & counted
    multiplier, addend = line.multiplier.copy(), line.addend.copy()
    unit = 2.0**line.frac
    beta = np.zeros(size.shape) if norm.beta is None else norm.beta.astype(np.float64) * unit
    gamma = np.ones(size.shape) * unit if norm.gamma is None else np.abs(norm.gamma.astype(np.float64)) * unit
    for c in np.flatnonzero(off.any(axis=0) & found):
        inside = counted[:, c]
        away = np.abs(codes[inside] - 0.5 - beta[c]) / gamma[c]
        met = float(away[off[inside, c]].min())
        made = _nearest(at[inside, c], codes[inside] << line.shift, away, int(size[c]), met)
        if made is not None:
            multiplier[c], addend[c] = int(sign[c]) * made[0], made[1]
    if np.array_equal(multiplier, line.multiplier) and np.array_equal(addend, line.addend):
        return line
    return replace(line, multiplier=multiplier, addend=addend)


class _Chain:
    """What torch makes of the sums that a line reads: scale, bias, norm and grid, in float32."""

    def __init__(self, line: fg.GridLine, norm: fg.BatchNorm, product: ProductOp | None) -> None:
        self.line, self.norm = line, norm
        self.module = None if product is None else module_of(product, "")

    def steps(self, codes: Ints, start: Ints, counted: Bools, sign: Ints) -> tuple[Ints, Bools]:
        """(the smallest sum of each code, [K, C], from ``start`` on; which channels' were all found)."""
        at = start.copy()
        rows = max(1, _CHUNK // at.shape[1])
        missed = np.zeros(at.shape[1], np.bool_)
        for i in range(0, len(at), rows):
            moving = np.arange(i, min(i + rows, len(at)))
            for _ in range(_FAR):
                part, wanted, count = at[moving], codes[moving, None], counted[moving]
                late = (self.codes(part * sign) < wanted) & count
                early = (self.codes((part - 1) * sign) >= wanted) & count
                at[moving] += late.astype(np.int64) - early
                moving = moving[(late | early).any(axis=1)]
                if not len(moving):
                    break
            else:
                missed |= (late | early).any(axis=0)
        return at, ~missed

    def codes(self, sums: Ints) -> Ints:
        """Of sums [R, C]."""
        x = sums * 2.0**-self.line.point
        if self.module is None:
            y = x.astype(np.float32)
        else:
            with torch.inference_mode():
                y = self.module.after_sum(torch.from_numpy(x)[:, :, None, None])[:, :, 0, 0].numpy()  # type: ignore[operator]
        y = rounded_norm(self.norm, y, "fused").astype(np.float64)
        codes = np.clip(np.rint(y * 2.0**self.line.frac), self.line.low, self.line.high)
        return np.asarray(codes, np.int64)


def _first_sums(codes: Ints, multiplier: Ints, addend: Ints, shift: int) -> Ints:
    """The smallest s with (s * multiplier + addend) >> shift at least the code, [K, C]."""
    return -((addend - (codes << shift)) // np.maximum(multiplier, 1))


def _nearest(at: Ints, bounds: Ints, away: Float64, near: int, met: float) -> tuple[int, int] | None:
    """(multiplier, addend) that meets the steps as the module says; None where the real line is as good.

    ``at``: the sums at which the codes begin, ``bounds``: the codes shifted, ``away``: how many gammas
    off beta they lie; ``near``: the real line's multiplier, ``met``: up to where it meets all steps.
    """
    for radius in _RADII:
        if radius <= met:
            return None
        inside = away <= radius
        if inside.any():
            multiplier, low, high = _between(at[inside], bounds[inside], near)
            if low <= high:
                return multiplier, (low + high) // 2
    slopes = {near}
    for radius in _SLOPES:
        inside = away <= radius
        if inside.sum() > 1:
            slopes.add(_between(at[inside], bounds[inside], near)[0])
    counts = np.rint((np.exp(-(away**2) / 2) + _FAR_OUT) * _COUNT).astype(np.int64)
    lines = {multiplier: _most_met(at, bounds, counts, multiplier) for multiplier in sorted(slopes)}
    best = max(lines, key=lambda multiplier: lines[multiplier][0])
    return best, lines[best][1]


def _most_met(at: Ints, bounds: Ints, counts: Ints, multiplier: int) -> tuple[int, int]:
    """(what the steps count that a line of this slope meets at most, its addend)."""
    least = bounds - at * multiplier
    order = np.argsort(least, kind="stable")
    least, total = least[order], np.concatenate([[0], np.cumsum(counts[order])])
    # a step allows the addends from its least one up to, without it, ``multiplier`` more
    past = np.searchsorted(least, least - multiplier, "right")
    reached = np.searchsorted(least, least, "right")
    best = int(np.argmax(total[reached] - total[past]))
    ends = [int(least[past[best]]) + multiplier]
    if reached[best] < len(least):
        ends.append(int(least[reached[best]]))
    return int(total[reached[best]] - total[past[best]]), (int(least[best]) + min(ends) - 1) // 2


def _between(at: Ints, bounds: Ints, near: int) -> tuple[int, int, int]:
    """(multiplier, least addend, largest) with the most room between the two; none where they cross.

    With the multiplier m a step asks that at * m + addend >= bound > (at - 1) * m + addend.  The room
    that all leave is a concave function of m: it grows where the step that bounds the addend from below
    stands at a larger sum than the one that bounds it from above.
    """
    span = int(at.max() - at.min()) + 1
    some = min(near >> 8, 4 * near // span) + 4
    left, right = max(1, near - some), near + some
    while left < right:
        middle = (left + right) // 2
        least = bounds - at * middle
        if at[np.argmax(least)] > at[np.argmin(least + middle)] - 1:
            left = middle + 1
        else:
            right = middle
    found = []
    for multiplier in (max(1, left - 1), left):
        least = bounds - at * multiplier
        found.append((multiplier, int(least.max()), int(least.min()) + multiplier - 1))
    return max(found, key=lambda f: f[2] - f[1])
