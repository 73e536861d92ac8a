"""Accumulator starts and the widths that hold them, computed from the actual weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.ir.types import type_for_range
from xnorhw.plan.layers import ChipLayer

__all__ = ["AccumulatorWidths", "accumulator_widths", "flipped_weights", "position_classes", "start_values"]


@dataclass(frozen=True)
class AccumulatorWidths:
    """Bits of a start word's element and of the accumulator, both signed."""

    start_bits: int
    acc_bits: int


def flipped_weights(layer: ChipLayer) -> npt.NDArray[np.int8]:
    """The weights [O, I, kh, kw] with the rows of falling channels negated: only >= is built."""
    weights = layer.product.terms[0].weight
    if layer.threshold is None:
        return weights
    flipped: npt.NDArray[np.int8] = weights * layer.threshold.direction[:, None, None, None]
    return flipped


def position_classes(layer: ChipLayer) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Class of each output row and column, and how many of each there are."""
    _, height, width = layer.source.shape
    if not layer.pad_classes:
        return (0,), (0,), 1, 1
    rows = layer.geometry.axis_classes(height, 0)
    columns = layer.geometry.axis_classes(width, 1)
    if len(rows.padded) * len(columns.padded) == 1:
        return (0,), (0,), 1, 1
    return rows.of_output, columns.of_output, len(rows.padded), len(columns.padded)


def start_values(layer: ChipLayer) -> npt.NDArray[np.int64]:
    """Start values [position classes, O].

    With T the threshold (negated where the row was flipped), n the real lanes and corr the
    sum of the weights on padded taps, which read bit 0: -ceil((T + n - corr) / 2) for
    bipolar activations, -T for codes; without a threshold corr - n, and 0.
    """
    weights = flipped_weights(layer).astype(np.int64)
    n = weights[0].size
    corr = _corrections(layer, weights)
    starts: npt.NDArray[np.int64]
    if layer.threshold is None:
        starts = corr - n if layer.act.is_bipolar else corr
        return starts
    table = layer.threshold.table[0, :, 0]
    wanted = np.where(layer.threshold.direction > 0, table, -table)
    if not layer.act.is_bipolar:
        return np.broadcast_to(-wanted, corr.shape)
    starts = (corr - n - wanted[None]) // 2
    return starts


def _corrections(layer: ChipLayer, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if not layer.pad_classes:
        return np.zeros((1, weights.shape[0]), np.int64)
    _, height, width = layer.source.shape
    per_tap = weights.sum(axis=1)
    rows = np.array(layer.geometry.axis_classes(height, 0).padded)
    columns = np.array(layer.geometry.axis_classes(width, 1).padded)
    padding = rows[:, None, :, None] | columns[None, :, None, :]
    table: npt.NDArray[np.int64] = np.einsum("oyx,rcyx->rco", per_tap, padding.astype(np.int64))
    return table.reshape(-1, weights.shape[0])


def accumulator_widths(layer: ChipLayer) -> AccumulatorWidths:
    """The narrowest widths that hold every start and every partial sum.

    Partial sums move between the start plus all that is negative and the start plus all
    that is positive, whatever the order: a popcount adds 0 to n, codes add w * x.  Raw
    bipolar sums accumulate from start >> 1 (the lowest bit is appended at the end).
    """
    starts = start_values(layer)
    low, high = int(starts.min()), int(starts.max())
    # a row past the last output channel starts at 0
    start = type_for_range(min(low, 0), max(high, 0)).bits
    weights = flipped_weights(layer)
    n = int(weights[0].size)
    if layer.act.is_bipolar:
        if layer.threshold is None:
            low, high = low >> 1, high >> 1
        return AccumulatorWidths(start, type_for_range(min(low, 0), max(high, 0) + n).bits)
    ones = (weights > 0).sum(axis=(1, 2, 3), dtype=np.int64)
    # a padded row has weights of ones alone: n ones
    ones = np.append(ones, n)
    starts = np.concatenate([starts, np.zeros((len(starts), 1), np.int64)], axis=1)
    least = ones * layer.act.min - (n - ones) * layer.act.max
    most = ones * layer.act.max - (n - ones) * layer.act.min
    floor = int((starts + least).min())
    ceiling = int((starts + most).max())
    return AccumulatorWidths(start, type_for_range(min(floor, 0), max(ceiling, 0)).bits)
