"""Find where each channel's decision or code changes, by running the model's own modules.

The chain from a layer's sum to its quantiser is called as it is on integer sums.  Up to 2^16
reachable sums every one is tried; above, a bisection finds every step at once and random
probes confirm them.  Nothing is derived from a formula: a formula rounds in other places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError

__all__ = ["Chain", "ChainValues", "Staircase", "Sums", "find_staircase"]

EXHAUSTIVE = 1 << 16
PROBES = 512
AROUND = 1 << 10
"""Steps a channel up to which the sums beside each are tried once more behind a bisection."""
CHUNK = 1 << 22

Sums = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ChainValues:
    """A chain's values at sums [R, C]: the codes (a sign's is 0 or 1), and what enters each pool."""

    codes: npt.NDArray[Any]
    at_pools: tuple[npt.NDArray[Any], ...]


Chain = Callable[[Sums], ChainValues]


@dataclass(frozen=True)
class Staircase:
    """Per channel the code over the sums ``low[c]``..``high[c]``, a monotone step function.

    The code is ``codes[c][0]`` from low[c] on and ``codes[c][k + 1]`` from ``positions[c][k]``
    on.  ``pool_minimum[k]`` [C] is True where the part of the chain behind pool k decreases,
    ``pool_falls[k]`` [C] where the part in front of it does.
    """

    low: Sums
    high: Sums
    positions: tuple[Sums, ...]
    codes: tuple[Sums, ...]
    pool_minimum: tuple[npt.NDArray[np.bool_], ...]
    pool_falls: tuple[npt.NDArray[np.bool_], ...]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.low)

    @cached_property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Channels whose code never changes; bool [C]."""
        return np.array([len(p) == 0 for p in self.positions], np.bool_)

    @cached_property
    def direction(self) -> npt.NDArray[np.int8]:
        """-1 where the code falls as the sum rises, else +1; int8 [C]."""
        return np.array([-1 if c[-1] < c[0] else 1 for c in self.codes], np.int8)

    def thresholds(self, channel: int, codes: Sums) -> Sums:
        """t so that the code is at least codes[i] by s >= t[i], where it falls by s <= t[i]."""
        at, taken = self.positions[channel], self.codes[channel]
        if taken[-1] >= taken[0]:
            bounds = np.concatenate([[self.low[channel]], at, [self.high[channel] + 1]])
            return np.asarray(bounds[np.searchsorted(taken, codes, "left")], np.int64)
        # as many codes of the falling list as are large enough, up to the step that leaves them
        bounds = np.concatenate([[self.low[channel] - 1], at - 1, [self.high[channel]]])
        return np.asarray(bounds[np.searchsorted(-taken, -codes, "right")], np.int64)

    def table(self, lowest: int, highest: int) -> Sums:
        """The thresholds of the codes lowest + 1 .. highest; int64 [C, levels]."""
        codes = np.arange(lowest + 1, highest + 1, dtype=np.int64)
        return np.stack([self.thresholds(c, codes) for c in range(self.channels)])

    def at(self, channel: int, sums: Sums) -> Sums:
        """The channel's code at ``sums``, at the nearest end outside of its range."""
        return np.asarray(
            self.codes[channel][np.searchsorted(self.positions[channel], sums, "right")], np.int64
        )


def find_staircase(chain: Chain, low: Sums, high: Sums, module: str, seed: int = 0) -> Staircase:
    """Search the channels' steps over sums low[c]..high[c]; ``module`` is named in errors."""
    if int((high - low).max()) + 1 <= EXHAUSTIVE:
        return _read_off(_every_sum(chain, low, high), low, high, module)
    return _bisect(chain, low, high, module, np.random.default_rng(seed))


