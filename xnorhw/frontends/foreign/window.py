"""The window of a convolution, and the padding that TensorFlow calls SAME."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Window", "same_pads"]


@dataclass(frozen=True)
class Window:
    """A convolution's geometry: stride (y, x), pads (left, right, top, bottom), dilation and groups."""

    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    pad_value: float = 0

    @property
    def shape(self) -> tuple[tuple[int, int], tuple[int, int, int, int], tuple[int, int], int]:
        """Stride, pads, dilation and groups, as the layers of xnorhw.nn take them one behind the other."""
        return self.stride, self.pads, self.dilation, self.groups


def same_pads(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding (left, right, top, bottom): the odd pixel lies right and below."""
    sides = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        sides.append((total // 2, total - total // 2))
    return *sides[1], *sides[0]
