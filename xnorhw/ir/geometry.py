"""Sliding-window geometry shared by convolutions and pools, from model to hardware."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AxisClasses", "Pads", "WindowGeometry", "ceil_div"]


def ceil_div(a: int, b: int) -> int:
    """The smallest integer that is at least a / b."""
    return -(-a // b)


@dataclass(frozen=True)
class Pads:
    """Elements added on each side of a feature map, in pixels."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def any(self) -> bool:
        """True where at least one side is padded."""
        return bool(self.left or self.right or self.top or self.bottom)


@dataclass(frozen=True)
class AxisClasses:
    """Position classes along one axis.

    ``of_output[i]`` is the class of output index i; ``padded[c][k]`` is True where, in
    class c, kernel tap k falls on padding.  Class numbers are in order of first appearance.
    """

    of_output: tuple[int, ...]
    padded: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class WindowGeometry:
    """Kernel, stride, pads and dilation of a sliding window; pairs are (y, x)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: Pads = Pads()
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    @property
    def taps(self) -> int:
        """Number of kernel taps."""
        return self.kernel[0] * self.kernel[1]

    def _axis(self, axis: int) -> tuple[int, int, int, int, int]:
        low = (self.pads.top, self.pads.left)[axis]
        high = (self.pads.bottom, self.pads.right)[axis]
        return self.kernel[axis], self.stride[axis], low, high, self.dilation[axis]

    def _axis_output(self, size: int, axis: int) -> int:
        kernel, stride, low, high, dilation = self._axis(axis)
        span = size + low + high - dilation * (kernel - 1) - 1
        if span < 0:
            return 0
        out = (ceil_div(span, stride) if self.ceil_mode else span // stride) + 1
        # torch: a window must start inside the input or its left padding
        if self.ceil_mode and (out - 1) * stride >= size + low:
            out -= 1
        return out

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Output (height, width) as torch computes it; 0 where the kernel does not fit."""
        return self._axis_output(height, 0), self._axis_output(width, 1)

    def axis_classes(self, size: int, axis: int) -> AxisClasses:
        """Group the output positions along ``axis`` (0: y, 1: x) by which taps are padding."""
        kernel, stride, low, _, dilation = self._axis(axis)
        patterns: dict[tuple[bool, ...], int] = {}
        of_output = []
        for i in range(self._axis_output(size, axis)):
            start = i * stride - low
            pattern = tuple(not 0 <= start + k * dilation < size for k in range(kernel))
            of_output.append(patterns.setdefault(pattern, len(patterns)))
        return AxisClasses(tuple(of_output), tuple(patterns))
