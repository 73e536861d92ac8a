"""The bench of a build folder, on the folder as it is: `pytest rtl_tests --build out`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rtl_tests.runner import require_simulator
from xnorhw.sim.tools import verilator_environment


def test_build_folder(pytestconfig: pytest.Config) -> None:
    require_simulator()
    build = Path(pytestconfig.getoption("--build"))
    runner = build / "sim" / "run.py"
    if not runner.is_file():
        pytest.fail(f"{build} is no build folder: it has no sim/run.py", pytrace=False)
    done = subprocess.run(
        [sys.executable, str(runner), "--work", str(build / "work" / "cocotb")],
        env=verilator_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail("\n".join(done.stdout.splitlines()[-60:]), pytrace=False)
    assert "tests passed" in done.stdout.splitlines()[-1]
