"""Builds a top that holds many parameterisations of one unit and runs cocotb tests on it.

A cold build costs seconds whatever its size, a case almost nothing: so each unit has one
build, and the cases are the tests inside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from xnorhw import resources
from xnorhw.sim.tools import missing_tools, verilator_environment

__all__ = [
    "PRIMITIVES", "TOP", "Case", "Port", "bits", "require_simulator", "run_bench", "top_text", "without",
]  # fmt: skip

TOP = "xh_bench"
PRIMITIVES = Path(__file__).resolve().parent / "primitives"
"""Models of the primitives that netlists instantiate."""
WORK = Path(__file__).resolve().parent.parent / "work" / "rtl_tests"
# only the top's ports are public: with every signal, as the runner's own build has it, the C++ is
# five times as long
_FLAGS = ("--vpi", "--public-depth", "1", "-Wall", "--assert")
# the simulations are short: compiling well would take longer than it saves
_MAKE = ("OPT_FAST=-O1",)


@dataclass(frozen=True)
class Port:
    """A stream port of a unit: its prefix, the bits of a word, whether the unit takes words.

    ``monitor`` names the file of a monitor on it; empty for none.  ``of``: the prefix of the unit's
    port where that is a vector of several streams, of which those named here are parts, the first
    lowest; empty where it is the stream's own.
    """

    name: str
    width: int
    taken: bool
    monitor: str = ""
    of: str = ""


@dataclass(frozen=True)
class Case:
    """One instance: its prefix in the top, its parameters as SystemVerilog text, its streams."""

    name: str
    unit: str
    parameters: Mapping[str, str]
    ports: tuple[Port, ...]


def bits(value: int, width: int) -> str:
    """A sized SystemVerilog constant."""
    return f"{width}'h{value:x}"


def _range(width: int) -> str:
    return f"[{width - 1}:0] "


def top_text(cases: Sequence[Case]) -> str:
    """The top: clock and reset for all, every case's streams as ports."""
    ports = ["  input  logic clk_i", "  input  logic rst_ni"]
    instances = []
    for case in cases:
        connections = ["    .clk_i", "    .rst_ni"]
        vectors: dict[str, list[str]] = {}
        for port in case.ports:
            inward, outward = ("i", "o") if port.taken else ("o", "i")
            for signal, direction, width in (
                ("valid", inward, 1),
                ("ready", outward, 1),
                ("data", inward, port.width),
            ):
                kind = "input " if direction == "i" else "output"
                # a stream's word is a vector even when it has one bit
                size = _range(width) if signal == "data" else ""
                ports.append(f"  {kind} logic {size}{case.name}_{port.name}_{signal}_{direction}")
                wire = f"{case.name}_{port.name}_{signal}_{direction}"
                vectors.setdefault(f"{port.of or port.name}_{signal}_{direction}", []).append(wire)
            if port.monitor:
                instances.append(_monitor(case, port))
        parameters = ",\n".join(f"    .{name}({value})" for name, value in case.parameters.items())
        for name, wires in vectors.items():
            connections.append(
                f"    .{name}({', '.join(wires)})"
                if len(wires) == 1
                else f"    .{name}({{{', '.join(reversed(wires))}}})"
            )
        joined = ",\n".join(connections)
        instances.append(f"  {case.unit} #(\n{parameters}\n  ) i_{case.name} (\n{joined}\n  );\n")
    return (
        f"module {TOP} (\n" + ",\n".join(ports) + "\n);\n\n" + "\n".join(instances) + f"\nendmodule : {TOP}\n"
    )


def _monitor(case: Case, port: Port) -> str:
    stream = f"{case.name}_{port.name}"
    inward, outward = ("i", "o") if port.taken else ("o", "i")
    return (
        f'  xh_monitor #(.WIDTH({port.width}), .NAME("{port.monitor}")) i_{stream}_monitor (\n'
        f"    .clk_i, .rst_ni, .valid_i({stream}_valid_{inward}), .ready_i({stream}_ready_{outward}),\n"
        f"    .data_i({stream}_data_{inward})\n  );\n"
    )


def require_simulator() -> None:
    """Skip the test where a tool is missing, or fail it where CI is set."""
    missing = missing_tools()
    if missing:
        without("; ".join(f"{tool.name} is missing: {tool.remedy}" for tool in missing))


