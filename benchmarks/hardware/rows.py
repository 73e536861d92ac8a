"""The rows of the table: what is asked of each figure, and the call that measures it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.hardware import elements
from benchmarks.hardware.designs import Design, built
from benchmarks.hardware.networks import field, initialised, tiny
from benchmarks.routed import routed
from xnorhw.board import Board, load_board
from xnorhw.plan import Goal
from xnorhw.plan.model import Resources

__all__ = ["ROWS", "Bench", "Found", "Row", "Want"]

BOARD = "pynq-z2"
FAST_CYCLES = 3000
FAST_PART = (37_100.0, 107.0)
"""LUT and BRAM36: four fifths of the device less the stated shell, with a hundredth in hand."""
PEERS_CYCLES = 32_768
PEERS_PART = (6650.0, 48.0)
"""LUT and BRAM36 that the planner is left with there, for it would trade either for the other: the second
goal, less what our shell takes and two hundredths of the LUTs in hand."""
COUNT_STAGES = 2
"""Registers in the routed unit's count."""
FOLDINGS: tuple[tuple[str, float], ...] = (
    ("digits", 20e3),
    ("digits", 100e3),
    ("digits", 500e3),
    ("cnv", 3e3),
    ("cnv", 10e3),
)
"""Network and frames a second of the designs whose clocks are held against the bound."""


@dataclass(frozen=True)
class Want:
    """A figure: its unit, what it has to reach and what comes then (None where nothing is asked)."""

    figure: str
    unit: str
    reach: float | None = None
    then: float | None = None
    more_is_better: bool = False

    def met(self, value: float) -> str:
        """In words, how far ``value`` came."""
        if self.reach is None or self.then is None:
            return ""
        if value * self._sign <= self.then * self._sign:
            return "both"
        return "first" if value * self._sign <= self.reach * self._sign else "not reached"

    @property
    def _sign(self) -> int:
        return -1 if self.more_is_better else 1


@dataclass(frozen=True)
class Found:
    """A measured figure: where it comes from, and what the formula says of it (None where it has nothing)."""

    value: float
    source: str
    formula: float | None = None


class Bench:
    """Where designs are built; each is built, simulated and mapped once, whatever rows ask for it."""

    def __init__(self, work: Path, networks: Path | None = None) -> None:
        self.work = work
        self.networks = networks

    @functools.cache  # noqa: B019 - one bench lives as long as the program
    def design(
        self,
        network: str,
        fps: float | None,
        within: tuple[float, float] | None = None,
        goal: Goal | None = None,
    ) -> Design:
        """A network at a frame rate, or as fast as the board takes it; ``within`` so many LUT and BRAM36.

        ``goal``: what the planner spends the rest on.
        """
        if network in ("cnv", "lfc"):
            model = field(network, self.networks, self.work)
        elif network == "tiny":
            model = tiny(self.work)
        else:
            model = initialised(network, self.work)
        name = f"{network}-{'fast' if fps is None else f'{fps:.0f}'}"
        return built(model, self.work / name, _board(within), target_fps=fps, goal=goal)


def _board(within: tuple[float, float] | None) -> Board:
    """The board, or one of its kind that leaves a network ``within``, LUT and BRAM36, and no more."""
    board = load_board(BOARD)
    if within is None:
        return board
    lut, bram = (
        stated + part / board.fill
        for stated, part in zip((board.shell.lut, board.shell.bram36), within, strict=True)
    )
    return replace(board, budget=replace(board.budget, lut=lut, bram36=bram))


Measure = Callable[[Bench], Mapping[str, Found]]


@dataclass(frozen=True)
class Row:
    """A row: ``name`` on the command line, ``title`` in words, the figures that ``measure`` finds."""

    name: str
    title: str
    wants: tuple[Want, ...]
    measure: Measure


SIMULATED = "simulated (Verilator)"


def simulated(design: Design) -> str:
    """Where clocks come from."""
    return f"{SIMULATED}, {design.clocks.values:,} values of {design.clocks.tensors} tensors equal"


def mapped(design: Design) -> str:
    """Where an area comes from."""
    return f"synthesised (yosys {design.area.version})"


def _rate(design: Design) -> float:
    return design.plan.clock_mhz * 1e6 / design.clocks.a_frame


def _with_stated_shell(design: Design) -> dict[str, Found]:
    """The network and the shell that the board's file states, as shares of the device in percent."""
    board = load_board(BOARD)

    def share(kind: str, part: Resources) -> float:
        stated, holds = getattr(board.shell, kind), getattr(board.budget, kind)
        return float(100 * (getattr(part, kind) + stated) / holds)

    found, formula = design.area.resources, design.formula.resources
    return {
        name: Found(share(kind, found), mapped(design), share(kind, formula))
        for name, kind in (("LUT", "lut"), ("BRAM36", "bram36"))
    }


def _fast_design(bench: Bench) -> Design:
    return bench.design("cnv", load_board(BOARD).clock_mhz * 1e6 / FAST_CYCLES, FAST_PART, "latency")


def _fast(bench: Bench) -> dict[str, Found]:
    design = _fast_design(bench)
    return {
        "clocks": Found(design.clocks.a_frame, simulated(design), design.formula.cycles_per_frame),
        **_with_stated_shell(design),
    }


def _peer(bench: Bench) -> dict[str, Found]:
    design = bench.design("cnv", load_board(BOARD).clock_mhz * 1e6 / PEERS_CYCLES, PEERS_PART)
    whole = design.area.resources + design.area.shell
    formula = design.formula.resources
    return {
        "clocks": Found(design.clocks.a_frame, simulated(design), design.formula.cycles_per_frame),
        "LUT": Found(whole.lut, mapped(design), formula.lut),
        "BRAM36": Found(whole.bram36, mapped(design), formula.bram36),
    }


