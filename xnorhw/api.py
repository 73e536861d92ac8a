"""What a user works with: ``load`` gives a Model, ``Model.build`` a Build."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from xnorhw import __version__, golden
from xnorhw.board import Board, board_names, load_board
from xnorhw.emit import folder as build_folder
from xnorhw.emit.build import build_files, build_hash
from xnorhw.emit.report import Report, make_report, report_html
from xnorhw.emit.store import Samples, StoredBuild, read_build
from xnorhw.emit.summary import Summary, summarize
from xnorhw.golden.codes import codes_of, random_codes
from xnorhw.ir.errors import (
    BoardError,
    FitError,
    ModelError,
    ToolError,
    VerifyError,
    XnorhwError,
)
from xnorhw.ir.float_graph import FloatGraph, Input
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_results
from xnorhw.plan import Folding, make_plan, read_folding
from xnorhw.plan.model import Plan

if TYPE_CHECKING:
    import torch

    from xnorhw.check import Verdict
    from xnorhw.frontends import ModelFile

__all__ = [
    "Board",
    "BoardError",
    "Build",
    "FitError",
    "Input",
    "Model",
    "ModelError",
    "ToolError",
    "VerifyError",
    "XnorhwError",
    "boards",
    "load",
    "save",
    "verify",
]

FRAMES = 16
BENCH_FRAMES = 3
"""Frames that the bench in a build's sim/ has beside it."""

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""


def load(path: str | Path) -> Model:
    """Read a model file that ``save`` wrote.  Runs no code from the file.

    Raises ModelError for a file that is none, is damaged, or comes from a newer format.
    """
    from xnorhw.frontends import load_model_file

    path = Path(path)
    file = load_model_file(path)
    return Model(file, path.read_bytes())


def save(
    net: torch.nn.Module,
    path: str | Path,
    input: Input,
    samples: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    replace: dict[type | str, Callable[[Any], torch.nn.Module]] | None = None,
) -> None:
    """Trace the trained network ``net`` and write it to ``path``.

    ``samples`` [N, *input.shape] and ``labels`` [N]: real inputs with their classes; up to
    16 are kept for verification.  ``replace`` maps a module's class or qualified name to a
    function that gives the layer of ``xnorhw.nn`` to put in its place.  Raises ModelError,
    naming the module, for what cannot be built.
    """
    from xnorhw import frontends

    frontends.save(net, path, input, samples=samples, labels=labels, replace=replace)


def boards() -> list[str]:
    """The names that ``Model.build`` takes for ``board``."""
    return board_names()


