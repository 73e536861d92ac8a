"""A network built for a board: its clocks by simulation, its area by synthesis."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import xnorhw
from xnorhw import golden
from xnorhw.board import Board
from xnorhw.check.compare import compare
from xnorhw.check.observed import frames_of, observed_names, observed_tensors
from xnorhw.check.rtl_link import STEADY_FRAMES
from xnorhw.emit.store import read_build
from xnorhw.golden.codes import random_codes
from xnorhw.plan import Folding, Goal
from xnorhw.plan.model import Figures, Plan
from xnorhw.sim.compiled import Stalls, run_compiled
from xnorhw.sim.model import read_sources
from xnorhw.synth import YosysFigures, run_yosys

__all__ = ["Clocks", "Design", "built"]

STALLED_FRAMES = 3


@dataclass(frozen=True)
class Clocks:
    """What simulation saw: clocks a frame of ``STEADY_FRAMES`` back to back, clocks of the first frame.

    ``tensors`` and ``values`` were compared with the golden model, under random stalls as well.
    """

    a_frame: float
    latency: int
    tensors: int
    values: int


class Design:
    """A build folder; clocks and area are found once."""

    def __init__(self, folder: Path) -> None:
        self._stored = read_build(folder.resolve())

    @property
    def plan(self) -> Plan:
        """The accelerator's plan."""
        return self._stored.plan

    @property
    def formula(self) -> Figures:
        """What the plan promises."""
        return self._stored.plan.figures

    @functools.cached_property
    def clocks(self) -> Clocks:
        """Simulated; SystemExit, naming the first difference, where a tensor is not golden's."""
        stored, plan = self._stored, self._stored.plan
        files, work = read_sources(stored.folder), stored.folder / "work"
        names = observed_names(stored)
        tensors = golden.run(stored.graph, random_codes(stored.graph, STEADY_FRAMES, seed=2))
        compared = []
        for stalls, count in ((None, STEADY_FRAMES), (Stalls(seed=5), STALLED_FRAMES)):
            few = {name: np.asarray(values)[:count] for name, values in tensors.items()}
            run = run_compiled(files, plan, frames_of(stored, few), work, stalls=stalls)
            found = observed_tensors(stored, run.streams, run.results, count)
            compared.append(compare("rtl", names, few, found))
            if compared[-1].mismatches:
                raise SystemExit(f"{stored.folder}: {compared[-1].first}")
            if stalls is None:
                pace, latency = run.cycles_per_frame, run.latency_cycles
        assert pace is not None
        both = compared[0] + compared[1]
        return Clocks(pace, latency, both.tensors, both.values)

    @functools.cached_property
    def area(self) -> YosysFigures:
        """By yosys: the network, the shell around it and every unit, without the board's DMA."""
        print(f"  yosys maps {self._stored.folder.name}", file=sys.stderr, flush=True)
        return run_yosys(self._stored.folder, self.plan)


def built(
    model: xnorhw.Model,
    folder: Path,
    board: str | Board = "pynq-z2",
    *,
    target_fps: float | None = None,
    folding: Folding | None = None,
    goal: Goal | None = None,
) -> Design:
    """The design that the planner makes: the fastest one, or the one for a rate or a folding."""
    print(f"  building {folder.name}", file=sys.stderr, flush=True)
    model.build(
        board,
        folder,
        target_fps=target_fps,
        folding=folding,
        goal=goal,
        frames=1,
        verify="none",
        force=True,
    )
    return Design(folder)
