"""Networks with layers of integer weights on the chip: first, last, and between binary ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.plan.code_networks import (
    SAME,
    Average,
    Conv,
    Dense,
    Layer,
    Levels,
    Max,
    Multiply,
    Values,
    network,
)
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import BIPOLAR, IntType, code, twos_complement

__all__ = ["CASES", "draw_full"]

SIGN = Levels(1, "sign")


def first_and_last() -> tuple[IntGraph, Values]:
    """Signed pixels, padded and with a stride, signs of both directions; the last on signs."""
    layers: list[Layer] = [
        Conv(10, (3, 3), SAME, (2, 1), codes=SIGN, weight_bits=7),
        Conv(7, (3, 3), SAME, codes=SIGN),
        Dense(5, weight_bits=8),
    ]
    return network((3, 9, 7), layers, code(8, True), seed=1)


def on_codes() -> tuple[IntGraph, Values]:
    """Pixels without a sign, codes of 2 and 5 bits: products in DSPs and in LUTs, the last one on codes."""
    layers: list[Layer] = [
        Conv(6, (3, 2), Pads(0, 1, 1, 1), codes=Levels(2), weight_bits=5),
        Conv(8, (3, 3), SAME, codes=Multiply(5), weight_bits=3),
        Max(),
        Conv(6, (1, 1), codes=Levels(3)),
        Dense(4, weight_bits=8),
    ]
    return network((2, 8, 7), layers, code(8, False), seed=2)


def on_signs() -> tuple[IntGraph, Values]:
    """Padded signs: starts by position class, of a threshold and of sums that leave."""
    layers: list[Layer] = [
        Conv(9, (3, 3), SAME, codes=SIGN, weight_bits=6),
        Conv(6, (3, 3), SAME, codes=Levels(2, strict=True), weight_bits=8),
        Average(Levels(2)),
        Conv(5, (2, 2), codes=SIGN),
        Conv(4, (2, 2), Pads(1, 0, 1, 0), codes=None, weight_bits=2),
    ]
    return network((4, 7, 6), layers, BIPOLAR, seed=3)


def between() -> tuple[IntGraph, Values]:
    """An integer layer between binary ones, and thresholds of every position in front of the last."""
    layers: list[Layer] = [
        Conv(6, (3, 3), SAME, codes=SIGN),
        Conv(8, (3, 3), SAME, codes=Levels(1, "sign", by_position=True), weight_bits=7),
        Conv(5, (3, 3), codes=Levels(3)),
        Dense(6),
    ]
    return network((5, 6, 6), layers, code(4, False), seed=4)


def groups() -> tuple[IntGraph, Values]:
    """Groups, each channel's own among them."""
    layers: list[Layer] = [
        Conv(8, (3, 3), SAME, codes=Levels(2), groups=2, weight_bits=8),
        Conv(8, (3, 3), SAME, (2, 2), codes=SIGN, groups=8, weight_bits=4),
        Conv(6, (2, 2), codes=SIGN, groups=2),
        Dense(3, weight_bits=6),
    ]
    return network((4, 8, 8), layers, code(8, True), seed=5)


def numbers() -> tuple[IntGraph, Values]:
    """Numbers of a grid, and a linear layer of the whole map, which has the weight -128 in a channel
    that falls: 128 takes 9 bits, so its signs come from a unit of their own."""
    layers: list[Layer] = [
        Dense(12, codes=SIGN, weight_bits=8),
        Dense(9, codes=SIGN),
        Dense(4, weight_bits=5),
    ]
    return network((3, 4, 5), layers, twos_complement(6), seed=7)


CASES: dict[str, Callable[[], tuple[IntGraph, Values]]] = {
    "first and last": first_and_last,
    "on codes": on_codes,
    "on signs": on_signs,
    "between": between,
    "groups": groups,
    "numbers": numbers,
}


def draw_full(seed: int, frames: int = 3) -> tuple[IntGraph, Values] | None:
    """A random network of two to four layers, one of which is of integers at least and one binary."""
    rng = np.random.default_rng(seed)

    def pick(*choices: int) -> int:
        return int(rng.choice(np.array(choices)))

    kinds: list[IntType] = [
        BIPOLAR, code(8, True), code(8, False), code(4, True), code(3, False), code(1, False),
        twos_complement(5),
    ]  # fmt: skip
    kind = kinds[pick(*range(len(kinds)))]
    count = pick(2, 3, 4)
    full = {pick(*range(count))} | {i for i in range(count) if pick(0, 1)}
    full.discard(pick(*(sorted(set(range(count)) - {min(full)}))))
    layers: list[Layer] = []
    for i in range(count - 1):
        kernel = (pick(1, 2, 3), pick(1, 2, 3))
        pads = Pads(*(pick(0, k // 2) for k in (kernel[1], kernel[1], kernel[0], kernel[0])))
        codes = [
            Levels(1, "sign", bool(pick(0, 0, 1)), bool(pick(0, 1))),
            Levels(pick(1, 2, 3), "code", strict=bool(pick(0, 1))),
            Multiply(pick(4, 5, 8)),
        ][pick(0, 0, 1, 2)]
        bits = pick(2, 3, 4, 5, 8, 8) if i in full else 1
        layers.append(Conv(pick(1, 4, 6, 9), kernel, pads, (pick(1, 1, 2), 1), codes=codes, weight_bits=bits))
        if pick(0, 0, 1):
            layers.append(Max((2, 2), (pick(1, 2), pick(1, 2))))
    layers.append(Dense(pick(1, 3, 5), weight_bits=pick(2, 4, 8) if count - 1 in full else 1))
    try:
        return network((pick(1, 3, 5), pick(6, 7, 9), pick(6, 8)), layers, kind, seed=seed, frames=frames)
    except ValueError:
        return None
