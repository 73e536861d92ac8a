"""xh_levels and xh_requant: sums to codes by counted levels and by one multiplication, ties and clamps
among them, each of the two streams stalled by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join, levels, requant, split
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

WORDS = 40
CODE_STALLS = (
    *STALLS,
    Stalls("slow_sums", 0.6, 0.0, 4, only="s"),
    Stalls("slow_constants", 0.6, 0.0, 4, only="c"),
)


@dataclass(frozen=True)
class Levels:
    """A level unit's parameters; ``more_bits`` beyond those that hold the count."""

    lanes: int
    in_bits: int
    levels: int
    more_bits: int = 0

    constants = "l"

    def __str__(self) -> str:
        return f"levels{self.lanes}x{self.in_bits}n{self.levels}b{self.out_bits}"

    @property
    def out_bits(self) -> int:
        return self.levels.bit_length() + self.more_bits

    @property
    def constant_bits(self) -> int:
        return self.levels * self.in_bits + 1


@dataclass(frozen=True)
class Requant:
    """A requant unit's parameters."""

    lanes: int
    in_bits: int
    multiplier_bits: int
    addend_bits: int
    shift: int
    low: int
    high: int
    out_bits: int
    even: bool = False

    constants = "f"

    def __str__(self) -> str:
        clamp = f"{self.low}to{self.high}".replace("-", "m")
        factors = f"m{self.multiplier_bits}a{self.addend_bits}r{self.shift}"
        return f"requant{self.lanes}x{self.in_bits}{factors}c{clamp}b{self.out_bits}{'e' * self.even}"

    @property
    def constant_bits(self) -> int:
        return self.multiplier_bits + self.addend_bits


Unit = Levels | Requant

UNITS: tuple[Unit, ...] = (
    Levels(1, 1, 1),
    Levels(3, 9, 1),
    Levels(4, 12, 3),
    Levels(2, 16, 15),
    Levels(5, 6, 7),
    Levels(16, 10, 2),
    Levels(1, 8, 5, more_bits=2),
    Levels(2, 24, 10),
    Levels(1, 32, 4),
    Levels(1, 7, 100),
    Requant(1, 1, 1, 1, 0, 0, 1, 1),
    Requant(4, 12, 12, 24, 12, 0, 255, 8),
    Requant(3, 16, 18, 40, 20, 0, 31, 5),
    Requant(2, 10, 9, 4, 3, -128, 127, 8),
    Requant(2, 10, 9, 30, 7, -20, 11, 6),
    Requant(5, 8, 6, 10, 0, 0, 200, 8),
    Requant(1, 24, 25, 48, 30, 0, 255, 8),
    Requant(2, 6, 5, 8, 30, -3, 3, 4),
    Requant(1, 12, 8, 16, 9, 5, 9, 4),
    Requant(1, 12, 8, 16, 9, -9, -5, 5),
    Requant(3, 5, 3, 3, 2, 0, 255, 8),
    Requant(2, 10, 9, 30, 7, -20, 11, 12),
    Requant(2, 14, 12, 20, 2, -(1 << 31), (1 << 31) - 1, 32),
    Requant(1, 6, 5, 8, 3, -512, 511, 24),
    Requant(1, 20, 14, 20, 2, 0, (1 << 31) - 1, 31),
    Requant(4, 12, 12, 24, 12, 0, 255, 8, even=True),
    Requant(3, 16, 2, 7, 6, -128, 127, 8, even=True),
    Requant(2, 10, 9, 30, 7, -19, 12, 6, even=True),
    Requant(2, 6, 5, 8, 30, -3, 3, 4, even=True),
    Requant(1, 6, 5, 8, 13, -1, 1, 2, even=True),
    Requant(1, 6, 5, 8, 12, -2, 1, 2, even=True),
    Requant(2, 5, 3, 9, 1, 5, 255, 8, even=True),
    Requant(1, 6, 3, 8, 4, 255, 255, 8, even=True),
    Requant(1, 24, 25, 48, 30, 0, 255, 8, even=True),
)


@dataclass(frozen=True)
class _Work:
    sums: list[int]
    constants: list[int]
    results: list[int]


