"""xh_mvu: bipolar and coded activations, binary and integer weights, thresholded and raw, any PE, SIMD
and folding, each of its four streams stalled by itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import Ints, join, matrix
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

SUMS = 24
MVU_STALLS = (
    *STALLS,
    Stalls("slow_weights", 0.6, 0.0, 4, only="w"),
    Stalls("slow_starts", 0.6, 0.0, 9, only="t"),
    Stalls("slow_activations", 0.6, 0.0, 4, only="s"),
)


@dataclass(frozen=True)
class Matrix:
    """A matrix unit; ``act`` is bipolar, u<bits> or s<bits>.

    ``narrow`` is an accumulator too short for every value: results are those modulo its range.
    ``weight_bits`` more than 1: integer weights.  ``stages``: registers inside of a count.  ``dsp_pes``: the
    first so many PEs are columns of DSPs, for ``packed`` PEs each.  ``pixels`` at once.
    """

    pe: int
    simd: int
    act: str
    folds: int
    raw: bool
    groups: int = 1
    start_bits: int = 8
    narrow: int = 0
    weight_bits: int = 1
    stages: int = 0
    dsp_pes: int = 0
    packed: int = 1
    pixels: int = 1

    def __str__(self) -> str:
        kind = ("raw" if self.raw else "bit") + (f"a{self.narrow}" if self.narrow else "")
        kind += f"n{self.stages}" if self.stages else ""
        kind += f"w{self.weight_bits}" if self.full else ""
        kind += f"d{self.dsp_pes}x{self.packed}" if self.dsp_pes else ""
        kind += f"m{self.pixels}" if self.pixels > 1 else ""
        return f"p{self.pe}s{self.simd}{self.act}f{self.folds}{kind}t{self.start_bits}"

    @property
    def bipolar(self) -> bool:
        return self.act == "bipolar"

    @property
    def full(self) -> bool:
        return self.weight_bits > 1

    @property
    def counts(self) -> bool:
        """Signs times signs, of which the unit counts the ones."""
        return self.bipolar and not self.full

    @property
    def act_bits(self) -> int:
        return 1 if self.bipolar else int(self.act[1:])

    @property
    def act_range(self) -> tuple[int, int]:
        """Smallest and largest activation."""
        if self.act[0] == "s":
            return -(1 << (self.act_bits - 1)), (1 << (self.act_bits - 1)) - 1
        return 0, (1 << self.act_bits) - 1

    @property
    def start_range(self) -> tuple[int, int]:
        """Smallest and largest start value."""
        return -(1 << (self.start_bits - 1)), (1 << (self.start_bits - 1)) - 1

    @property
    def acc_bits(self) -> int:
        """Bits that hold every value of the accumulator, or ``narrow``."""
        if self.narrow:
            return self.narrow
        low, high = self.start_range
        if self.counts and self.raw:
            low, high = low >> 1, high >> 1
        count = self.simd * self.folds
        most = count if self.bipolar else count * max(abs(v) for v in self.act_range)
        most <<= self.weight_bits - 1
        low, high = low - (0 if self.counts else most), high + most
        return 1 + max((~low).bit_length(), high.bit_length())

    @property
    def out_bits(self) -> int:
        """A raw result is padded to 32 bits, as the last layer's is."""
        return 32 if self.raw else 1


