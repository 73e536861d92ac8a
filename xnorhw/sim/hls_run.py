"""Frames through the generated C++: every stage a process, streams of their real depths."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw.emit.hls import observed_streams
from xnorhw.emit.sim import observed_edges, stream_file
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.plan.model import Plan
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.once import content_folder, made_once
from xnorhw.sim.tools import require_compiler

__all__ = ["HlsRun", "StreamUse", "compile_hls", "run_hls"]

Progress = Callable[[str], None]

PROGRAM = "run"
FLAGS = ("-std=gnu++14", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label")
"""Pragmas are for Vitis; so are the labels, which its reports name loops by.  Plain C++14 has trigraphs,
which a module's name in a comment could spell."""

_DEADLOCK, _LEFT_OVER = 3, 4
_SHOWN_LINES = 12


@dataclass(frozen=True)
class StreamUse:
    """A stream of the C++ core: its depth, the most words that were in it, the words that crossed it."""

    name: str
    depth: int
    most: int
    words: int


@dataclass(frozen=True)
class HlsRun:
    """What came back from N frames.

    ``results`` uint8 [N, bytes of a result frame]; ``streams`` maps each observed tensor to
    its words in order (lanes past the last channel are undefined).  ``cycles_per_frame``
    and ``latency_cycles`` follow from the words' order on the streams if every loop takes a
    turn a clock (II 1): a formula, nothing measured; None in C simulation.
    """

    results: npt.NDArray[np.uint8]
    streams: Mapping[str, list[int]]
    cycles_per_frame: float | None
    latency_cycles: int | None
    uses: tuple[StreamUse, ...]


def compile_hls(files: Mapping[str, str], work: Path) -> Path:
    """The program that runs the C++ core of ``files``, compiled in ``work`` or found there.

    Raises ToolError where the compiler is missing or refuses the sources.
    """
    require_compiler()
    sources = {path.removeprefix("hls/"): text for path, text in files.items() if _is_source(path)}

    def making(here: Path, fresh: Path) -> None:
        _compile(here, [name for name in sorted(sources) if _is_unit(name)], fresh / PROGRAM)

    return made_once(content_folder(work, "hls", FLAGS, sources), sources, making) / PROGRAM


def _is_source(path: str) -> bool:
    return path.startswith("hls/") and path.endswith((".h", ".cpp"))


def _is_unit(name: str) -> bool:
    """Whether a file is compiled by itself: the top and the harness; the stages come in by it."""
    stem = name.removesuffix(".cpp")
    return (
        name.endswith(".cpp")
        and not stem.endswith(("_stages", "_tb"))
        and stem != "sim/dpi"
        or (name == "sim/real_stages.cpp")
    )


def _compile(here: Path, units: list[str], program: Path) -> None:
    command = ["g++", *FLAGS, "-I", "sim", "-I", ".", *units, "-o", str(program.resolve())]
    done = subprocess.run(
        command, cwd=here, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "error" in line] or done.stdout.splitlines()
        shown = "\n".join(lines[:_SHOWN_LINES])
        raise ToolError(
            f"the C++ core could not be compiled:\n{shown}",
            module="g++",
            remedy="See `xnorhw doctor` for the tools; report it with the build folder if they are there",
        )


def run_hls(
    files: Mapping[str, str],
    plan: Plan,
    frames: npt.NDArray[np.uint8],
    work: Path,
    *,
    prefix: str = "accel",
    stalls: Stalls | None = None,
    csim: bool = False,
) -> HlsRun:
    """Send ``frames`` (uint8 [N, beats * beat bytes]) through the C++ core.

    Every stage is a process, the streams have their real depths, the order of the processes
    and the pauses of ``stalls`` are drawn from its seed.  With ``csim`` the top is called
    once a frame instead, on streams without bounds, as Vitis' C simulation does it.

    Raises ToolError where the compiler is missing, VerifyError where the processes wait for
    each other for ever, leave words behind or give a wrong number of results.
    """
    program = compile_hls(files, work)
    with tempfile.TemporaryDirectory(prefix="hls-run-", dir=work) as temporary:
        place = Path(temporary)
        np.ascontiguousarray(frames).tofile(place / "input.bin")
        arguments = ["input=input.bin", "result=result.bin", f"mode={'csim' if csim else 'bounded'}"]
        if stalls is not None:
            arguments += [
                f"seed={stalls.seed}",
                f"source={stalls.source_percent}",
                f"sink={stalls.sink_percent}",
            ]
        done = subprocess.run(
            [os.fspath(program.resolve()), *arguments],
            cwd=place,
            text=True,
            errors="replace",
            capture_output=True,
        )
        if done.returncode:
            _fail(done.returncode, done.stdout, done.stderr, prefix)
        return _collect(plan, place, done.stdout, len(frames))


def _fail(code: int, output: str, errors: str, prefix: str) -> None:
    lines = [line for line in output.splitlines() if line.startswith(("deadlock:", "left over:"))]
    # the full stream next to the result comes first: those in front of it are full because it is
    lines.reverse()
    lines.sort(key=lambda line: "waits to write" not in line)
    lines += [line for line in errors.splitlines() if line.strip()]
    said = "; ".join(lines[:4]) or f"the program ended with {code}"
    remedy = "Build again; if it stays, report it with the build folder"
    if code == _DEADLOCK:
        remedy = "A stream is too shallow or a stage gives too little: build again"
    raise VerifyError(f"the C++ core did not come to an end: {said}", module=f"{prefix}_hls", remedy=remedy)


def _collect(plan: Plan, place: Path, output: str, frames: int) -> HlsRun:
    figures: dict[str, float] = {}
    uses = []
    for line in output.splitlines():
        words = line.split()
        if words[:1] == ["stream"]:
            uses.append(StreamUse(words[1], int(words[3]), int(words[5]), int(words[7])))
        elif len(words) == 2:
            figures[words[0]] = float(words[1])
    streams = {}
    for stream in observed_streams(plan):
        text = (place / f"{stream.file}.hex").read_text(encoding="ascii")
        streams[stream.file] = [int(line, 16) for line in text.split()]
    latency = figures.get("latency_cycles")
    return HlsRun(
        results=np.fromfile(place / "result.bin", np.uint8).reshape(frames, -1),
        streams={tensor: streams[stream_file(plan, tensor)] for tensor in observed_edges(plan)},
        cycles_per_frame=figures.get("cycles_per_frame"),
        latency_cycles=None if latency is None else int(latency),
        uses=tuple(uses),
    )
