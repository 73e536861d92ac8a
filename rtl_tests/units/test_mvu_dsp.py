"""xh_mvu with columns of DSPs, on a model of the primitive and as simulations of networks have it."""

from __future__ import annotations

from typing import Any

import cocotb
import pytest

from rtl_tests.runner import run_bench
from rtl_tests.streams import Stalls, named
from rtl_tests.units import test_mvu
from rtl_tests.units.test_mvu import MVU_STALLS, Matrix

MATRICES = (
    # the most codes that a lane holds, with all weights alike and all codes at an end among the words
    Matrix(7, 31, "s8", 1, False, start_bits=14, dsp_pes=7, packed=3),
    Matrix(3, 16, "u8", 2, True, start_bits=12, dsp_pes=3, packed=3),
    Matrix(4, 16, "u4", 1, True, dsp_pes=4, packed=4),
    Matrix(2, 21, "s8", 2, False, start_bits=14, dsp_pes=2, packed=3),
    Matrix(5, 20, "u2", 3, False, start_bits=9, dsp_pes=5, packed=5),
    Matrix(7, 14, "u1", 2, True, dsp_pes=7, packed=7),
    Matrix(2, 45, "u8", 1, False, start_bits=15, dsp_pes=2, packed=2),
    # one, two and three segments, some PEs in LUTs, columns that are not full
    Matrix(4, 2, "s8", 3, False, start_bits=11, dsp_pes=2, packed=3),
    Matrix(6, 5, "s8", 3, True, start_bits=4, dsp_pes=4, packed=3),
    Matrix(4, 9, "s8", 3, False, groups=2, start_bits=13, dsp_pes=4, packed=3),
    Matrix(5, 27, "s8", 1, False, start_bits=14, dsp_pes=3, packed=3),
    Matrix(5, 7, "s4", 2, True, dsp_pes=5, packed=5),
    Matrix(9, 6, "s2", 2, False, start_bits=6, dsp_pes=8, packed=7),
    Matrix(3, 8, "s3", 2, True, dsp_pes=1, packed=1),
    Matrix(2, 5, "s8", 3, True, start_bits=4, narrow=7, dsp_pes=2, packed=2),
    Matrix(3, 4, "u6", 2, False, start_bits=6, narrow=6, dsp_pes=3, packed=3),
)


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES), stalls=named(MVU_STALLS))
async def products(dut: Any, unit: Matrix, stalls: Stalls) -> None:
    """Sums and bits against NumPy under every stall pattern."""
    await test_mvu.check_products(dut, unit, stalls)


@cocotb.test()
@cocotb.parametrize(unit=named(MATRICES))
async def rate(dut: Any, unit: Matrix) -> None:
    """One activation word a clock, and the clocks through the columns' registers."""
    await test_mvu.check_rate(dut, unit)


def test_mvu_dsp() -> None:
    run_bench("mvu_dsp", __name__, [test_mvu.case(unit) for unit in MATRICES])


@pytest.mark.long
def test_mvu_without_primitives() -> None:
    run_bench("mvu_dsp_plain", __name__, [test_mvu.case(unit) for unit in MATRICES], macros=["XH_COUNTONES"])
