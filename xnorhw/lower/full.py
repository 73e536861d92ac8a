"""Full-precision layers as integers: weights in steps of 2^-frac, sums below 2^53 or refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FullConv2d, FullLinear
from xnorhw.ir.grid import grid_steps

__all__ = ["EXACT", "check_full_sums", "integer_weight"]

EXACT = 2.0**53
"""Integers up to here are float64 numbers."""
_WEIGHT_LIMIT = 2.0**31


def integer_weight(op: FullConv2d | FullLinear, name: str) -> npt.NDArray[np.int32]:
    """The layer's weights times 2^frac; ModelError where one is no integer of 32 bits."""
    steps = grid_steps(op.weight, op.frac)
    off = steps != np.rint(steps)
    if off.any():
        stray = float(op.weight[off].flat[0])
        raise ModelError(
            f"its weights are not on the grid of 2^-{op.frac}: {int(off.sum())} of {off.size}, the first "
            f"{stray:.6g}, so its sums have no exact form",
            module=name,
            remedy="Round them: xnorhw.snap(net), or xnorhw snap model.pt -o snapped.pt, prints the accuracy "
            "before and after; --approximate rounds them in the build alone",
        )
    if not (np.abs(steps) < _WEIGHT_LIMIT).all():
        raise ModelError(
            f"its largest weight, {float(np.abs(op.weight).max()):.6g}, has no 32 bits in steps of "
            f"2^-{op.frac}",
            module=name,
            remedy="Use a smaller frac",
        )
    return steps.astype(np.int32)


def check_full_sums(
    weight: npt.NDArray[np.int32], largest: npt.NDArray[np.float64] | np.float64, name: str
) -> None:
    """ModelError where sums of ``weight`` [O, ...] with inputs up to ``largest`` can pass 2^53.

    ``largest`` is one bound or one for each element of a row, in integer steps.
    """
    # float64 holds every term below 2^53 exactly, and what lies above is refused anyway
    reach = (np.abs(weight.astype(np.float64)) * largest).reshape(len(weight), -1).sum(axis=1).max()
    if not reach < EXACT:
        raise ModelError(
            f"its sums reach 2^{float(np.log2(reach)):.1f} steps, past the 2^53 to which float64 is exact",
            module=name,
            remedy="Use a smaller frac or in_frac, or fewer inputs",
        )
