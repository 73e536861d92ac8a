"""The stages of the C++ core that a window becomes."""

from __future__ import annotations

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.hls_depth import line_buffer_depth
from xnorhw.plan.hls_model import Lines, Replay, Taps
from xnorhw.plan.model import Window

__all__ = ["window_stages"]

_OPEN = ((), ())
"""Stands for a stage's streams until they are known."""


def window_stages(unit: Window, layer: str) -> tuple[Replay] | tuple[Lines] | tuple[Lines, Taps]:
    """The stages that ``unit`` becomes, one behind the other."""
    kernel, stride = unit.geometry.kernel, unit.geometry.stride
    pixels = unit.height * unit.width
    if unit.channels_outer or unit.geometry.pads.any() or unit.spread is not None:
        return _slide(unit, layer)
    if kernel == (1, 1) and stride == (1, 1):
        # a slice of a pixel is a block by itself
        return (_replay(unit, layer, pixels * unit.slices, unit.words_per_pixel // unit.slices),)
    if kernel == (unit.height, unit.width) and unit.taps_per_word == unit.slices == 1:
        return (_replay(unit, layer, 1, pixels * unit.words_per_pixel),)
    return _slide(unit, layer)


def _replay(unit: Window, layer: str, blocks: int, words: int) -> Replay:
    given = blocks * words * unit.repeats
    return Replay(
        unit.name, layer, *_OPEN, given, blocks, words, unit.repeats, unit.lanes * unit.bits, unit.memory
    )


def _slide(unit: Window, layer: str) -> tuple[Lines] | tuple[Lines, Taps]:
    groups = unit.geometry.taps // unit.taps_per_word
    lines = _lines(unit, layer)
    if unit.repeats * groups == 1:
        return (lines,)
    pixels, words = unit.out_height * unit.out_width * unit.slices, unit.words_per_pixel // unit.slices
    taps = Taps(
        f"{unit.name}_taps",
        layer,
        *_OPEN,
        pixels * words * unit.repeats * groups,
        pixels=pixels,
        repeats=unit.repeats,
        groups=groups,
        words=words,
        word_bits=unit.taps_per_word * unit.lanes * unit.bits,
        words_outer=unit.channels_outer,
    )
    return lines, taps


def _lines(unit: Window, layer: str) -> Lines:
    """The delay lines of a sliding window."""
    geometry, words = unit.geometry, unit.words_per_pixel
    (kernel_y, kernel_x), (stride_y, stride_x) = geometry.kernel, geometry.stride
    dilation_y, dilation_x = geometry.dilation
    # the windows of a row leave one after the other, and all of them before the next row's first
    columns = max(unit.width, ceil_div((unit.out_width - 1) * stride_x + 1, stride_y))
    reach = (kernel_y - 1) * dilation_y * columns + (kernel_x - 1) * dilation_x
    first = reach - geometry.pads.top * columns - geometry.pads.left
    if first < 0:
        raise ValueError(f"{unit.name}: the first window does not reach the map")
    across = (unit.out_width - 1) * stride_x
    last = first + (unit.out_height - 1) * stride_y * columns + across
    positions = max((unit.height - 1) * columns + unit.width, last + 1)
    step_row = stride_y * columns - across
    serial = unit.repeats * geometry.taps > unit.taps_per_word
    return Lines(
        f"{unit.name}_lines",
        layer,
        *_OPEN,
        positions * words,
        window=unit,
        columns=columns,
        positions=positions,
        first=first,
        step_pixel=stride_x,
        step_row=step_row,
        line_words=dilation_y * columns * words,
        column_words=dilation_x * words,
        window_depth=line_buffer_depth(unit, first, step_row, positions * words) if serial else 0,
    )
