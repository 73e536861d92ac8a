"""Weights, thresholds and multipliers as the CPU engine reads them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.int_graph import Requant, Threshold
from xnorhw.ir.types import IntType
from xnorhw.plan.engine_model import LevelsStep, RequantStep, SignTable

__all__ = [
    "ALWAYS",
    "LANES",
    "MANY_LEVELS",
    "NEVER",
    "WORD",
    "levels_step",
    "pack_bits",
    "product_bits",
    "product_lanes",
    "requant_step",
    "sign_table",
]

LANES, WORD = 16, 32
ALWAYS, NEVER = -(1 << 30), 1 << 30
"""XH_ALWAYS and XH_NEVER: thresholds that every sum, or none, has passed."""

MANY_LEVELS = 16
"""XH_MANY_LEVELS: tables of so many levels lie channel by channel."""

_INT32 = np.iinfo(np.int32)
_INT64 = np.iinfo(np.int64)


def pack_bits(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Booleans [N, C] -> words uint32 [N, ceil(C / 32)]; entry c is bit c % 32 of word c // 32."""
    padded = np.zeros((len(rows), ceil_div(rows.shape[1], WORD) * WORD), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32)


def _blocks(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.bool_]:
    """Signs [groups, blocks, 16, kh, kw, I / groups], outputs past the end False."""
    out, channels, kh, kw = weight.shape
    each = out // groups
    blocks = ceil_div(each, LANES)
    rows = np.zeros((groups, blocks * LANES, kh, kw, channels), np.bool_)
    rows[:, :each] = (weight > 0).reshape(groups, each, channels, kh, kw).transpose(0, 1, 3, 4, 2)
    return rows.reshape(groups, blocks, LANES, kh, kw, channels)


def product_bits(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint32]:
    """Weights [O, I/groups, kh, kw] -> uint32 [groups, blocks, kh, kw, words, 16] for an input of bits."""
    rows = _blocks(weight, groups)
    words = pack_bits(rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:-1], -1)
    return np.ascontiguousarray(words.transpose(0, 1, 3, 4, 5, 2))


def product_lanes(weight: npt.NDArray[np.int8], groups: int) -> npt.NDArray[np.uint16]:
    """Weights [O, I/groups, kh, kw] -> uint16 [groups, blocks, kh, kw, I/groups] for an input of codes."""
    rows = _blocks(weight, groups).transpose(0, 1, 3, 4, 5, 2)
    place = np.uint16(1) << np.arange(LANES, dtype=np.uint16)
    return np.asarray((rows * place).sum(axis=-1), np.uint16)


def sign_table(op: Threshold, groups: int = 1) -> SignTable:
    """The one level of ``op`` a channel, each group's channels padded to whole blocks of 16."""
    positions, channels, _ = op.table.shape
    falling = op.directions < 0
    # s <= t is not (s >= t + 1), s > t is s >= t + 1, s < t is not (s >= t)
    step = falling != bool(op.strict[0])
    at = np.clip(np.clip(op.table[:, :, 0], ALWAYS, NEVER) + step, ALWAYS, NEVER)
    still = (at == ALWAYS) | (at == NEVER)
    flip = falling & ~(still if op.mixed else still.all(axis=0))
    # a channel that never changes is turned round instead of flipped
    at = np.where(falling & ~flip, -at, at)
    each = channels // groups
    padded = np.full((positions, groups, ceil_div(each, LANES) * LANES), NEVER, np.int32)
    padded[:, :, :each] = at.reshape(positions, groups, each)
    words = pack_bits(flip) if flip.any() else None
    if words is not None and not op.mixed:
        words = words[0]
    return SignTable(padded.reshape(positions, -1), words)


def levels_step(op: Threshold, source: IntType) -> LevelsStep:
    """Several levels a channel of values of type ``source``, each as "x >= at" and in ascending order."""
    falling = op.directions < 0
    moved = np.clip(op.table, -(1 << 62), 1 << 62) + (falling[:, :, None] != op.strict)
    # the count of levels passed does not depend on their order
    at = np.sort(np.clip(moved, max(source.min, -(1 << 62)), min(source.max, 1 << 62) + 1), axis=2)
    if op.levels < MANY_LEVELS:
        at = at.transpose(0, 2, 1)
    narrow = _INT32.min <= source.min and source.max < _INT32.max
    table = np.ascontiguousarray(at)
    return LevelsStep(
        table.astype(np.int32) if narrow else None,
        None if narrow else table,
        (falling if op.mixed else falling[0]).astype(np.uint8) if falling.any() else None,
        op.table.shape[0],
        op.levels,
    )


def requant_step(op: Requant, source: IntType, name: str) -> RequantStep:
    """Tensor ``name``'s multiplication of values of type ``source``, in the narrowest numbers that hold it.

    Raises ModelError where 64 bits do not.
    """
    # Python's integers: the corners themselves may leave 64 bits
    multiplier, addend = op.multiplier.astype(object), op.addend.astype(object)
    ends = np.stack([multiplier * source.min, multiplier * source.max])
    sums = ends + addend
    low, high = int(sums.min()), int(sums.max())
    extremes = (low, high, int(ends.min()), int(ends.max()))
    if min(extremes) < _INT64.min or max(extremes) > _INT64.max or op.shift > 63:
        raise ModelError(
            "its multiplication takes more than 64 bits",
            module=name,
            remedy="Use fewer bits for the sums that it reads",
        )
    if op.low < _INT32.min or op.high > _INT32.max:
        raise ModelError(
            f"its codes from {op.low} to {op.high} take more than 32 bits",
            module=name,
            remedy="Use a grid of at most 32 bits",
        )
    factors = op.multiplier.astype(np.int32)
    fits = bool((factors == op.multiplier).all()) and _INT32.min <= source.min and source.max <= _INT32.max
    limits = (op.low, op.high, op.even)
    narrow = _INT32.min <= min(extremes) and max(extremes) <= _INT32.max and _in_32_bits(op.addend)
    if fits and narrow and (op.shift <= 31 or not op.even):
        # of numbers of 32 bits a shift by 31 leaves what every longer one does, but drops fewer bits
        shift = min(op.shift, 31)
        return RequantStep(factors, op.addend.astype(np.int32), None, None, shift, *limits)
    if fits and op.shift <= 32 and _INT32.min <= low >> op.shift and high >> op.shift <= _INT32.max:
        return RequantStep(factors, None, None, op.addend, op.shift, *limits)
    return RequantStep(None, None, op.multiplier, op.addend, op.shift, *limits)


def _in_32_bits(values: npt.NDArray[np.int64]) -> bool:
    return bool(((values >= _INT32.min) & (values <= _INT32.max)).all())
