"""Layers in full precision where sums, weights and codes meet their limits, in odd shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.engine.network_c import BITS, SUM, Case, Values
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import FullProduct, HostAffine, HostFull
from xnorhw.ir.types import Encoding, IntType, code

WIDE = IntType(54, True, Encoding.TWOS)
HIGHEST, LOWEST = (1 << 31) - 1, -(1 << 31)
PIXELS, SIGNED = code(8, False), code(8, True)
LONG = (253, 254, 255, 256, 509, 1017)
"""Products whose sum a number of 32 bits just holds, or no longer: 127 pairs are summed at once."""


def full(
    name: str,
    x: npt.NDArray[Any],
    kind: IntType,
    weight: npt.NDArray[Any],
    window: WindowGeometry | None = None,
    groups: int = 1,
    pad: int = 0,
) -> Case:
    """One product of x [1, C, H, W]; its sums are of 32 bits where each of them fits, as in a plan."""
    window = window or WindowGeometry((weight.shape[2], weight.shape[3]))
    op = FullProduct(weight.astype(np.int32), 8, window, groups, pad)
    case = Case(name, x.astype(np.int64), kind, [(op, WIDE)])
    sums = case.tensors[-1]
    assert int(np.abs(sums).max()) < 1 << 53
    fits = LOWEST <= int(sums.min()) and int(sums.max()) <= HIGHEST
    return Case(name, x.astype(np.int64), kind, [(op, SUM if fits else WIDE)])


def linear(name: str, row: npt.ArrayLike, kind: IntType, weight: npt.ArrayLike) -> Case:
    """Inputs [I] and weights [O, I]."""
    return full(name, np.asarray(row)[None, :, None, None], kind, np.asarray(weight)[:, :, None, None])


def extremes() -> list[Case]:
    """The largest codes with the largest weights, in sums of every length around a border."""
    cases = []
    for count in LONG:
        ones = np.ones((3, count), np.int64)
        ones[1] = -1
        ones[2, ::2] = -1
        for kind, value in (
            (PIXELS, 255),
            (SIGNED, -128),
            (code(16, False), 65535),
            (code(16, True), -(1 << 15)),
        ):
            row = np.full(count, value)
            for largest in (32767, 32768, min(HIGHEST, ((1 << 53) - 1) // (count * abs(value)) - 1)):
                weight = np.maximum(ones * largest, -largest - (largest != 32768))
                cases.append(linear(f"{count} of {value} times {largest}", row, kind, weight))
    return cases


def wrapping() -> list[Case]:
    """Sums of 32 bits that leave them on the way and come back."""
    row = np.full(400, -(1 << 15))
    back = np.where(np.arange(400) % 4 < 2, -(1 << 15), 32767)
    halves = np.where(np.arange(400) < 200, HIGHEST, -HIGHEST)
    halves[399] += 3
    return [
        linear("pairs at 2^31", row, code(16, True), [back, -np.sign(back), back // 3]),
        linear("over and back", row // (1 << 15), code(16, True), [halves, halves // 70000]),
        linear("limbs over and back", np.full(400, 255), PIXELS, [halves, -(halves // 3)]),
    ]


def shapes(rng: np.random.Generator) -> list[Case]:
    """Strides, dilations, pads, groups; runs of odd and even lengths; rows that join."""
    cases = []
    drawn = [
        ("7x7 / 2", 3, 20, (15, 18), (7, 7), (2, 2), (1, 1), Pads(3, 3, 3, 3), 1),
        ("11x11 / 4", 3, 17, (23, 31), (11, 11), (4, 4), (1, 1), Pads(2, 2, 2, 2), 1),
        ("dilated", 5, 33, (11, 9), (3, 2), (2, 1), (2, 3), Pads(1, 4, 0, 2), 1),
        ("dilated along y", 2, 16, (9, 7), (3, 3), (1, 2), (3, 1), Pads(0, 1, 2, 2), 1),
        ("groups of one", 6, 12, (5, 8), (3, 3), (1, 1), (1, 1), Pads(1, 1, 1, 1), 6),
        ("groups of three", 9, 51, (6, 5), (2, 3), (1, 2), (1, 2), Pads(2, 0, 1, 1), 3),
        ("as wide as the map", 3, 5, (9, 7), (4, 7), (2, 1), (1, 1), Pads(0, 0, 0, 0), 1),
        ("as wide as the padded map", 3, 18, (9, 7), (2, 10), (1, 3), (1, 1), Pads(1, 2, 1, 0), 1),
        ("windows on padding alone", 4, 6, (2, 2), (2, 1), (1, 1), (1, 1), Pads(3, 2, 4, 3), 1),
        ("one pixel, one channel", 1, 1, (1, 1), (1, 1), (1, 1), (1, 1), Pads(0, 0, 0, 0), 1),
        ("1x1", 33, 65, (5, 5), (1, 1), (2, 2), (1, 1), Pads(0, 0, 0, 0), 1),
    ]
    for number, (name, channels, out, size, kernel, stride, dilation, pads, groups) in enumerate(drawn):
        window = WindowGeometry(kernel, stride, pads, dilation)
        for kind, pad, bits in ((PIXELS, 0, 16), (SIGNED, -3, 12), (code(16, True), 9, 32)):
            x: Values = rng.integers(kind.min, kind.max + 1, (1, channels, *size))
            top = 1 << (bits - 1)
            weight = rng.integers(-top, top, (out, channels // groups, *kernel))
            cases.append(full(f"{name}, {kind.bits} bits", x, kind, weight, window, groups, pad))
        if number < 3:
            x = 2 * rng.integers(0, 2, (1, channels, *size)) - 1
            weight = rng.integers(-(1 << 15), 1 << 15, (out, channels // groups, *kernel))
            cases.append(full(f"{name}, bipolar", x, BITS, weight, window, groups, pad=number - 1))
    return cases


def paddings(rng: np.random.Generator) -> list[Case]:
    """Padding that is no code of the input's."""
    window = WindowGeometry((3, 3), pads=Pads(1, 2, 2, 1))
    cases = []
    for kind, pad in ((PIXELS, -1), (PIXELS, 40000), (SIGNED, 300), (code(16, True), 1 << 15), (BITS, 7)):
        x = rng.integers(0, 2, (1, 3, 4, 5)) * (kind.max - kind.min) + kind.min
        weight = rng.integers(-(1 << 15), 1 << 15, (18, 3, 3, 3))
        for shift in (-10, 0, 12):
            scaled = weight << shift if shift > 0 else weight >> -shift
            cases.append(full(f"pad {pad} for {kind}", x, kind, scaled, window, pad=pad))
    return cases


