"""How deep the streams of the C++ core must be so that no stage waits for another in steady state.

Each stage is a loop with a turn a clock whose turns read and write at fixed places.  If the
frames come evenly, one a period, each word's clocks follow from the one in front of it; the
most words that then lie in a stream are its depth, for with that many places nobody waits for
one, and all goes as if there were no end.  A source that is quicker than even cannot make a
result later: taking a word earlier delays nothing.

The stream inside a window is the exception: its words are whole windows.  It is as short as
its two processes allow, and what has to wait does so in front of them, in words of one tap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.plan.model import Window

__all__ = ["Turns", "line_buffer_depth", "stream_depths"]

FRAMES = 3
"""Frames looked at: what happens at a frame's edge appears between any two."""

LATENCY = 4
"""Clocks that a word may take through a process and a FIFO, on the safe side."""

SLACK = 2
"""Words more: a FIFO shows a word, and a place, some clocks after it is there."""

LEAST = 2
"""A FIFO of two words moves one every clock."""

Clocks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Turns:
    """A stage's loop for one frame: ``count`` turns, and in which of them it reads and it writes.

    ``room``: the depth that the stream behind it has, 0 where it is to be found.
    """

    count: int
    reads: Clocks
    writes: Clocks
    room: int = 0


def stream_depths(stages: Sequence[Turns], beats: int, period: int) -> list[int]:
    """The depth of the stream behind each stage but the last; frames of ``beats`` come every ``period``."""
    frame = np.arange(FRAMES)[:, None]
    came = (frame * period + np.arange(beats) * period // beats).ravel()
    loops = [
        Turns(s.count, (frame * s.count + s.reads).ravel(), (frame * s.count + s.writes).ravel(), s.room)
        for s in stages
    ]
    depths = []
    for number, stage in enumerate(loops):
        # a turn comes a clock after the one before it, and after the word that it reads
        late = np.maximum.accumulate(came + 1 - stage.reads)
        last_read = np.searchsorted(stage.reads, stage.writes, side="right") - 1
        late_writes = late[last_read]
        if stage.room:
            late_writes = _held_back(stage, late_writes, loops[number + 1].reads)
            written = np.searchsorted(stage.writes, stage.reads, side="left") - 1
            late = np.maximum(late, np.where(written < 0, late, late_writes[written]))
        if number:
            room = loops[number - 1].room
            depths.append(room or _most(came, stage.reads + late))
        came = stage.writes + late_writes
    return depths


def _most(came: Clocks, taken: Clocks) -> int:
    """The depth at which each word finds room when it comes."""
    waiting = np.arange(1, len(came) + 1) - np.searchsorted(taken, came, side="left")
    return max(LEAST, int(waiting.max()) + SLACK)


def _held_back(stage: Turns, late: Clocks, reads: Clocks) -> Clocks:
    """How late ``stage`` writes where the stage behind it, which reads in turns ``reads``, leaves no room."""
    writes, room = stage.writes.tolist(), stage.room
    found: list[int] = []
    taken: list[int] = []
    behind, behind_late = 0, -(1 << 62)
    for k, (turn, own, read) in enumerate(zip(writes, late.tolist(), reads.tolist(), strict=True)):
        behind = max(behind, own) if k else own
        if k >= room:
            behind = max(behind, taken[k - room] + 1 - turn)
        behind_late = max(behind_late, turn + behind + 1 - read)
        taken.append(read + behind_late)
        found.append(behind)
    return np.array(found, np.int64)


def line_buffer_depth(unit: Window, first: int, step_row: int, cycles: int) -> int:
    """The least depth with which neither process ever waits for the other in steady state.

    The delay lines move a word a clock, ``cycles`` a frame, and give window words in bursts
    (the first with pixel ``first``, then a stride or ``step_row`` apart); the taps take them
    at an even pace, ``words * repeats * groups`` clocks a pixel.  The slower of the two sets
    the pace, and the other must have room to run ahead.
    """
    words, rows, columns = unit.words_per_pixel, unit.out_height, unit.out_width
    groups = unit.geometry.taps // unit.taps_per_word
    pixels = rows * columns
    steps = np.full((rows, columns), unit.geometry.stride[1], np.int64)
    steps[:, 0] = step_row
    steps[0, 0] = first
    given = (np.cumsum(steps.ravel())[:, None] * words + np.arange(words)).ravel()
    # tap groups outside of words: all words of a pixel are taken in its first round
    pace = groups if unit.channels_outer else 1
    pixel_cycles = words * unit.repeats * groups
    taken = (np.arange(pixels)[:, None] * pixel_cycles + np.arange(words) * pace).ravel()
    whole = pixels * pixel_cycles
    frame = np.arange(FRAMES)[:, None]
    given = (frame * cycles + given).ravel()
    taken = (frame * whole + taken).ravel()
    enough = _taps_never_wait if whole >= cycles else _lines_never_wait
    low, high = 2, pixels * words + LATENCY
    while low < high:
        middle = (low + high) // 2
        if enough(given, taken, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _taps_never_wait(given: npt.NDArray[np.int64], taken: npt.NDArray[np.int64], depth: int) -> bool:
    """Whether each word is there in time, though it could not be given before another was taken."""
    if depth >= len(given):
        return True
    slack = np.maximum.accumulate(taken[:-depth] - given[depth:]) + LATENCY
    return bool((slack + given[depth:] <= taken[depth:]).all())


def _lines_never_wait(given: npt.NDArray[np.int64], taken: npt.NDArray[np.int64], depth: int) -> bool:
    """Whether each word is given without a wait, though others must be taken after they came."""
    if depth >= len(given):
        return True
    slack = np.maximum.accumulate(given[:-depth] - taken[:-depth]) + LATENCY
    return bool((slack + taken[:-depth] <= given[depth:]).all())
