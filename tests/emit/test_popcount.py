"""Which form of the count a build has: netlists where its units say so, else the portable unit."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.plan.networks import digits
from xnorhw import resources
from xnorhw.board import load_board
from xnorhw.emit import popcount, rtl
from xnorhw.plan import make_plan
from xnorhw.plan.model import MatrixUnit, Plan


def planned(board: str, fps: float = 20_000.0) -> Plan:
    return make_plan(digits(), load_board(board), target_fps=fps)


def test_a_module_a_width() -> None:
    plan = planned("pynq-z2")
    counts = popcount.counts_of(plan)
    units = [u for u in plan.units if isinstance(u, MatrixUnit) and u.lut6_2 and not u.leaf]
    assert counts and {(u.simd, u.count_stages) for u in units} == set(counts)
    files = rtl.files(plan, 1)
    names = [name for name in files if re.fullmatch(r"rtl/xh_popcount_\d+_\d+\.sv", name)]
    assert names == sorted(f"rtl/{popcount.module_name(*count)}.sv" for count in counts)
    listed = files["rtl/files.f"].split()
    assert all(name.removeprefix("rtl/") in listed for name in names)
    for lanes, stages in counts:
        assert f"if (SIMD == {lanes} && STAGES == {stages})" in files["rtl/xh_popcount.sv"]
    stages = {u.count_stages for u in units}
    assert all(f".COUNT_STAGES({n})" in files["rtl/accel_core.sv"] for n in stages if n)


def test_the_family_has_its_carry_chains() -> None:
    for board, primitive, other in (("pynq-z2", "CARRY4", "CARRY8"), ("zcu104", "CARRY8", "CARRY4")):
        plan = planned(board)
        texts = "".join(popcount.files(plan).values())
        assert "LUT6_2" in texts and other not in texts
        assert primitive in popcount.module_text(
            popcount.count_netlist(64), "count", carry8=plan.family == "xcup"
        )


def test_other_devices_have_the_portable_unit() -> None:
    plan = planned("pynq-z2")
    units = tuple(
        replace(u, lut6_2=False, count_stages=0) if isinstance(u, MatrixUnit) else u for u in plan.units
    )
    plain = replace(plan, units=units, family="")
    assert popcount.files(plain) == {}
    files = rtl.files(plain, 1)
    assert files["rtl/xh_popcount.sv"] == resources.read_text("templates/rtl/xh_popcount.sv")
    assert not [name for name in files if re.search(r"popcount_\d", name)]


def test_a_clock_asks_for_registers() -> None:
    """Registers inside of the counts, and the clocks that they add to the latency."""
    graph, board = digits(), load_board("pynq-z2")
    slow, fast = (make_plan(graph, board, clock_mhz=mhz, target_fps=10_000.0) for mhz in (40.0, 200.0))
    stages = [sum(u.count_stages for u in p.units if isinstance(u, MatrixUnit)) for p in (slow, fast)]
    assert stages[0] == 0 < stages[1]
