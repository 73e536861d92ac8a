"""Seeded random layers: odd channels, maps, pads, strides, ties at thresholds, directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.engine.network_c import BITS, SUM, Case, Values
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    HostOp,
    Lookup,
    MaxPool,
    Product,
    Reshape,
    Term,
    Threshold,
)
from xnorhw.ir.types import Encoding, IntType, code

CHANNELS = (1, 3, 16, 31, 33, 64, 65, 100, 128)


def signs(rng: np.random.Generator, *shape: int) -> npt.NDArray[np.int8]:
    """-1 and +1."""
    return (2 * rng.integers(0, 2, shape) - 1).astype(np.int8)


def threshold(rng: np.random.Generator, sums: Values, positions: bool = False, levels: int = 1) -> Threshold:
    """Thresholds on sums that occur (ties), both directions, a few constant channels."""
    _, channels, height, width = sums.shape
    count = height * width if positions else 1
    table = np.empty((count, channels, levels), np.int64)
    for c in range(channels):
        values = sums[0, c].ravel()
        table[:, c] = np.sort(rng.choice(values, (count, levels)) + rng.integers(-1, 2, (count, levels)))
    constant = rng.random(channels) < 0.1
    table[:, constant] = np.where(rng.random(channels) < 0.5, -(1 << 40), 1 << 40)[constant][None, :, None]
    direction = np.where(rng.random(channels) < 0.3, -1, 1).astype(np.int8)
    strict = rng.random(levels) < 0.3
    return Threshold(table, direction, strict, constant)


def geometry(rng: np.random.Generator, height: int, width: int, kernel: int | None = None) -> WindowGeometry:
    """A window that fits, with four different pads, stride and dilation."""
    while True:
        k = (kernel, kernel) if kernel else (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 4)))
        left, right, top, bottom = (int(v) for v in rng.integers(0, 4, 4))
        g = WindowGeometry(k, stride, Pads(left, right, top, bottom), dilation)
        if min(g.output_size(height, width)) > 0:
            return g


def bits_case(rng: np.random.Generator, name: str, channels: int, out: int, **options: Any) -> Case:
    """Packed bits -> product -> threshold -> OR/AND pool."""
    height, width = options.get("size") or (int(rng.integers(1, 12)), int(rng.integers(1, 18)))
    x = signs(rng, 1, channels, height, width).astype(np.int64)
    groups = options.get("groups", 1)
    g = options.get("geometry") or geometry(rng, height, width)
    terms = tuple(
        Term(c, signs(rng, out, channels // groups, *g.kernel)) for c in options.get("coefficients", (1,))
    )
    op = Product(terms, g, groups, options.get("pad_value", 0))
    case = Case(name, x, BITS, [(op, SUM)])
    sums = case.tensors[-1]
    t = threshold(rng, sums, options.get("positions", False))
    minimum = rng.random(out) < 0.4
    window = WindowGeometry((1, 2)) if sums.shape[3] > 1 else WindowGeometry((1, 1))
    pool = MaxPool(window, minimum)
    return Case(name, x, BITS, [(op, SUM), (t, BITS), (pool, BITS)])


def codes_case(
    rng: np.random.Generator, name: str, kind: IntType, channels: int, out: int, **options: Any
) -> Case:
    """Codes -> table -> product -> multi-level threshold -> pool on codes -> flatten."""
    height, width = int(rng.integers(2, 10)), int(rng.integers(2, 12))
    x = rng.integers(kind.min, kind.max + 1, (1, channels, height, width))
    steps: list[Any] = []
    source = kind
    if kind.bits <= 8:
        signed = code(8, True)
        tables = channels if options.get("per_channel") else 1
        values = rng.integers(-128, 128, (tables, kind.max - kind.min + 1)).astype(np.int32)
        steps.append((Lookup(values), signed))
        source = signed
    groups = options.get("groups", 1)
    g = geometry(rng, height, width)
    pad = int(rng.integers(source.min, source.max + 1)) if options.get("pad") else 0
    terms = tuple(
        Term(c, signs(rng, out, channels // groups, *g.kernel)) for c in options.get("coefficients", (1,))
    )
    steps.append((Product(terms, g, groups, pad), SUM))
    sums = Case(name, x, kind, steps).tensors[-1]
    if options.get("bits"):
        steps.append((threshold(rng, sums), BITS))
    else:
        steps.append((threshold(rng, sums, options.get("positions", False), 3), code(2, False)))
    steps.append((MaxPool(WindowGeometry((1, 1)), rng.random(out) < 0.4), steps[-1][1]))
    steps.append((Reshape(), steps[-1][1]))
    return Case(name, x, kind, steps)


def full_case(rng: np.random.Generator, name: str, wide: bool) -> Case:
    """Codes -> integer product with 64-bit sums -> threshold standing alone."""
    x = rng.integers(-128, 128, (1, 4, 7, 6))
    g = geometry(rng, 7, 6)
    largest = 1 << (30 if wide else 12)
    weight = rng.integers(-largest, largest, (6, 2, *g.kernel)).astype(np.int32)
    op = FullProduct(weight, 8, g, 2, 5)
    kind = IntType(48, True, Encoding.TWOS) if wide else SUM
    steps: list[Any] = [(op, kind)]
    sums = Case(name, x, code(8, True), steps).tensors[-1]
    limited = np.clip(sums, -(1 << 29), 1 << 29)
    steps.append((threshold(rng, limited), BITS))
    return Case(name, x, code(8, True), steps)


def full_counters() -> Case:
    """Every bit of 40 words differs: what eight bits of a counter hold, and more."""
    x = np.ones((1, 40 * 32, 1, 5), np.int64)
    weight = -np.ones((20, 40 * 32, 1, 1), np.int8)
    weight[7] = 1
    op = Product((Term(1, weight),), WindowGeometry((1, 1)), 1, 0)
    return Case("every bit differs", x, BITS, [(op, SUM)])


def host_case(rng: np.random.Generator) -> Case:
    """Sums -> every float operation, with values that round, ties to even and signed zeros."""
    x = signs(rng, 1, 70, 2, 3).astype(np.int64)
    op = Product((Term(1, signs(rng, 5, 70, 1, 1)),), WindowGeometry((1, 1)), 1, 0)

    def floats(*shape: int) -> npt.NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    weight = rng.integers(-(1 << 20), 1 << 20, (4, 30)).astype(np.int32)
    hosts: tuple[HostOp, ...] = (
        HostAffine("scale", floats(5), None),
        HostBatchNorm("norm", floats(5), floats(5)),
        HostClamp("relu", 0.0, float("inf")),
        HostAffine("half", np.full(1, 0.5, np.float32), floats(1)),
        HostFull("full", weight, 12, 3, floats(4)),
        HostClamp("hardtanh", -900.5, 1000.25),
    )
    return Case("float operations", x, BITS, [(op, SUM)], hosts)


def ties_case(rng: np.random.Generator) -> Case:
    """Odd sums / 2 where a full layer rounds to integers: every value a tie."""
    x = signs(rng, 1, 71, 1, 3).astype(np.int64)
    op = Product((Term(1, signs(rng, 5, 71, 1, 1)),), WindowGeometry((1, 1)), 1, 0)
    weight = rng.integers(-100, 100, (4, 15)).astype(np.int32)
    sixteenth = HostAffine("sixteenth", np.full(1, 1 / 16, np.float32), None)
    return Case("ties", x, BITS, [(op, SUM)], (sixteenth, HostFull("full", weight, 12, 3, None)))


def draw(seed: int = 20260701) -> list[Case]:
    """All cases, the same on every machine."""
    rng = np.random.default_rng(seed)
    cases = []
    for i, channels in enumerate(CHANNELS):
        out = CHANNELS[(i * 4 + 3) % len(CHANNELS)]
        for pad_value in (0, 1, -1):
            cases.append(
                bits_case(rng, f"bits {channels}->{out} pad {pad_value}", channels, out, pad_value=pad_value)
            )
    same = WindowGeometry((3, 3), pads=Pads(1, 1, 1, 1))
    cases += [
        bits_case(rng, "7x7 map, 3x3", 65, 100, size=(7, 7), geometry=same),
        bits_case(rng, "14x13 map, 3x3", 33, 48, size=(14, 13), geometry=same),
        bits_case(rng, "linear", 100, 10, size=(5, 3), geometry=WindowGeometry((5, 3))),
        bits_case(rng, "long sums", 1200, 33, size=(1, 9), geometry=WindowGeometry((1, 1))),
        full_counters(),
        bits_case(
            rng,
            "windows on padding",
            40,
            20,
            size=(2, 2),
            geometry=WindowGeometry((1, 1), pads=Pads(3, 2, 1, 4)),
        ),
        bits_case(rng, "two groups", 128, 64, groups=2),
        bits_case(rng, "odd groups", 15, 21, groups=3),
        bits_case(rng, "odd groups, pad 1", 99, 6, groups=3, pad_value=1),
        bits_case(rng, "depthwise", 12, 24, groups=12),
        bits_case(rng, "a threshold a position", 33, 20, positions=True),
        bits_case(rng, "three terms", 64, 40, coefficients=(1, -2, 4)),
        codes_case(rng, "pixels", code(8, False), 3, 20, per_channel=True, pad=True),
        codes_case(rng, "pixels, one table, bits", code(8, False), 1, 64, bits=True),
        codes_case(rng, "signed codes", code(8, True), 33, 17, pad=True, bits=True),
        codes_case(rng, "groups of codes", code(4, False), 6, 40, groups=2),
        codes_case(rng, "wide codes", code(12, True), 5, 3, coefficients=(3, -1)),
        codes_case(rng, "wide unsigned codes", code(16, False), 2, 18, positions=True),
        host_case(rng),
        ties_case(rng),
        full_case(rng, "full product", False),
        full_case(rng, "full product, 64 bits", True),
        bits_case(
            rng,
            "a kernel wider than the map",
            32,
            20,
            size=(6, 3),
            geometry=WindowGeometry((5, 5), pads=Pads(2, 2, 2, 2)),
        ),
    ]
    return cases
