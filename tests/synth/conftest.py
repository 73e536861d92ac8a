"""A build of the small network at a clock that is no tool's default, and stand-ins for the vendor's tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import xnorhw
from tests.plan.networks import Linear, network
from xnorhw.board import load_board
from xnorhw.plan import make_plan
from xnorhw.plan.model import Plan


def one_turn_plan() -> Plan:
    """64 inputs, two sums: a beat in, a beat out, and every stage takes one turn a frame."""
    return make_plan(network((64, 1, 1), [Linear(8), Linear(2)]), load_board("pynq-z2"))


ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "tests" / "vendor"
CLOCK_MHZ = 125.0


def require_tclsh() -> str:
    """The Tcl shell; skips the test where it is missing, or fails it where CI is set."""
    found = shutil.which("tclsh")
    if found is None:
        message = "tclsh is missing: on Debian and Ubuntu run: apt install tcl"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return found


def program(folder: Path, name: str, text: str) -> Path:
    """An executable shell script ``name`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def fast_build(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build at CLOCK_MHZ of a pixel a clock, to be read only."""
    out = tmp_path_factory.mktemp("fast") / "out"
    rate = CLOCK_MHZ * 1e6 / 36
    xnorhw.load(small_model).build("pynq-z2", out, clock_mhz=CLOCK_MHZ, target_fps=rate, goal="latency")
    return out


@pytest.fixture
def build(fast_build: Path, tmp_path: Path) -> xnorhw.Build:
    """A copy of that build."""
    shutil.copytree(fast_build, tmp_path / "out")
    return xnorhw.Build(tmp_path / "out")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH for stand-ins; no tool of the vendor's lies behind it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    rest = [
        p
        for p in os.environ["PATH"].split(os.pathsep)
        if not any((Path(p) / name).exists() for name in ("vitis_hls", "vitis-run", "vivado"))
    ]
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), *rest]))
    for name in [name for name in os.environ if name.startswith("STANDIN_")]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def vitis(tools: Path) -> Path:
    """The stand-in for Vitis HLS on PATH as ``vitis_hls``."""
    return program(tools, "vitis_hls", f'exec "{require_tclsh()}" "{VENDOR / "vitis_hls.tcl"}" "$@"')
