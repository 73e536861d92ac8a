"""One integer multiply-add-shift a channel in the place of many thresholds.

The code (s * m + a) >> shift steps from below v to v where s * m + a reaches v * 2^shift.  For a
fixed multiplier m each step of the channel bounds the addend a from both sides; the room
that all of them leave is a concave function of m, whose maximum a ternary search finds.

Where modules round at a point half way between two codes, no addend is left: a tie at an even
code asks for one that is at least so large, a tie at an odd code for less.  With ties to even
(``Requant.even``) v * 2^shift itself belongs to the even code beside it: a bound of an odd code
moves by one, and the line through all ties, which is then the only one, is found alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from xnorhw.golden.run import requant
from xnorhw.ir.int_graph import Requant
from xnorhw.lower.search import EXHAUSTIVE, Staircase, Sums

__all__ = ["find_requant"]

NARROW, WIDE = 1 << 17, 1 << 30
"""Multipliers of a DSP48's 18-bit port, and the largest there are."""
SAFE = 1 << 62
"""Products and sums stay below: they are formed in 64 bits."""
MAX_SHIFT = 40
TRIES = 3
"""Shifts below the largest that are tried: a smaller one is never better by more than rounding."""


def find_requant(stairs: Staircase, lowest: int, highest: int) -> Requant | None:
    """The operation that makes the codes of ``stairs`` at every sum; None where there is none.

    ``lowest`` and ``highest`` are the codes' own limits, to which it clamps.
    """
    # what stands in front may clamp closer than the codes do: a ReLU in front of a grid does
    lowest = max(lowest, min(int(codes.min()) for codes in stairs.codes))
    highest = min(highest, max(int(codes.max()) for codes in stairs.codes))
    largest = min(MAX_SHIFT, 60 - max(abs(lowest), abs(highest) + 1).bit_length())
    for even in (False, True):
        channels = [_Channel(stairs, c, lowest, highest, even) for c in range(stairs.channels)]
        for limit in (NARROW, WIDE):
            for shift in _shifts(channels, limit, largest, even):
                found = _fit(channels, shift, limit)
                if found is None:
                    continue
                op = Requant(found[0], found[1], shift, lowest, highest, even)
                if _equal(op, stairs):
                    return op
    return None


def _shifts(channels: list[_Channel], limit: int, largest: int, even: bool) -> Iterable[int]:
    """The shifts to try: the largest ones leave a line the most room.

    The one line through ties has none at any shift, so that the smallest does, and the numbers stay
    short: what fits with one shift does with the next, so each channel goes on from the one before.
    """
    if not even:
        slope = max(channel.slope for channel in channels)
        start = min(largest, int(np.floor(np.log2(limit / slope))) + 1)
        return range(start, max(start - TRIES, -1), -1)
    shift = 1
    for channel in channels:
        while channel.fit(shift, limit) is None:
            shift += 1
            if shift > largest:
                return ()
    return (shift,)


def _fit(channels: list[_Channel], shift: int, limit: int) -> tuple[Sums, Sums] | None:
    pairs = []
    for channel in channels:
        pair = channel.fit(shift, limit)
        if pair is None:
            return None
        pairs.append(pair)
    return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)


