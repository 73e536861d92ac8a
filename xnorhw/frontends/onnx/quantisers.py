"""What the quantisers of QONNX and ONNX do, exactly as their executors do it in float32.

A quantiser of activations is a monotone function of one float32, so it is a list of
thresholds: the smallest float32 at which each code is reached, found by bisection on the
function itself.  Nothing is derived from the scale by a formula that rounds elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ROUNDINGS", "Float32", "Quantiser", "bipolar", "integer", "thresholds"]

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]


def _half_up(x: Array) -> Array:
    whole = np.floor(np.abs(x))
    return np.asarray(np.sign(x) * (whole + (np.abs(x) - whole >= 0.5)))


def _half_down(x: Array) -> Array:
    whole = np.floor(np.abs(x))
    return np.asarray(np.sign(x) * (whole + (np.abs(x) - whole > 0.5)))


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}


@dataclass(frozen=True)
class Quantiser:
    """x -> integers ``low`` .. ``high``, each worth ``scale`` (float32, [1] or as x broadcasts).

    A bipolar one makes -1 and +1.  ``zero`` is subtracted behind the rounding: it lies in
    ``low`` and ``high`` already.
    """

    scale: Float32
    low: int
    high: int
    zero: int = 0
    rounding: str = "ROUND"
    bipolar: bool = False

    def codes(self, x: Float32) -> Float32:
        """The integers, of x's shape; each operation rounds in float32."""
        if self.bipolar:
            return np.where(x >= 0, np.float32(1), np.float32(-1))
        with np.errstate(over="ignore"):
            q = x / self.scale + np.float32(self.zero)
        q = np.clip(q, np.float32(self.low + self.zero), np.float32(self.high + self.zero))
        return np.asarray(ROUNDINGS[self.rounding](q) - np.float32(self.zero), np.float32)


def bipolar(scale: Float32) -> Quantiser:
    """QONNX BipolarQuant: +1 where x >= 0 (also -0.0), else -1."""
    return Quantiser(scale, -1, 1, bipolar=True)


def integer(
    scale: Float32, zero: int, bits: int, signed: bool, narrow: bool, rounding: str = "ROUND"
) -> Quantiser:
    """QONNX Quant: round(clamp(x / scale + zero)) - zero; one signed bit is bipolar, as there."""
    if bits == 1 and signed:
        return bipolar(scale)
    if signed:
        low, high = -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    else:
        low, high = 0, (1 << bits) - 1 - narrow
    return Quantiser(scale, low - zero, high - zero, zero, rounding)


def thresholds(quantiser: Quantiser) -> Float32:
    """The smallest float32 that makes each code above the lowest, float32 [high - low].

    ``quantiser`` has one scale.  Infinity where no finite float32 reaches the code.
    """
    count = 1 if quantiser.bipolar else quantiser.high - quantiser.low
    wanted = (
        np.array([1.0]) if quantiser.bipolar else np.arange(quantiser.low + 1, quantiser.high + 1.0)
    ).astype(np.float32)
    # float32 numbers in their order are integers in theirs
    top = int(np.float32(np.inf).view(np.int32))
    left = np.full(count, -top, np.int64)
    right = np.full(count, top, np.int64)
    while int((right - left).max()) > 1:
        middle = (left + right) // 2
        reached = quantiser.codes(_float(middle)) >= wanted
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    return _float(right) + np.float32(0)


def _float(order: npt.NDArray[np.int64]) -> Float32:
    """The float32 number at a place of their order; 0 is at 0, and there is no -0."""
    size = np.abs(order).astype(np.int32).view(np.float32)
    return np.where(order < 0, -size, size)
