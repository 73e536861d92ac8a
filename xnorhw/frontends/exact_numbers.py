"""Slope and offset of a channel in few bits, such that float32 rounds nothing; see ``exact_norms``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Channels",
    "NotExactError",
    "Target",
    "exact",
    "lowest_bits",
    "odd",
    "points_of",
    "shift_of",
    "whole",
]

Float64 = npt.NDArray[np.float64]

_DIGITS = 24
"""Significant bits of float32."""
_FACTOR_BITS = 17
"""Bits of A: a multiplier 2A of 18 bits, which a DSP slice takes."""
_LEAST_FACTOR = 4
"""A smaller A would change the slope by more than an eighth."""


@dataclass(frozen=True)
class Target:
    """The grid behind: steps of 2^-frac, the largest code ``top``."""

    frac: int
    top: int


@dataclass(frozen=True)
class Channels:
    """y = x * a + b per channel [C], x a multiple of 2^-point and at most ``reach`` [C]."""

    a: Float64
    b: Float64
    point: int
    reach: Float64


class NotExactError(Exception):
    """Why a site has to be left as it is."""


def exact(wished: Channels, target: Target) -> tuple[Float64, Float64, Float64]:
    """(a, b, g) per channel in the form that ``exact_norms`` describes, exact ones as they are.

    NotExactError where a channel has none that keeps three bits of its slope.
    """
    if not (np.isfinite(wished.a).all() and np.isfinite(wished.b).all()):
        raise NotExactError("its factors are not finite")
    kept = _already(wished, target)
    points = points_of(wished, target)
    with np.errstate(divide="ignore"):
        size = np.log2(np.abs(wished.a))
    points = np.minimum(points, wished.point + _FACTOR_BITS - 1 - np.ceil(size))
    while True:
        slopes = np.rint(wished.a * 2.0 ** (points - wished.point)) * 2.0 ** (wished.point - points)
        offsets = odd(wished.b, points)
        # rounding a slope of few bits may reach further than what was asked for
        made = Channels(slopes, offsets, wished.point, wished.reach)
        over = (points_of(made, target, 0.0) < points) & ~kept
        if not over.any():
            break
        points = np.where(over, points - 1, points)
    coarse = np.abs(slopes) * 2.0 ** (points - wished.point) < _LEAST_FACTOR
    lost = coarse & (np.abs(wished.a) * _reached(wished, target) > 2.0**-target.frac)
    wrong = ((points <= target.frac) | lost) & ~kept
    if wrong.any():
        raise NotExactError(
            f"channel {int(np.argmax(wrong))} would need more than float32's 24 bits: give the grid behind "
            "it a smaller range, or the layer in front smaller sums"
        )
    points = np.where(kept, np.maximum(points, target.frac), points)
    return np.where(kept, wished.a, slopes), np.where(kept, wished.b, offsets), points


def _already(wished: Channels, target: Target) -> npt.NDArray[np.bool_]:
    """Which channels are exact as they are: of this form, or without a fraction to round."""
    lowest = lowest_bits(wished.b)
    points = -lowest - 1
    most = points_of(wished, target, 0.0)
    formed = (points > target.frac) & (points <= most) & whole(wished.a, points - wished.point)
    on_grid = (lowest >= -target.frac) & whole(wished.a, np.float64(target.frac - wished.point))
    return np.asarray(formed | (on_grid & (target.frac <= most + 1)))


def whole(values: Float64, points: Float64 | np.float64) -> npt.NDArray[np.bool_]:
    """Which values are multiples of 2^-points."""
    steps = values * 2.0**points
    return np.asarray(steps == np.rint(steps))


def lowest_bits(values: Float64) -> Float64:
    """The exponent of each float's lowest set bit; of 0 a large one."""
    return np.array([_lowest_bit(float(v)) for v in values], np.float64)


def _lowest_bit(value: float) -> int:
    if value == 0:
        return 100
    numerator, denominator = value.as_integer_ratio()
    return (numerator & -numerator).bit_length() - denominator.bit_length()


def points_of(wished: Channels, target: Target, slack: float = 2.0**-6) -> Float64:
    """The largest g per channel with which nothing that the grid does not clamp needs more than 24 bits."""
    # what lies further out is clamped, rounded or not: rounding is monotone
    largest = target.top * 2.0**-target.frac
    # rounding a and b may reach a little further
    offset = np.abs(wished.b) * (1 + slack)
    products = np.minimum(_times(np.abs(wished.a), wished.reach) * (1 + slack), largest + offset)
    need = np.maximum(np.maximum(products / 2, np.minimum(products + offset, largest)), offset)
    need = np.maximum(need, 2.0**-target.frac)
    return np.asarray(np.floor(_DIGITS - 1 - np.log2(need)))


def _times(a: Float64, reach: Float64) -> Float64:
    # of a sum that is not bounded a factor of 0 still makes 0
    return np.asarray(a * np.where(a == 0, 0.0, reach))


def odd(b: Float64, points: Float64) -> Float64:
    """The nearest odd multiple of 2^-(g + 1)."""
    return np.asarray((2 * np.floor(b * 2.0**points) + 1) * 2.0 ** -(points + 1))


def shift_of(wished: Channels, slopes: Float64, offsets: Float64, target: Target) -> float:
    """How far results inside of the grid's range move at most."""
    moved = np.abs(slopes - wished.a) * _reached(wished, target) + np.abs(offsets - wished.b)
    return float(moved.max())


def _reached(wished: Channels, target: Target) -> Float64:
    """The largest magnitude of x whose result the grid does not clamp; 0 where a is 0."""
    largest = (target.top + 1) * 2.0**-target.frac
    slope = np.where(wished.a == 0, np.inf, np.abs(wished.a))
    return np.asarray(np.minimum((largest + np.abs(wished.b)) / slope, wished.reach))