MATRICES = (
    Matrix(1, 1, "bipolar", 1, False, start_bits=1),
    Matrix(1, 1, "bipolar", 5, True, start_bits=3),
    Matrix(4, 8, "bipolar", 3, False),
    Matrix(4, 8, "bipolar", 1, False, start_bits=5),
    Matrix(16, 64, "bipolar", 9, False, groups=4, start_bits=11),
    Matrix(3, 7, "bipolar", 4, False, groups=3),
    Matrix(5, 13, "bipolar", 2, True, groups=2),
    Matrix(10, 32, "bipolar", 4, True, start_bits=9),
    Matrix(2, 9, "bipolar", 1, True),
    Matrix(2, 100, "bipolar", 2, False, start_bits=9),
    Matrix(4, 3, "s8", 9, False, start_bits=14),
    Matrix(4, 3, "u8", 9, False, groups=2, start_bits=14),
    Matrix(2, 5, "s8", 3, True, start_bits=4),
    Matrix(2, 5, "u8", 3, True, start_bits=12),
    Matrix(3, 1, "s4", 7, False),
    Matrix(1, 16, "u2", 2, False),
    Matrix(2, 6, "s2", 3, True),
    Matrix(2, 4, "u1", 3, False, start_bits=5),
    Matrix(2, 4, "s1", 1, True, start_bits=5),
    Matrix(5, 11, "s7", 2, False, start_bits=13),
    Matrix(1, 1, "u3", 1, True, start_bits=1),
    # more chains of pairs than one, pairs alone, one PE that shares with none
    Matrix(3, 27, "s8", 1, False, start_bits=14),
    Matrix(2, 27, "u8", 2, True, start_bits=12),
    Matrix(2, 64, "u2", 1, True),
    Matrix(2, 2, "s1", 2, True),
    Matrix(1, 27, "s8", 2, True, start_bits=12),
    Matrix(1, 9, "u4", 1, False),
    Matrix(2, 40, "bipolar", 2, False, start_bits=5, narrow=5),
    Matrix(4, 64, "bipolar", 3, False, start_bits=9, stages=1),
    Matrix(2, 40, "bipolar", 1, True, start_bits=7, stages=2),
    Matrix(3, 7, "bipolar", 4, True, groups=3, stages=1),
    Matrix(2, 5, "s8", 3, True, start_bits=4, narrow=7),
    Matrix(3, 4, "u6", 2, False, start_bits=6, narrow=6),
    # integer weights: in DSPs, in LUTs, on signs
    Matrix(4, 3, "s8", 9, False, start_bits=20, weight_bits=8),
    Matrix(3, 5, "u8", 4, True, groups=2, start_bits=12, weight_bits=8),
    Matrix(2, 6, "u4", 1, True, weight_bits=5),
    Matrix(1, 1, "s4", 3, False, start_bits=9, weight_bits=6),
    Matrix(2, 4, "s5", 1, False, start_bits=12, weight_bits=4),
    Matrix(2, 5, "s3", 3, True, weight_bits=8),
    Matrix(3, 4, "u2", 2, False, start_bits=10, weight_bits=2),
    Matrix(2, 7, "u1", 3, True, weight_bits=7),
    Matrix(2, 4, "s1", 2, False, weight_bits=3),
    Matrix(2, 4, "s8", 2, True, weight_bits=3),
    Matrix(4, 9, "bipolar", 3, False, start_bits=12, weight_bits=8),
    Matrix(5, 13, "bipolar", 2, True, groups=2, weight_bits=8),
    Matrix(1, 1, "bipolar", 1, True, start_bits=1, weight_bits=2),
    Matrix(2, 5, "u8", 3, True, start_bits=4, narrow=7, weight_bits=6),
    Matrix(2, 6, "bipolar", 2, False, start_bits=5, narrow=5, weight_bits=5),
    # several pixels at once: counts with and without registers, codes that PEs share or not, integers, signs
    Matrix(3, 7, "bipolar", 1, False, pixels=2),
    Matrix(2, 40, "bipolar", 1, True, start_bits=7, stages=2, pixels=3),
    Matrix(3, 9, "s8", 1, False, start_bits=14, pixels=4),
    Matrix(1, 5, "u4", 1, True, start_bits=12, pixels=2),
    Matrix(2, 6, "u8", 1, True, weight_bits=8, pixels=2),
    Matrix(2, 5, "s3", 1, False, start_bits=9, weight_bits=3, pixels=3),
    Matrix(3, 6, "bipolar", 1, True, weight_bits=4, pixels=2),
)


@dataclass(frozen=True)
class _Work:
    activations: list[int]
    weights: list[int]
    starts: list[int]
    results: list[int]