class _Channel:
    """One channel's steps as bounds; a falling channel is mirrored at s = 0."""

    def __init__(self, stairs: Staircase, channel: int, lowest: int, highest: int, even: bool) -> None:
        self.sign, self.even = int(stairs.direction[channel]), even
        low, high = int(stairs.low[channel]), int(stairs.high[channel])
        at, codes = stairs.positions[channel], stairs.codes[channel]
        if self.sign < 0:
            # behind s -> -s the step to a code stands where the next sum had left it
            low, high, at, codes = -high, -low, 1 - at[::-1], codes[::-1]
        self.reach = max(abs(low), abs(high))
        self.first = int(codes[0])
        # the code is at least floor_code at the sum floor_at, and at most roof_code at roof_at
        floors = [(at, codes[1:])]
        roofs = [(at - 1, codes[:-1])]
        if self.first > lowest:
            floors.append((np.array([low]), codes[:1]))
        if codes[-1] < highest:
            roofs.append((np.array([high]), codes[-1:]))
        self.floor_at, self.floor_code = (np.concatenate(p) for p in zip(*floors, strict=True))
        self.roof_at, self.roof_code = (np.concatenate(p) for p in zip(*roofs, strict=True))
        # how far s * m + a must stay from the floor's multiple of 2^shift, and below the roof's
        self.above = (self.floor_code & 1) * int(even)
        self.below = self.roof_code & 1 if even else np.ones_like(self.roof_code)
        self.constant = len(at) == 0
        rise = int(codes[-1] - codes[0])
        # the least multiplier that reaches the last code in time, in units of 2^shift
        self.slope = max((rise - 1) / (int(at[-1] - at[0]) + 1) if len(at) else 0.0, 1 / (4 * self.reach + 4))

    def fit(self, shift: int, limit: int) -> tuple[int, int] | None:
        """(multiplier, addend), of the smallest size that leaves the most room; None without room."""
        if self.constant:
            # an odd code is one more: its own multiple of 2^shift is a tie with the even code below
            return 0, (self.first << shift) + int(self.even and self.first & 1)
        left, right = self._slopes(shift)
        right = min(right, limit - 1, (SAFE >> 2) // max(1, self.reach))
        if left > right:
            return None
        while right - left > 2:
            a, b = left + (right - left) // 3, right - (right - left) // 3
            if self._room(a, shift)[0] < self._room(b, shift)[0]:
                left = a + 1
            else:
                right = b
        best = max(range(left, right + 1), key=lambda m: self._room(m, shift)[0])
        room, addend = self._room(best, shift)
        if room < 0 or abs(addend) >= SAFE >> 1:
            return None
        return self.sign * best, addend

    def _slopes(self, shift: int) -> tuple[int, int]:
        """(smallest, largest) multiplier with which the steps furthest apart leave an addend.

        The line rises from below roof code + 1 to a floor code, and from a floor code to below
        roof code + 1: what lies between bounds it, rounded to the generous side.
        """
        if not len(self.floor_at) or not len(self.roof_at):
            return 0, WIDE
        lowest, highest = 0, WIDE
        i, j = int(np.argmax(self.floor_at)), int(np.argmin(self.roof_at))
        run = int(self.floor_at[i]) - int(self.roof_at[j])
        if run > 0:
            rise = int(self.floor_code[i] - self.roof_code[j]) - 1
            lowest = max(lowest, (rise << shift) // run)
        i, j = int(np.argmax(self.roof_at)), int(np.argmin(self.floor_at))
        run = int(self.roof_at[i]) - int(self.floor_at[j])
        if run > 0:
            rise = int(self.roof_code[i] - self.floor_code[j]) + 1
            highest = min(highest, -((-rise << shift) // run))
        return lowest, highest

    def _room(self, multiplier: int, shift: int) -> tuple[int, int]:
        """(how many addends fit less one, the one in the middle)."""
        least = (
            -SAFE
            if not len(self.floor_at)
            else (_bound(self.floor_code, shift, self.floor_at, multiplier) + self.above).max()
        )
        most = (
            SAFE
            if not len(self.roof_at)
            else (_bound(self.roof_code + 1, shift, self.roof_at, multiplier) - self.below).min()
        )
        return int(most) - int(least), (int(most) + int(least)) // 2


def _bound(codes: Sums, shift: int, sums: Sums, multiplier: int) -> Sums:
    return np.asarray((codes << shift) - sums * multiplier, np.int64)


def _equal(op: Requant, stairs: Staircase) -> bool:
    """True where the operation has the chain's code at every sum, or beside every step of many."""
    span = int((stairs.high - stairs.low).max()) + 1
    for c in range(stairs.channels):
        low, high = int(stairs.low[c]), int(stairs.high[c])
        if span <= EXHAUSTIVE:
            sums: npt.NDArray[np.int64] = np.arange(low, high + 1, dtype=np.int64)
        else:
            # both are monotone, with ties to even as well: equal on both sides of each step of the
            # chain, they are equal between two of its steps, where the chain does not move
            at = stairs.positions[c]
            sums = np.unique(np.concatenate([[low, high], at - 1, at]))
        made = requant(
            dataclasses.replace(op, multiplier=op.multiplier[c : c + 1], addend=op.addend[c : c + 1]),
            sums[:, None, None, None],
        )[:, 0, 0, 0]
        if not np.array_equal(made, stairs.at(c, sums)):
            return False
    return True