def verify(folder: str | Path, **options: Any) -> Verdict:
    """Run the chain of equalities on a build; see ``Build.verify``."""
    return Build(folder).verify(**options)


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
        codes; that of a sign holds -1 and +1.
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

    def plan(
        self,
        board: str | Board,
        *,
        target_fps: float | None = None,
        folding: Folding | str | Path | None = None,
        clock_mhz: float | None = None,
    ) -> Plan:
        """The accelerator that ``build`` would make, with its cost; writes nothing.

        The fastest that fits the board, or the smallest that reaches ``target_fps``, or the
        one that ``folding`` (an object or its JSON file) describes.  Raises FitError where
        there is none, BoardError for an unknown board.
        """
        if isinstance(board, str):
            board = load_board(board)
        if isinstance(folding, str | Path):
            folding = _folding_file(folding)
        return make_plan(self.integer, board, clock_mhz=clock_mhz, folding=folding, target_fps=target_fps)

    def estimate(self, plan: Plan) -> Report:
        """The figures of ``plan`` as the report of a build has them."""
        return make_report(self.integer, plan, build_hash(self.integer, plan))

    def build(
        self,
        board: str | Board = "pynq-z2",
        out: str | Path = "out",
        *,
        target_fps: float | None = None,
        folding: Folding | str | Path | None = None,
        clock_mhz: float | None = None,
        verify: Literal["none", "golden", "full"] = "golden",
        synth: Literal["vitis", "vivado"] | None = None,
        frames: int = FRAMES,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Build:
        """Write the accelerator into the folder ``out`` and verify it; ``synth``: see ``Build.synthesise``.

        ``frames`` are kept for verification: the model's own samples first, then seeded
        random ones.  A folder that holds anything but an untouched build is left alone;
        ``force`` replaces a build with files edited or added.  Raises XnorhwError.
        """
        if verify not in ("none", "golden", "full"):
            raise ModelError(
                f"there is no level {verify!r}", module="verify", remedy="Take none, golden or full"
            )
        target = Path(out).resolve()  # it may be the working directory, which a rename takes away
        used = Path(folding) if isinstance(folding, str | Path) else None
        # what can be refused at once is refused before the work
        build_folder.check_target(target, force=force, used=used)
        if synth is not None:
            _synthesis_tool(synth)[0](target)
        board = load_board(board) if isinstance(board, str) else board
        folding = _folding_file(folding) if isinstance(folding, str | Path) else folding
        clock = _Clock(progress)
        clock.step("search thresholds")
        graph = self.integer
        clock.step("plan")
        plan = self.plan(board, target_fps=target_fps, folding=folding, clock_mhz=clock_mhz)
        if clock_mhz is not None and plan.clock_mhz != clock_mhz:
            clock.step(f"clock {plan.clock_mhz:g} MHz: the board cannot make {clock_mhz:g}")
        clock.step("run the golden model")
        samples, tensors = self._frames(frames)
        clock.step("emit")
        info = build_folder.BuildInfo(
            board=plan.board,
            build_hash=build_hash(graph, plan),
            model_sha256=hashlib.sha256(self._data).hexdigest(),
            frames=frames,
            target_fps=target_fps,
            clock_mhz=plan.clock_mhz,
            folding="given" if folding is not None else "planned",
            versions=_versions(),
        )
        files = build_files(self.summary(), graph, plan, board, samples, tensors, info.build_hash)
        clock.step("write")
        build_folder.write(target, {**files, "model.pt": self._data}, info, force=force, used=used)
        build = Build(target)
        try:
            if verify != "none":
                clock.step("verify")
                build.verify(level=verify, progress=progress)
            if synth is not None:
                clock.step(f"synthesise with {synth}")
                build.synthesise(synth, progress=progress)
        finally:
            build_folder.replace_file(target / "build.log", clock.log())
        return build

    def _frames(self, count: int) -> tuple[Samples, dict[str, npt.NDArray[np.int64]]]:
        """The frames to keep, and every tensor of the first of them, for the bench."""
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
        sums = tensors[graph.output]
        if count > BENCH_FRAMES:
            sums = np.concatenate([sums, golden.run(graph, codes[BENCH_FRAMES:])[graph.output]])
        return Samples(codes.astype(np.int32), real, labels, sums), tensors


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


class Build:
    """A build folder: the accelerator, its integers and its figures.

    ``graph`` is the integer graph as stored: nothing is searched again.  ``verdict`` is what
    the last ``compare`` or ``verify`` of this object found, None before.  Raises XnorhwError
    where ``folder`` holds no build.
    """

    def __init__(self, folder: str | Path) -> None:
        self._stored: StoredBuild = read_build(Path(folder).absolute())
        self.folder = self._stored.folder
        self.graph = self._stored.graph
        self.plan = self._stored.plan
        self.verdict: Verdict | None = None

    @property
    def report(self) -> Report:
        """What the build costs and reaches, by formula."""
        return make_report(self.graph, self.plan, self._stored.info.build_hash)

    def predict(
        self,
        x: npt.ArrayLike,
        on: Literal["golden", "hls", "rtl"] = "golden",
        *,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Scores [N, classes] for input values [N, *input.shape] on one form of the network.

        "golden" is the integer model in NumPy; "hls" runs the generated C++, its stages as
        processes; "rtl" simulates the generated RTL, shell included.  All give the same bits.
        Raises ModelError for a wrong input, ToolError
        where a simulator is missing.  Warns where files were edited since the build.
        """
        edited = build_folder.edited(self.folder)
        if edited:
            warnings.warn(f"{self.folder}: edited since the build: {', '.join(edited)}", stacklevel=2)
        codes = codes_of(self.graph, x)
        if on == "golden":
            sums = golden.run(self.graph, codes)[self.graph.output]
        elif on in ("hls", "rtl"):
            sums = self._simulate(codes, on, progress)
        else:
            raise ModelError(f"there is no form {on!r}", module="on", remedy="Take golden, hls or rtl")
        return golden.scores(self.graph, sums)

    def _simulate(
        self, codes: npt.NDArray[np.int64], on: str, progress: Progress | None
    ) -> npt.NDArray[np.int64]:
        from xnorhw.sim.compiled import run_compiled
        from xnorhw.sim.hls_run import run_hls
        from xnorhw.sim.model import read_sources

        tensor = self.graph.tensor(self.plan.input_tensor)
        assert tensor.type is not None
        # what runs on the host before the chip, and no more
        names = [node.output.name for node in self.graph.nodes]
        count = names.index(tensor.name) + 1 if tensor.name in names else 0
        host = dataclasses.replace(self.graph, nodes=self.graph.nodes[:count])
        values = golden.run(host, codes)[tensor.name]
        files, work = read_sources(self.folder), self.folder / "work"
        frames = pack_frames(self.plan, values, tensor.type)
        if on == "hls":
            results = run_hls(files, self.plan, frames, work).results
        else:
            tell = None if progress is None else lambda done, total: progress(f"frame {done} of {total}")
            results = run_compiled(files, self.plan, frames, work, progress=tell).results
        return unpack_results(self.plan, results, self.graph.tensor(self.plan.output_tensor).shape)

    def verify(self, level: Literal["golden", "full"] = "full", **options: Any) -> Verdict:
        """``compare``, and VerifyError, naming the first difference, where two forms differ."""
        verdict = self.compare(level, **options)
        verdict.require()
        return verdict

    def compare(
        self,
        level: Literal["golden", "full"] = "full",
        *,
        data: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        frames: int | None = None,
        waves: bool = False,
        progress: Progress | None = None,
    ) -> Verdict:
        """Compare every form with its reference on every tensor; write verify.json and the report.

        ``data`` [N, *input.shape]: input values to use in place of the frames kept in the
        build; ``labels`` [N] their classes.  ``frames``: how many, seeded random ones past
        those kept.  "golden" compares torch with the integer model alone; "full" runs the
        generated RTL too.  ``waves`` leaves an FST file in the folder's work/.  Raises
        ToolError where a simulator is missing, VerifyError where the RTL does not come to an
        end; differences are in the verdict.
        """
        from xnorhw.check import verify_build

        try:
            verdict = verify_build(
                self._stored,
                level,
                codes=None if data is None else codes_of(self.graph, data),
                labels=None if labels is None else _labels(labels),
                frames=frames,
                waves=waves,
                progress=progress,
            )
        except VerifyError:
            # an older verdict must not stand for what just failed
            (self.folder / "verify.json").unlink(missing_ok=True)
            self._write_report(None)
            raise
        tree = verdict.to_json()
        build_folder.replace_file(self.folder / "verify.json", build_folder.json_bytes(tree))
        self._write_report(tree)
        self.verdict = verdict
        return verdict

    def synthesise(
        self, tool: Literal["vitis", "vivado"], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Run Vitis HLS or Vivado on the build; write its figures into the report; those of all tools.

        "vitis": C synthesis of the HLS core.  "vivado": the bitstream with the RTL core, into
        pynq/.  Takes minutes to hours.  Raises ToolError where the tool is missing, too old,
        fails or leaves an unknown report, VerifyError where a loop's II is not 1 or the slack
        is negative; then the report has nothing of this tool.
        """
        from xnorhw import synth

        _, run = _synthesis_tool(tool)
        # older figures must not stand for what may fail now
        synth.write_synthesis(self.folder, tool, None)
        try:
            found: synth.Synthesis = run(self.folder, self.plan, progress=progress)
            tree = synth.write_synthesis(self.folder, tool, found)
        finally:
            self._write_report(self._last_verdict())
        assert tree is not None
        return tree

    def _last_verdict(self) -> dict[str, Any] | None:
        try:
            tree = json.loads((self.folder / "verify.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return tree if isinstance(tree, dict) and tree.get("format") == "xnorhw-verdict" else None

    def _write_report(self, verdict: dict[str, Any] | None) -> None:
        from xnorhw.frontends import load_model_file
        from xnorhw.synth import read_synthesis

        summary = summarize(load_model_file(self._stored.model).graph)
        figures = read_synthesis(self.folder)
        html = report_html(self.report, self.graph, self.plan, summary, self._stored.design, verdict, figures)
        build_folder.replace_file(self.folder / "report.html", html)


def _synthesis_tool(name: str) -> tuple[Callable[[Path], Any], Callable[..., Any]]:
    """What makes sure of a tool, and what runs it."""
    from xnorhw import synth

    tools: dict[str, tuple[Callable[[Path], Any], Callable[..., Any]]] = {
        "vitis": (synth.require_vitis, synth.run_vitis),
        "vivado": (synth.require_vivado, synth.run_vivado),
    }
    if name not in tools:
        raise ModelError(f"there is no tool {name!r}", module="synth", remedy=f"Take {' or '.join(tools)}")
    return tools[name]


def _labels(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise ModelError(
            f"the labels are {found.dtype} of shape {found.shape}",
            module="labels",
            remedy="Pass one integer class a frame",
        )
    return found.astype(np.int64)
