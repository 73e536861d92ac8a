"""The buffers of a plan as a simulation watches them, and their trimming by what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.emit import rom, rtl
from xnorhw.emit.sim import edge_links, files, observed_edges, result_frames
from xnorhw.golden.codes import random_codes
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import pack_frames, unpack_stream
from xnorhw.plan.model import Plan, Window
from xnorhw.plan.trim import buffer_depths, fifo_name, ring_of, with_depths
from xnorhw.sim.compiled import CompiledRun, Stalls, Watched, run_compiled

__all__ = ["Trimming", "trim", "watched_buffers"]

Frames = npt.NDArray[np.uint8]
Progress = Callable[[str], None]

STALLS = (Stalls(1, 40, 40), Stalls(2, 5, 90))
"""Both sides pausing at random; then a reader so slow that everything fills up."""

_STEADY = 21
"""Frames back to back from which a period is measured."""


def watched_buffers(plan: Plan, prefix: str = "accel") -> tuple[Watched, ...]:
    """``plan.trim.buffer_depths`` as the compiled bench watches them."""
    links = edge_links(plan, prefix)
    wanted = buffer_depths(plan)
    found = []
    for edge, link in links.items():
        if fifo_name(edge) in wanted:
            found.append(Watched(fifo_name(edge), link.put, link.get))
    into = {edge.target: link for edge, link in links.items()}
    outof = {edge.source: link for edge, link in links.items()}
    for unit in plan.units:
        if isinstance(unit, Window):
            ring = ring_of(unit)
            held = tuple(int(words) for words in ring.held)
            put, get = into[unit.name].get, outof[unit.name].put
            found.append(Watched(unit.name, put, get, ring.words, unit.out_words_per_pixel, held))
    return tuple(found)


@dataclass(frozen=True)
class Trimming:
    """The outcome: the plan to build, and why it is the planned one where it is."""

    plan: Plan
    kept: str = ""


@dataclass(frozen=True)
class _Bench:
    """What is simulated: a plan of ``graph``, golden's tensors and the frames, in a folder."""

    plan: Plan
    graph: IntGraph
    tensors: Mapping[str, npt.NDArray[np.int64]]
    frames: Frames
    work: Path

    def run(
        self, count: int, *, pace: int = 0, stalls: Stalls | None = None, watch: bool = False
    ) -> CompiledRun:
        """The first ``count`` frames, every tensor and every result of which is golden's."""
        emitted = {**rtl.files(self.plan, 0), **rom.files(self.plan, self.graph), **files(self.plan, 0)}
        frames = np.resize(self.frames, (count, self.frames.shape[1]))
        watched = watched_buffers(self.plan) if watch else ()
        run = run_compiled(
            emitted,
            self.plan,
            frames,
            self.work,
            pace=pace,
            stalls=stalls,
            assertions=False,
            watched=watched,
        )
        self._check(run, count)
        return run

    def _check(self, run: CompiledRun, count: int) -> None:
        def wanted(name: str) -> npt.NDArray[np.int64]:
            values = self.tensors[name]
            return np.resize(values, (count, *values.shape[1:]))

        wrong = []
        for name, edge in observed_edges(self.plan).items():
            tensor = self.graph.tensor(name)
            assert tensor.type is not None
            found = unpack_stream(edge.stream, run.streams[name], tensor.shape, tensor.type)
            if not np.array_equal(found, wanted(name)):
                wrong.append(name)
        results = result_frames(self.plan, wanted(self.plan.output_tensor))
        if wrong or not np.array_equal(run.results, results):
            raise VerifyError(
                "the simulation from which buffers are trimmed differs from the golden model",
                module=(*wrong, self.plan.output_tensor)[0],
                remedy="Run xnorhw verify on a build without --trim-fifos to see where",
            )


def trim(plan: Plan, graph: IntGraph, work: Path, progress: Progress | None = None) -> Trimming:
    """Simulate ``plan`` of the placed ``graph`` and make its rings and FIFOs as small as they may be.

    Frames come at the planned pace, and each buffer gets the depth that it then reaches.  The new
    design must keep the period, a lone frame's latency and every value, also under random stalls;
    if a lone frame is slower, depths that it reaches when it comes at full speed are kept as well.
    Else nothing changes.  ``work`` takes the compiled models.  Random frames from a fixed seed: the
    same plan gives the same depths.

    Raises ToolError where a tool is missing, VerifyError where the simulation differs from golden.
    """
    tell = progress or (lambda text: None)
    tensors = golden.run(graph, random_codes(graph, 2, seed=1))
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    bench = _Bench(plan, graph, tensors, pack_frames(plan, tensors[plan.input_tensor], kind), work)
    tell("trim: simulate the planned depths")
    period = plan.figures.cycles_per_frame
    steady = bench.run(_STEADY).cycles_per_frame
    # what is in the pipeline when the first result comes, and some periods behind it
    paced = bench.run(plan.frames_in_flight + 4, pace=period, watch=True)
    alone = bench.run(1, watch=True)
    assert steady is not None
    if paced.cycles_per_frame != period:
        return Trimming(plan, f"a frame takes {paced.cycles_per_frame:g} clocks, not the planned {period}")
    both = {name: max(depth, alone.levels[name]) for name, depth in paced.levels.items()}
    for needed in (paced.levels, both):
        trimmed = with_depths(plan, needed)
        if all(buffer.depth == buffer.planned for buffer in trimmed.trimmed):
            return Trimming(trimmed)
        tell("trim: simulate the new depths")
        if _keeps_up(replace(bench, plan=trimmed), steady, alone.latency_cycles):
            return Trimming(trimmed)
    return Trimming(plan, "the trimmed design was slower")


def _keeps_up(bench: _Bench, steady: float, latency: int) -> bool:
    """Whether a design is as fast as the planned one; it is run under stalls, too."""
    if bench.run(1).latency_cycles > latency:
        return False
    now = bench.run(_STEADY).cycles_per_frame
    if now is None or now > steady:
        return False
    for stalls in STALLS:
        bench.run(bench.plan.frames_in_flight + 2, stalls=stalls)
    return True
