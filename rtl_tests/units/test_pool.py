"""xh_pool: OR and AND, maximum and minimum per lane, taps in one word and in several, several channel
words."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join, pool
from rtl_tests.runner import Case, Port, bits, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named


@dataclass(frozen=True)
class Shape:
    """The unit's parameters; ``invert`` is one of none, all, mixed, per word."""

    lanes: int
    taps: int
    groups: int
    words: int
    invert: str
    bits: int = 1
    signed: bool = False

    def __str__(self) -> str:
        kind = "s" if self.signed else "b"
        return f"l{self.lanes}{kind}{self.bits}t{self.taps}g{self.groups}w{self.words}{self.invert}"

    @property
    def invert_bits(self) -> list[list[int]]:
        """Per channel word, per lane."""
        generator = random.Random(str(self))
        one = [generator.getrandbits(1) for _ in range(self.lanes)]
        fixed = {"none": [0] * self.lanes, "all": [1] * self.lanes, "mixed": one}
        if self.invert in fixed:
            return [fixed[self.invert]] * self.words
        return [[generator.getrandbits(1) for _ in range(self.lanes)] for _ in range(self.words)]


SHAPES = (
    Shape(1, 1, 1, 1, "none"),
    Shape(8, 1, 4, 1, "none"),
    Shape(8, 4, 1, 1, "all"),
    Shape(8, 2, 2, 1, "mixed"),
    Shape(5, 3, 3, 2, "mixed"),
    Shape(7, 9, 1, 3, "words"),
    Shape(16, 1, 9, 4, "words"),
    Shape(3, 2, 3, 3, "words"),
    Shape(64, 1, 4, 2, "all"),
    Shape(65, 4, 1, 1, "mixed"),
    Shape(1, 1, 1, 1, "none", 2),
    Shape(8, 1, 4, 1, "none", 2),
    Shape(4, 4, 1, 1, "all", 8),
    Shape(4, 2, 2, 1, "mixed", 3),
    Shape(3, 3, 3, 2, "mixed", 4),
    Shape(5, 9, 1, 3, "words", 2),
    Shape(6, 1, 9, 4, "words", 3),
    Shape(3, 2, 3, 3, "words", 5),
    Shape(2, 5, 2, 2, "all", 8),
    Shape(9, 1, 1, 2, "words", 2),
    Shape(8, 1, 4, 1, "none", 3, True),
    Shape(3, 4, 1, 2, "mixed", 9, True),
    Shape(4, 3, 3, 2, "words", 2, True),
    Shape(2, 2, 2, 1, "all", 16, True),
)


def _pixels(shape: Shape, pixels: int, seed: str) -> tuple[list[int], list[int]]:
    """Random taps: the words that go in and those expected to come out."""
    generator = np.random.default_rng(list(seed.encode()))
    size = (pixels * shape.words, shape.groups * shape.taps, shape.lanes)
    # few ones in some windows and few zeros in others, so that OR and AND both take both values
    share = generator.choice([0.1, 0.5, 0.9], (size[0], 1, shape.lanes))
    highest = (1 << shape.bits) - 1
    taps = np.where(
        generator.random(size) < share,
        highest - generator.integers(0, (highest + 1) // 2, size),
        generator.integers(0, (highest + 1) // 2, size),
    )
    if shape.signed:
        taps -= 1 << (shape.bits - 1)
    inverted = np.array(shape.invert_bits * pixels)
    taken = [
        join(list(word.flatten()), shape.bits)
        for window in taps
        for word in window.reshape(shape.groups, shape.taps * shape.lanes)
    ]
    given = [join(list(word), shape.bits) for word in pool(taps, inverted)]
    return taken, given


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES), stalls=named(STALLS))
async def windows(dut: Any, shape: Shape, stalls: Stalls) -> None:
    """Forty pixels, a reset inside a window, forty more."""
    bench = Bench(dut, str(shape), stalls)
    await bench.start()
    for seed in ("first", "second"):
        taken, given = _pixels(shape, 40, f"{shape} {stalls} {seed}")
        bench.source.put(taken)
        assert await bench.receive(len(given), 200 + 60 * len(taken)) == given
        await bench.finish()
        bench.source.put(taken[: len(taken) // 2 + 1])
        for _ in range(shape.groups * shape.words // 2 + 3):
            await bench.step()
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES))
async def rate(dut: Any, shape: Shape) -> None:
    """A word in every clock, and the stages that the page on the unit names."""
    bench = Bench(dut, str(shape), STALLS[0])
    await bench.start()
    taken, given = _pixels(shape, 20, "rate")
    bench.source.put(taken)
    assert await bench.receive(len(given), 20 + 2 * len(taken)) == given
    clocks = bench.sink.clocks
    assert clocks[-1] - clocks[0] == len(taken) - shape.groups
    stages = 0 if shape.bits == 1 else 2 if shape.taps > 1 else 1
    assert clocks[0] == 1 + shape.groups + stages


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [
        Case(
            str(shape),
            "xh_pool",
            {
                "LANES": str(shape.lanes),
                "TAPS_PER_WORD": str(shape.taps),
                "TAP_GROUPS": str(shape.groups),
                "WORDS_PER_PIXEL": str(shape.words),
                "INVERT": bits(join(sum(shape.invert_bits, []), 1), shape.words * shape.lanes),
                "BITS": str(shape.bits),
                "SIGNED": f"1'b{int(shape.signed)}",
            },
            (
                Port("s", shape.taps * shape.lanes * shape.bits, True),
                Port("m", shape.lanes * shape.bits, False),
            ),
        )
        for shape in SHAPES
    ]


def test_pool() -> None:
    run_bench("pool", __name__, cases())
