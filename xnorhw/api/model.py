"""A trained network: what it computes, what it would cost, and its build."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib.metadata
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from xnorhw import __version__, golden
from xnorhw.api.build import Build, synthesis_tool
from xnorhw.board import Board, load_board
from xnorhw.emit import folder as build_folder
from xnorhw.emit.build import build_files, build_hash, cpu_files, cpu_hash
from xnorhw.emit.pynq import Answers
from xnorhw.emit.report import Report, make_report
from xnorhw.emit.store import CPU, Samples
from xnorhw.emit.summary import Summary, summarize
from xnorhw.golden.codes import codes_of, random_codes
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.float_graph import FloatGraph
from xnorhw.ir.grid import off_grid
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan import Ends, Folding, Goal, ends_placed, placed, plan_ends, read_folding, trade_off
from xnorhw.plan.model import Plan, Trade
from xnorhw.sim.tools import require_tools
from xnorhw.synth import yosys_family

if TYPE_CHECKING:
    from xnorhw.frontends import ModelFile

__all__ = ["Model"]

FRAMES = 16
BENCH_FRAMES = 3
"""Frames that the bench in a build's sim/ has beside it."""
TRADE_POINTS = 20
"""Frame rates in the report's picture."""

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""


class Model:
    """A trained network as ``load`` reads it.

    ``graph`` is the float graph; ``samples`` and ``labels`` are what ``save`` kept, or None.
    """

    def __init__(self, file: ModelFile, data: bytes) -> None:
        self.graph: FloatGraph = file.graph
        self.samples = file.samples
        self.labels = file.labels
        self._data = data
        self._integer: IntGraph | None = None

    @property
    def integer(self) -> IntGraph:
        """The integer graph, lowered on first use.  Raises ModelError for what is not exact."""
        if self._integer is None:
            from xnorhw.frontends import TorchEvaluator
            from xnorhw.lower import lower

            self._integer = lower(self.graph, TorchEvaluator(self.graph), self.samples)
        return self._integer

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """The golden model's scores [N, classes] for input values [N, *input.shape].

        A value is a code times the input's scale, or a raw pixel where the network begins
        with InputQuant.  Raises ModelError for another shape or values out of range.
        """
        tensors = golden.run(self.integer, codes_of(self.integer, x))
        return golden.scores(self.integer, tensors[self.integer.output])

    def trace(self, x: npt.ArrayLike) -> dict[str, npt.NDArray[np.int64]]:
        """Every integer tensor for a batch, by its PyTorch module's name, in torch's layout.

        The tensor of a binary layer is its sum before scale and bias, in units of its input
        codes, that of a full-precision layer its sum in steps of 2^-frac of these; that of a
        sign holds -1 and +1.
        """
        tensors = golden.run(self.integer, codes_of(self.integer, x))
        flat = {node.output.name for node in self.graph.nodes if node.output.layout == "C"}
        return {
            name: values.reshape(len(values), -1) if name in flat else values
            for name, values in tensors.items()
        }

    def summary(self) -> Summary:
        """Layers, shapes, precisions, memory, multiply-accumulates."""
        return summarize(self.graph)

    def export(self, path: str | Path) -> None:
        """Write the network as QONNX, for FINN, hls4ml and Netron; it needs the package onnx.

        ``xnorhw.load`` makes the same network of the file again.  Raises ModelError for what has
        no exact form in QONNX.
        """
        from xnorhw.frontends.onnx.export import export_onnx

        export_onnx(self.graph, path)

    def plan(
        self,
        board: str | Board,
        *,
        target_fps: float | None = None,
        folding: Folding | str | Path | None = None,
        clock_mhz: float | None = None,
        ends: Ends = "auto",
        goal: Goal | None = None,
    ) -> Plan:
        """The accelerator that ``build`` would make, with its cost; writes nothing.

        The fastest that fits the board, or the smallest that reaches ``target_fps``, or the
        one that ``folding`` (an object or its JSON file) describes.  ``ends``: full-precision
        layers with weights of 8 bits or fewer run on the chip ("chip"), on the host ("host") or
        where the planner puts them ("auto").  ``goal``: what is left of the board buys a single
        frame's latency ("latency", what the fastest does), or the design is the smallest of its rate
        ("area", what one for ``target_fps`` is).  Raises FitError where there is none, BoardError
        for an unknown board.
        """
        if isinstance(board, str):
            board = load_board(board)
        if isinstance(folding, str | Path):
            folding = _folding_file(folding)
        return plan_ends(self.integer, board, ends, clock_mhz, folding, target_fps, goal)

    def trade_off(self, board: str | Board, *, clock_mhz: float | None = None, ends: Ends = "auto") -> Trade:
        """What frame rates from past the board's reach down to a thousandth of it would take."""
        board = load_board(board) if isinstance(board, str) else board
        try:
            graph = placed(self.integer, plan_ends(self.integer, board, ends, clock_mhz))
        except FitError:
            # what fits nowhere can be swept all the same: it shows by how much
            graph = ends_placed(self.integer, on_chip=ends == "chip")
        return trade_off(graph, board, clock_mhz, thorough=True)

    def estimate(self, plan: Plan) -> Report:
        """The figures of ``plan`` as the report of a build has them."""
        graph = placed(self.integer, plan)
        return make_report(graph, plan, build_hash(graph, plan))

    def build(
        self,
        board: str | Board = "pynq-z2",
        out: str | Path = "out",
        *,
        target_fps: float | None = None,
        folding: Folding | str | Path | None = None,
        clock_mhz: float | None = None,
        ends: Ends = "auto",
        goal: Goal | None = None,
        verify: Literal["none", "golden", "full"] = "golden",
        synth: Literal["vitis", "vivado", "yosys"] | None = None,
        frames: int = FRAMES,
        trim_fifos: bool = False,
        approximate: bool = False,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Build:
        """Write the accelerator into the folder ``out`` and verify it; ``synth``: see ``Build.synthesise``.

        ``target_fps``, ``folding``, ``clock_mhz``, ``ends``, ``goal``: see ``plan``.

        ``frames`` are kept for verification: the model's own samples first, then seeded
        random ones.  A folder that holds anything but an untouched build is left alone;
        ``force`` replaces a build with files edited or added.  ``trim_fifos`` simulates the design and
        makes its rings and FIFOs as short as they may be at the same rate and latency.
        ``approximate`` rounds the weights of full-precision layers that ``snap`` has not put on
        their grid; the share of decisions that this changes is measured by the verification and
        heads the report.
        Raises XnorhwError.

        The board "cpu" stands for no accelerator: a build of the C alone, which any network has
        and one that fits no chip is left with.
        """
        if approximate and off_grid(self.graph):
            if verify == "none":
                raise ModelError(
                    "how many decisions the rounding changes is measured by the verification, which was "
                    "turned off",
                    module="approximate",
                    remedy="Build with --verify golden",
                )
            return self._rounded().build(
                board,
                out,
                target_fps=target_fps,
                folding=folding,
                clock_mhz=clock_mhz,
                ends=ends,
                goal=goal,
                verify=verify,
                synth=synth,
                frames=frames,
                trim_fifos=trim_fifos,
                force=force,
                progress=progress,
            )
        if verify not in ("none", "golden", "full"):
            raise ModelError(
                f"there is no level {verify!r}", module="verify", remedy="Take none, golden or full"
            )
        target = Path(out).resolve()  # it may be the working directory, which a rename takes away
        used = Path(folding) if isinstance(folding, str | Path) else None
        asked = (synth, folding, target_fps, clock_mhz, goal, ends, trim_fifos)
        if board == CPU and asked != (None, None, None, None, None, "auto", False):
            raise ModelError(
                "a build for the CPU alone has no clock, no folding, no goal, no ends, no FIFOs and nothing "
                "to synthesise",
                module="cpu",
                remedy="Leave --clock, --folding, --target-fps, --for, --ends, --trim-fifos and --synth out, "
                "or build for a board",
            )
        # what can be refused at once is refused before the work
        build_folder.check_target(target, force=force, used=used)
        if synth is not None:
            synthesis_tool(synth)[0](target)
        if trim_fifos:
            require_tools()
        clock = _Clock(progress)
        if board == CPU:
            info, files = self._for_cpu(frames, clock)
            return self._write(target, files, info, verify, clock, force=force, used=used)
        board = load_board(board) if isinstance(board, str) else board
        folding = _folding_file(folding) if isinstance(folding, str | Path) else folding
        clock.step("search thresholds")
        graph = self.integer
        clock.step("plan")
        plan = self.plan(
            board, target_fps=target_fps, folding=folding, clock_mhz=clock_mhz, ends=ends, goal=goal
        )
        if synth == "yosys":
            yosys_family(plan)
        graph = placed(graph, plan)
        if trim_fifos:
            plan = _trimmed(plan, graph, clock)
        clock.step("look at other rates")
        plan = dataclasses.replace(plan, trade=trade_off(graph, board, clock_mhz, TRADE_POINTS))
        if clock_mhz is not None and plan.clock_mhz != clock_mhz:
            clock.step(f"clock {plan.clock_mhz:g} MHz: the board cannot make {clock_mhz:g}")
        clock.step("run the golden model")
        samples, tensors, answers = self._frames(frames, plan.output_tensor)
        clock.step("emit")
        info = build_folder.BuildInfo(
            board=plan.board,
            build_hash=build_hash(graph, plan),
            model_sha256=hashlib.sha256(self._data).hexdigest(),
            frames=frames,
            target_fps=target_fps,
            clock_mhz=plan.clock_mhz,
            folding="given" if folding is not None else "planned",
            ends=ends,
            versions=_versions(),
        )
        files = build_files(self.summary(), graph, plan, board, samples, tensors, answers, info.build_hash)
        return self._write(target, files, info, verify, clock, synth=synth, force=force, used=used)

    def _for_cpu(self, frames: int, clock: _Clock) -> tuple[build_folder.BuildInfo, dict[str, bytes]]:
        """What a build for the CPU alone is made of."""
        clock.step("search thresholds")
        graph = self.integer
        clock.step("run the golden model")
        samples, _, answers = self._frames(frames, graph.output)
        clock.step("emit")
        info = build_folder.BuildInfo(
            board=CPU,
            build_hash=cpu_hash(graph),
            model_sha256=hashlib.sha256(self._data).hexdigest(),
            frames=frames,
            target_fps=None,
            clock_mhz=None,
            folding="none",
            versions=_versions(),
        )
        return info, cpu_files(self.summary(), graph, samples, answers.scores, info.build_hash)

    def _write(
        self,
        target: Path,
        files: dict[str, bytes],
        info: build_folder.BuildInfo,
        verify: Literal["none", "golden", "full"],
        clock: _Clock,
        *,
        synth: Literal["vitis", "vivado", "yosys"] | None = None,
        force: bool,
        used: Path | None,
    ) -> Build:
        """Write the folder, then verify and synthesise what was asked for."""
        clock.step("write")
        build_folder.write(target, {**files, "model.pt": self._data}, info, force=force, used=used)
        build = Build(target)
        try:
            if verify != "none":
                clock.step("verify")
                build.verify(level=verify, progress=clock.progress)
            if synth is not None:
                clock.step(f"synthesise with {synth}")
                build.synthesise(synth, progress=clock.progress)
        finally:
            build_folder.replace_file(target / "build.log", clock.log())
        return build

    def _rounded(self) -> Model:
        """The model with full-precision weights on their grids; builds keep the file as it was given."""
        from xnorhw.frontends.rounding import approximated

        rounded = copy.copy(self)
        rounded.graph = approximated(self.graph)
        rounded._integer = None
        return rounded

    def _frames(
        self, count: int, chip_output: str
    ) -> tuple[Samples, dict[str, npt.NDArray[np.int64]], Answers]:
        """The frames to keep, all tensors of the first of them for the bench, what the chip has to answer."""
        if count < 1:
            raise ModelError(f"{count} frames were asked for", module="frames", remedy="Ask for at least one")
        graph = self.integer
        parts = []
        real = 0
        labels = None
        if self.samples is not None and len(self.samples):
            parts.append(codes_of(graph, self.samples[:count]))
            real = len(parts[0])
            labels = None if self.labels is None else self.labels[:real].astype(np.int64)
        if real < count:
            parts.append(random_codes(graph, count - real, seed=1))
        codes = np.concatenate(parts)
        tensors = golden.run(graph, codes[:BENCH_FRAMES])
        runs = [tensors]
        if count > BENCH_FRAMES:
            runs.append(golden.run(graph, codes[BENCH_FRAMES:]))
        sums, leaving = (np.concatenate([r[name] for r in runs]) for name in (graph.output, chip_output))
        answers = Answers(leaving, golden.scores(graph, sums))
        return Samples(codes.astype(np.int32), real, labels, sums), tensors, answers


def _folding_file(path: str | Path) -> Folding:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise FitError(
            f"cannot be read: {str(reason).lower()}",
            module=str(path),
            remedy="Start from the folding.json that a build writes",
        ) from None
    return read_folding(text, str(path))


def _trimmed(plan: Plan, graph: IntGraph, clock: _Clock) -> Plan:
    """``plan`` with buffers as deep as a simulation says that they must be."""
    from xnorhw.sim.buffers import trim

    with tempfile.TemporaryDirectory(prefix="xnorhw-") as work:
        trimming = trim(plan, graph, Path(work), clock.step)
    if trimming.kept:
        clock.step(f"rings and FIFOs stay as planned: {trimming.kept}")
    return trimming.plan


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, importlib.metadata.version(name)) for name in ("numpy", "torch")) + (
        ("xnorhw", __version__),
    )


@dataclasses.dataclass
class _Clock:
    """The steps of a build and how long each took."""

    progress: Progress | None

    def __post_init__(self) -> None:
        self._steps: list[tuple[str, float]] = []

    def step(self, name: str) -> None:
        self._steps.append((name, time.monotonic()))
        if self.progress is not None:
            self.progress(name)

    def log(self) -> bytes:
        """The text of build.log: seconds a step, the last one up to now."""
        ends = [begin for _, begin in self._steps[1:]] + [time.monotonic()]
        lines = [
            f"{end - begin:9.3f} s  {name}" for (name, begin), end in zip(self._steps, ends, strict=True)
        ]
        return ("\n".join(lines) + "\n").encode()
