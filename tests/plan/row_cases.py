"""Networks whose layers can take several pixels a clock, and foldings that have them do so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.plan.code_networks import SAME, Average, Conv, Dense, Levels, Max, Multiply, Values, network
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code
from xnorhw.plan import Folding, LayerFolding, PoolFolding
from xnorhw.plan.geometry import legal_pe, legal_simd, legal_taps
from xnorhw.plan.rows import legal_pixels, pools_and_pixels
from xnorhw.plan.stages import chip_layers

__all__ = ["CASES", "row_folding"]

_SIGN = Levels(1, "sign")

CASES: dict[str, tuple[Callable[[], tuple[IntGraph, Values]], list[int]]] = {
    # a row at once, padded on both sides; a pool that makes half as many pixels; signs padded with nothing
    "whole rows": (
        lambda: network(
            (1, 6, 8),
            [Conv(6, pads=SAME, codes=_SIGN), Conv(5, pads=SAME, codes=_SIGN), Max(), Dense(4)],
            code(8, True),
            seed=1,
        ),
        [8, 8, 1],
    ),
    # a stride takes more pixels than it makes: 4 and 2, then 2 and 1; uneven pads; sums that leave
    "strides": (
        lambda: network(
            (2, 7, 12),
            [
                Conv(5, (3, 3), Pads(1, 0, 1, 1), (2, 2), codes=_SIGN),
                Conv(4, (2, 2), stride=(1, 2), codes=_SIGN),
                Conv(3, (1, 3), codes=None),
            ],
            seed=2,
        ),
        [4, 2, 1],
    ),
    # a stride of more pixels than come a clock
    "long strides": (
        lambda: network(
            (1, 9, 16),
            [Conv(6, (5, 5), Pads(2, 2, 2, 2), (4, 4), codes=_SIGN), Conv(3, (2, 2), codes=None)],
            code(4, False),
            seed=3,
        ),
        [2, 1],
    ),
    # no pads: rows of 12, 10 and 8 pixels, words of 2 and 4 with a converter between; pools that overlap
    "words of other sizes": (
        lambda: network(
            (2, 8, 12),
            [
                Conv(5, codes=_SIGN),
                Conv(4, codes=_SIGN),
                Max((3, 3), (1, 1), SAME),
                Conv(6, (1, 1), codes=_SIGN),
                Conv(2, (3, 3), codes=None),
            ],
            seed=4,
        ),
        [2, 2, 4, 2],
    ),
    # codes: levels and multiplications, of every position too, sums of pools, kernels of 5
    "codes": (
        lambda: network(
            (2, 6, 8),
            [
                Conv(4, (5, 5), Pads(2, 2, 2, 2), codes=Levels(3, strict=True)),
                Average(Levels(2)),
                Conv(5, pads=SAME, codes=Multiply(5)),
                Conv(3, pads=SAME, codes=Levels(2, by_position=True)),
                Dense(3),
            ],
            code(8, False),
            seed=5,
        ),
        [4, 2, 4, 1],
    ),
    # integer weights on codes and on signs; a threshold of every position; signs that a pool counts
    "integer weights": (
        lambda: network(
            (2, 4, 8),
            [
                Conv(3, pads=SAME, codes=Levels(1, "sign", by_position=True), weight_bits=4),
                Conv(4, pads=SAME, codes=_SIGN, weight_bits=3),
                Average(_SIGN, pads=Pads(0, 0, 1, 1)),
                Conv(3, (1, 1), codes=None),
            ],
            code(4, True),
            seed=6,
        ),
        [8, 4, 2],
    ),
    # kernels of one tap, which need no window but for their stride; codes on byte lanes
    "pixels by themselves": (
        lambda: network(
            (3, 6, 8),
            [
                Conv(5, (1, 1), codes=Levels(2)),
                Conv(4, (1, 1), stride=(2, 2), codes=_SIGN),
                Max((1, 2), (1, 2)),
                Conv(3, (1, 1), codes=None),
            ],
            code(5, False),
            seed=8,
        ),
        [4, 8, 2],
    ),
    # several pixels a clock, one, and several again; results of several pixels leave
    "one pixel between": (
        lambda: network(
            (3, 4, 8),
            [
                Conv(5, pads=SAME, codes=_SIGN),
                Conv(6, (1, 1), codes=_SIGN),
                Conv(3, (2, 2), Pads(1, 0, 0, 1), codes=None),
            ],
            seed=7,
        ),
        [2, 1, 4],
    ),
}
"""Each with the pixels a clock of its layers."""


def row_folding(graph: IntGraph, seed: int, pixels: list[int] | None = None) -> Folding:
    """A folding drawn from ``seed``: layers take several pixels a clock where they can, or ``pixels``."""
    rng = np.random.default_rng(seed)
    layers, pools = [], []
    for layer in chip_layers(graph):
        beside = int(rng.choice(legal_pixels(layer)[-3:])) if pixels is None else pixels[layer.index]
        pe, simd = layer.outputs, layer.channels * layer.taps
        memory = str(rng.choice(["auto", "lut", "leaf" if layer.popcounts else "auto"]))
        if beside == 1:
            pe, simd, memory = int(rng.choice(legal_pe(layer))), int(rng.choice(legal_simd(layer))), "auto"
        layers.append(LayerFolding(layer.name, pe, simd, beside, memory))
        for pool, enters in pools_and_pixels(layer, beside):
            pools.append(PoolFolding(pool.name, int(rng.choice(legal_taps(pool, enters)))))
    return Folding(tuple(layers), tuple(pools))