def _latency(bench: Bench) -> dict[str, Found]:
    return {"latency": _microseconds(_fast_design(bench))}


def _microseconds(design: Design) -> Found:
    promised = design.formula.latency_cycles / design.plan.clock_mhz
    return Found(design.clocks.latency / design.plan.clock_mhz, simulated(design), promised)


def _fastest(bench: Bench) -> dict[str, Found]:
    design = bench.design("cnv", None)
    return {
        "clocks": Found(design.clocks.a_frame, simulated(design), design.formula.cycles_per_frame),
        "latency": _microseconds(design),
        **_with_stated_shell(design),
    }


def _lfc(bench: Bench) -> dict[str, Found]:
    design = bench.design("lfc", None)
    return {
        "frames": Found(_rate(design) / 1e3, simulated(design), design.formula.fps / 1e3),
        **_with_stated_shell(design),
    }


def _tiny(bench: Bench) -> dict[str, Found]:
    design = bench.design("tiny", load_board(BOARD).clock_mhz * 1e6 / 13)
    return {
        "clocks": Found(design.clocks.a_frame, simulated(design), design.formula.cycles_per_frame),
        "LUT": Found(design.area.resources.lut, mapped(design), design.formula.resources.lut),
    }


def _element(name: str) -> Measure:
    def measure(bench: Bench) -> dict[str, Found]:
        found = elements.measure(elements.ELEMENTS[name], bench.work)
        return {
            "LUT a lane": Found(found.whole, found.source, found.formula),
            "without memory": Found(found.alone, found.source),
            "with thresholds": Found(found.with_starts, found.source),
        }

    return measure


def _bound(bench: Bench) -> dict[str, Found]:
    designs = [bench.design(network, fps) for network, fps in FOLDINGS]
    worst = max(d.clocks.a_frame / d.formula.bound_cycles for d in designs)
    return {"ratio": Found(worst, f"{SIMULATED}, the worst of {len(designs)} designs")}


def _routed(bench: Bench) -> dict[str, Found]:
    return {
        figure: Found(found.mhz, f"routed ({found.tools})")
        for figure, case in (("clock", "mvu-rom"), ("weights on a port", "mvu"))
        for found in (routed(case, stages=COUNT_STAGES),)
    }


PER_LANE = (Want("without memory", "LUT"), Want("with thresholds", "LUT"))

ROWS: tuple[Row, ...] = (
    Row(
        "cnv-fastest",
        "street-view network as xnorhw build folds it for a PYNQ-Z2 where nothing is asked",
        (
            Want("clocks", "a frame"),
            Want("latency", "us at 100 MHz"),
            Want("LUT", "% of the device"),
            Want("BRAM36", "% of the device"),
        ),
        _fastest,
    ),
    Row(
        "cnv-fast",
        "street-view network at 33,333 frames/s, the rest of four fifths of an xc7z020 spent on latency",
        (
            Want("clocks", "a frame", 4800, 3600),
            Want("LUT", "% of the device", 80, 80),
            Want("BRAM36", "% of the device", 80, 80),
        ),
        _fast,
    ),
    Row(
        "cnv-peer",
        "street-view network at the peer's 32,768 clocks, the IP without DMA and interconnect",
        (
            Want("clocks", "a frame", PEERS_CYCLES, PEERS_CYCLES),
            Want("LUT", "in all", 9000, 7000),
            Want("BRAM36", "in all", 60, 48),
        ),
        _peer,
    ),
    Row(
        "cnv-latency",
        "street-view network, a single image through that design",
        (Want("latency", "us at 100 MHz", 150, 80),),
        _latency,
    ),
    Row(
        "lfc",
        "784-1024-1024-1024-10 as fast as an xc7z020 takes it",
        (
            Want("frames", "thousand a second at 100 MHz", 190, 380, more_is_better=True),
            Want("LUT", "% of the device"),
            Want("BRAM36", "% of the device"),
        ),
        _lfc,
    ),
    Row(
        "tiny",
        "784-64-64-64-10, a frame of 13 beats",
        (Want("clocks", "a frame", 13, 13), Want("LUT", "in all", 11_000, 9000)),
        _tiny,
    ),
    Row(
        "pe-16x64",
        "matrix unit 16x64 of a 576x576 layer, weights in block ROM",
        (Want("LUT a lane", "LUT", 1.35, 1.15), *PER_LANE),
        _element("16x64"),
    ),
    Row(
        "pe-32x64",
        "matrix unit 32x64, weights in block ROM",
        (Want("LUT a lane", "LUT", 1.28, 1.07), *PER_LANE),
        _element("32x64"),
    ),
    Row(
        "pe-16x576",
        "matrix unit 16x576, weights of depth 4 included",
        (Want("LUT a lane", "LUT", 1.25, 0.95), *PER_LANE),
        _element("16x576"),
    ),
    Row(
        "pe-4x32",
        "matrix unit 4x32, weights in columns of block RAM without multiplexers",
        (Want("LUT a lane", "LUT", 2.0, 1.6), *PER_LANE),
        _element("4x32"),
    ),
    Row(
        "bound",
        "simulated clocks a frame over bound_cycles, digits and street view at several foldings",
        (Want("ratio", "of the bound", 1.01, 1.002),),
        _bound,
    ),
    Row(
        "ecp5",
        "matrix unit 16x64 with its memories and two registers in the count, routed on ECP5-85F speed 6",
        (Want("clock", "MHz", 100, 125, more_is_better=True), Want("weights on a port", "MHz")),
        _routed,
    ),
)
