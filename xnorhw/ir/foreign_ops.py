"""Operations that networks of other projects bring along: thresholds counted, constants applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.ir.types import BIPOLAR, IntType, code

__all__ = ["Affine", "MultiThreshold"]

FloatArray = npt.NDArray[np.float32]
MOST_BASES = 8


@dataclass(frozen=True)
class Affine:
    """x * scale (x / scale with ``divide``; None: neither), then + bias; each rounds once; [1 or C]."""

    scale: FloatArray | None
    bias: FloatArray | None
    divide: bool = False


@dataclass(frozen=True)
class MultiThreshold:
    """out_scale * #{j: x >= thresholds[c][j]} + out_bias (QONNX MultiThreshold); [1 or C, levels]."""

    thresholds: FloatArray
    out_scale: float = 1.0
    out_bias: float = 0.0

    @property
    def levels(self) -> int:
        """How many thresholds a channel has."""
        return int(self.thresholds.shape[1])

    @property
    def whole(self) -> bool:
        """True where it makes integers of 32 bits."""
        ends = (self.out_bias, self.out_scale * self.levels + self.out_bias)
        return self.out_scale > 0 and all(v == np.rint(v) and abs(v) < 2**31 for v in (self.out_scale, *ends))

    @property
    def type(self) -> IntType:
        """The type of the integers that it makes, each as it is."""
        least = int(self.out_bias)
        most = int(self.out_scale * self.levels) + least
        if (self.levels, least, most) == (1, -1, 1):
            return BIPOLAR
        if least >= 0:
            return code(max(1, most.bit_length()), False)
        return code(1 + max((v if v >= 0 else ~v).bit_length() for v in (least, most)), True)

    @property
    def bases(self) -> tuple[npt.NDArray[np.int64], int] | None:
        """(betas [levels], frac) where it is sum_n beta_n * 2^-frac * A_n with A_n = -1 or +1, else None.

        So it is where its values lie around 0: half of a step for each threshold reached,
        minus half of one for each that is not.
        """
        around_zero = 2 * self.out_bias == -self.out_scale * self.levels
        if not (self.whole and around_zero and 2 <= self.levels <= MOST_BASES):
            return None
        half, odd = divmod(int(self.out_scale), 2)
        return np.full(self.levels, int(self.out_scale) if odd else half, np.int64), odd
