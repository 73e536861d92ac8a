"""Accumulator starts and the widths that hold them and the sums, computed from the actual weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.ir.int_graph import Product
from xnorhw.ir.types import type_for_range
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.layers import ChipLayer

__all__ = [
    "AccumulatorWidths",
    "accumulator_widths",
    "column_classes",
    "flipped_weights",
    "position_classes",
    "start_values",
    "sums_range",
]

_EVERY_CHANNEL = (1, 2, 3)


@dataclass(frozen=True)
class AccumulatorWidths:
    """Bits of a start word's element, of the accumulator, and of a sum, all signed.

    ``sum_bits`` holds every sum that leaves a matrix unit without a threshold, and one more
    than the largest, so that every level to compare it with is a number of this width.
    ``total_bits`` is the same of the weighted sum of the terms.  ``weight_bits``: of a weight, 1
    where it is a sign.  ``fabric``: what these widths are built of.
    """

    start_bits: int
    acc_bits: int
    sum_bits: int = 0
    total_bits: int = 0
    weight_bits: int = 1
    fabric: Fabric = Fabric()


def flipped_weights(layer: ChipLayer, term: int = 0) -> npt.NDArray[np.int8] | npt.NDArray[np.int32]:
    """A term's weights [O, I, kh, kw] as the matrix unit has them.

    Where it thresholds, the rows of falling channels are negated: only >= is built.
    """
    weights = layer.weights(term)
    if not layer.in_matrix:
        return weights
    assert layer.threshold is not None
    turns = layer.threshold.direction[:, None, None, None]
    flipped: npt.NDArray[np.int8] | npt.NDArray[np.int32] = weights * turns
    return flipped


def column_classes(layer: ChipLayer, made: int) -> tuple[tuple[int, ...], ...]:
    """What classes ``made`` output columns beside one another have, each only once."""
    columns = position_classes(layer)[1]
    return tuple(dict.fromkeys(_beside(columns, made)))


def _beside(columns: tuple[int, ...], made: int) -> list[tuple[int, ...]]:
    if len(columns) == 1:
        return [columns * made]
    return [columns[at : at + made] for at in range(0, len(columns), made)]


def position_classes(layer: ChipLayer, made: int = 1) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Class of each output row and column, or of each ``made`` columns, and how many of each there are."""
    if made > 1:
        of_row, of_column, row_classes, _ = position_classes(layer)
        kinds = column_classes(layer, made)
        return of_row, tuple(kinds.index(c) for c in _beside(of_column, made)), row_classes, len(kinds)
    _, height, width = layer.source.shape
    if layer.in_matrix and layer.by_position:
        _, rows_out, columns_out = layer.sums.shape
        return tuple(range(rows_out)), tuple(range(columns_out)), rows_out, columns_out
    if not layer.pad_classes:
        return (0,), (0,), 1, 1
    rows = layer.geometry.axis_classes(height, 0)
    columns = layer.geometry.axis_classes(width, 1)
    if len(rows.padded) * len(columns.padded) == 1:
        return (0,), (0,), 1, 1
    return rows.of_output, columns.of_output, len(rows.padded), len(columns.padded)


def start_values(layer: ChipLayer, term: int = 0) -> npt.NDArray[np.int64]:
    """A term's start values [position classes, O].

    With T the threshold (negated where the row was flipped), n the real lanes and corr the
    sum of the weights on padded taps, which read bit 0: -ceil((T + n - corr) / 2) for
    bipolar activations, -T for codes; where the matrix unit does not threshold corr - n, and 0.
    Integer weights have no popcount: corr - T and corr on signs.
    """
    weights = flipped_weights(layer, term).astype(np.int64)
    n = weights[0].size
    corr = _corrections(layer, weights)
    starts: npt.NDArray[np.int64]
    if not layer.in_matrix:
        starts = corr - n if layer.popcounts else corr
        return starts
    assert layer.threshold is not None
    table = layer.threshold.table[:, :, 0]
    wanted = np.where(layer.threshold.direction > 0, table, -table)
    if not layer.popcounts:
        return np.ascontiguousarray(corr - wanted)
    starts = (corr - n - wanted) // 2
    return starts


