"""Frames through the generated C: compiled by its own Makefile, run natively or under an emulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.golden.run import check_input
from xnorhw.ir.errors import ToolError, VerifyError
from xnorhw.ir.int_graph import HostFull, IntGraph
from xnorhw.plan.engine import element_dtype, engine_network
from xnorhw.plan.engine_model import (
    BoxSumStep,
    EngineNetwork,
    FullStep,
    LevelsStep,
    PlanesStep,
    PoolStep,
    ProductStep,
    SumPoolStep,
)
from xnorhw.plan.model import Plan
from xnorhw.sim.once import content_folder, made_once

__all__ = [
    "EngineRun",
    "compile_engine",
    "engine_paths",
    "input_bytes",
    "operations",
    "read_engine",
    "run_engine",
    "run_program",
]

_HEAD = np.dtype([("tensor", "<i4"), ("count", "<i4")])
_TRACE_BYTES = 1 << 26
"""What one start of the program may leave of traced tensors."""

_LEAST_SECONDS = 60.0
_OPERATIONS_A_SECOND = 5e6
"""A tenth of what the plain path does under an emulator, on a machine with much else to do."""

_SHOWN_LINES = 12
_SAYS_WHY = re.compile(r"error: |undefined reference|\*\*\* ")
_REFUSED = 1
_NOT_HERE = re.compile(r"no such path|lacks the instructions")
_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
"""What a make around this process would hand on to ours."""


@dataclass(frozen=True)
class EngineRun:
    """What came back from N frames.

    ``scores`` float32 [N, *score shape]; ``tensors`` int64 [N, C, H, W] by name, every one of
    the integer graph, or none where they were not asked for; ``path`` the instructions that
    ran; ``milliseconds`` the median of a frame, meaningful without tensors.  With a plan:
    ``packed`` uint8 [N, bytes], the frames that would enter the accelerator, and
    ``back_scores``, the scores that the host makes of the sums behind it.
    """

    scores: npt.NDArray[np.float32]
    tensors: Mapping[str, npt.NDArray[np.int64]]
    path: str
    milliseconds: float
    packed: npt.NDArray[np.uint8] | None = None
    back_scores: npt.NDArray[np.float32] | None = None


def read_engine(build: Path) -> dict[str, str]:
    """The engine's files in a build: path inside it -> text, as the emitter gives them."""
    files = {}
    for file in sorted((build / "host").rglob("*")):
        path = file.relative_to(build).as_posix()
        if _is_engine(path) and file.is_file():
            files[path] = file.read_text(encoding="utf-8")
    return files


def _is_engine(path: str) -> bool:
    """Whether the program is made of a file: the driver's beside it change nothing."""
    parts = path.split("/")
    if parts[0] != "host":
        return False
    if len(parts) == 2:
        return parts[1] in ("Makefile", "engine_main.c") or parts[1].endswith("_engine.h")
    return len(parts) == 3 and parts[1] == "engine" and parts[2].endswith((".c", ".h"))


def compile_engine(
    files: Mapping[str, str], work: Path, *, compiler: str = "gcc", arguments: Sequence[str] = ()
) -> Path:
    """The program ``<prefix>-engine`` of ``files``, made in ``work`` or found there.

    ``arguments`` are more words for make, such as THREADS=1.  Raises ToolError where make or
    the compiler is missing or refuses the sources.
    """
    for tool in ("make", compiler):
        if shutil.which(tool) is None:
            raise ToolError(
                f"{tool} is missing; it compiles the CPU engine",
                module="engine",
                remedy=f"On Debian and Ubuntu run: apt install {tool}",
            )
    sources = {path.removeprefix("host/"): text for path, text in files.items() if _is_engine(path)}

    def making(here: Path, fresh: Path) -> None:
        shutil.copy(_made(here, compiler, arguments), fresh)

    target = content_folder(work, "engine", (compiler, *arguments), sources)
    return next(made_once(target, sources, making).glob("*-engine"))


