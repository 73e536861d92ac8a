"""Frames through the accelerator under cocotb: the bench of the build folder, run in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xnorhw.emit.sim import observed_edges, stream_file, vectors
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.model import Plan
from xnorhw.sim.tools import require_tools, verilator_environment

__all__ = ["STALLED", "CocotbRun", "Core", "Outcome", "run_cocotb"]

Core = Literal["rtl", "hls"]
"""What stands in the shell: the RTL core, or the C++ core behind DPI-C."""

STALLED = "frames_with_stalls/source=30/sink=30"
"""The bench's test with random pauses on both sides."""

_COMPILE_FAILED, _TOOL_MISSING = 3, 4


@dataclass(frozen=True)
class Outcome:
    """One test of the bench: ``message`` is empty where it passed, else its first line."""

    test: str
    message: str


@dataclass(frozen=True)
class CocotbRun:
    """What the tests said, and what the last one of them observed.

    ``results`` uint8 [N, bytes of a result frame] and ``streams`` (words by tensor; lanes
    past the last channel are undefined) are what came, right or wrong; where the test broke
    off they hold less than N frames (``results`` then the whole ones alone).
    """

    outcomes: tuple[Outcome, ...]
    results: npt.NDArray[np.uint8]
    streams: Mapping[str, list[int]]

    @property
    def passed(self) -> bool:
        """True where at least one test ran and every one passed."""
        return bool(self.outcomes) and not any(outcome.message for outcome in self.outcomes)


def run_cocotb(
    files: Mapping[str, str],
    plan: Plan,
    graph: IntGraph,
    tensors: Mapping[str, npt.NDArray[Any]],
    work: Path,
    *,
    test: str = "",
    prefix: str = "accel",
    bench: str = "bench.json",
    seed: int = 1,
    waves: Path | None = None,
    core: Core = "rtl",
) -> CocotbRun:
    """Run the tests whose names hold ``test`` on the frames of ``tensors``.

    ``files`` is what the RTL, ROM and bench emitters give (or ``read_sources(build)``);
    ``tensors`` are the golden values [N, C, H, W] by name, as ``golden.run`` gives them: the
    bench sends the input and compares result and observed tensors with the rest.  ``bench``
    names the description in ``sim/``, ``prefix`` the network that it describes.  ``core``
    is what the shell holds.  The model is compiled in ``work`` or found there.

    Raises ToolError where a tool is missing or fails, VerifyError where the simulation ends
    without results.
    """
    require_tools()
    if importlib.util.find_spec("cocotb_tools") is None:
        raise ToolError(
            "cocotb is missing; it drives the bench with random stalls",
            module="simulation",
            remedy="Run: pip install 'xnorhw[sim]'",
        )
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cocotb-run-", dir=work) as temporary:
        place = Path(temporary)
        for path, text in {**files, **vectors(plan, graph, tensors)}.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text, encoding="utf-8", newline="\n")
        output, code = _execute(place, work, bench, test, seed, core, waves is not None)
        if waves is not None and (place / "out" / "dump.fst").is_file():
            shutil.move(str(place / "out" / "dump.fst"), str(waves))
        if code == _TOOL_MISSING:
            raise ToolError(
                output.strip().splitlines()[-1], module="simulation", remedy="See `xnorhw doctor`"
            )
        if code == _COMPILE_FAILED:
            raise ToolError(
                "the model could not be compiled:\n" + "\n".join(output.strip().splitlines()[-12:]),
                module="verilator",
                remedy="See `xnorhw doctor` for the tools and their versions",
            )
        outcomes = _outcomes(place / "out" / "results.xml")
        if not outcomes:
            last = " / ".join(line.strip() for line in output.strip().splitlines()[-4:])
            raise VerifyError(
                f"the simulation ended without results: {last}",
                module=f"{prefix}_core",
                remedy="Run it again with --waves to see the streams",
            )
        return CocotbRun(outcomes, _results(plan, place), _streams(plan, place, prefix))


def _execute(
    place: Path, work: Path, bench: str, test: str, seed: int, core: Core, waves: bool
) -> tuple[str, int]:
    (place / "out").mkdir()
    (place / "kept").mkdir()
    command = [sys.executable, str(place / "sim" / "run.py"), "--seed", str(seed)]
    command += ["--work", str(place / "out"), "--keep", str(place / "kept"), "--models", str(work)]
    command += ["--bench", str(place / "sim" / bench), "--core", core]
    command += ["--test", test] if test else []
    command += ["--waves"] if waves else []
    process = subprocess.Popen(
        command,
        cwd=place,
        env=verilator_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    finally:
        if process.poll() is None:
            _stop(process)
    return output, process.returncode


def _stop(process: subprocess.Popen[str]) -> None:
    """End the runner and the simulation that it started; both are in one session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.wait()


def _outcomes(results: Path) -> tuple[Outcome, ...]:
    if not results.is_file():
        return ()
    outcomes = []
    for case in ElementTree.parse(results).iterfind(".//testcase"):
        if case.find("skipped") is not None:
            continue
        message = ""
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is not None:
                message = (found.get("message") or found.text or kind).strip().splitlines()[0]
        outcomes.append(Outcome(case.get("name", ""), message))
    return tuple(outcomes)


def _results(plan: Plan, place: Path) -> npt.NDArray[np.uint8]:
    path = place / "kept" / "received.hex"
    lines = path.read_text(encoding="ascii").split() if path.is_file() else []
    size = plan.output_frame.beat_bits // 8
    beats = plan.output_frame.beats
    whole = len(lines) // beats * beats
    data = b"".join(int(line, 16).to_bytes(size, "little") for line in lines[:whole])
    return np.frombuffer(data, np.uint8).reshape(-1, beats * size)


def _streams(plan: Plan, place: Path, prefix: str) -> dict[str, list[int]]:
    streams = {}
    for tensor in observed_edges(plan):
        path = place / "kept" / f"{prefix}_{stream_file(plan, tensor)}.hex"
        text = path.read_text(encoding="ascii") if path.is_file() else ""
        streams[tensor] = [int(line, 16) for line in text.rpartition("reset")[2].split()]
    return streams
