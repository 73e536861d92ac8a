"""When each unit reads and writes in steady state: how deep each ring must be, and the latency.

Model.  A *stage* is a ring, the window that reads it, the unit behind and the converters up
to the next ring: registers of two words couple these, so for one output pixel they take
the time of the slowest (``cost``).  Input words come evenly over the steady period T; each
stage starts a pixel as soon as the ring holds its words and the pixel before is done.
Nothing waits for room, so the largest occupancy seen is a depth at which nothing ever has
to wait: a self-timed pipeline with these depths is at least as fast, because a unit that
starts earlier never makes another start later.

With A_j the time at which pixel j's words are there and c the cost,
    start_j = max(start_{j-1} + c, A_j)  =  c j + max_{i <= j} (A_i - c i).
In steady state A is periodic; since a stage's work fits into T, the maximum over all past
frames lies within the last one.

A stage that joins streams has no ring: it takes the words of a pixel when the last of its
inputs has brought them.  What another input brought before waits in a FIFO in front of the stage,
whose depth is found as a ring's is.  Every stage adds the clocks through its registers, so that
the branch that comes later is never thought to come earlier than it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import Threshold
from xnorhw.plan.layers import Quantiser

__all__ = [
    "INPUT",
    "OUTPUT",
    "LoneFrames",
    "Ring",
    "Schedule",
    "Stage",
    "code_latency",
    "column_latency",
    "hold_latency",
    "join_latency",
    "pool_latency",
    "product_latency",
    "quantiser_latency",
    "schedule",
    "terms_latency",
    "window_ring",
]

Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

INPUT = "input"
OUTPUT = "output"
"""The names under which the core's ports are read and read from."""

# Clocks from a word's arrival until its window sees it, and from a pixel's last read until
# the writer sees the room; the RTL's window needs no more.
_WRITE_LATENCY = 2
_FREE_LATENCY = 2
# Clocks through one stage's registers beside its work: window, matrix unit, FIFO, converter.
_STAGE_LATENCY = 6
_EPSILON = 1e-6
# Words more in a FIFO in front of a join, and the least that moves a word every clock.
_JOIN_SLACK = 4
_LEAST_FIFO = 2

_JOIN_LATENCY = 4
_LEVELS_LATENCY = 2
_REQUANT_LATENCY = 4


def pool_latency(bits: int, sums: bool, taps_per_word: int) -> int:
    """Clocks through the registers of a pool; one-bit pools have none."""
    if bits == 1 and not sums:
        return 0
    return 2 if taps_per_word > 1 else 1


def join_latency() -> int:
    """Clocks through the registers of a unit that joins streams, and of what makes numbers of codes."""
    return _JOIN_LATENCY


def product_latency(dsps: bool) -> int:
    """Clocks through the registers of a matrix unit's products of integers, which ``dsps`` form or LUTs."""
    return 2 if dsps else 1


def hold_latency(words: int) -> int:
    """Clocks until a window's register holds the word that it collects of ``words`` parts."""
    return words


def code_latency() -> int:
    """Clocks through the register of what the PEs of a matrix unit share of a word of codes."""
    return 1


def column_latency(stages: int) -> int:
    """Clocks through the ``stages`` registers of a column of DSPs that adds codes."""
    return stages


def terms_latency(coefficients: tuple[int, ...]) -> int:
    """Clocks through the registers of what weighs and sums terms."""
    return 1 if coefficients == tuple(1 << t for t in range(len(coefficients))) else 3


def quantiser_latency(quantiser: Quantiser) -> int:
    """Clocks through the registers of the unit that makes codes of sums."""
    return _LEVELS_LATENCY if isinstance(quantiser, Threshold) else _REQUANT_LATENCY


@dataclass(frozen=True)
class Ring:
    """What a window asks of its ring, in words of one frame.

    For output pixel j, ``needed[j]`` words must have been written, and the words before
    ``held[j]`` are free while it is read.  ``words`` are a frame's.
    """

    words: int
    needed: Counts
    held: Counts

    @property
    def least_depth(self) -> int:
        """The depth below which some pixel's words can never be together."""
        return int((self.needed - self.held).max())


@dataclass(frozen=True)
class Stage:
    """One pixel loop.  ``ring`` is None where words are taken as they come, one a clock.

    ``inputs``: the stages that it reads ("input" is the core's port) and how many words a frame
    it takes from each.  ``pixels`` output pixels a frame, ``cost`` clocks each.  ``later``: clocks
    through the registers of units that not every stage has.
    """

    name: str
    ring: Ring | None
    inputs: tuple[tuple[str, int], ...]
    pixels: int
    cost: float
    later: int = 0

    @property
    def in_words(self) -> int:
        """The most words a frame that one of the inputs brings."""
        return max(words for _, words in self.inputs)


