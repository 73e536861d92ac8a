"""Frames through the Verilated accelerator: results, inner words and clocks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw.emit.sim import observed_edges, stream_file, timeout_cycles
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.geometry import ceil_div
from xnorhw.ir.registers import REGISTERS
from xnorhw.plan.model import Plan
from xnorhw.sim.model import compile_bench, write_memories

__all__ = ["Activity", "CompiledRun", "Stalls", "Watched", "run_compiled"]

Progress = Callable[[int, int], None]
"""Called with (frames finished, frames in all)."""

Words = npt.NDArray[np.uint8]
"""Words of a stream, [words, bytes], the lowest byte first."""

_DEADLOCK = 3
_PART = 8
"""Bytes of the parts in which a word is collected."""
_TRAFFIC, _LEVELS = "traffic.txt", "levels.txt"


@dataclass(frozen=True)
class Stalls:
    """Random pauses: the chance, in percent, that a side waits in a clock, and their seed.

    In the first ``hold`` clocks no result is read: the accelerator fills up to its input.
    """

    seed: int
    source_percent: int = 30
    sink_percent: int = 30
    hold: int = 0


@dataclass(frozen=True)
class Activity:
    """Traffic on one stream of the core, named by its wires.

    ``words`` that crossed, ``stalls`` clocks in which a word waited for the reader,
    ``starved`` clocks in which the reader waited, ``last`` the clock of the last word.
    """

    wire: str
    words: int
    stalls: int
    starved: int
    last: int


@dataclass(frozen=True)
class Watched:
    """A buffer whose fullest moment is looked for, between the wires ``put`` and ``get``.

    A FIFO, or with ``held`` a ring: ``words`` a frame come in, ``per_pixel`` words an output pixel
    leave the window behind it, and before pixel j the words below ``held[j]`` are free again.
    """

    name: str
    put: str
    get: str
    words: int = 0
    per_pixel: int = 0
    held: tuple[int, ...] = ()


@dataclass(frozen=True)
class CompiledRun:
    """What came back from N frames.

    ``results`` uint8 [N, bytes of a result frame]; ``streams`` maps each observed tensor to
    its words in order, uint8 [words, bytes] (lanes past the last channel are undefined);
    ``first_in`` and ``last_out`` int64 [N] are the clocks of each frame's first input beat and
    last result beat; ``registers`` the registers by name after the run.  ``activity`` and
    ``levels``, the most words that lay in each watched buffer, are there where they were asked for.
    """

    results: npt.NDArray[np.uint8]
    streams: Mapping[str, Words]
    first_in: npt.NDArray[np.int64]
    last_out: npt.NDArray[np.int64]
    registers: Mapping[str, int]
    activity: tuple[Activity, ...]
    levels: Mapping[str, int]
    clocks: int

    @property
    def latency_cycles(self) -> int:
        """Clocks from the first beat of the first frame to the last beat of its result, inclusive."""
        return int(self.last_out[0] - self.first_in[0]) + 1

    @property
    def cycles_per_frame(self) -> float | None:
        """Clocks between results: last beat of the first to last beat of the N-th, over N - 1.

        None for a single frame.
        """
        if len(self.last_out) < 2:
            return None
        return float(self.last_out[-1] - self.last_out[0]) / (len(self.last_out) - 1)


def run_compiled(
    files: Mapping[str, str],
    plan: Plan,
    frames: npt.NDArray[np.uint8],
    work: Path,
    *,
    prefix: str = "accel",
    select: int = 0,
    stalls: Stalls | None = None,
    pace: int = 0,
    assertions: bool = True,
    activity: bool = False,
    watched: Sequence[Watched] = (),
    waves: Path | None = None,
    progress: Progress | None = None,
) -> CompiledRun:
    """Send ``frames`` (uint8 [N, beats * beat bytes]) back to back as one packet.

    ``files`` is what the RTL, ROM and bench emitters give (or ``read_sources(build)``);
    the model is compiled in ``work`` or found there.  ``prefix`` and ``select`` name the
    network where the bench holds several.  ``pace``: a frame's beats are offered no sooner than
    evenly over that many clocks.  Without ``assertions`` the rules of the streams inside are not
    checked, which is a third faster, and a program of its own.  ``activity`` and ``watched`` ask for
    what they name.  ``waves`` receives all signals as FST.

    Raises ToolError where a tool is missing or fails, VerifyError where the accelerator
    stands still or breaks a rule of its streams.
    """
    program = compile_bench(files, work, waves=waves is not None, assertions=assertions)
    place = Path(tempfile.mkdtemp(prefix="run-", dir=work))
    try:
        write_memories(files, place)
        np.ascontiguousarray(frames).tofile(place / "input.bin")
        arguments = _arguments(plan, len(frames), select, stalls, pace)
        looking = [*arguments, f"traffic={_TRAFFIC}", f"levels={_LEVELS}"]
        (place / _LEVELS).write_text(
            "".join(_level_line(prefix, buffer) for buffer in watched), encoding="ascii", newline="\n"
        )
        waving = [] if waves is None else ["waves=dump.fst"]
        asked = looking if activity or watched else arguments
        output, code = _execute(program, [*asked, *waving], place, len(frames), progress)
        if waves is not None and (place / "dump.fst").is_file():
            shutil.move(str(place / "dump.fst"), str(waves))
        if code == _DEADLOCK and asked is not looking:
            # once more, and this time looking where: a seed gives one run
            output, code = _execute(program, looking, place, len(frames), None)
        if code:
            _fail(code, output, plan, place, prefix)
        return _collect(plan, place, prefix, output, len(frames))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _level_line(prefix: str, buffer: Watched) -> str:
    if not buffer.held:
        return f"fifo {prefix}.{buffer.name} {buffer.put} {buffer.get}\n"
    held = " ".join(map(str, buffer.held))
    return f"ring {prefix}.{buffer.name} {buffer.put} {buffer.get} {buffer.words} {buffer.per_pixel} {held}\n"


def _arguments(plan: Plan, frames: int, select: int, stalls: Stalls | None, pace: int) -> list[str]:
    values = {
        "input": "input.bin",
        "result": "result.bin",
        "beats": "beats.txt",
        "beat_bytes": plan.input_frame.beat_bits // 8,
        "in_beats": plan.input_frame.beats,
        "out_beats": plan.output_frame.beats,
        "frames": frames,
        "select": select,
        "timeout": timeout_cycles(plan),
        "pace": pace,
    }
    if stalls is not None:
        values |= {
            "seed": stalls.seed,
            "source": stalls.source_percent,
            "sink": stalls.sink_percent,
            "hold": stalls.hold,
        }
    return [f"{key}={value}" for key, value in values.items()]


def _execute(
    program: Path, arguments: list[str], place: Path, frames: int, progress: Progress | None
) -> tuple[list[str], int]:
    """Run the program in ``place``; its lines, the last of standard error included, and its exit code."""
    with (place / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(
            [os.fspath(program.resolve()), *arguments],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        )
        lines: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith("frame "):
                    lines.append(line.rstrip("\n"))
                elif progress is not None:
                    progress(int(line.split()[1]), frames)
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
    return lines + (place / "stderr.txt").read_text(errors="replace").splitlines(), process.returncode


def _read_traffic(place: Path, prefix: str) -> tuple[tuple[Activity, ...], dict[str, int]]:
    """The traffic on the streams of one network, and how full its watched buffers became."""
    rows: list[Activity] = []
    levels: dict[str, int] = {}
    path = place / _TRAFFIC
    for line in path.read_text(encoding="ascii").splitlines() if path.is_file() else ():
        kind, name, *numbers = line.split()
        network, own = name.split(".", 1)
        if network == prefix and kind == "wire":
            rows.append(Activity(own, *(int(n) for n in numbers)))
        elif network == prefix:
            levels[own] = int(numbers[0])
    return tuple(sorted(rows, key=lambda row: row.wire)), levels


def _fail(code: int, output: list[str], plan: Plan, place: Path, prefix: str) -> None:
    if code == _DEADLOCK:
        line = next(line for line in output if line.startswith("deadlock"))
        sent, received = (int(n) for n in line.split()[1:])
        rows, _ = _read_traffic(place, prefix)
        last = max(rows, key=lambda row: row.last, default=None)
        where = f"; the last stream that moved is {last.wire}, after {last.words} words" if last else ""
        raise VerifyError(
            f"deadlock: {sent} input beats were taken and {received} result beats came, then nothing moved "
            f"for {timeout_cycles(plan)} clocks{where}",
            module=f"{prefix}_core",
            remedy="Run it again with --waves to see the streams; the plan's buffers may have been edited",
        )
    problem = [line for line in output if line.startswith("protocol:") or "rror" in line] or output[-4:]
    raise VerifyError(
        f"the simulation stopped with code {code}: " + " / ".join(line.strip() for line in problem[:4]),
        module=f"{prefix}_core",
        remedy="Run it again with --waves to see the streams",
    )


def _collect(plan: Plan, place: Path, prefix: str, output: list[str], frames: int) -> CompiledRun:
    streams: dict[str, Words] = {}
    for tensor, edge in observed_edges(plan).items():
        size = _PART * ceil_div(edge.stream.width, 8 * _PART)
        path = place / f"{prefix}_{stream_file(plan, tensor)}.bin"
        streams[tensor] = np.fromfile(path, np.uint8) if path.is_file() else _from_text(path, size)
        streams[tensor] = streams[tensor].reshape(-1, size)
    first = np.zeros(frames, np.int64)
    last = np.zeros(frames, np.int64)
    for line in (place / "beats.txt").read_text(encoding="ascii").splitlines():
        kind, frame, clock = line.split()
        (first if kind == "in" else last)[int(frame)] = int(clock)
    names = {r.offset: r.name for r in REGISTERS}
    registers: dict[str, int] = {}
    clocks = 0
    for line in output:
        words = line.split()
        if words[:1] == ["register"] and int(words[1]) in names:
            registers[names[int(words[1])]] = int(words[2])
        elif words[:1] == ["clocks"]:
            clocks = int(words[1])
    activity, levels = _read_traffic(place, prefix)
    return CompiledRun(
        results=np.fromfile(place / "result.bin", np.uint8).reshape(frames, -1),
        streams=streams,
        first_in=first,
        last_out=last,
        registers=registers,
        activity=activity,
        levels=levels,
        clocks=clocks,
    )


def _from_text(path: Path, size: int) -> Words:
    """The words that a build from before there was a collector wrote down."""
    text = path.with_suffix(".hex").read_text(encoding="ascii")
    # a register may hold anything before the first reset, and the core seem to run
    lines = text.rpartition("reset")[2].split()
    return np.frombuffer(b"".join(int(line, 16).to_bytes(size, "little") for line in lines), np.uint8)
