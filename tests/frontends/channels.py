"""One channel of a snapped norm or layer against exact arithmetic, sum by sum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from xnorhw.frontends.evaluator import _fused
from xnorhw.frontends.exact_numbers import Target

__all__ = ["check_channel"]


def _reachable(point: int, reach: float, a: float, b: float, largest: float) -> np.ndarray:
    """Integers to try: all where few, else around where the grid begins to clamp and random ones."""
    most = int(reach * 2.0**point)
    if most <= 3000:
        return np.arange(-most, most + 1)
    edges = [int(((side * largest) - b) / a * 2.0**point) for side in (-1, 1)] if a else []
    near = np.concatenate([np.arange(e - 50, e + 51) for e in edges] or [np.arange(-9, 10)])
    drawn = np.random.default_rng(0).integers(-most, most + 1, 2000)
    return np.unique(np.clip(np.concatenate([near, drawn, [-most, 0, most]]), -most, most))


def check_channel(a: float, b: float, target: Target, point: int, reach: float, g: int) -> None:
    largest = target.top * 2.0**-target.frac
    s = _reachable(point, reach, a, b, largest)
    x = (s * 2.0**-point).astype(np.float32)
    slope, offset = np.float32(a), np.float32(b)
    assert float(slope) == a and float(offset) == b
    with np.errstate(over="ignore"):
        plain = (x * slope).astype(np.float32) + offset
    fused = _fused(x, np.full(x.shape, slope), np.asarray(offset))
    top, bottom = target.top - 1, -target.top
    codes = [np.clip(np.rint(y * np.float32(2.0**target.frac)), bottom, top) for y in (plain, fused)]
    # nothing was rounded that is not clamped: float64 holds it anyway
    true = x.astype(np.float64) * a + b
    inside = np.abs(true) <= largest
    assert np.array_equal(plain[inside], true[inside]) and np.array_equal(fused[inside], true[inside])
    # the same in integers: multiply, add, shift
    multiplier = Fraction(a) * 2 ** (g + 1) / 2**point
    addend = Fraction(b) * 2 ** (g + 1)
    assert multiplier.denominator == 1 and addend.denominator == 1
    shift = g + 1 - target.frac
    half = 1 << (shift - 1) if shift else 0
    sums = s.astype(object) * int(multiplier) + int(addend)
    expected = np.clip((sums + half) >> shift, bottom, top).astype(np.int64)
    assert np.array_equal(codes[0], expected) and np.array_equal(codes[1], expected)
    if shift:
        assert not (sums % (1 << shift) == half).any()