@dataclass(frozen=True)
class Schedule:
    """The outcome: depths of rings by stage, of FIFOs by (stage, input), clocks from first beat to last."""

    depths: tuple[tuple[str, int], ...]
    fifos: tuple[tuple[tuple[str, int], int], ...]
    latency: int
    period: int

    def depth(self, name: str) -> int:
        """The ring depth of stage ``name``."""
        return dict(self.depths)[name]


def window_ring(
    geometry: WindowGeometry, height: int, width: int, out_height: int, out_width: int, words: int
) -> Ring:
    """The ring behind a window over a map [height, width] of ``words`` words a pixel.

    Output pixel (y, x) begins at the word ((y*SY - PT) * W + (x*SX - PL)) * words and spans
    ((KY-1)*DY*W + (KX-1)*DX + 1) * words.
    """
    y = np.arange(out_height, dtype=np.int64)[:, None] * geometry.stride[0] - geometry.pads.top
    x = np.arange(out_width, dtype=np.int64)[None, :] * geometry.stride[1] - geometry.pads.left
    origin = ((y * width + x) * words).ravel()
    reach = (geometry.kernel[0] - 1) * geometry.dilation[0] * width
    reach += (geometry.kernel[1] - 1) * geometry.dilation[1]
    frame = height * width * words
    # a window that lies wholly on the padding needs no word
    needed = np.clip(origin + (reach + 1) * words, 0, frame)
    return Ring(frame, needed, np.minimum(np.maximum(origin, 0), frame))


def schedule(stages: tuple[Stage, ...], beats_in: int, beats_out: int, period: int) -> Schedule:
    """Depths for a steady period of ``period`` clocks, and the latency of a lone frame.

    ``stages`` stand behind what they read; the last one's words leave in ``beats_out`` beats.
    ``beats_in``: beats in which a frame arrives, one a clock where nothing holds it back.
    """
    readers = _readers(stages, beats_out)
    costs = _coupled(stages, readers)
    steady: dict[tuple[str, int], Times] = {}
    for name, port, count in readers[INPUT]:
        words: Times = np.arange(1, count + 1, dtype=np.float64) / count
        steady[name, port] = words * period
    depths: list[tuple[str, int]] = []
    fifos: list[tuple[tuple[str, int], int]] = []
    for stage in stages:
        cost = costs[stage.name]
        arrivals = [steady[stage.name, i] for i in range(len(stage.inputs))]
        start = _steady_starts(stage, cost, _ready(stage, arrivals), period)
        if stage.ring is not None:
            depths.append((stage.name, _depth(cost, stage.ring, arrivals[0], start, period)))
        elif len(arrivals) > 1:
            # what is taken with a pixel is free when the pixel is done, and no sooner
            done = np.maximum.accumulate(start)
            for i, arrival in enumerate(arrivals):
                ring = _pixel_ring(len(arrival), stage.pixels)
                depth = _depth(cost, ring, arrival, done, period) + _JOIN_SLACK
                fifos.append(((stage.name, i), max(_LEAST_FIFO, depth)))
        latency = _STAGE_LATENCY + stage.later
        for name, port, count in readers[stage.name]:
            steady[name, port] = _outputs(stage, cost, start, count) + latency
    return Schedule(tuple(depths), tuple(fifos), LoneFrames(beats_in, beats_out).latency(stages), period)


_Origin = tuple[object, ...]
"""What decides when a stage's words come: two stages of one origin have the same times."""


class LoneFrames:
    """Latencies of frames that meet an empty pipeline, for many pipelines that are nearly alike.

    ``keep`` names the one from which the others differ: up to the first stage that differs its
    times are taken over.
    """

    def __init__(self, beats_in: int, beats_out: int) -> None:
        self._in, self._out = beats_in, beats_out
        self._kept: dict[_Origin, Times] = {}
        self._numbers: dict[_Origin, int] = {}

    def latency(self, stages: tuple[Stage, ...]) -> int:
        """Clocks from the first beat of the frame to the last beat of its result."""
        return self._run(stages)[0]

    def keep(self, stages: tuple[Stage, ...]) -> None:
        """Remember these stages' times and no others."""
        self._kept = self._run(stages)[1]

    def _run(self, stages: tuple[Stage, ...]) -> tuple[int, dict[_Origin, Times]]:
        readers = _readers(stages, self._out)
        costs = _coupled(stages, readers)
        alone: dict[tuple[str, int], Times] = {}
        origins: dict[tuple[str, int], int] = {}
        made: dict[_Origin, Times] = {}
        for name, port, count in readers[INPUT]:
            words: Times = np.arange(1, count + 1, dtype=np.float64) / count
            alone[name, port] = words * max(count, self._in)
            origins[name, port] = self._number((INPUT, count))
        for stage in stages:
            ports = [(stage.name, i) for i in range(len(stage.inputs))]
            latency = _STAGE_LATENCY + stage.later
            ring = None if stage.ring is None else (stage.ring.words, int(stage.ring.needed[0]))
            own = (stage.name, ring, stage.pixels, costs[stage.name], latency, *(origins[p] for p in ports))
            for name, port, count in readers[stage.name]:
                origin = (*own, count)
                times = self._kept.get(origin)
                if times is None:
                    arrivals = [alone[p] for p in ports]
                    times = _alone(stage, costs[stage.name], arrivals, count) + latency
                made[origin] = alone[name, port] = times
                origins[name, port] = self._number(origin)
        return ceil(float(alone[OUTPUT, 0][-1])), made

    def _number(self, origin: _Origin) -> int:
        return self._numbers.setdefault(origin, len(self._numbers))