def chains(rng: np.random.Generator) -> list[Case]:
    """Sums of 32 and of 64 bits as inputs of another product."""
    cases = []
    for largest, kind in ((1 << 20, SUM), (1 << 31, WIDE)):
        x = rng.integers(-128, 128, (1, 3, 5, 4))
        first = FullProduct(
            rng.integers(-largest, largest, (4, 3, 2, 2)).astype(np.int32), 8, WindowGeometry((2, 2)), 1, 0
        )
        second = FullProduct(
            rng.integers(-9, 9, (19, 2, 2, 2)).astype(np.int32),
            8,
            WindowGeometry((2, 2), pads=Pads(1, 0, 0, 1)),
            2,
            5,
        )
        cases.append(Case(f"product behind {kind.bits} bits", x, SIGNED, [(first, kind), (second, WIDE)]))
    return cases


def long_sums(rng: np.random.Generator) -> list[Case]:
    """Sums of 64 bits over runs longer than what is summed at once."""
    cases = []
    for kind, count in ((code(16, True), 700), (PIXELS, 511), (code(16, False), 255)):
        weight = rng.integers(-(1 << 24), 1 << 24, (17, count))
        weight[:3] >>= 9
        cases.append(
            linear(f"{count} of {kind.bits} bits", rng.integers(kind.min, kind.max + 1, count), kind, weight)
        )
    return cases


def behind(rng: np.random.Generator) -> list[Case]:
    """Linear layers on real values: from a few bits to as many as a sum below 2^53 allows."""
    cases = []
    drawn = ((3, 1 << 15, 0.75), (8, 1 << 15, 33.0), (30, 2, 1e-3), (0, 1 << 30, 1.5e-3))
    for number, (frac, top, scale) in enumerate(drawn):
        x = rng.integers(-128, 128, (1, 37, 1, 1))
        op = FullProduct(
            rng.integers(-100, 100, (21, 37, 1, 1)).astype(np.int32), 0, WindowGeometry((1, 1)), 1, 0
        )
        weight = rng.integers(-top, top, (18, 21)).astype(np.int32)
        factor = HostAffine("factor", np.full(1, scale, np.float32), None)
        cases.append(
            Case(
                f"real values {number}",
                x,
                SIGNED,
                [(op, SUM)],
                (factor, HostFull("last", weight, 4, frac, None)),
            )
        )
    return cases


def draw_full(seed: int = 20261123) -> list[Case]:
    """All of them, the same on every machine."""
    rng = np.random.default_rng(seed)
    return [
        *extremes(),
        *wrapping(),
        *shapes(rng),
        *paddings(rng),
        *chains(rng),
        *long_sums(rng),
        *behind(rng),
    ]
