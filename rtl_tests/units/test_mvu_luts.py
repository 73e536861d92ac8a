"""xh_mvu with counts that are netlists of LUTs, on models of the primitives: the benches of test_mvu."""

from __future__ import annotations

from typing import Any

import cocotb

from rtl_tests.runner import run_bench
from rtl_tests.streams import Stalls, named
from rtl_tests.units import test_mvu
from rtl_tests.units.test_mvu import MVU_STALLS, Matrix
from xnorhw.emit.popcount import texts

MATRICES = (
    Matrix(1, 1, "bipolar", 1, False, start_bits=1),
    Matrix(1, 1, "bipolar", 5, True, start_bits=3, stages=1),
    Matrix(4, 8, "bipolar", 3, False),
    Matrix(3, 7, "bipolar", 4, False, groups=3, stages=2),
    Matrix(4, 64, "bipolar", 9, False, groups=4, start_bits=11),
    Matrix(4, 64, "bipolar", 2, True, start_bits=9, stages=1),
    Matrix(2, 100, "bipolar", 1, False, start_bits=9, stages=3),
    Matrix(2, 40, "bipolar", 2, False, start_bits=5, narrow=5),
)


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES), stalls=named(MVU_STALLS))
async def products(dut: Any, unit: Matrix, stalls: Stalls) -> None:
    """Sums and bits against NumPy under every stall pattern."""
    await test_mvu.check_products(dut, unit, stalls)


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES))
async def rate(dut: Any, unit: Matrix) -> None:
    """One activation word a clock, and the clocks through the count's registers."""
    await test_mvu.check_rate(dut, unit)


def test_mvu_luts() -> None:
    modules = texts(sorted({(unit.simd, unit.stages) for unit in MATRICES}))
    run_bench("mvu_luts", __name__, [test_mvu.case(unit) for unit in MATRICES], modules=modules)