def _every_sum(chain: Chain, low: Sums, high: Sums) -> ChainValues:
    """The chain on all sums, row r the r-th of each channel; a shorter range stays at its end."""
    count, rows = int((high - low).max()) + 1, max(1, CHUNK // len(low))
    blocks = (np.arange(i, min(i + rows, count), dtype=np.int64)[:, None] for i in range(0, count, rows))
    return _joined([_small(chain(np.minimum(low + block, high))) for block in blocks])


def _evaluate(chain: Chain, sums: Sums) -> ChainValues:
    """The chain on [R, C] sums, in chunks that keep memory low."""
    rows = max(1, CHUNK // sums.shape[1])
    return _joined([_small(chain(sums[i : i + rows])) for i in range(0, len(sums), rows)])


def _joined(parts: list[ChainValues]) -> ChainValues:
    pools = tuple(np.concatenate(p) for p in zip(*(v.at_pools for v in parts), strict=True))
    return ChainValues(np.concatenate([v.codes for v in parts]), pools)


def _small(values: ChainValues) -> ChainValues:
    """Codes in few bytes: a large layer has tens of millions."""
    codes = np.asarray(values.codes)
    narrow = bool(codes.size) and -128 <= float(codes.min()) and float(codes.max()) < 128
    return ChainValues(codes.astype(np.int8 if narrow else np.int32), values.at_pools)


def _read_off(values: ChainValues, low: Sums, high: Sums, module: str) -> Staircase:
    _check_monotone(values.codes, module)
    minimum, falls = _pools(values, module)
    rows, channels = np.nonzero((values.codes[1:] != values.codes[:-1]).T)[::-1]
    ends = np.searchsorted(channels, np.arange(len(low) + 1))
    positions, codes = [], []
    for c in range(len(low)):
        at = rows[ends[c] : ends[c + 1]] + 1
        positions.append(low[c] + at)
        codes.append(values.codes[np.concatenate([[0], at]), c].astype(np.int64))
    return Staircase(low, high, tuple(positions), tuple(codes), minimum, falls)


def _check_monotone(codes: npt.NDArray[Any], module: str) -> None:
    """Refuse channels whose codes [R, C], in the order of their sums, rise and fall."""
    bent = (codes[1:] > codes[:-1]).any(axis=0) & (codes[1:] < codes[:-1]).any(axis=0)
    if bent.any():
        channel = int(np.argmax(bent))
        _refuse_steps(module, channel, int((codes[1:, channel] != codes[:-1, channel]).sum()))


def _pools(
    values: ChainValues, module: str
) -> tuple[tuple[npt.NDArray[np.bool_], ...], tuple[npt.NDArray[np.bool_], ...]]:
    """(which way the code goes in what enters each pool, which way that goes in the sums)."""
    minimum, falls = [], []
    down = values.codes[-1] < values.codes[0]
    moved = values.codes[-1] != values.codes[0]
    for at_pool in values.at_pools:
        change = np.diff(at_pool, axis=0)
        rising, falling = (change > 0).any(axis=0), (change < 0).any(axis=0)
        if (rising & falling & moved).any():
            _refuse_steps(module, int(np.argmax(rising & falling & moved)), 2)
        minimum.append(moved & (down != falling))
        falls.append(np.asarray(falling))
    return tuple(minimum), tuple(falls)


def _bisect(chain: Chain, low: Sums, high: Sums, module: str, rng: np.random.Generator) -> Staircase:
    """Every level between the codes at both ends is searched in its own column, all at once."""
    first, last = _evaluate(chain, np.stack([low, high])).codes.astype(np.int64)
    falling = last < first
    least, count = np.minimum(first, last), np.abs(last - first)
    levels = np.arange(1, int(count.max()) + 1, dtype=np.int64)[:, None]
    wanted = np.where(levels <= count, least + levels, np.iinfo(np.int64).max)
    left, right = np.broadcast_to(low, wanted.shape).copy(), np.broadcast_to(high, wanted.shape).copy()
    while wanted.size and int((right - left).max()) > 1:
        middle = (left + right) // 2
        reached = (_evaluate(chain, middle).codes >= wanted) != falling
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    positions, codes = [], []
    for c in range(len(low)):
        # a jump over several codes is one step
        at, index = np.unique(right[: count[c], c], return_index=True)
        if falling[c]:
            codes.append(np.concatenate([[first[c]], least[c] + index]))
        else:
            last_at = count[c] - np.unique(right[: count[c], c][::-1], return_index=True)[1]
            codes.append(np.concatenate([[first[c]], least[c] + last_at]))
        positions.append(at.astype(np.int64))
    found = Staircase(low, high, tuple(positions), tuple(np.asarray(c, np.int64) for c in codes), (), ())
    return _confirmed(chain, found, module, rng)


def _confirmed(chain: Chain, found: Staircase, module: str, rng: np.random.Generator) -> Staircase:
    """Try sums beside the steps and random ones: all must have the codes that were found."""
    low, high = found.low, found.high
    columns = []
    for c, at in enumerate(found.positions):
        near = at[:, None] + np.array([-2, -1, 0, 1]) if len(at) <= AROUND else at[:0]
        around = (at[:1] if len(at) else low[c : c + 1]) + np.arange(-PROBES // 2, PROBES // 2)
        columns.append(
            np.concatenate(
                [[low[c], high[c]], near.ravel(), around, rng.integers(low[c], high[c] + 1, PROBES)]
            )
        )
    rows = max(len(column) for column in columns)
    probes = np.stack(
        [np.sort(np.clip(np.resize(p, rows), low[c], high[c])) for c, p in enumerate(columns)], 1
    )
    values = _evaluate(chain, probes)
    for c in range(found.channels):
        if not np.array_equal(found.at(c, probes[:, c]), values.codes[:, c]):
            _refuse_steps(module, c, 2)
    minimum, falls = _pools(values, module)
    return Staircase(low, high, found.positions, found.codes, minimum, falls)


def _refuse_steps(module: str, channel: int, count: int) -> NoReturn:
    raise ModelError(
        f"channel {channel}: the decision changes {count} times over the layer's sums, "
        "no single threshold expresses it",
        module=module,
        remedy="Use monotone modules (BatchNorm, ReLU, Hardtanh, MaxPool) between a layer and its sign",
    )