def _signed(generator: np.random.Generator, bits: int, size: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Signed numbers of up to ``bits`` bits: long and short ones, the two extremes among them."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = generator.integers(low, high, size, endpoint=True)
    values = values >> generator.integers(0, bits, size)
    extreme = generator.random(size)
    values = np.where(extreme < 0.05, low, values)
    return np.where(extreme > 0.95, high, values)


def _level_work(unit: Levels, generator: np.random.Generator) -> _Work:
    size = (WORDS, unit.lanes)
    table = np.sort(_signed(generator, unit.in_bits, (*size, unit.levels)), axis=2)
    flip = generator.integers(0, 2, size)
    sums = _signed(generator, unit.in_bits, size)
    # most sums close to a level, exact ties among them
    near = np.take_along_axis(table, generator.integers(0, unit.levels, (*size, 1)), axis=2)[..., 0]
    near = near + generator.integers(-1, 2, size)
    half = 1 << (unit.in_bits - 1)
    sums = np.where(generator.random(size) < 0.7, np.clip(near, -half, half - 1), sums)
    lines = [
        [
            join(list(lane), unit.in_bits) | int(f) << (unit.levels * unit.in_bits)
            for lane, f in zip(rows, flips, strict=True)
        ]
        for rows, flips in zip(table, flip, strict=True)
    ]
    return _Work(
        [join(list(word), unit.in_bits) for word in sums],
        [join(word, unit.constant_bits) for word in lines],
        [join(list(word), unit.out_bits) for word in levels(sums, table, flip)],
    )


def _requant_work(unit: Requant, generator: np.random.Generator) -> _Work:
    size = (WORDS, unit.lanes)
    sums = _signed(generator, unit.in_bits, size).tolist()
    multipliers = _signed(generator, unit.multiplier_bits, size).tolist()
    addends = _signed(generator, unit.addend_bits, size).tolist()
    # in some lanes an addend that puts the code next to a bound, or a rounding next to its edge
    smallest, largest = -(1 << (unit.addend_bits - 1)), (1 << (unit.addend_bits - 1)) - 1
    for w in range(WORDS):
        for i in range(unit.lanes):
            if generator.random() < 0.6:
                target = int(generator.choice([unit.low - 1, unit.low, unit.high, unit.high + 1]))
                if unit.even and generator.random() < 0.5:
                    # a tie wherever the product lies, and the sums beside it
                    target = (sums[w][i] * multipliers[w][i] >> unit.shift) + int(generator.integers(0, 2))
                edge = (target << unit.shift) - int(generator.integers(-1 if unit.even else 0, 2))
                addend = edge - sums[w][i] * multipliers[w][i]
                addends[w][i] = min(max(addend, smallest), largest)
    lanes = range(unit.lanes)
    return _Work(
        [join(word, unit.in_bits) for word in sums],
        [
            join(
                [
                    join([m], unit.multiplier_bits) | join([a], unit.addend_bits) << unit.multiplier_bits
                    for m, a in zip(ms, rest, strict=True)
                ],
                unit.constant_bits,
            )
            for ms, rest in zip(multipliers, addends, strict=True)
        ],
        [
            join(
                [
                    requant(
                        *(sums[w][i], multipliers[w][i], addends[w][i]),
                        *(unit.shift, unit.low, unit.high, unit.even),
                    )
                    for i in lanes
                ],
                unit.out_bits,
            )
            for w in range(WORDS)
        ],
    )


def _work(unit: Unit, seed: str) -> _Work:
    generator = np.random.default_rng(list(f"{unit} {seed}".encode()))
    if isinstance(unit, Levels):
        return _level_work(unit, generator)
    return _requant_work(unit, generator)


def _bench(dut: Any, unit: Unit, stalls: Stalls) -> Bench:
    if stalls.only == "c":
        stalls = Stalls(stalls.name, stalls.source, stalls.sink, stalls.burst, unit.constants)
    return Bench(dut, str(unit), stalls, sources=("s", unit.constants))


def _put(bench: Bench, unit: Unit, work: _Work) -> None:
    bench.source.put(work.sums)
    bench.sources[unit.constants].put(work.constants)


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS), stalls=named(CODE_STALLS))
async def codes(dut: Any, unit: Unit, stalls: Stalls) -> None:
    """Codes against Python, before and after a reset with words under way."""
    bench = _bench(dut, unit, stalls)
    await bench.start()
    for seed in ("first", "second"):
        work = _work(unit, f"{stalls} {seed}")
        _put(bench, unit, work)
        assert await bench.receive(WORDS, 500 + 100 * WORDS) == work.results
        await bench.finish()
        _put(bench, unit, work)
        for _ in range(7):
            await bench.step()
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS))
async def rate(dut: Any, unit: Unit) -> None:
    """A word a clock, and the stages that the page on the unit names."""
    bench = _bench(dut, unit, STALLS[0])
    await bench.start()
    work = _work(unit, "rate")
    _put(bench, unit, work)
    assert await bench.receive(WORDS, 100 + 2 * WORDS) == work.results
    assert {b - a for a, b in pairwise(bench.sink.clocks)} == {1}
    # the source offers in clock 1, the first stage holds the word in clock 2
    assert bench.sink.clocks[0] == 2 + (2 if isinstance(unit, Levels) else 4)


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS), alone=named(("sums", "constants")))
async def one_stream_waits_for_the_other(dut: Any, unit: Unit, alone: str) -> None:
    """A stream by itself is not taken, whichever comes first."""
    bench = _bench(dut, unit, STALLS[0])
    await bench.start()
    work = _work(unit, "alone")
    first, second = bench.source, bench.sources[unit.constants]
    words = [work.sums[:3], work.constants[:3]]
    if alone == "constants":
        first, second = second, first
        words.reverse()
    first.put(words[0])
    for _ in range(8):
        await bench.step()
    assert first.waiting == 3 and bench.sink.empty()
    second.put(words[1])
    assert await bench.receive(3, 50) == work.results[:3]
    await bench.finish()


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS))
async def a_blocked_unit_fills_up(dut: Any, unit: Unit) -> None:
    """Words that come with gaps close up behind a result that nobody takes: every stage holds one."""
    bench = _bench(dut, unit, Stalls("blocked", 0.7, 1.0, 3))
    await bench.start()
    _put(bench, unit, _work(unit, "blocked"))
    for _ in range(80):
        await bench.step()
    assert WORDS - bench.source.waiting == (2 if isinstance(unit, Levels) else 4)


