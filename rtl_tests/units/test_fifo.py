"""xh_fifo: every storage form, every stall pattern, full rate, reset with words inside; and
xh_monitor, which writes down what one of them gives."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

WIDTH = 12
DEPTHS = (0, 1, 2, 3, 4, 5, 8, 17)
WORDS = 200


def _name(depth: int) -> str:
    return f"depth{depth}"


def _words(seed: str, count: int = WORDS) -> list[int]:
    generator = random.Random(seed)
    return [generator.getrandbits(WIDTH) for _ in range(count)]


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS, stalls=named(STALLS))
async def order(dut: Any, depth: int, stalls: Stalls) -> None:
    """What goes in comes out, once and in order."""
    bench = Bench(dut, _name(depth), stalls)
    await bench.start()
    words = _words(f"{depth} {stalls}")
    bench.source.put(words)
    assert await bench.receive(WORDS, 60 * WORDS) == words
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def rate(dut: Any, depth: int) -> None:
    """A word a clock without stalls; a single register gives one every second clock."""
    bench = Bench(dut, _name(depth), STALLS[0])
    await bench.start()
    bench.source.put(_words("rate"))
    await bench.receive(WORDS, 3 * WORDS)
    span = bench.sink.clocks[-1] - bench.sink.clocks[0]
    assert span == (WORDS - 1) * (2 if depth == 1 else 1)


@cocotb.test()
@cocotb.parametrize(depth=DEPTHS)
async def capacity(dut: Any, depth: int) -> None:
    """With the sink closed exactly ``depth`` words go in, and reset forgets them."""
    bench = Bench(dut, _name(depth), Stalls("closed", 0.0, 1.0))
    await bench.start()
    words = _words("capacity", depth + 5)
    bench.source.put(words)
    for _ in range(depth + 20):
        await bench.step()
    assert bench.source.waiting == 5
    await bench.reset()
    assert not getattr(dut, f"{_name(depth)}_m_valid_o").value
    after = Bench(dut, _name(depth), STALLS[3])
    words = _words("after")
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
    ports = (Port("s", WIDTH, True), Port("m", WIDTH, False, monitor))
    return Case(name, "xh_fifo", {"WIDTH": str(WIDTH), "DEPTH": str(depth)}, ports)


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
