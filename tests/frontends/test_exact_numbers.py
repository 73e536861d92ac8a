"""Slopes and offsets with which float32 rounds nothing, in no order, and nothing ties."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.frontends.channels import check_channel
from xnorhw.frontends.exact_numbers import Channels, NotExactError, Target, exact


@pytest.mark.parametrize("seed", range(30))
def test_channels_are_exact_at_every_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits, frac = int(rng.integers(4, 17)), int(rng.integers(0, 12))
    target = Target(frac, 1 << (bits - 1))
    point = int(rng.integers(0, 6))
    reach = float(rng.choice([9, 576, 4608, 200000, np.inf]))
    count = 12
    largest = target.top * 2.0**-frac
    spread = min(reach, 3000.0)
    a = rng.normal(size=count) * largest / spread * 2.0 ** rng.integers(-3, 4, count)
    b = rng.normal(size=count) * largest / 2
    a[0], b[1] = 0.0, 0.0
    wished = Channels(a, b, point, np.full(count, reach))
    try:
        slopes, offsets, points = exact(wished, target)
    except NotExactError:
        assert bits + math.log2(spread * 2.0**point) > 18
        return
    limit = 1e6 if np.isinf(reach) else reach
    for i in range(count):
        check_channel(float(slopes[i]), float(offsets[i]), target, point, limit, int(points[i]))
    again = exact(Channels(slopes, offsets, point, wished.reach), target)
    assert np.array_equal(again[0], slopes) and np.array_equal(again[1], offsets)
    # what moves is a part of what the grid itself rounds off, unless the sums are long
    step = 2.0**-frac
    inside = np.minimum((largest + np.abs(b)) / np.maximum(np.abs(a), 1e-30), limit)
    moved = np.abs(slopes - a) * inside + np.abs(offsets - b)
    assert (
        moved <= np.maximum(2.0 ** (bits - 12), 1.0) * step * np.maximum(inside * 2.0**point / 2000, 1)
    ).all()


def test_slopes_of_few_bits() -> None:
    """Long sums leave a slope three bits, and rounding it may reach further than was asked for."""
    rng = np.random.default_rng(0)
    # three that reach too far at first, then any
    cases = [
        (14, 107.0, 0, 0.57193986, -0.02997819),
        (13, 176.0, 1, 0.34808866, -0.05004121),
        (14, 105.0, 2, 0.29647991, 0.03117033),
    ]
    for _ in range(100):
        slope = float(rng.uniform(1.0, 1.6) * 2.0 ** rng.integers(-3, 0))
        point, reach, frac = int(rng.integers(11, 16)), float(rng.integers(100, 200)), int(rng.integers(0, 3))
        cases.append((point, reach, frac, slope, float(rng.normal())))
    made = 0
    for point, reach, frac, slope, offset in cases:
        target = Target(frac, 1 << 10)
        a = np.array([slope])
        wished = Channels(a, np.array([offset]), point, np.array([reach]))
        try:
            slopes, offsets, points = exact(wished, target)
        except NotExactError:
            continue
        made += 1
        assert abs(slopes[0] / a[0] - 1) <= 0.125
        check_channel(float(slopes[0]), float(offsets[0]), target, point, reach, int(points[0]))
    assert made > 50


def test_a_power_of_two_leaves_all_of_the_24_bits() -> None:
    """-8 .. 8 takes the sign and three bits: 20 and the odd one stay behind the point."""
    target = Target(6, 1 << 9)
    wished = Channels(np.array([2.0**-8, 2.0**-9]), np.array([0.3, -0.2]), 8, np.full(2, 1e5))
    slopes, offsets, points = exact(wished, target)
    assert points.tolist() == [20, 20] and (np.abs(slopes - wished.a) <= 2.0**-13).all()
    for c in range(2):
        check_channel(float(slopes[c]), float(offsets[c]), target, 8, 1e5, 20)


def test_channels_on_the_grid_stay_as_they_are() -> None:
    # plain BNN sums on a grid: nothing is rounded, so nothing needs to be moved
    wished = Channels(np.array([1.0, 2.0, 0.5]), np.array([0.0, 3.0, 1.0]), 0, np.full(3, 100.0))
    slopes, offsets, _ = exact(wished, Target(1, 1 << 11))
    assert slopes.tolist() == [1, 2, 0.5] and offsets.tolist() == [0, 3, 1]
    slopes, offsets, points = exact(wished, Target(0, 1 << 11))
    assert offsets[:2].tolist() == [0, 3]
    assert offsets[2] != 1 and slopes[2] == 0.5
    check_channel(0.5, float(offsets[2]), Target(0, 1 << 11), 0, 100, int(points[2]))


def test_what_float32_cannot_hold_is_said() -> None:
    for a, b, bits in (([1e-7], [0.0], 16), ([0.01], [1e6], 16), ([1.0], [0.5], 24), ([np.nan], [0.0], 8)):
        wished = Channels(np.array(a), np.array(b), 0 if bits < 24 else 20, np.array([2.0**28]))
        with pytest.raises(NotExactError):
            exact(wished, Target(8, 1 << (bits - 1)))