def _case(unit: Unit) -> Case:
    if isinstance(unit, Levels):
        name, parameters = "xh_levels", {"LEVELS": unit.levels}
    else:
        name = "xh_requant"
        parameters = {
            "MULTIPLIER_BITS": unit.multiplier_bits,
            "ADDEND_BITS": unit.addend_bits,
            "SHIFT": unit.shift,
            "LOW": unit.low,
            "HIGH": unit.high,
            **({"EVEN": 1} if unit.even else {}),
        }
    parameters = {"LANES": unit.lanes, "IN_BITS": unit.in_bits, **parameters, "OUT_BITS": unit.out_bits}
    ports = (
        Port("s", unit.lanes * unit.in_bits, True),
        Port(unit.constants, unit.lanes * unit.constant_bits, True),
        Port("m", unit.lanes * unit.out_bits, False),
    )
    return Case(str(unit), name, {key: str(value) for key, value in parameters.items()}, ports)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [_case(unit) for unit in UNITS]


def test_codes() -> None:
    run_bench("codes", __name__, cases())


def test_ties_to_even_are_among_the_work() -> None:
    """Above even codes and above odd ones, in units of every kind of bounds."""
    parities: set[int] = set()
    for unit in UNITS:
        if isinstance(unit, Levels) or not unit.even:
            continue
        work = _requant_work(unit, np.random.default_rng(1))
        found = []
        for word, line in zip(work.sums, work.constants, strict=True):
            factors = split(line, unit.constant_bits, unit.lanes)
            for s, entry in zip(split(word, unit.in_bits, unit.lanes), factors, strict=True):
                multiplier = _number(entry & (1 << unit.multiplier_bits) - 1, unit.multiplier_bits)
                addend = _number(entry >> unit.multiplier_bits, unit.addend_bits)
                scaled = _number(s, unit.in_bits) * multiplier + addend
                if scaled % (1 << unit.shift) == 0:
                    found.append(scaled >> unit.shift)
        assert len(found) >= 5, unit
        parities |= {code % 2 for code in found if unit.low < code <= unit.high}
    assert parities == {0, 1}


def _number(field: int, bits: int) -> int:
    return field - (1 << bits) if field >> (bits - 1) else field
