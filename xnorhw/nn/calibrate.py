"""What one code of an activation is worth, chosen from the values that it takes on samples."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["PERCENTILE", "activation_scale"]

PERCENTILE = 99.99
"""Share in percent of the positive activations that the largest code reaches."""


def activation_scale(
    values: npt.NDArray[np.float32],
    bits: int,
    percentile: float = PERCENTILE,
    power_of_two: bool = False,
) -> float:
    """The scale of a ``QuantReLU(bits)`` for activations like ``values`` (any shape).

    The largest code, 2^bits - 1, stands for the ``percentile`` of the positive values (100: their
    maximum); what is larger is clipped.  With ``power_of_two`` the scale is the next power of
    two from there, else float32.  Values that are never positive give 1 / (2^bits - 1).
    ValueError: values that are not finite, bits outside of 1 to 8, a percentile outside of
    (0, 100].
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"an activation has 1 to 8 bits, not {bits}")
    if not 0 < percentile <= 100:
        raise ValueError(f"a percentile lies above 0 and reaches 100, not {percentile}")
    if not np.isfinite(values).all():
        raise ValueError("the activations are not finite")
    levels = (1 << bits) - 1
    positive = values[values > 0]
    if positive.size == 0:
        return 1.0 if power_of_two else 1.0 / levels
    # a value that occurs: no interpolation, so that the same samples give the same scale anywhere
    top = float(np.percentile(positive, percentile, method="higher"))
    if power_of_two:
        return 2.0 ** math.ceil(math.log2(top / levels))
    return float(np.float32(top / levels))
