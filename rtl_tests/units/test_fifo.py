"""xh_fifo: every storage form, every stall pattern, full rate, reset with words inside; and
xh_monitor, which writes down what one of them gives."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

WIDTH = 12
# in block RAM from 129 words and 8192 bits on
BLOCK = (129, 256, 683)
DEPTHS = (0, 1, 2, 3, 4, 5, 8, 17, 128, 128 + 512, *BLOCK)
WORDS = 200


def _width(depth: int) -> int:
    return {129: 64, 256: 40}.get(depth, WIDTH)


def _name(depth: int) -> str:
    return f"depth{depth}"


def _words(seed: str, count: int = WORDS, width: int = WIDTH) -> list[int]:
    generator = random.Random(seed)
    return [generator.getrandbits(width) for _ in range(count)]


def _many(depth: int) -> int:
    """Words that go round a ring several times."""
    return max(WORDS, 3 * depth + 7)


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS, stalls=named(STALLS))
async def order(dut: Any, depth: int, stalls: Stalls) -> None:
    """What goes in comes out, once and in order."""
    bench = Bench(dut, _name(depth), stalls)
    await bench.start()
    words = _words(f"{depth} {stalls}", _many(depth), _width(depth))
    bench.source.put(words)
    assert await bench.receive(len(words), 60 * len(words)) == words
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(depth=[d for d in DEPTHS if d > 1], stalls=named((STALLS[0], STALLS[3])))
async def around(dut: Any, depth: int, stalls: Stalls) -> None:
    """Filled to the last word, then emptied, and so on: the ends of the ring and of its level."""
    bench = Bench(dut, _name(depth), stalls)
    await bench.start()
    for turn in range(3):
        words = _words(f"around {turn}", depth, _width(depth))
        bench.source.put(words)
        while not bench.source.empty():
            await bench.step()
        assert await bench.receive(depth, 60 * depth + 50) == words
        await bench.finish(3)


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def latency(dut: Any, depth: int) -> None:
    """Clocks from a word's entry to its exit."""
    bench = Bench(dut, _name(depth), STALLS[0])
    await bench.start()
    for _ in range(3):
        await bench.step()
    bench.source.put([5])
    await bench.receive(1, 20)
    assert bench.sink.clocks == [5 + (0 if depth == 0 else 2 if depth in BLOCK else 1)]


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def rate(dut: Any, depth: int) -> None:
    """A word a clock without stalls; a single register gives one every second clock."""
    bench = Bench(dut, _name(depth), STALLS[0])
    await bench.start()
    count = _many(depth)
    bench.source.put(_words("rate", count, _width(depth)))
    await bench.receive(count, 3 * count)
    span = bench.sink.clocks[-1] - bench.sink.clocks[0]
    assert span == (count - 1) * (2 if depth == 1 else 1)


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def capacity(dut: Any, depth: int) -> None:
    """With the sink closed exactly ``depth`` words go in, and reset forgets them."""
    bench = Bench(dut, _name(depth), Stalls("closed", 0.0, 1.0))
    await bench.start()
    words = _words("capacity", depth + 5, _width(depth))
    bench.source.put(words)
    for _ in range(depth + 20):
        await bench.step()
    assert bench.source.waiting == 5
    await bench.reset()
    assert not getattr(dut, f"{_name(depth)}_m_valid_o").value
    after = Bench(dut, _name(depth), STALLS[3])
    words = _words("after", WORDS, _width(depth))
    after.source.put(words)
    assert await after.receive(WORDS, 60 * WORDS) == words
    await after.finish()


@cocotb.test()
async def watched(dut: Any) -> None:
    """Words for the monitor, with a reset between two batches."""
    bench = Bench(dut, "watched", STALLS[3])
    await bench.start()
    for batch in ("first", "second"):
        bench.source.put(_words(batch))
        assert await bench.receive(WORDS, 60 * WORDS) == _words(batch)
        await bench.finish()
        await bench.reset()


def _case(name: str, depth: int, monitor: str = "") -> Case:
    width = _width(depth)
    ports = (Port("s", width, True), Port("m", width, False, monitor))
    return Case(name, "xh_fifo", {"WIDTH": str(width), "DEPTH": str(depth)}, ports)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [*(_case(_name(depth), depth) for depth in DEPTHS), _case("watched", 4, "seen.words")]


def test_fifo() -> None:
    place = run_bench("fifo", __name__, cases())
    batches: list[list[int]] = [[]]
    for line in (place / "seen.words.hex").read_text().splitlines():
        if line == "reset":
            batches.append([])
        else:
            assert len(line) == WIDTH // 4
            batches[-1].append(int(line, 16))
    # every test resets the whole bench
    assert [batch for batch in batches if batch] == [_words("first"), _words("second")]
    assert len(batches) > 2
