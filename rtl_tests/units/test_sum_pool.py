"""xh_sum_pool: unsigned, signed and bipolar taps, in one word and in several, several channel words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join, sum_pool
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

PIXELS = 20


@dataclass(frozen=True)
class Shape:
    """The unit's parameters; ``taps_are`` is bipolar, u<bits> or s<bits>, ``out_bits`` 0 the fewest."""

    lanes: int
    taps_are: str
    taps: int
    groups: int
    words: int = 1
    out_bits: int = 0

    def __str__(self) -> str:
        return f"l{self.lanes}{self.taps_are}t{self.taps}g{self.groups}w{self.words}o{self.width}"

    @property
    def bipolar(self) -> bool:
        return self.taps_are == "bipolar"

    @property
    def in_bits(self) -> int:
        return 1 if self.bipolar else int(self.taps_are[1:])

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest tap, as bits where they are bipolar."""
        if self.taps_are[0] == "s":
            return -(1 << (self.in_bits - 1)), (1 << (self.in_bits - 1)) - 1
        return 0, (1 << self.in_bits) - 1

    @property
    def least(self) -> int:
        """Bits that hold every sum."""
        low, high = (-1, 1) if self.bipolar else self.range
        count = self.taps * self.groups
        return 1 + max((-low * count - 1).bit_length() if low else 0, (high * count).bit_length())

    @property
    def width(self) -> int:
        return self.out_bits or self.least


SHAPES = (
    Shape(1, "u1", 1, 1),
    Shape(8, "u2", 1, 4),
    Shape(4, "u8", 4, 1),
    Shape(3, "u3", 3, 3, 2),
    Shape(2, "u8", 1, 49, 3),
    Shape(5, "u4", 7, 7),
    Shape(4, "s8", 2, 2, 2),
    Shape(2, "s4", 1, 9, out_bits=20),
    Shape(3, "s2", 5, 1),
    Shape(1, "s1", 3, 2),
    Shape(8, "bipolar", 1, 4),
    Shape(8, "bipolar", 1, 9, 2),
    Shape(5, "bipolar", 4, 1),
    Shape(3, "bipolar", 3, 3, out_bits=12),
    Shape(1, "bipolar", 1, 1),
    Shape(2, "bipolar", 1, 64),
    Shape(2, "u8", 3, 3, out_bits=9),
    Shape(2, "s4", 2, 3, out_bits=4),
    Shape(2, "bipolar", 5, 5, out_bits=3),
    Shape(2, "bipolar", 2, 3, out_bits=2),
    Shape(2, "s5", 1, 1),
)


def _pixels(shape: Shape, seed: str) -> tuple[list[int], list[int]]:
    """Random taps, the extreme sums among them: the words that go in and those to come out."""
    generator = np.random.default_rng(list(f"{shape} {seed}".encode()))
    low, high = shape.range
    size = (PIXELS * shape.words, shape.groups * shape.taps, shape.lanes)
    taps = generator.integers(low, high, size, endpoint=True)
    taps[1], taps[2] = low, high
    taken = [
        join(list(word.flatten()), shape.in_bits)
        for window in taps
        for word in window.reshape(shape.groups, shape.taps * shape.lanes)
    ]
    given = sum_pool(taps, shape.bipolar)
    if shape.width >= shape.least:
        half = 1 << (shape.width - 1)
        assert given.min() >= -half and given.max() < half
    return taken, [join(list(word), shape.width) for word in given]


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES), stalls=named(STALLS))
async def windows(dut: Any, shape: Shape, stalls: Stalls) -> None:
    """Pixels, a reset inside a window, more of them."""
    bench = Bench(dut, str(shape), stalls)
    await bench.start()
    for seed in ("first", "second"):
        taken, given = _pixels(shape, f"{stalls} {seed}")
        bench.source.put(taken)
        assert await bench.receive(len(given), 200 + 60 * len(taken)) == given
        await bench.finish()
        bench.source.put(taken)
        for _ in range(shape.groups * shape.words // 2 + 3):
            await bench.step()
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES))
async def rate(dut: Any, shape: Shape) -> None:
    """A word taken in every clock, and the stages that the page on the unit names."""
    bench = Bench(dut, str(shape), STALLS[0])
    await bench.start()
    taken, given = _pixels(shape, "rate")
    bench.source.put(taken)
    assert await bench.receive(len(given), 20 + 2 * len(taken)) == given
    clocks = bench.sink.clocks
    assert clocks[-1] - clocks[0] == len(taken) - shape.groups
    assert clocks[0] == 1 + shape.groups + (2 if shape.taps > 1 else 1)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [
        Case(
            str(shape),
            "xh_sum_pool",
            {
                "LANES": str(shape.lanes),
                "IN_BITS": str(shape.in_bits),
                "IN_SIGNED": f"1'b{int(shape.taps_are[0] == 's')}",
                "IN_BIPOLAR": f"1'b{int(shape.bipolar)}",
                "TAPS_PER_WORD": str(shape.taps),
                "TAP_GROUPS": str(shape.groups),
                "WORDS_PER_PIXEL": str(shape.words),
                "OUT_BITS": str(shape.width),
            },
            (
                Port("s", shape.taps * shape.lanes * shape.in_bits, True),
                Port("m", shape.lanes * shape.width, False),
            ),
        )
        for shape in SHAPES
    ]


def test_sum_pool() -> None:
    run_bench("sum_pool", __name__, cases())