def without(message: str) -> NoReturn:
    """Skip the test for want of a tool, or fail it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _environment() -> Iterator[None]:
    """cocotb's runner looks its tools up in this process's own environment."""
    before = dict(os.environ)
    os.environ.update(verilator_environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def run_bench(
    unit: str,
    module: str,
    cases: Sequence[Case],
    *,
    files: Mapping[str, str] | None = None,
    rewrite: Callable[[Path], None] | None = None,
    modules: Mapping[str, str] | None = None,
    macros: Sequence[str] = (),
) -> Path:
    """Build the cases of ``unit`` and run the cocotb tests of ``module`` on them.

    ``files`` are put into the simulation's working directory (ROM contents), which is
    returned.  ``rewrite`` may replace the top in that folder by something of the same
    behaviour, which need not be free of warnings.  ``modules`` (file name -> text) are found
    before those of the templates.  ``macros`` are defined.  Fails the pytest test with the
    list of
    the cocotb tests that failed.
    """
    require_simulator()
    from cocotb_tools.runner import get_runner

    text = top_text(cases)
    rtl = resources.path("templates/rtl")
    own = dict(sorted((modules or {}).items()))
    sources = [path.read_text() for path in (*sorted(rtl.glob("xh_*.sv")), *sorted(PRIMITIVES.glob("*.sv")))]
    digest = _digest([text, *own, *own.values(), *macros, *_FLAGS, *_MAKE, *sources])
    build = WORK / f"{unit}-{digest}"
    with _locked(WORK / f"{unit}.lock"), _environment():
        for old in WORK.glob(f"{unit}-*"):
            if old != build:
                shutil.rmtree(old)
        build.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (build / name).write_text(content)
        # named after its contents, the folder's program can only be the right one
        if not (build / TOP).is_file():
            (build / f"{TOP}.sv").write_text(text)
            if rewrite is not None:
                rewrite(build)
            for name, content in own.items():
                (build / name).write_text(content)
            flags = [*([f"-I{build}"] if own else []), f"-I{PRIMITIVES}", *(f"+define+{m}" for m in macros)]
            _compile(unit, build, rtl, flags if rewrite is None else [*flags, "-Wno-fatal"])
        results = build / "results.xml"
        run_log = build / "run.log"
        # an earlier run's results must not speak for this one
        results.unlink(missing_ok=True)
        ended = ""
        try:
            get_runner("verilator").test(
                test_module=module,
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=build,
                test_dir=build,
                results_xml=str(results),
                seed=1,
                log_file=run_log,
                extra_env={"COCOTB_ANSI_OUTPUT": "0"},
            )
        except (SystemExit, RuntimeError) as error:
            # an assertion of a unit ends the simulation before the tests have had their say
            ended = str(error)
        _judge(unit, results, run_log, ended)
    return build


def _compile(unit: str, build: Path, rtl: Path, flags: Sequence[str]) -> None:
    import cocotb_tools.config as cocotb

    libraries = cocotb.libs_dir
    main = cocotb.share_dir / "lib" / "verilator" / "verilator.cpp"
    verilate = [
        *("verilator", "--cc", "--exe", *_FLAGS, *flags),
        *("--timescale", "1ns/1ps", "--prefix", "Vtop", "--top-module", TOP, "-Mdir", str(build), "-o", TOP),
        *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"),
        *(f"-I{rtl}", str(main), str(build / f"{TOP}.sv")),
    ]
    make = ["make", "-j", "2", "-C", str(build), "-f", "Vtop.mk", *_MAKE]
    for command in (verilate, make):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            shown = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            pytest.fail(f"{unit} was not built by {command[0]}\n{shown}", pytrace=False)


def _tail(path: Path, lines: int = 40) -> str:
    return "\n".join(path.read_text().splitlines()[-lines:]) if path.is_file() else ""


def _judge(unit: str, results: Path, log: Path, ended: str) -> None:
    """Fail the pytest test unless every cocotb test ran and passed; ``ended``: the simulator's complaint."""
    if not results.is_file():
        pytest.fail(f"the simulation of {unit} left no results\n{_tail(log)}", pytrace=False)
    tests = list(ElementTree.parse(results).iter("testcase"))
    failed = [test for test in tests if any(child.tag in ("failure", "error") for child in test)]
    if not tests:
        pytest.fail(f"the simulation of {unit} ran no test\n{_tail(log)}", pytrace=False)
    if failed:
        lines = []
        for test in failed:
            reason = next(c for c in test if c.tag in ("failure", "error"))
            detail = (reason.get("error_msg") or reason.get("message") or reason.text or "").strip()
            lines.append(f"{test.get('name')}: {detail.splitlines()[-1] if detail else 'failed'}")
        shown = "\n".join(lines[:20])
        pytest.fail(f"{unit}: {len(failed)} of {len(tests)} failed\n{shown}", pytrace=False)
    if ended:
        pytest.fail(f"the simulation of {unit} broke off: {ended}\n{_tail(log)}", pytrace=False)
