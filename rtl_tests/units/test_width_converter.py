"""xh_width_converter: widths that divide, equal and coprime ones, packets with tails."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cocotb

from rtl_tests.reference import convert
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named


@dataclass(frozen=True)
class Shape:
    """Bits of an incoming word, of an outgoing word, of a packet."""

    taken: int
    given: int
    packet: int

    def __str__(self) -> str:
        return f"c{self.taken}to{self.given}p{self.packet}"

    @property
    def in_words(self) -> int:
        return -(-self.packet // self.taken)

    @property
    def out_words(self) -> int:
        return -(-self.packet // self.given)


SHAPES = (
    Shape(8, 8, 64),  # a wire
    Shape(8, 8, 61),  # equal, with a tail to clear
    Shape(16, 100, 100),  # wide, a packet a word
    Shape(24, 64, 50),  # the same, with a tail to clear
    Shape(64, 8, 512),  # narrow, dividing
    Shape(64, 8, 488),
    Shape(64, 8, 484),
    Shape(64, 1, 100),
    Shape(8, 64, 512),  # widen, dividing
    Shape(8, 64, 488),
    Shape(8, 64, 485),
    Shape(1, 7, 24),
    Shape(1, 64, 65),
    Shape(64, 24, 192 * 3),  # narrow, in between
    Shape(64, 24, 1000),
    Shape(64, 24, 72),
    Shape(10, 3, 25),
    Shape(10, 3, 30),
    Shape(10, 3, 31),
    Shape(7, 5, 35),
    Shape(7, 5, 36),
    Shape(7, 5, 3),
    Shape(13, 11, 150),
    Shape(24, 64, 192 * 3),  # widen, in between
    Shape(24, 64, 1000),
    Shape(24, 64, 80),
    Shape(3, 10, 25),
    Shape(3, 10, 31),
    Shape(3, 10, 11),
    Shape(5, 7, 35),
    Shape(5, 7, 36),
    Shape(5, 7, 8),
    Shape(5, 7, 4),
    Shape(11, 13, 27),
    Shape(32, 64, 32 * 10),
    Shape(32, 64, 32 * 9),
)


def _packets(shape: Shape, count: int, seed: str) -> list[int]:
    generator = random.Random(seed)
    return [generator.getrandbits(shape.packet) for _ in range(count)]


def _offered(shape: Shape, packets: list[int], generator: random.Random) -> list[int]:
    """The packets' incoming words; bits past a packet are noise, which must not come through."""
    room = shape.in_words * shape.taken
    words = []
    for packet in packets:
        noise = generator.getrandbits(room - shape.packet) if room > shape.packet else 0
        words += convert(packet | (noise << shape.packet), room, shape.taken)
    return words


def _expected(shape: Shape, packets: list[int]) -> list[int]:
    return [word for packet in packets for word in convert(packet, shape.packet, shape.given)]


async def _check(bench: Bench, shape: Shape, count: int, seed: str) -> None:
    packets = _packets(shape, count, seed)
    bench.source.put(_offered(shape, packets, random.Random(f"noise {seed}")))
    expected = _expected(shape, packets)
    limit = 200 + 60 * count * (shape.in_words + shape.out_words)
    assert await bench.receive(len(expected), limit) == expected
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES), stalls=named(STALLS))
async def packets(dut: Any, shape: Shape, stalls: Stalls) -> None:
    """Packets back to back arrive bit for bit, the tail filled with zeros."""
    bench = Bench(dut, str(shape), stalls)
    await bench.start()
    await _check(bench, shape, max(3, 200 // shape.packet), f"{shape} {stalls}")


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES))
async def rate(dut: Any, shape: Shape) -> None:
    """Without stalls the side with more words moves one every clock, across packets too."""
    count = 12
    bench = Bench(dut, str(shape), STALLS[0])
    await bench.start()
    offered = _packets(shape, count, "rate")
    bench.source.put(_offered(shape, offered, random.Random(0)))
    expected = _expected(shape, offered)
    assert await bench.receive(len(expected), 100 * len(expected) + 1000) == expected
    last = bench.sink.clocks[shape.out_words - 1 :: shape.out_words]
    period = max(shape.in_words, shape.out_words)
    assert last[-1] - last[1] == (count - 2) * period


@cocotb.test()
@cocotb.parametrize(shape=named(SHAPES))
async def reset(dut: Any, shape: Shape) -> None:
    """A reset inside a packet leaves nothing behind."""
    bench = Bench(dut, str(shape), STALLS[3])
    await bench.start()
    for clocks in (1, 2, 3, 5, 8, 13):
        bench.source.put(_offered(shape, _packets(shape, 2, "lost"), random.Random(clocks)))
        for _ in range(clocks + 2):
            await bench.step()
        await bench.reset()
        await _check(bench, shape, 2, f"{shape} {clocks}")


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [
        Case(
            str(shape),
            "xh_width_converter",
            {
                "IN_BITS": str(shape.taken),
                "OUT_BITS": str(shape.given),
                "PACKET_BITS": str(shape.packet),
            },
            (Port("s", shape.taken, True), Port("m", shape.given, False)),
        )
        for shape in SHAPES
    ]


def test_width_converter() -> None:
    run_bench("width_converter", __name__, cases())
