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
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import Threshold
from xnorhw.plan.layers import Quantiser

__all__ = [
    "Ring",
    "Schedule",
    "Stage",
    "pool_latency",
    "quantiser_latency",
    "schedule",
    "terms_latency",
    "window_ring",
]

Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

# Clocks from a word's arrival until its window sees it, and from a pixel's last read until
# the writer sees the room; the RTL's window needs no more.
_WRITE_LATENCY = 2
_FREE_LATENCY = 2
# Clocks through one stage's registers beside its work: window, matrix unit, FIFO, converter.
_STAGE_LATENCY = 6
_EPSILON = 1e-6

_LEVELS_LATENCY = 2
_REQUANT_LATENCY = 4


def pool_latency(bits: int, sums: bool, taps_per_word: int) -> int:
    """Clocks through the registers of a pool; one-bit pools have none."""
    if bits == 1 and not sums:
        return 0
    return 2 if taps_per_word > 1 else 1


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

    ``pixels`` output pixels a frame, ``cost`` clocks each; ``in_words`` words taken and
    ``next_words`` words given a frame.  ``later``: clocks through the registers of units that
    not every stage has.
    """

    name: str
    ring: Ring | None
    in_words: int
    pixels: int
    cost: float
    next_words: int
    later: int = 0


@dataclass(frozen=True)
class Schedule:
    """The outcome: ring depths by stage name, clocks from first beat in to last beat out."""

    depths: tuple[tuple[str, int], ...]
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


def schedule(stages: tuple[Stage, ...], input_beats: int, period: int) -> Schedule:
    """Ring depths for a steady period of ``period`` clocks, and the latency of a lone frame.

    ``input_beats``: beats in which a frame arrives, one a clock where nothing holds it back.
    """
    count = stages[0].in_words
    words: Times = np.arange(1, count + 1, dtype=np.float64) / count
    arrival: Times = words * period
    alone: Times = words * max(count, input_beats)
    depths: list[tuple[str, int]] = []
    for stage in stages:
        start = _steady_starts(stage, arrival, period)
        if stage.ring is not None:
            depths.append((stage.name, _depth(stage, stage.ring, arrival, start, period)))
        arrival = _outputs(stage, start)
        alone = _alone(stage, alone)
    return Schedule(tuple(depths), ceil(float(alone[-1])), period)


def _ready(stage: Stage, arrival: Times) -> Times:
    """When each pixel's words are all there."""
    if stage.ring is None:
        ends = (np.arange(stage.pixels) + 1) * stage.in_words // stage.pixels
        return arrival[ends - 1]
    padded = np.concatenate([arrival[:1] - 1.0, arrival])
    times: Times = padded[stage.ring.needed] + _WRITE_LATENCY
    return times


def _steady_starts(stage: Stage, arrival: Times, period: int) -> Times:
    ready = _ready(stage, arrival)
    if stage.ring is None:
        # words are taken one a clock as they come: a pixel starts when its last words are near
        return np.maximum.accumulate(ready) - stage.cost + 1
    two = np.concatenate([ready - period, ready])
    ramp = np.arange(two.size) * stage.cost
    starts: Times = (np.maximum.accumulate(two - ramp) + ramp)[stage.pixels :]
    return starts


def _alone(stage: Stage, arrival: Times) -> Times:
    """When a frame that meets an empty pipeline leaves the stage."""
    if stage.ring is None:
        # the work was done while the words came; what is left is to pass the result on
        stage = replace(stage, cost=stage.next_words / stage.pixels)
    ready = _ready(stage, arrival)
    ramp = np.arange(ready.size) * stage.cost
    latency = _STAGE_LATENCY + stage.later
    return _outputs(stage, np.maximum.accumulate(ready - ramp) + ramp) + latency


def _outputs(stage: Stage, start: Times) -> Times:
    """When each word behind the stage appears: a pixel's words come evenly over its cost."""
    ends = (np.arange(stage.next_words) + 1.0) * stage.pixels / stage.next_words
    pixel = np.minimum(np.ceil(ends - _EPSILON).astype(np.int64) - 1, stage.pixels - 1)
    return start[pixel] + stage.cost * (ends - pixel)


def _depth(stage: Stage, ring: Ring, arrival: Times, start: Times, period: int) -> int:
    """The largest number of words written and not yet free, when a word arrives."""
    done = start + stage.cost + _FREE_LATENCY
    back = max(0, ceil((float(done[-1]) - float(arrival[0])) / period)) + 1
    ahead = max(0, floor((float(arrival[-1]) - float(done[0])) / period)) + 1
    frames = np.arange(-back, ahead + 1)
    finished = (done[None, :] + (frames * period)[:, None]).ravel()
    free = (ring.held[None, :] + (frames * ring.words)[:, None]).ravel()
    free = np.append(free, (ahead + 1) * ring.words + ring.held[0])
    pixel = np.searchsorted(finished, arrival - _EPSILON, side="left")
    occupied = np.arange(ring.words) + 1 - free[pixel]
    return max(int(occupied.max()), ring.least_depth)