def _readers(stages: tuple[Stage, ...], beats: int) -> dict[str, list[tuple[str, int, int]]]:
    """For each stage who reads it: name, the number of its input, and the words that it takes."""
    readers: dict[str, list[tuple[str, int, int]]] = {INPUT: [], **{stage.name: [] for stage in stages}}
    for stage in stages:
        for i, (source, words) in enumerate(stage.inputs):
            readers[source].append((stage.name, i, words))
    readers[stages[-1].name].append((OUTPUT, 0, beats))
    return readers


def _coupled(stages: tuple[Stage, ...], readers: dict[str, list[tuple[str, int, int]]]) -> dict[str, float]:
    """Clocks a pixel of each stage with what stands behind it, from the last to the first.

    A stage waits for its converter, whose narrower side moves a word a clock, and for a
    unit behind that takes words as they come.
    """
    by_name = {stage.name: stage for stage in stages}
    works: dict[str, float] = {}
    for stage in reversed(stages):
        work = stage.cost * stage.pixels
        for name, _, words in readers[stage.name]:
            behind = by_name.get(name)
            work = max(work, float(words))
            if behind is not None and behind.ring is None:
                work = max(work, works[name])
        works[stage.name] = work
    return {stage.name: works[stage.name] / stage.pixels for stage in stages}


def _pixel_ring(words: int, pixels: int) -> Ring:
    """A ring from which each pixel takes its own words."""
    pixel = np.arange(pixels + 1, dtype=np.int64) * words // pixels
    return Ring(words, pixel[1:], pixel[:-1])


def _ready(stage: Stage, arrivals: list[Times]) -> Times:
    """When each pixel's words are all there."""
    if stage.ring is None:
        pixel = np.arange(stage.pixels) + 1
        ends = [arrival[pixel * len(arrival) // stage.pixels - 1] for arrival in arrivals]
        latest: Times = np.max(ends, axis=0)
        return latest
    padded = np.concatenate([arrivals[0][:1] - 1.0, arrivals[0]])
    times: Times = padded[stage.ring.needed] + _WRITE_LATENCY
    return times


def _steady_starts(stage: Stage, cost: float, ready: Times, period: int) -> Times:
    if stage.ring is None:
        # words are taken one a clock as they come: a pixel starts when its last words are near
        return np.maximum.accumulate(ready) - cost + 1
    two = np.concatenate([ready - period, ready])
    ramp = np.arange(two.size) * cost
    starts: Times = (np.maximum.accumulate(two - ramp) + ramp)[stage.pixels :]
    return starts


def _alone(stage: Stage, cost: float, arrivals: list[Times], words: int) -> Times:
    """When a frame that meets an empty pipeline leaves the stage in ``words`` words."""
    if stage.ring is None:
        # the work was done while the words came; what is left is to pass the result on
        cost = words / stage.pixels
    ready = _ready(stage, arrivals)
    ramp = np.arange(ready.size) * cost
    return _outputs(stage, cost, np.maximum.accumulate(ready - ramp) + ramp, words)


def _outputs(stage: Stage, cost: float, start: Times, words: int) -> Times:
    """When each of ``words`` words behind the stage appears: a pixel's come evenly over its cost."""
    ends = (np.arange(words) + 1.0) * stage.pixels / words
    pixel = np.minimum(np.ceil(ends - _EPSILON).astype(np.int64) - 1, stage.pixels - 1)
    return start[pixel] + cost * (ends - pixel)


def _depth(cost: float, ring: Ring, arrival: Times, start: Times, period: int) -> int:
    """The largest number of words written and not yet free, when a word arrives."""
    done = start + cost + _FREE_LATENCY
    back = max(0, ceil((float(done[-1]) - float(arrival[0])) / period)) + 1
    ahead = max(0, floor((float(arrival[-1]) - float(done[0])) / period)) + 1
    frames = np.arange(-back, ahead + 1)
    finished = (done[None, :] + (frames * period)[:, None]).ravel()
    free = (ring.held[None, :] + (frames * ring.words)[:, None]).ravel()
    free = np.append(free, (ahead + 1) * ring.words + ring.held[0])
    pixel = np.searchsorted(finished, arrival - _EPSILON, side="left")
    occupied = np.arange(ring.words) + 1 - free[pixel]
    return max(int(occupied.max()), ring.least_depth)
