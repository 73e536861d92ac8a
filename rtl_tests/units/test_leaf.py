"""Matrix units with their weights built into their adders: every word, as LUTs and as ones counted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import join, matrix
from rtl_tests.runner import Case, Port, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named
from xnorhw.emit.leaf import LeafUnit, leaf_unit, module
from xnorhw.emit.popcount import module_text
from xnorhw.plan.model import MatrixUnit, Memory, WeightRom

LEAF_STALLS = (
    *STALLS,
    Stalls("slow_starts", 0.6, 0.0, 9, only="t"),
    Stalls("slow_activations", 0.6, 0.0, 4, only="s"),
)


@dataclass(frozen=True)
class Leaf:
    """A matrix unit with folds x groups words of weights; ``ones``: what XH_COUNTONES reads.

    ``pixels`` at once.
    """

    pe: int
    simd: int
    folds: int
    groups: int
    raw: bool = False
    stages: int = 0
    ones: bool = False
    pixels: int = 1

    def __str__(self) -> str:
        kind = ("raw" if self.raw else "bit") + ("ones" if self.ones else "luts")
        kind += f"m{self.pixels}" if self.pixels > 1 else ""
        return f"p{self.pe}s{self.simd}f{self.folds}g{self.groups}r{self.stages}{kind}"

    @property
    def depth(self) -> int:
        return self.folds * self.groups

    @property
    def unit(self) -> LeafUnit:
        """As the emitter takes it."""
        start = (self.simd * self.folds).bit_length() + 2
        matrix_unit = MatrixUnit(
            str(self),
            self.pe,
            self.simd,
            1,
            False,
            True,
            self.folds,
            self.groups,
            start,
            start + 1,
            not self.raw,
            32 if self.raw else 1,
            leaf=True,
            count_stages=self.stages,
            pixels=self.pixels,
        )
        rom = WeightRom("weights", self.pe * self.simd, self.depth, Memory.LEAF, "weights.mem")
        return leaf_unit(matrix_unit, rom, "fc", f"leaf_{self}", "test")

    @property
    def weights(self) -> np.ndarray:
        """[words, PE, SIMD] of 0 and 1, a PE of zeros and one of ones among them."""
        drawn = np.random.default_rng([self.pe, self.simd, self.depth]).integers(
            0, 2, (self.depth, self.pe, self.simd)
        )
        drawn[0, 0], drawn[-1, -1] = 0, 1
        return drawn


UNITS = tuple(
    Leaf(*sizes, stages=stages, raw=raw, ones=ones, pixels=pixels)
    for ones in (False, True)
    for *sizes, stages, raw, pixels in (
        (1, 1, 1, 1, 0, False, 1),
        (3, 7, 1, 2, 0, False, 1),
        (2, 9, 3, 1, 0, True, 1),
        (4, 27, 2, 2, 0, False, 1),
        (5, 64, 1, 4, 1, False, 1),
        (2, 100, 4, 1, 2, True, 1),
        (2, 130, 1, 3, 1, False, 1),
        (3, 9, 1, 1, 0, False, 4),
        (2, 50, 1, 1, 1, True, 3),
    )
)


@dataclass(frozen=True)
class _Work:
    activations: list[int]
    starts: list[int]
    results: list[int]


def _work(leaf: Leaf, pixels: int, seed: str) -> _Work:
    """Words of one bit, of its complement, of no and all bits, of bits in turn, and random ones."""
    generator = np.random.default_rng(list(seed.encode()))
    count, sums = leaf.simd * leaf.folds, pixels * leaf.groups
    activations = generator.integers(0, 2, (sums, count))
    activations[0], activations[1] = 0, 1
    activations[2 % sums] = np.arange(count) % 2
    for i in range(3, sums, 3):
        activations[i] = np.arange(count) == generator.integers(count)
    for i in range(4, sums, 6):
        activations[i] = np.arange(count) != generator.integers(count)
    # the words go round: those of a sum are its group's
    words = leaf.weights.reshape(leaf.groups, leaf.folds, leaf.pe, leaf.simd).transpose(0, 2, 1, 3)
    rows = 2 * words.reshape(leaf.groups, leaf.pe, count) - 1
    weights = np.tile(rows, (pixels, 1, 1))
    alone = matrix(activations, weights, np.zeros((sums, leaf.pe), np.int64), True, False) // 2
    # most starts close to where the bit turns
    starts = -alone + generator.integers(-1, 2, alone.shape)
    results = matrix(activations, weights, starts, True, not leaf.raw)
    unit = leaf.unit.unit
    return _Work(
        [join(list(word), 1) for word in activations.reshape(-1, leaf.pixels * leaf.simd)],
        [join(list(word), unit.start_bits) for word in starts.reshape(-1, unit.rows)],
        [join(list(word), unit.out_bits) for word in results.reshape(-1, unit.rows)],
    )


@cocotb.test()
@cocotb.parametrize(leaf=named(UNITS), stalls=named(LEAF_STALLS))
async def products(dut: Any, leaf: Leaf, stalls: Stalls) -> None:
    """Sums and bits against NumPy, before and after a reset inside a sum."""
    bench = Bench(dut, str(leaf), stalls, sources=("s", "t"))
    await bench.start()
    pixels = 24
    for seed in ("first", "second"):
        work = _work(leaf, pixels, f"{leaf} {stalls} {seed}")
        for port, words in (("s", work.activations), ("t", work.starts)):
            bench.sources[port].put(words)
        total = len(work.results)
        assert await bench.receive(total, 500 + 100 * total * leaf.folds) == work.results
        await bench.finish()
        for port, words in (("s", work.activations), ("t", work.starts)):
            bench.sources[port].put(words)
        for _ in range(total * leaf.folds // 2 + 5):
            await bench.step()
        await bench.reset()


@cocotb.test()
@cocotb.parametrize(leaf=named(UNITS))
async def rate(dut: Any, leaf: Leaf) -> None:
    """One activation word a clock, from sum to sum."""
    bench = Bench(dut, str(leaf), STALLS[0], sources=("s", "t"))
    await bench.start()
    work = _work(leaf, 12, "rate")
    bench.sources["s"].put(work.activations)
    bench.sources["t"].put(work.starts)
    total = len(work.results)
    assert await bench.receive(total, 100 + 2 * total * leaf.folds) == work.results
    assert [b - a for a, b in pairwise(bench.sink.clocks)] == [leaf.folds] * (total - 1)


def _modules() -> dict[str, str]:
    """Each unit's module, those that count ones without the macro that asks for it, and the adders."""
    files: dict[str, str] = {}
    for leaf in UNITS:
        unit = leaf.unit
        words = [join(list(word), 1) for word in leaf.weights.reshape(leaf.depth, -1)]
        text = module(unit, words)
        if leaf.ones:
            text = text.replace("`ifdef XH_COUNTONES", "`ifndef XH_COUNTONES")
        files[f"{unit.module}.sv"] = text
        files[f"{unit.adders}.sv"] = module_text(unit.netlist, unit.adders)
    return files


def cases() -> list[Case]:
    """Every instance of the bench."""
    found = []
    for leaf in UNITS:
        unit = leaf.unit.unit
        ports = (
            Port("s", leaf.pixels * leaf.simd, True),
            Port("t", unit.rows * unit.start_bits, True),
            Port("m", unit.rows * unit.out_bits, False),
        )
        found.append(Case(str(leaf), leaf.unit.module, {}, ports))
    return found


def test_leaf() -> None:
    run_bench("leaf", __name__, cases(), modules=_modules())
