"""The last link: the generated RTL in Verilator against the golden model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.check.compare import Comparison, compare
from xnorhw.emit.sim import observed_edges
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.sim.cocotb_run import STALLED, run_cocotb
from xnorhw.sim.compiled import run_compiled
from xnorhw.sim.model import read_sources

__all__ = ["COCOTB_FRAMES", "STEADY_FRAMES", "RtlLink", "rtl_tensors"]

Progress = Callable[[str], None]
Arrays = dict[str, npt.NDArray[Any]]

COCOTB_FRAMES = 2
"""Frames that go through cocotb with random stalls, besides the compiled bench."""

STEADY_FRAMES = 21
"""Frames back to back from which the steady state is measured."""


def rtl_tensors(
    stored: StoredBuild, streams: Mapping[str, list[int]], results: npt.NDArray[np.uint8], frames: int
) -> Arrays:
    """The tensors [N, C, H, W] of what a simulation of ``frames`` frames observed.

    A frame that broke off is left out, and thereby missing; words of a frame that was never
    sent make a frame too many.
    """
    graph, plan = stored.graph, stored.plan
    tensors: Arrays = {}
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        words = streams.get(name, [])
        size = edge.stream.words
        whole = len(words) // size * size
        words = words[:whole] if len(words) <= frames * size else words + [0] * (-len(words) % size)
        tensors[name] = unpack_stream(edge.stream, words, tensor.shape, tensor.type)
    # the result frame is the output tensor as the host reads it, whatever edge it left on
    tensors[plan.output_tensor] = unpack_results(plan, results, graph.tensor(plan.output_tensor).shape)
    return tensors


class RtlLink:
    """Simulates a build's RTL, chunk by chunk, and compares every observed tensor.

    All frames go through the compiled bench back to back; the first two also through cocotb
    with random stalls on both sides.
    """

    def __init__(self, stored: StoredBuild, *, waves: bool = False, progress: Progress | None = None) -> None:
        self.stored = stored
        self.cycles_per_frame: float | None = None
        self.latency_cycles: int | None = None
        self._work = stored.folder / "work"
        self._files = read_sources(stored.folder)
        self._waves = self._work / "waves.fst" if waves else None
        self._progress = progress or (lambda text: None)
        seen = {*observed_edges(stored.plan), stored.plan.output_tensor}
        self._names = [n.output.name for n in stored.graph.nodes if n.output.name in seen]
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
        run = run_compiled(
            self._files, plan, self._frames(tensors, sent), self._work, waves=self._waves if steady else None
        )
        found = rtl_tensors(self.stored, run.streams, run.results, sent)
        # frames sent again for the steady state are compared again
        again = {name: np.resize(values, (sent, *values.shape[1:])) for name, values in tensors.items()}
        result = compare("rtl", self._names, again, found, first_frame)
        self._compiled += count
        if steady:
            self.cycles_per_frame, self.latency_cycles = run.cycles_per_frame, run.latency_cycles
            result += self._check_stalled(tensors, min(COCOTB_FRAMES, count))
        return result, found[plan.output_tensor][:count]

    def _frames(self, tensors: Arrays, sent: int) -> npt.NDArray[np.uint8]:
        plan = self.stored.plan
        kind = self.stored.graph.tensor(plan.input_tensor).type
        assert kind is not None
        frames = pack_frames(plan, tensors[plan.input_tensor], kind)
        return np.resize(frames, (sent, frames.shape[1]))

    def _check_stalled(self, tensors: Arrays, count: int) -> Comparison:
        self._progress(f"RTL under cocotb, {count} frames with random stalls")
        few = {name: values[:count] for name, values in tensors.items()}
        run = run_cocotb(self._files, self.stored.plan, self.stored.graph, few, self._work, test=STALLED)
        found = rtl_tensors(self.stored, run.streams, run.results, count)
        result = compare("rtl", self._names, few, found)
        if not run.passed and not result.mismatches:
            # the bench checks more than values: tlast, counters, the rules of the streams
            failed = next((o for o in run.outcomes if o.message), None)
            what = f"{failed.test}: {failed.message}" if failed else "no test of the bench ran"
            raise VerifyError(
                f"the cocotb bench failed though every value is right: {what}",
                module=self.stored.plan.output_tensor,
                remedy="Run make -C sim in the build folder to see it",
            )
        self._stalled += count
        return result
