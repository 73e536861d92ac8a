"""Compare two forms of the network tensor by tensor and name the first difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True)
class Difference:
    """The first value that differs: frame, channel, (y, x), in tensor ``tensor``.

    ``layer`` is the binary layer that makes the tensor, where that is known.
    """

    link: str
    tensor: str
    frame: int
    channel: int
    y: int
    x: int
    expected: float
    found: float
    layer: str = ""

    def __str__(self) -> str:
        return (
            f"{self.link}: {self.tensor}, channel {self.channel}, pixel ({self.y}, {self.x}) of frame "
            f"{self.frame} is {self.found:g}, expected {self.expected:g}"
        )


@dataclass(frozen=True)
class Comparison:
    """What was compared on one link: how many tensors and values, how many differ, the first."""

    tensors: int = 0
    values: int = 0
    mismatches: int = 0
    first: Difference | None = None

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            max(self.tensors, other.tensors),
            self.values + other.values,
            self.mismatches + other.mismatches,
            self.first or other.first,
        )


def compare(
    link: str,
    order: list[str],
    expected: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    first_frame: int = 0,
) -> Comparison:
    """Compare the tensors named in ``order`` that both sides have, earliest layer first.

    Arrays are [N, C, H, W] or [N, C]; a shorter batch on the ``found`` side is a mismatch of
    every missing value.
    """
    tensors = values = mismatches = 0
    first: Difference | None = None
    for name in order:
        if name not in expected or name not in found:
            continue
        want, got = expected[name], found[name]
        want = want.reshape(want.shape[0], want.shape[1], -1)
        tensors += 1
        values += want.size
        missing = want.shape[0] - got.shape[0]
        got = got.reshape(got.shape[0], *want.shape[1:])
        common = min(want.shape[0], got.shape[0])
        unequal = want[:common] != got[:common]
        mismatches += int(unequal.sum()) + max(missing, 0) * want[0].size
        if first is None and unequal.any():
            frame, channel, pixel = (int(v) for v in np.argwhere(unequal)[0])
            width = expected[name].shape[3] if expected[name].ndim == 4 else 1
            first = Difference(
                link,
                name,
                first_frame + frame,
                channel,
                pixel // width,
                pixel % width,
                float(want[frame, channel, pixel]),
                float(got[frame, channel, pixel]),
            )
        elif first is None and missing > 0:
            first = Difference(
                link, name, first_frame + common, 0, 0, 0, float(want[common, 0, 0]), float("nan")
            )
    return Comparison(tensors, values, mismatches, first)
