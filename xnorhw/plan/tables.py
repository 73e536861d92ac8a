"""The numbers that the units behind a sum compare it with or multiply it by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.ir.int_graph import Threshold
from xnorhw.plan.layers import ChipLayer, Quantiser
from xnorhw.plan.starts import sums_range

__all__ = ["level_values", "quantiser_of"]

Values = npt.NDArray[np.int64]


def quantiser_of(layers: tuple[ChipLayer, ...], codes: str) -> tuple[Quantiser, tuple[int, int]]:
    """What makes the tensor ``codes``, and the least and the largest sum that it reads."""
    for layer in layers:
        if layer.bits is not None and layer.bits.name == codes:
            assert layer.quantiser is not None
            return layer.quantiser, sums_range(layer)
        for pool in layer.pools:
            if pool.quantiser is not None and pool.output.name == codes:
                return pool.quantiser, pool.sums_range
    raise KeyError(codes)


def level_values(threshold: Threshold, low: int, high: int) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Levels [positions, C, levels], rising, and for each channel the flip.

    A level t is passed where (s >= t) differs from the flip: s <= T is the opposite of
    s >= T + 1.  Sums lie within ``low``..``high``, so a level below or above all of them is
    one at ``low`` or at ``high`` + 1.
    """
    flip = threshold.direction < 0
    levels = threshold.table + flip[None, :, None]
    return np.sort(np.clip(levels, low, high + 1), axis=2), flip
