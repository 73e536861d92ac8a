"""The numbers that the units behind a sum compare it with or multiply it by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.ir.int_graph import Threshold
from xnorhw.plan.layers import ChipLayer, ChipStage, Quantiser
from xnorhw.plan.starts import sums_range

__all__ = ["level_values", "quantiser_of"]

Values = npt.NDArray[np.int64]


def quantiser_of(stages: tuple[ChipStage, ...], codes: str) -> tuple[Quantiser, tuple[int, int]]:
    """What makes the tensor ``codes``, and the least and the largest sum that it reads."""
    for stage in stages:
        if stage.bits is not None and stage.bits.name == codes:
            assert stage.quantiser is not None
            if isinstance(stage, ChipLayer):
                return stage.quantiser, sums_range(stage)
            return stage.quantiser, (stage.kind.min, stage.kind.max)
        for pool in stage.pools:
            if pool.quantiser is not None and pool.output.name == codes:
                return pool.quantiser, pool.sums_range
    raise KeyError(codes)


def level_values(threshold: Threshold, low: int, high: int) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Levels [positions, C, levels], rising, and flips [1 or positions, C].

    A level t is passed where (s >= t) differs from the flip: s <= T is the opposite of
    s >= T + 1.  Sums lie within ``low``..``high``, so a level below or above all of them is
    one at ``low`` or at ``high`` + 1.
    """
    flip = threshold.directions < 0
    levels = threshold.table + flip[:, :, None]
    return np.sort(np.clip(levels, low, high + 1), axis=2), flip
