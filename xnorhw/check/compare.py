"""Compare two forms of the network tensor by tensor and name the first difference."""

from __future__ import annotations

import dataclasses
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

    def beside(self, other: Comparison) -> Comparison:
        """The sum with a comparison of other tensors; ``+`` is that of more frames of the same ones."""
        return dataclasses.replace(self + other, tensors=self.tensors + other.tensors)


def compare(
    link: str,
    names: list[str],
    expected: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    first_frame: int = 0,
) -> Comparison:
    """Compare the tensors ``names``, earliest layer first; KeyError where a side lacks one.

    Arrays are [N, C, H, W] or [N, C].  A value of a frame that one side has and the other
    has not is a mismatch; a value that differs is named before one that is missing.
    """
    values = mismatches = 0
    first: Difference | None = None
    uneven: Difference | None = None
    for name in names:
        want, got = expected[name], found[name]
        width = want.shape[3] if want.ndim == 4 else 1
        want = want.reshape(want.shape[0], want.shape[1], -1)
        got = got.reshape(got.shape[0], *want.shape[1:])
        common = min(len(want), len(got))
        unequal = want[:common] != got[:common]
        values += want.size
        mismatches += int(unequal.sum()) + abs(len(want) - len(got)) * int(np.prod(want.shape[1:]))
        if first is None and unequal.any():
            frame, channel, pixel = (int(v) for v in np.argwhere(unequal)[0])
            y, x = divmod(pixel, width)
            pair = float(want[frame, channel, pixel]), float(got[frame, channel, pixel])
            first = Difference(link, name, first_frame + frame, channel, y, x, *pair)
        if uneven is None and len(want) != len(got):
            nan = float("nan")
            there = float(want[common, 0, 0]) if len(want) > common else nan
            came = float(got[common, 0, 0]) if len(got) > common else nan
            uneven = Difference(link, name, first_frame + common, 0, 0, 0, there, came)
    return Comparison(len(names), values, mismatches, first or uneven)
