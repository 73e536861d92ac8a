"""What each unit computes, in plain NumPy and integers: the benches compare with this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "WindowShape",
    "abs_sum",
    "add",
    "convert",
    "join",
    "levels",
    "matrix",
    "planes",
    "pool",
    "requant",
    "split",
    "starts",
    "sum_pool",
    "terms",
    "window",
]

Ints = npt.NDArray[np.int64]


def join(elements: Sequence[int], bits: int) -> int:
    """Elements of ``bits`` bits to one word, the first lowest; negative ones in two's complement."""
    word = 0
    for i, element in enumerate(elements):
        word |= (int(element) & ((1 << bits) - 1)) << (i * bits)
    return word


def split(word: int, bits: int, count: int) -> list[int]:
    """One word to ``count`` unsigned elements of ``bits`` bits, the lowest first."""
    return [(word >> (i * bits)) & ((1 << bits) - 1) for i in range(count)]


def convert(packet: int, bits: int, width: int) -> list[int]:
    """A packet of ``bits`` bits as words of ``width`` bits, the last one filled up with zeros."""
    return split(packet & ((1 << bits) - 1), width, -(-bits // width))


@dataclass(frozen=True)
class WindowShape:
    """A window's geometry; pairs are (y, x)."""

    lanes: int
    bits: int
    words_per_pixel: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]
    taps_per_word: int
    repeats: int
    channels_outer: bool
    pad_word: int
    slices: int = 1

    @property
    def word_bits(self) -> int:
        """Bits of one tap's word."""
        return self.lanes * self.bits

    @property
    def tap_groups(self) -> int:
        """Words that hold all taps of one channel word."""
        return self.kernel[0] * self.kernel[1] // self.taps_per_word

    @property
    def in_words(self) -> int:
        """Words of one frame that come in."""
        return self.size[0] * self.size[1] * self.words_per_pixel

    @property
    def out_words(self) -> int:
        """Words of one frame that leave."""
        return self.out[0] * self.out[1] * self.repeats * self.tap_groups * self.words_per_pixel

    def origin(self, y: int, x: int) -> int:
        """Where output pixel (y, x)'s first tap lies, in words from the frame's start."""
        row = y * self.stride[0] - self.pad[0]
        column = x * self.stride[1] - self.pad[1]
        return (row * self.size[1] + column) * self.words_per_pixel

    @property
    def smallest_depth(self) -> int:
        """The words that the neediest window must find in the ring."""
        span = (self.kernel[0] - 1) * self.dilation[0] * self.size[1]
        span = (span + (self.kernel[1] - 1) * self.dilation[1] + 1) * self.words_per_pixel
        return max(
            min(origin + span, self.in_words) - max(origin, 0)
            for y in range(self.out[0])
            for x in range(self.out[1])
            for origin in [self.origin(y, x)]
        )


def window(shape: WindowShape, words: Sequence[int]) -> list[int]:
    """The words that leave for one frame of ``words``, ``shape.in_words`` of them."""

    def tap(y: int, x: int, index: int, channel: int) -> int:
        ky, kx = divmod(index, shape.kernel[1])
        row = y * shape.stride[0] - shape.pad[0] + ky * shape.dilation[0]
        column = x * shape.stride[1] - shape.pad[1] + kx * shape.dilation[1]
        if 0 <= row < shape.size[0] and 0 <= column < shape.size[1]:
            return words[(row * shape.size[1] + column) * shape.words_per_pixel + channel]
        return split(shape.pad_word, shape.word_bits, shape.words_per_pixel)[channel]

    def word(y: int, x: int, group: int, channel: int) -> int:
        first = group * shape.taps_per_word
        return join([tap(y, x, first + i, channel) for i in range(shape.taps_per_word)], shape.word_bits)

    groups, channels = range(shape.tap_groups), range(shape.words_per_pixel)
    result = []
    for y in range(shape.out[0]):
        for x in range(shape.out[1]):
            if shape.channels_outer:
                result += [word(y, x, g, c) for c in channels for g in groups]
                continue
            for part in np.array_split(channels, shape.slices):
                result += [word(y, x, g, c) for g in groups for c in part.tolist()] * shape.repeats
    return result


def matrix(activations: Ints, weights: Ints, starts_: Ints, bipolar: bool, thresholded: bool) -> Ints:
    """What a matrix unit gives for activations [sums, n], weights [sums, PE, n] of +1 and -1,
    starts [sums, PE]: bits or sums [sums, PE].

    Bipolar activations are bits; p counts the agreements.
    """
    if bipolar:
        sums = ((activations[:, None, :] == 1) == (weights == 1)).sum(axis=2)
        if not thresholded:
            sums = 2 * sums
    else:
        sums = (activations[:, None, :] * weights).sum(axis=2)
    total: Ints = sums + starts_
    return (total >= 0).astype(np.int64) if thresholded else total


def pool(taps: Ints, invert: Ints) -> Ints:
    """Maximum over axis 1 of codes [windows, taps, lanes], minimum where ``invert`` [windows, lanes] is 1."""
    low = taps.min(axis=1)
    high = taps.max(axis=1)
    return np.where(invert == 1, low, high)


def sum_pool(taps: Ints, bipolar: bool) -> Ints:
    """Sum over axis 1 of taps [windows, taps, lanes]; bipolar ones are bits for -1 and +1."""
    values: Ints = (2 * taps - 1 if bipolar else taps).sum(axis=1)
    return values


def levels(sums: Ints, table: Ints, flip: Ints) -> Ints:
    """How many levels [words, lanes, levels] each sum [words, lanes] has passed: where (s >= t) differs
    from ``flip`` [words, lanes]."""
    passed = (sums[:, :, None] >= table) != (flip[:, :, None] == 1)
    return passed.sum(axis=2, dtype=np.int64)


def requant(
    total: int, multiplier: int, addend: int, shift: int, low: int, high: int, even: bool = False
) -> int:
    """One code; Python's integers, which no product leaves.  ``even``: what the shift halves goes to even."""
    scaled = total * multiplier + addend
    code = scaled >> shift
    if even and scaled % (1 << shift) == 0:
        code -= code % 2
    return min(max(code, low), high)


def add(inputs: Sequence[Ints], bipolar: Sequence[bool], shifts: Sequence[int]) -> Ints:
    """Sum of inputs [words, lanes] times 2^shift; bipolar ones are bits for -1 and +1."""
    values = [2 * x - 1 if signs else x for x, signs in zip(inputs, bipolar, strict=True)]
    total: Ints = np.sum([x << shift for x, shift in zip(values, shifts, strict=True)], axis=0)
    return total


def abs_sum(elements: Ints, last_lanes: int) -> Ints:
    """Sum of the magnitudes of elements [pixels, words, lanes], ``last_lanes`` of the last word."""
    sizes = np.abs(elements)
    sizes[:, -1, last_lanes:] = 0
    total: Ints = sizes.sum(axis=(1, 2))
    return total


def terms(sums: Ints, coefficients: Sequence[int]) -> Ints:
    """Sums [results, terms, lanes] times their coefficients, added."""
    total: Ints = (sums * np.array(coefficients, np.int64)[None, :, None]).sum(axis=1)
    return total


def planes(codes: Ints, levels_: Sequence[int]) -> Ints:
    """Bits [pixels, terms, folds, lanes] of codes of that shape: code > the term's level."""
    return (codes > np.array(levels_, np.int64)[None, :, None, None]).astype(np.int64)


def starts(
    lines: Sequence[int], groups: int, row_class: Sequence[int], column_class: Sequence[int], columns: int
) -> list[int]:
    """The words that a start ROM gives for one frame."""
    return [
        lines[(row * columns + column) * groups + group]
        for row in row_class
        for column in column_class
        for group in range(groups)
    ]