def _corrections(layer: ChipLayer, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not layer.pad_classes:
        return np.zeros((1, weights.shape[0]), np.int64)
    _, height, width = layer.source.shape
    per_tap = weights.sum(axis=1)
    rows, columns = layer.geometry.axis_classes(height, 0), layer.geometry.axis_classes(width, 1)
    row_pads, column_pads = np.array(rows.padded), np.array(columns.padded)
    if layer.in_matrix and layer.by_position:
        row_pads, column_pads = row_pads[list(rows.of_output)], column_pads[list(columns.of_output)]
    padding = row_pads[:, None, :, None] | column_pads[None, :, None, :]
    table: npt.NDArray[np.int64] = np.einsum("oyx,rcyx->rco", per_tap, padding.astype(np.int64))
    return table.reshape(-1, weights.shape[0])


def sums_range(layer: ChipLayer) -> tuple[int, int]:
    """Bounds of the layer's sums, its terms weighed: no activation gives a sum outside of them."""
    if layer.planes:
        assert isinstance(layer.product, Product)
        terms = layer.product.terms
        # planes of one activation are no free bits, so this is wider than what is reached
        by_plane = {p: np.zeros(terms[0].weight.shape, np.int64) for p in layer.planes}
        for t in terms:
            assert t.plane is not None
            by_plane[t.plane] += t.coefficient * t.weight.astype(np.int64)
        most = int(sum(np.abs(w).sum(axis=_EVERY_CHANNEL) for w in by_plane.values()).max())
        return -most, most
    weight = np.zeros(layer.weights().shape, np.int64)
    for term, coefficient in enumerate(layer.coefficients):
        weight += coefficient * layer.weights(term).astype(np.int64)
    low = np.minimum(weight * layer.act.min, weight * layer.act.max).sum(axis=_EVERY_CHANNEL)
    high = np.maximum(weight * layer.act.min, weight * layer.act.max).sum(axis=_EVERY_CHANNEL)
    # a padded tap may count 0, which need not lie between the least and the largest value
    pads = layer.geometry.pads.any()
    return (min(int(low.min()), 0), max(int(high.max()), 0)) if pads else (int(low.min()), int(high.max()))


def accumulator_widths(layer: ChipLayer) -> AccumulatorWidths:
    """The narrowest widths that hold every start and every sum of every term.

    Sums lie between the start plus all that is negative and the start plus all that is positive: a
    popcount adds 0 to n, codes add w * x.  On the way to them, and in rows past the last output
    channel, which are dropped, an accumulator may go round.  Raw bipolar sums accumulate from
    start >> 1 (the lowest bit is appended at the end).
    """
    found = [_term_widths(layer, term) for term in range(layer.terms)]
    start, acc = (max(pair[i] for pair in found) for i in range(2))
    weight = _weight_bits(layer)
    if layer.in_matrix:
        return AccumulatorWidths(start, acc, weight_bits=weight)
    low, high = sums_range(layer)
    total = type_for_range(low, high + 1).bits
    leaves = acc + 1 if layer.popcounts else acc
    # terms may cancel one another, and yet each of them comes in whole
    total = max(total, leaves)
    return AccumulatorWidths(start, acc, leaves if layer.weighted else total, total, weight)


def _weight_bits(layer: ChipLayer) -> int:
    """Bits of the widest weight as the matrix unit has it; integers have two at least."""
    if not layer.full:
        return 1
    weights = flipped_weights(layer)
    return max(2, type_for_range(int(weights.min()), int(weights.max())).bits)


def _term_widths(layer: ChipLayer, term: int) -> tuple[int, int]:
    starts = start_values(layer, term)
    low, high = int(starts.min()), int(starts.max())
    start = type_for_range(low, high).bits
    weights = flipped_weights(layer, term)
    n = int(weights[0].size)
    if layer.full:
        return start, _integer_bits(layer, starts, weights.astype(np.int64))
    if layer.matrix_bipolar:
        if not layer.in_matrix:
            low, high = low >> 1, high >> 1
        return start, type_for_range(low, high + n).bits
    ones = (weights > 0).sum(axis=_EVERY_CHANNEL, dtype=np.int64)
    least = ones * layer.act.min - (n - ones) * layer.act.max
    most = ones * layer.act.max - (n - ones) * layer.act.min
    floor = int((starts + least).min())
    ceiling = int((starts + most).max())
    return start, type_for_range(floor, ceiling).bits


def _integer_bits(layer: ChipLayer, starts: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]) -> int:
    """Bits of an accumulator of integer weights; a padded tap of signs reads -1, whatever it counts."""
    ends = np.stack([weights * layer.act.min, weights * layer.act.max])
    # what is negative alone, what is positive alone: partial sums lie between them
    least = np.minimum(ends.min(axis=0), 0).sum(axis=_EVERY_CHANNEL)
    most = np.maximum(ends.max(axis=0), 0).sum(axis=_EVERY_CHANNEL)
    return type_for_range(min(int((starts + least).min()), 0), max(int((starts + most).max()), 0)).bits
