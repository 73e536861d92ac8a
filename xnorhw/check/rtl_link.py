"""The last link: the generated RTL in Verilator against the golden model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xnorhw.check.compare import Comparison, compare
from xnorhw.check.observed import Arrays, frames_of, observed_names, observed_tensors
from xnorhw.check.stalled import COCOTB_FRAMES, check_stalled
from xnorhw.emit.store import StoredBuild
from xnorhw.sim.compiled import run_compiled
from xnorhw.sim.model import read_sources

__all__ = ["STEADY_FRAMES", "RtlLink"]

Progress = Callable[[str], None]

STEADY_FRAMES = 21
"""Frames back to back from which the steady state is measured."""


class RtlLink:
    """Simulates a build's RTL, chunk by chunk, and compares every observed tensor.

    All frames go through the compiled bench back to back; the first two also through cocotb
    with random stalls on both sides.
    """

    name = "rtl"

    def __init__(self, stored: StoredBuild, *, waves: bool = False, progress: Progress | None = None) -> None:
        self.stored = stored
        self.cycles_per_frame: float | None = None
        self.latency_cycles: int | None = None
        self._work = stored.folder / "work"
        self._files = read_sources(stored.folder)
        self._waves = self._work / "waves.fst" if waves else None
        self._progress = progress or (lambda text: None)
        self._names = observed_names(stored)
        self._compiled = 0
        self._stalled = 0

    @property
    def ran(self) -> str:
        """What ran, in words."""
        return (
            f"Verilator: {self._compiled} frames through the compiled bench, "
            f"{self._stalled} of them also through cocotb with random stalls"
        )

    def check(self, tensors: Arrays, first_frame: int) -> tuple[Comparison, npt.NDArray[np.int64]]:
        """Compare the RTL with golden ``tensors`` on one chunk: the comparison and the RTL's sums."""
        plan = self.stored.plan
        count = len(tensors[plan.output_tensor])
        steady = first_frame == 0
        sent = max(count, STEADY_FRAMES) if steady else count
        self._progress(f"RTL in Verilator, {sent} frames back to back")
        # frames sent again for the steady state are compared again
        again = {name: np.resize(values, (sent, *values.shape[1:])) for name, values in tensors.items()}
        frames = frames_of(self.stored, again)
        waves = self._waves if steady else None
        # cocotb checks the rules of the streams as well, under stalls, where they say more
        run = run_compiled(self._files, plan, frames, self._work, assertions=False, waves=waves)
        found = observed_tensors(self.stored, run.streams, run.results, sent)
        result = compare("rtl", self._names, again, found, first_frame)
        self._compiled += count
        if steady:
            self.cycles_per_frame, self.latency_cycles = run.cycles_per_frame, run.latency_cycles
            few = min(COCOTB_FRAMES, count)
            self._progress(f"RTL under cocotb, {few} frames with random stalls")
            result += check_stalled(self.stored, self._files, tensors, few, self._names)
            self._stalled += few
        return result, found[plan.output_tensor][:count]
