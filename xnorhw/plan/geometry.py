"""What a folding makes of a layer: word widths, folds, groups, and what is legal."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import Tensor
from xnorhw.ir.types import IntType, type_for_range
from xnorhw.plan.layers import MOST_WEIGHT_BITS, ChipLayer, ChipPool, wire_bits
from xnorhw.plan.rows import pool_view, pools_and_pixels, row_views
from xnorhw.plan.unit_model import ring_copies

__all__ = [
    "RESULT_BITS",
    "WIDEST_WORD",
    "LayerShape",
    "divisors",
    "layer_shape",
    "legal_pe",
    "legal_simd",
    "legal_taps",
    "pool_cycles",
    "pool_sum_bits",
    "result_bits",
    "word_bits",
]

WIDEST_WORD = 4096
"""Bits of the widest ap_uint (UG1399, arbitrary precision types): what the C++ core can express."""

RESULT_BITS = 32
"""Bits of a sum that leaves the chip."""


def divisors(n: int) -> list[int]:
    """The divisors of n, rising."""
    low = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return low + [n // d for d in reversed(low) if d * d != n]


def legal_simd(layer: ChipLayer) -> list[int]:
    """Every SIMD that a window can feed: 1..C, then C times a divisor of the taps.

    With groups C are those of one group, whose words no other's fill: divisors of C alone.
    """
    c = layer.slice_channels
    within = list(range(1, c + 1)) if layer.groups == 1 else divisors(c)
    return within + [c * d for d in divisors(layer.taps) if d > 1]


def legal_pe(layer: ChipLayer) -> list[int]:
    """Every PE: 1..O, with groups the divisors of one group's output channels."""
    if layer.groups == 1:
        return list(range(1, layer.outputs + 1))
    return divisors(layer.outputs // layer.groups)


def legal_taps(pool: ChipPool, pixels: int = 1) -> list[int]:
    """Every number of taps a clock that a pool's window can give: of ``pixels`` at once all of them."""
    taps = pool.op.geometry.taps
    return divisors(taps) if pixels == 1 else [taps]


@dataclass(frozen=True)
class LayerShape:
    """A layer under a folding.

    The window takes words of ``lanes`` elements, ``words_per_pixel`` a pixel, and gives
    ``taps_per_word`` taps a word, ``folds`` words for each of ``terms`` terms of each of
    ``groups`` channel groups (a word of PE each) of each output pixel; of a convolution with groups
    they read ``slices`` parts of a pixel's words one after the other.  ``flat`` True: a whole-map layer whose
    words follow one another through the map as if it were one pixel of channels x taps;
    ``windowed`` False: its words need no replay either, and there is no window at all.

    ``pixels`` > 1: what stands here as a pixel is a word of so many of a row, and as a tap a word of the
    window over them (``plan.rows``), of which ``made`` output pixels are made at once.
    """

    pe: int
    simd: int
    lanes: int
    words_per_pixel: int
    taps_per_word: int
    folds: int
    groups: int
    flat: bool
    windowed: bool
    in_words: int
    cycles: int
    terms: int = 1
    slices: int = 1
    pixels: int = 1
    made: int = 1

    @property
    def turns(self) -> int:
        """Sums that the matrix unit forms for each of its PE, a pixel."""
        return self.groups * self.terms

    @property
    def copies(self) -> int:
        """Copies of the window's ring; a window that is one word is held for all of a pixel's turns."""
        return ring_copies(self.taps_per_word, self.turns if self.folds == self.words_per_pixel == 1 else 1)


def layer_shape(layer: ChipLayer, pe: int, simd: int, pixels: int = 1) -> LayerShape:
    """The shape of ``layer`` at a legal (pe, simd, pixels); cycles are those of its slowest port."""
    if pixels > 1:
        return _row_shape(layer, pixels)
    c, taps, slices = layer.slice_channels, layer.taps, layer.groups
    groups = ceil_div(layer.outputs, pe)
    flat = slices == 1 and layer.whole_map and (simd % c == 0 or c % simd == 0)
    if flat:
        lanes, taps_per_word, words = simd, 1, c * taps // simd
        folds, in_words = words, words
    elif simd <= c:
        lanes, taps_per_word, words = simd, 1, slices * ceil_div(c, simd)
        folds, in_words = taps * words // slices, layer.in_pixels * words
    else:
        lanes, taps_per_word, words = c, simd // c, slices
        folds, in_words = taps // taps_per_word, layer.in_pixels * slices
    windowed = groups * layer.terms > 1 or not (flat or layer.pointwise)
    cycles = max(in_words, layer.out_pixels * groups * layer.terms * folds)
    return LayerShape(
        pe,
        simd,
        lanes,
        words,
        taps_per_word,
        folds,
        groups,
        flat,
        windowed,
        in_words,
        cycles,
        layer.terms,
        slices,
    )


def _row_shape(layer: ChipLayer, pixels: int) -> LayerShape:
    """The shape of ``layer`` at ``pixels`` a clock: all outputs and the whole window at once."""
    views = row_views(layer, pixels)
    view = None if views is None else views[0]
    assert view is not None
    in_words = layer.in_pixels // pixels
    return LayerShape(
        layer.outputs,
        layer.channels * layer.taps,
        pixels * layer.channels,
        words_per_pixel=1,
        taps_per_word=view.geometry.taps,
        folds=1,
        groups=1,
        flat=False,
        windowed=not layer.pointwise,
        in_words=in_words,
        cycles=max(in_words, layer.out_pixels // view.made),
        pixels=pixels,
        made=view.made,
    )


def pool_cycles(pool: ChipPool, lanes: int, taps_per_word: int, pixels: int = 1) -> int:
    """Clocks a frame of a pool of ``lanes`` channels, or of ``pixels`` at once: its slower side."""
    view = pool_view(pool, pixels) if pixels > 1 else None
    if view is not None:
        return max(pool.in_pixels // pixels, pool.out_pixels // view.made)
    words = ceil_div(pool.source.shape[0], lanes)
    taps = pool.op.geometry.taps // taps_per_word
    return max(pool.in_pixels * words, pool.out_pixels * words * taps)


def word_bits(layer: ChipLayer, shape: LayerShape) -> int:
    """The widest word that the C++ core has in the layer and its pools: a window holds all its taps.

    A converter between two layers holds a word of each.
    """
    bits, rows = layer.act_bits, shape.pe * shape.made
    results = [result_bits(layer), *(wire_bits(_kind(pool.output)) for pool in layer.pools)]
    widest = max(2 * shape.lanes * bits, 2 * rows * max(results), shape.made * shape.simd * bits)
    if layer.full:
        widest = max(widest, shape.simd * MOST_WEIGHT_BITS)
    if shape.windowed and not layer.whole_map:
        taps = layer.taps if shape.pixels == 1 else shape.taps_per_word
        widest = max(widest, taps * shape.lanes * bits)
    if not layer.in_matrix:
        widest = max(widest, rows * _sum_bits(layer))
    for pool, pixels in pools_and_pixels(layer, shape.pixels):
        view, taps = pool_view(pool, pixels) if pixels > 1 else None, pool.op.geometry.taps
        if view is not None:
            taps = max(view.geometry.taps * pixels, taps * view.made)
        widest = max(widest, taps * shape.pe * pool.bits)
        if pool.quantiser is not None:
            widest = max(widest, pixels * shape.pe * pool_sum_bits(pool))
    return widest


def result_bits(layer: ChipLayer) -> int:
    """Bits of an element that leaves the layer, its pools left out."""
    if layer.bits is None:
        return RESULT_BITS if layer.last else max(wire_bits(_kind(layer.sums)), _sum_bits(layer))
    return wire_bits(_kind(layer.bits))


def pool_sum_bits(pool: ChipPool) -> int:
    """Bits of a sum pool's sums, and of every level that they are compared with."""
    low, high = pool.sums_range
    bits = type_for_range(low, high + 1).bits
    return bits if pool.quantiser is not None else max(bits, wire_bits(_kind(pool.pooled)))


def _kind(tensor: Tensor) -> IntType:
    assert tensor.type is not None
    return tensor.type


def _sum_bits(layer: ChipLayer) -> int:
    """No sum that travels inside of the layer has more bits, whatever the weights are."""
    largest = layer.channels * layer.taps * max(abs(layer.act.min), abs(layer.act.max), 1) * layer.heaviest
    return largest.bit_length() + 2
