"""The link of the generated C++ for Vitis HLS against the golden model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xnorhw.check.compare import Comparison, compare
from xnorhw.check.observed import Arrays, frames_of, observed_names, observed_tensors
from xnorhw.check.stalled import COCOTB_FRAMES, check_stalled
from xnorhw.emit.build import PREFIX
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.plan.hls import hls_design
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.hls_run import run_hls
from xnorhw.sim.model import read_sources

__all__ = ["HlsLink"]

Progress = Callable[[str], None]

CSIM_FRAMES = 2
"""Frames that go through C simulation, besides the run on bounded streams."""

STEADY_FRAMES = 21
"""Frames back to back, without pauses, from which the clocks a frame at II 1 are taken."""

SLOWER = 1.05
"""How much slower than its slowest stage the core may be: more means a stream that is too shallow."""

SEED, PAUSES = 1, 20


class HlsLink:
    """Runs a build's C++ core, chunk by chunk, and compares every observed tensor.

    All frames go through the stages as processes on streams of their real depths, with
    random pauses; the first two also through C simulation, and, behind DPI-C, through the
    cocotb bench that drives the RTL.
    """

    name = "hls"

    def __init__(self, stored: StoredBuild, *, progress: Progress | None = None) -> None:
        self.stored = stored
        self._work = stored.folder / "work"
        self._files = read_sources(stored.folder)
        self._progress = progress or (lambda text: None)
        self._names = observed_names(stored)
        self._bounded = 0
        self._csim = 0
        self._stalled = 0
        self.cycles_per_frame: float | None = None

    @property
    def ran(self) -> str:
        """What ran, in words."""
        return (
            f"g++: {self._bounded} frames on bounded streams with random stalls, {self._csim} of them also "
            f"through C simulation, {self._stalled} also through cocotb behind DPI-C; at II 1 a frame takes "
            f"{self.cycles_per_frame:,.0f} clocks (formula)"
        )

    def check(self, tensors: Arrays, first_frame: int) -> tuple[Comparison, npt.NDArray[np.int64]]:
        """Compare the C++ core with golden ``tensors`` on one chunk: the comparison and its sums."""
        plan = self.stored.plan
        count = len(tensors[plan.output_tensor])
        self._progress(f"C++ on bounded streams, {count} frames")
        stalls = Stalls(SEED + first_frame, PAUSES, PAUSES)
        run = run_hls(self._files, plan, frames_of(self.stored, tensors), self._work, stalls=stalls)
        found = observed_tensors(self.stored, run.streams, run.results, count)
        result = compare("hls", self._names, tensors, found, first_frame)
        self._bounded += count
        if first_frame == 0:
            self._check_pace(tensors)
            result += self._simulate(tensors, min(CSIM_FRAMES, count))
            few = min(COCOTB_FRAMES, count)
            self._progress(f"C++ under cocotb, {few} frames with random stalls")
            result += check_stalled(self.stored, self._files, tensors, few, self._names, core="hls")
            self._stalled += few
        return result, found[plan.output_tensor]

    def _check_pace(self, tensors: Arrays) -> None:
        """Raise VerifyError where streams are so shallow that stages wait for each other.

        A chain of processes cannot come to a deadlock by a depth: it gets slower.
        """
        plan = self.stored.plan
        frames = frames_of(self.stored, tensors)
        frames = np.resize(frames, (STEADY_FRAMES, frames.shape[1]))
        self.cycles_per_frame = run_hls(self._files, plan, frames, self._work).cycles_per_frame
        planned = hls_design(plan).cycles_per_frame
        if self.cycles_per_frame is None or self.cycles_per_frame > SLOWER * planned:
            raise VerifyError(
                f"at II 1 a frame takes {self.cycles_per_frame} clocks, and the slowest stage {planned}: a "
                "stream is too shallow",
                module=f"{PREFIX}_hls",
                remedy="Build again; if it stays, report it with the build folder",
            )

    def _simulate(self, tensors: Arrays, count: int) -> Comparison:
        few = {name: values[:count] for name, values in tensors.items()}
        frames = frames_of(self.stored, few)
        run = run_hls(self._files, self.stored.plan, frames, self._work, csim=True)
        found = observed_tensors(self.stored, run.streams, run.results, count)
        self._csim += count
        return compare("hls", self._names, few, found)
