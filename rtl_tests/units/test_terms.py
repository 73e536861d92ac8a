"""xh_plane and xh_terms: what stands before and behind a matrix unit that takes the terms of a sum in
turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join, planes, terms
from rtl_tests.runner import Case, Port, bits, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

RESULTS = 24


@dataclass(frozen=True)
class Planes:
    """A plane unit's parameters."""

    lanes: int
    bits: int
    folds: int
    planes: tuple[int, ...]

    def __str__(self) -> str:
        return f"plane{self.lanes}x{self.bits}f{self.folds}p" + "_".join(map(str, self.planes))


@dataclass(frozen=True)
class Terms:
    """A terms unit's parameters; ``out_bits`` 0 is as few as hold every sum."""

    lanes: int
    in_bits: int
    coef_bits: int
    coefficients: tuple[int, ...]
    out_bits: int = 0

    def __str__(self) -> str:
        shown = "_".join(map(str, self.coefficients)).replace("-", "m")
        return f"terms{self.lanes}x{self.in_bits}k{self.coef_bits}c{shown}o{self.width}"

    @property
    def least(self) -> int:
        """Bits that hold every sum."""
        total = sum(abs(c) for c in self.coefficients)
        return self.in_bits + total.bit_length()

    @property
    def width(self) -> int:
        return self.out_bits or self.least

    @property
    def doubles(self) -> bool:
        return self.coefficients == tuple(1 << t for t in range(len(self.coefficients)))


PLANES = (
    Planes(1, 1, 1, (0,)),
    Planes(8, 2, 9, (0, 1, 2)),
    Planes(5, 3, 1, (0, 1, 2, 3, 4)),
    Planes(7, 2, 4, (2, 0)),
    Planes(3, 4, 3, (14, 15, 0, 7)),
    Planes(16, 2, 2, (0, 0, 1, 1, 2, 2)),
    Planes(4, 3, 5, (3, 3)),
    Planes(64, 1, 3, (0,)),
    Planes(3, 2, 2, (3,)),
)
TERMS = (
    Terms(1, 1, 2, (1,)),
    Terms(4, 9, 3, (1, 2)),
    Terms(3, 11, 5, (1, 2, 4, 8)),
    Terms(2, 8, 9, (1, 2, 4, 8, 16, 32, 64, 128), 32),
    Terms(2, 8, 9, (1, 2, 4, 8, 16, 32, 64, 128), 7),
    Terms(3, 6, 4, (1, 2, 4), 8),
    Terms(4, 10, 6, (17, -3, 25)),
    Terms(2, 7, 4, (-8, 7)),
    Terms(1, 12, 3, (3,)),
    Terms(1, 5, 1, (-1, -1)),
    Terms(5, 16, 12, (1999, -2048, 0, 1, 77), 32),
    Terms(2, 8, 6, (4, 2, 1)),
    Terms(2, 8, 6, (2, 4, 8)),
    Terms(2, 8, 6, (1, 2, 8), 10),
    Terms(2, 8, 6, (1, 3)),
    Terms(2, 8, 6, (13, 7, -31), 8),
    Terms(2, 8, 6, (13, 7, -31), 5),
    Terms(2, 8, 3, (0, -1)),
    Terms(3, 4, 3, (1, 2, -4)),
)
UNITS: tuple[Planes | Terms, ...] = (*PLANES, *TERMS)


@dataclass(frozen=True)
class _Work:
    taken: list[int]
    given: list[int]


def _plane_work(unit: Planes, generator: np.random.Generator) -> _Work:
    size = (RESULTS, len(unit.planes), unit.folds, unit.lanes)
    codes = generator.integers(0, 1 << unit.bits, size)
    given = planes(codes, unit.planes)
    return _Work(
        [join(list(word), unit.bits) for word in codes.reshape(-1, unit.lanes)],
        [join(list(word), 1) for word in given.reshape(-1, unit.lanes)],
    )


def _term_work(unit: Terms, generator: np.random.Generator) -> _Work:
    low, high = -(1 << (unit.in_bits - 1)), (1 << (unit.in_bits - 1)) - 1
    sums = generator.integers(low, high, (RESULTS, len(unit.coefficients), unit.lanes), endpoint=True)
    # the largest and the smallest results
    signs = np.array(unit.coefficients)[:, None] >= 0
    sums[0], sums[1] = np.where(signs, high, low), np.where(signs, low, high)
    sums[2], sums[3] = low, high
    given = terms(sums, unit.coefficients)
    if unit.width >= unit.least:
        half = 1 << (unit.width - 1)
        assert given.min() >= -half and given.max() < half
    return _Work(
        [join(list(word), unit.in_bits) for word in sums.reshape(-1, unit.lanes)],
        [join(list(word), unit.width) for word in given],
    )


def _work(unit: Planes | Terms, seed: str) -> _Work:
    generator = np.random.default_rng(list(f"{unit} {seed}".encode()))
    return _plane_work(unit, generator) if isinstance(unit, Planes) else _term_work(unit, generator)


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS), stalls=named(STALLS))
async def words(dut: Any, unit: Planes | Terms, stalls: Stalls) -> None:
    """Words against NumPy, before and after a reset between the first and the last term."""
    bench = Bench(dut, str(unit), stalls)
    await bench.start()
    for seed in ("first", "second"):
        work = _work(unit, f"{stalls} {seed}")
        bench.source.put(work.taken)
        assert await bench.receive(len(work.given), 500 + 100 * len(work.taken)) == work.given
        await bench.finish()
        bench.source.put(work.taken)
        terms_in_turn = len(unit.planes if isinstance(unit, Planes) else unit.coefficients)
        for _ in range(RESULTS * terms_in_turn + terms_in_turn // 2 + 2):
            await bench.step()
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS))
async def rate(dut: Any, unit: Planes | Terms) -> None:
    """A word taken in every clock, and the stages that the page on the unit names."""
    bench = Bench(dut, str(unit), STALLS[0])
    await bench.start()
    work = _work(unit, "rate")
    bench.source.put(work.taken)
    assert await bench.receive(len(work.given), 50 + 2 * len(work.taken)) == work.given
    clocks = bench.sink.clocks
    each = len(work.taken) // len(work.given)
    assert clocks[-1] - clocks[0] == len(work.taken) - each
    stages = 0 if isinstance(unit, Planes) else 1 if unit.doubles else 3
    assert clocks[0] == 1 + each + stages


def _case(unit: Planes | Terms) -> Case:
    if isinstance(unit, Planes):
        count = len(unit.planes)
        parameters = {
            "LANES": str(unit.lanes),
            "BITS": str(unit.bits),
            "FOLDS": str(unit.folds),
            "TERMS": str(count),
            "PLANES": bits(join(unit.planes, unit.bits), count * unit.bits),
        }
        ports = (Port("s", unit.lanes * unit.bits, True), Port("m", unit.lanes, False))
        return Case(str(unit), "xh_plane", parameters, ports)
    count = len(unit.coefficients)
    parameters = {
        "LANES": str(unit.lanes),
        "IN_BITS": str(unit.in_bits),
        "TERMS": str(count),
        "COEF_BITS": str(unit.coef_bits),
        "COEFFICIENTS": bits(join(unit.coefficients, unit.coef_bits), count * unit.coef_bits),
        "OUT_BITS": str(unit.width),
    }
    ports = (Port("s", unit.lanes * unit.in_bits, True), Port("m", unit.lanes * unit.width, False))
    return Case(str(unit), "xh_terms", parameters, ports)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [_case(unit) for unit in UNITS]


def test_terms() -> None:
    run_bench("terms", __name__, cases())