def _work(unit: Matrix, sums: int, seed: str) -> _Work:
    """Random words for ``sums`` sums, with extreme ones among them, and what must come out."""
    generator = np.random.default_rng(list(seed.encode()))
    count = unit.simd * unit.folds
    low, high = unit.act_range
    activations = generator.integers(low, high, (sums, count), endpoint=True)
    weights = generator.choice([-1, 1], (sums, unit.pe, count))
    lightest, heaviest = -1, 1
    if unit.full:
        lightest, heaviest = -(1 << unit.weight_bits - 1), (1 << unit.weight_bits - 1) - 1
        weights = generator.integers(lightest, heaviest, weights.shape, endpoint=True)
    first, last = unit.start_range
    starts = generator.integers(first, last, (sums, unit.pe), endpoint=True)
    if not unit.raw:
        # most starts close to where the bit turns, exact ties among them
        sum_alone = _sums(unit, activations, weights, np.zeros_like(starts), False)
        near = -(sum_alone // 2 if unit.counts else sum_alone) + generator.integers(-1, 2, starts.shape)
        starts = np.where(generator.random(starts.shape) < 0.7, np.clip(near, first, last), starts)
    activations[0], weights[0], starts[0] = high, heaviest, last
    activations[1], weights[1], starts[1] = low, heaviest, first
    activations[2], weights[2], starts[2] = low, lightest, last
    activations[3], weights[3], starts[3] = high, lightest, first
    # the pixels of a word share its weights
    weights = np.repeat(weights[:: unit.pixels], unit.pixels, axis=0)
    results = _sums(unit, activations, weights, starts, not unit.raw)
    if unit.narrow:
        sums_alone = _sums(unit, activations, weights, np.zeros_like(starts), False)
        half = 1 << (unit.narrow - 1)
        total = starts + (sums_alone // 2 if unit.counts else sums_alone)
        total = (total + half) % (2 * half) - half
        results = total if unit.raw else (total >= 0).astype(np.int64)
    given = sums // unit.pixels
    words = activations.reshape(given * unit.folds, unit.pixels * unit.simd)
    rows = weights[:: unit.pixels].reshape(given, unit.pe, unit.folds, unit.simd).transpose(0, 2, 1, 3)
    rows = rows if unit.full else rows == 1
    return _Work(
        [join(list(word), unit.act_bits) for word in words],
        [join(list(word.flatten()), unit.weight_bits) for word in rows.reshape(given * unit.folds, -1)],
        [join(list(word), unit.start_bits) for word in starts.reshape(given, -1)],
        [join(list(word), unit.out_bits) for word in results.reshape(given, -1)],
    )


def _sums(unit: Matrix, activations: Ints, weights: Ints, starts: Ints, thresholded: bool) -> Ints:
    if unit.full and unit.bipolar:
        activations = 2 * activations - 1
    return matrix(activations, weights, starts, unit.counts, thresholded)


def _put(bench: Bench, work: _Work) -> None:
    bench.sources["s"].put(work.activations)
    bench.sources["w"].put(work.weights)
    bench.sources["t"].put(work.starts)


def _bench(dut: Any, unit: Matrix, stalls: Stalls) -> Bench:
    return Bench(dut, str(unit), stalls, sources=("s", "w", "t"))


async def check_products(dut: Any, unit: Matrix, stalls: Stalls) -> None:
    """Sums and bits against NumPy, before and after a reset inside a sum."""
    bench = _bench(dut, unit, stalls)
    await bench.start()
    for seed in ("first", "second"):
        work = _work(unit, SUMS * unit.pixels, f"{unit} {stalls} {seed}")
        _put(bench, work)
        assert await bench.receive(SUMS, 500 + 100 * SUMS * unit.folds) == work.results
        await bench.finish()
        _put(bench, work)
        for _ in range(SUMS * unit.folds // 2 + 5):
            await bench.step()
        await bench.reset()


async def check_rate(dut: Any, unit: Matrix) -> None:
    """One activation word a clock, from sum to sum, and the clocks that the page on the unit names."""
    bench = _bench(dut, unit, STALLS[0])
    await bench.start()
    work = _work(unit, SUMS * unit.pixels, "rate")
    _put(bench, work)
    assert await bench.receive(SUMS, 100 + 2 * SUMS * unit.folds) == work.results
    clocks = bench.sink.clocks
    assert [b - a for a, b in pairwise(clocks)] == [unit.folds] * (SUMS - 1)
    if unit.counts:
        assert clocks[0] == unit.folds + 1 + 2 + unit.stages


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES), stalls=named(MVU_STALLS))
async def products(dut: Any, unit: Matrix, stalls: Stalls) -> None:
    """Every unit under every stall pattern."""
    await check_products(dut, unit, stalls)


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES))
async def rate(dut: Any, unit: Matrix) -> None:
    """Every unit at full rate."""
    await check_rate(dut, unit)


def case(unit: Matrix) -> Case:
    parameters = {
        "PE": str(unit.pe),
        "SIMD": str(unit.simd),
        "ACT_BITS": str(unit.act_bits),
        "ACT_SIGNED": f"1'b{int(unit.act[0] == 's')}",
        "ACT_BIPOLAR": f"1'b{int(unit.bipolar)}",
        "FOLDS": str(unit.folds),
        "GROUPS": str(unit.groups),
        "START_BITS": str(unit.start_bits),
        "ACC_BITS": str(unit.acc_bits),
        "WEIGHT_BITS": str(unit.weight_bits),
        "THRESHOLDED": f"1'b{int(not unit.raw)}",
        "OUT_BITS": str(unit.out_bits),
        "COUNT_STAGES": str(unit.stages),
        "DSP_PES": str(unit.dsp_pes),
        "PACKED": str(unit.packed),
        "PIXELS": str(unit.pixels),
    }
    ports = (
        Port("s", unit.pixels * unit.simd * unit.act_bits, True),
        Port("w", unit.pe * unit.simd * unit.weight_bits, True),
        Port("t", unit.pixels * unit.pe * unit.start_bits, True),
        Port("m", unit.pixels * unit.pe * unit.out_bits, False),
    )
    return Case(str(unit), "xh_mvu", parameters, ports)


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [case(unit) for unit in MATRICES]


def test_mvu() -> None:
    run_bench("mvu", __name__, cases())
