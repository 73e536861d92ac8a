"""The link of the generated C, the CPU engine, against the golden model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.check.compare import Comparison, compare
from xnorhw.check.observed import Arrays, frames_of
from xnorhw.emit.store import StoredBuild
from xnorhw.sim.engine_run import EngineRun, compile_engine, engine_paths, read_engine, run_engine

__all__ = ["CLink"]

Progress = Callable[[str], None]

SCORES, PACKED = ":scores", ":packed"
"""What is compared besides the tensors: the scores' bits, the frames as they would enter the accelerator."""


class CLink:
    """Runs a build's CPU engine, chunk by chunk, and compares every tensor.

    Every set of instructions that this processor has computes all frames: all tensors of the
    integer graph, the scores bit for bit, the frames packed for the accelerator, and the
    scores that the host makes of the sums behind it.
    """

    name = "c"

    def __init__(self, stored: StoredBuild, *, progress: Progress | None = None) -> None:
        self.stored = stored
        self._work = stored.folder / "work"
        self._files = read_engine(stored.folder)
        self._progress = progress or (lambda text: None)
        self._frames = 0
        self._paths: tuple[str, ...] = ()

    @property
    def ran(self) -> str:
        """What ran, in words."""
        return f"gcc: {self._frames} frames, every tensor and score on each of {', '.join(self._paths)}"

    def check(self, tensors: Arrays, first_frame: int) -> tuple[Comparison, npt.NDArray[np.int64]]:
        """Compare the engine with golden ``tensors`` on one chunk: the comparison and its sums."""
        graph, plan = self.stored.graph, self.stored.accelerator
        codes = tensors[graph.input_tensor.name]
        self._progress(f"CPU engine, {len(codes)} frames")
        if not self._paths:
            self._paths = engine_paths(compile_engine(self._files, self._work))
        result = Comparison()
        found: list[npt.NDArray[np.int64]] = []
        for path in self._paths:
            run = run_engine(self._files, graph, codes, self._work, plan=plan, path=path)
            result += self._compare(run, tensors, first_frame)
            found.append(run.tensors[graph.output if plan is None else plan.output_tensor])
        self._frames += len(codes)
        return result, found[0]

    def _compare(self, run: EngineRun, tensors: Arrays, first_frame: int) -> Comparison:
        graph = self.stored.graph
        names = [n.output.name for n in graph.nodes]
        result = compare("c", names, tensors, dict(run.tensors), first_frame)
        expected = golden.scores(graph, tensors[graph.output])
        result = result.beside(_bits(expected, run.scores, first_frame))
        if self.stored.accelerator is None:
            return result
        assert run.packed is not None and run.back_scores is not None
        packed = compare(
            "c",
            [PACKED],
            {PACKED: frames_of(self.stored, tensors)},
            {PACKED: run.packed},
            first_frame,
        )
        return result.beside(packed) + _bits(expected, run.back_scores, first_frame)


def _bits(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32], first_frame: int) -> Comparison:
    """Scores compared as bits: -0.0 is not 0.0; a difference is told as numbers."""
    rows = [np.ascontiguousarray(a.reshape(len(a), -1), np.float32) for a in (expected, found)]
    want, got = ({SCORES: row.view(np.int32)} for row in rows)
    result = compare("c", [SCORES], want, got, first_frame)
    if result.first is None:
        return result
    frame, channel = result.first.frame - first_frame, result.first.channel
    numbers = (float(row[frame, channel]) for row in rows)
    first = dataclasses.replace(result.first, expected=next(numbers), found=next(numbers))
    return dataclasses.replace(result, first=first)
