"""Find each channel's integer threshold by running the model's own modules.

The chain from a layer's sum to its sign is called as it is on integer sums.  Up to 2^16
reachable sums every one is tried; above, a bisection finds the step and random probes
confirm it.  Nothing is derived from a formula: a formula rounds in other places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError

__all__ = ["ChainValues", "Steps", "find_steps"]

EXHAUSTIVE = 1 << 16
PROBES = 512
CHUNK = 1 << 22

Sums = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChainValues:
    """A chain's values at sums [R, C]: the decision, and what enters each pool."""

    bits: npt.NDArray[np.bool_]
    at_pools: tuple[npt.NDArray[Any], ...]


Chain = Callable[[Sums], ChainValues]


@dataclass(frozen=True)
class Steps:
    """Per channel: bit = s >= table where direction is +1, s <= table where it is -1.

    ``pool_minimum[k]`` [C] is True where the part of the chain behind pool k decreases.
    """

    table: Sums
    direction: npt.NDArray[np.int8]
    constant: npt.NDArray[np.bool_]
    pool_minimum: tuple[npt.NDArray[np.bool_], ...]


def find_steps(chain: Chain, low: Sums, high: Sums, module: str, seed: int = 0) -> Steps:
    """Search the channels' steps over sums low[c]..high[c]; ``module`` is named in errors."""
    if int((high - low).max()) + 1 <= EXHAUSTIVE:
        sums = np.arange(int(low.min()), int(high.max()) + 1, dtype=np.int64)
        values = _evaluate(chain, np.broadcast_to(sums[:, None], (len(sums), len(low))))
        return _read_off(sums, values, low, high, module)
    return _bisect(chain, low, high, module, np.random.default_rng(seed))


def _evaluate(chain: Chain, sums: Sums) -> ChainValues:
    """The chain on [R, C] sums, in chunks that keep memory low."""
    rows = max(1, CHUNK // sums.shape[1])
    parts = [chain(sums[i : i + rows]) for i in range(0, len(sums), rows)]
    pools = tuple(np.concatenate(p) for p in zip(*(v.at_pools for v in parts), strict=True))
    return ChainValues(np.concatenate([v.bits for v in parts]), pools)


def _read_off(sums: Sums, values: ChainValues, low: Sums, high: Sums, module: str) -> Steps:
    inside = (sums[:, None] >= low) & (sums[:, None] <= high)
    bits = values.bits
    changes = (bits[1:] != bits[:-1]) & inside[1:] & inside[:-1]
    count = changes.sum(axis=0)
    if (count > 1).any():
        _refuse_steps(module, int(np.argmax(count > 1)), int(count.max()))
    channels = np.arange(bits.shape[1])
    first = bits[low - sums[0], channels]
    last = bits[high - sums[0], channels]
    step = sums[changes.argmax(axis=0)] if len(changes) else low
    return _assemble(first, last, step, low, high, _pool_minimum(values, inside, module))


def _assemble(
    first: npt.NDArray[np.bool_],
    last: npt.NDArray[np.bool_],
    step: Sums,
    low: Sums,
    high: Sums,
    pool_minimum: tuple[npt.NDArray[np.bool_], ...],
) -> Steps:
    """``step`` is the last sum before the change."""
    constant = first == last
    falling = first & ~last
    table = np.where(falling, step, step + 1)
    table = np.where(constant, np.where(first, low, high + 1), table)
    direction = np.where(falling, -1, 1).astype(np.int8)
    return Steps(table.astype(np.int64), direction, constant, pool_minimum)


def _pool_minimum(
    values: ChainValues, inside: npt.NDArray[np.bool_], module: str
) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which way the decision goes in the values that enter each pool."""
    result = []
    for at_pool in values.at_pools:
        above = np.where(inside & values.bits, at_pool, np.inf).min(axis=0)
        below = np.where(inside & ~values.bits, at_pool, -np.inf).max(axis=0)
        rising = above > below
        above_falling = np.where(inside & values.bits, at_pool, -np.inf).max(axis=0)
        below_falling = np.where(inside & ~values.bits, at_pool, np.inf).min(axis=0)
        falling = above_falling < below_falling
        if not (rising | falling).all():
            _refuse_steps(module, int(np.argmin(rising | falling)), 2)
        result.append(falling & ~rising)
    return tuple(result)


def _bisect(chain: Chain, low: Sums, high: Sums, module: str, rng: np.random.Generator) -> Steps:
    ends = _evaluate(chain, np.stack([low, high]))
    first, last = ends.bits
    left, right = low.copy(), high.copy()
    while int((right - left).max()) > 1:
        middle = (left + right) // 2
        bits = _evaluate(chain, middle[None]).bits[0]
        open_ = right - left > 1
        left = np.where(open_ & (bits == first), middle, left)
        right = np.where(open_ & (bits != first), middle, right)
    around = np.clip(left + np.arange(-PROBES // 2, PROBES // 2)[:, None], low, high)
    probes = np.concatenate([np.stack([low, high]), around, rng.integers(low, high + 1, (PROBES, len(low)))])
    values = _evaluate(chain, probes)
    minimum = _pool_minimum(values, np.ones(probes.shape, np.bool_), module)
    steps = _assemble(first, last, left, low, high, minimum)
    expected = np.where(steps.direction > 0, probes >= steps.table, probes <= steps.table)
    if (expected != values.bits).any():
        _refuse_steps(module, int(np.argmax((expected != values.bits).any(axis=0))), 2)
    return steps


def _refuse_steps(module: str, channel: int, count: int) -> None:
    raise ModelError(
        f"channel {channel}: the decision changes {count} times over the layer's sums, "
        "no single threshold expresses it",
        module=module,
        remedy="Use monotone modules (BatchNorm, ReLU, Hardtanh, MaxPool) between a layer and its sign",
    )
