from __future__ import annotations

import numpy as np
import pytest

from xnorhw.nn.calibrate import activation_scale


def test_the_largest_code_stands_for_the_percentile() -> None:
    values = np.concatenate([np.linspace(0.01, 10, 1000), np.full(1000, -3), np.zeros(5000)]).astype(
        np.float32
    )
    assert activation_scale(values, 4, 100) == np.float32(10 / 15)
    # of the positive values alone, and one that occurs
    ninety = activation_scale(values, 4, 90) * 15
    assert ninety == pytest.approx(9.01, abs=0.011)
    assert np.float32(ninety) == pytest.approx(values[np.abs(values - ninety).argmin()], rel=1e-6)
    assert activation_scale(values.reshape(10, -1), 1, 100) == 10


@pytest.mark.parametrize(("top", "expected"), [(15.0, 1.0), (15.1, 2.0), (7.0, 0.5), (1e-3, 2.0**-13)])
def test_powers_of_two_lie_above(top: float, expected: float) -> None:
    values = np.array([top, top / 3], np.float32)
    assert activation_scale(values, 4, 100, power_of_two=True) == expected


def test_activations_that_never_fire() -> None:
    assert activation_scale(np.zeros(9, np.float32), 3) == 1 / 7
    assert activation_scale(np.zeros(9, np.float32), 3, power_of_two=True) == 1


def test_bad_ones() -> None:
    ones = np.ones(3, np.float32)
    for bits, percentile, values in (
        (0, 99, ones),
        (9, 99, ones),
        (8, 0, ones),
        (8, 101, ones),
        (8, 99, np.full(3, np.inf, np.float32)),
    ):
        with pytest.raises(ValueError, match="bits|percentile|finite"):
            activation_scale(values, bits, percentile)