def _made(here: Path, compiler: str, arguments: Sequence[str]) -> Path:
    environment = {key: value for key, value in os.environ.items() if key not in _MAKE}
    done = subprocess.run(
        ["make", "-j2", f"CC={compiler}", *arguments],
        cwd=here,
        env=environment,
        text=True,
        errors="replace",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        said = done.stdout.splitlines()
        lines = [line for line in said if _SAYS_WHY.search(line)] or said
        shown = "\n".join(lines[:_SHOWN_LINES])
        raise ToolError(
            f"the CPU engine could not be compiled:\n{shown}",
            module=compiler,
            remedy="Run make in the build's host folder; build again if its files were edited",
        )
    return next(here.glob("work/*/*-engine"))


def engine_paths(program: Path, runner: Sequence[str] = ()) -> tuple[str, ...]:
    """The sets of instructions that ``program`` holds and this processor runs, the best first."""
    command = [*runner, os.fspath(program.resolve()), "--paths"]
    return tuple(_started(command, _LEAST_SECONDS).split())


def operations(network: EngineNetwork) -> int:
    """Operations of a frame: 32 multiply-accumulates with binary weights and inputs, one of any others,
    a comparison."""
    count = 0
    for layer in network.layers:
        step = layer.step
        channels = network.tensors[layer.input].shape[0]
        made = int(np.prod(network.tensors[layer.output].shape))
        if isinstance(step, ProductStep):
            each = sum(channels if term.bits is None else -(-channels // 32) for term in step.terms)
            count += made * int(np.prod(step.geometry.kernel)) * each
        elif isinstance(step, FullStep):
            count += made * int(np.prod(step.weight.shape[1:]))
        elif isinstance(step, PoolStep):
            count += made * int(np.prod(step.geometry.kernel))
        elif isinstance(step, LevelsStep):
            count += made * step.levels
        elif isinstance(step, PlanesStep):
            words = -(-channels // 32) * sum(step.bits if plane < 0 else 1 for plane in step.planes)
            count += made * int(np.prod(step.geometry.kernel)) * words
        elif isinstance(step, SumPoolStep | BoxSumStep):
            count += made * int(np.prod(step.geometry.kernel)) * channels
        count += made
    return count + sum(op.weight.size for op in network.host if isinstance(op, HostFull))


def _limit(network: EngineNetwork, frames: int, options: Sequence[str]) -> float:
    """Seconds that ``frames`` frames may take, on any processor that runs them."""
    repeats = int(options[options.index("--repeat") + 1]) if "--repeat" in options else 1
    return _LEAST_SECONDS + operations(network) * frames * repeats / _OPERATIONS_A_SECOND


def _started(
    command: Sequence[str], seconds: float, place: Path | None = None, environment: Any = None
) -> str:
    """What the program printed; VerifyError or ToolError where it did not end well, or in time."""
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise VerifyError(
            f"the program was ended after {seconds:,.0f} s, many times what its frames take",
            module="engine",
            remedy="Build again; on a machine that is only slow, give it more time with time_limit_s",
        ) from None
    if done.returncode:
        _fail(done.returncode, done.stderr)
    return done.stdout


def run_engine(
    files: Mapping[str, str],
    graph: IntGraph,
    codes: npt.NDArray[np.int64],
    work: Path,
    *,
    plan: Plan | None = None,
    path: str | None = None,
    compiler: str = "gcc",
    runner: Sequence[str] = (),
    trace: bool = True,
    arguments: Sequence[str] = (),
    options: Sequence[str] = (),
    time_limit_s: float | None = None,
) -> EngineRun:
    """Send input ``codes`` [N, C, H, W] through the engine of ``files``.

    ``plan``: also what the host does around its accelerator.  ``path`` forces a set of
    instructions, as XH_PATH does.  ``compiler`` and ``runner`` (an emulator's command line)
    serve other processors; ``arguments`` go to make, ``options`` to the program.
    ``time_limit_s`` is for every start of the program; None: by the network's operations, many
    times what they take.

    Raises ToolError where a tool is missing or the path is none of this processor's,
    VerifyError where the program crashes, does not end, or gives other tensors than the network has.
    """
    program = compile_engine(files, work, compiler=compiler, arguments=arguments)
    return run_program(
        program,
        graph,
        codes,
        work,
        plan=plan,
        path=path,
        runner=runner,
        trace=trace,
        options=options,
        time_limit_s=time_limit_s,
    )


def run_program(
    program: Path,
    graph: IntGraph,
    codes: npt.NDArray[np.int64],
    work: Path,
    *,
    plan: Plan | None = None,
    path: str | None = None,
    runner: Sequence[str] = (),
    trace: bool = True,
    options: Sequence[str] = (),
    time_limit_s: float | None = None,
) -> EngineRun:
    """As ``run_engine``, with a program that is there already.  ModelError for codes of another network."""
    given = graph.input_tensor
    codes = check_input(codes, given.shape, given.type)
    network = engine_network(graph, plan)
    per_frame = sum(8 * int(np.prod(tensor.shape)) for tensor in network.tensors)
    step = max(1, _TRACE_BYTES // per_frame) if trace else len(codes)
    command = [*runner, os.fspath(program.resolve()), "--quiet", "--scores", "scores.bin", *options]
    command += ["--trace", "trace.bin"] if trace else []
    command += ["--host", "host.bin"] if plan is not None else []
    environment = dict(os.environ) | ({} if path is None else {"XH_PATH": path})
    parts = []
    for start in range(0, len(codes), step):
        part = codes[start : start + step]
        with tempfile.TemporaryDirectory(prefix="engine-run-", dir=work) as temporary:
            place = Path(temporary)
            (place / "frames.bin").write_bytes(input_bytes(graph, part))
            seconds = _limit(network, len(part), options) if time_limit_s is None else time_limit_s
            output = _started([*command, "frames.bin"], seconds, place, environment)
            parts.append(_collect(network, graph, plan, place, output, len(part), trace))
    return _joined(parts)


def input_bytes(graph: IntGraph, codes: npt.NDArray[np.int64]) -> bytes:
    """Input codes [N, C, H, W] as a program gives them: little-endian, channels innermost."""
    kind = graph.input_tensor.type
    assert kind is not None
    return codes.transpose(0, 2, 3, 1).astype(np.dtype(element_dtype(kind)).newbyteorder("<")).tobytes()


def _joined(parts: Sequence[EngineRun]) -> EngineRun:
    first = parts[0]
    if len(parts) == 1:
        return first
    packed = [part.packed for part in parts if part.packed is not None]
    back = [part.back_scores for part in parts if part.back_scores is not None]
    return EngineRun(
        np.concatenate([part.scores for part in parts]),
        {name: np.concatenate([part.tensors[name] for part in parts]) for name in first.tensors},
        first.path,
        float(np.median([part.milliseconds for part in parts])),
        np.concatenate(packed) if packed else None,
        np.concatenate(back) if back else None,
    )


def _fail(code: int, errors: str) -> None:
    lines = [line for line in errors.splitlines() if line.strip()]
    said = (
        re.sub(r"^\S+: error: (the engine: )?", "", lines[-1]).rstrip(".")
        if lines
        else f"the program ended with {code}"
    )
    if code == _REFUSED and _NOT_HERE.search(said):
        raise ToolError(
            said,
            module="engine",
            remedy="Unset XH_PATH, or set it to one of the names that `accel-engine --paths` gives",
        )
    if code < 0:
        said = f"the program was ended by signal {-code}"
    remedy = "Build again; if it stays, report it with the build folder"
    raise VerifyError(said, module="engine", remedy=remedy)


def _collect(
    network: EngineNetwork,
    graph: IntGraph,
    plan: Plan | None,
    place: Path,
    output: str,
    frames: int,
    trace: bool,
) -> EngineRun:
    found = re.search(r"^path (\S+), (\d+) frames, ([0-9.]+) ms", output, re.MULTILINE)
    if found is None or int(found[2]) != frames:
        raise _other(f"it ran {found[2] if found else 'no'} frames of {frames}")
    scores = np.fromfile(place / "scores.bin", np.float32)
    if scores.size != frames * network.scores:
        raise _other(f"it gave {scores.size} scores for {frames} frames of {network.scores}")
    packed = back = None
    if plan is not None:
        size = plan.input_frame.beats * plan.input_frame.beat_bits // 8
        data = np.fromfile(place / "host.bin", np.uint8)
        if data.size != frames * (size + 4 * network.scores):
            raise _other(f"around the accelerator it gave {data.size} bytes for {frames} frames")
        rows = data.reshape(frames, -1)
        packed = rows[:, :size]
        back = np.ascontiguousarray(rows[:, size:]).view(np.float32).reshape(frames, *graph.score_shape)
    return EngineRun(
        scores.reshape(frames, *graph.score_shape),
        _tensors(network, place / "trace.bin", frames) if trace else {},
        found[1],
        float(found[3]),
        packed,
        back,
    )


def _tensors(network: EngineNetwork, file: Path, frames: int) -> dict[str, npt.NDArray[np.int64]]:
    """The traced tensors [N, C, H, W] by name; each must have come once a frame."""
    data = file.read_bytes()
    rows: list[list[npt.NDArray[Any]]] = [[] for _ in network.tensors]
    at = 0
    while at < len(data):
        index, count = (int(v) for v in np.frombuffer(data, _HEAD, 1, at)[0])
        at += _HEAD.itemsize
        if not 0 <= index < len(rows) or count != int(np.prod(network.tensors[index].shape)):
            raise _other(f"it gave {count} values for the tensor of number {index}")
        if at + 8 * count > len(data):
            raise _other("its trace breaks off")
        rows[index].append(np.frombuffer(data, "<i8", count, at))
        at += 8 * count
    result = {}
    for tensor, values in zip(network.tensors, rows, strict=True):
        if not tensor.golden:
            continue
        if len(values) != frames:
            raise _other(f"it gave {tensor.name} {len(values)} times for {frames} frames")
        channels, height, width = tensor.shape
        result[tensor.name] = (
            np.stack(values).reshape(frames, height, width, channels).transpose(0, 3, 1, 2).astype(np.int64)
        )
    return result


def _other(reason: str) -> VerifyError:
    return VerifyError(
        f"the program is not of this network: {reason}",
        module="engine",
        remedy="Build again: a file in the build's host folder was edited",
    )
