"""How deep the streams of the C++ core must be so that no stage waits for another in steady state.

Each stage is a loop with a turn a clock whose turns read and write at fixed places.  If the
frames come evenly, one a period, each word's clocks follow from the one in front of it; the
most words that then lie in a stream are its depth, for with that many places nobody waits for
one, and all goes as if there were no end.  A source that is quicker than even cannot make a
result later: taking a word earlier delays nothing.

Where streams meet, a word waits for the slowest path.  A stage's pipeline delays all of its
words alike, which changes nothing in a chain; between the paths of a graph it counts.  A word
that is forked leaves for all targets at once.  Depths that hold one order of events with every
word in its place hold all orders: what processes give does not depend on time, and so neither
does whether they stand still.

The stream inside a window is the exception: its words are whole windows.  It is as short as
its two processes allow, and what has to wait does so in front of them, in words of one tap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnorhw.plan.model import Window

__all__ = ["Turns", "line_buffer_depth", "stream_depths"]

FRAMES = 3
"""Frames looked at: what happens at a frame's edge appears between any two."""

LATENCY = 4
"""Clocks that a word may take through a process and a FIFO, on the safe side."""

NEVER = -(1 << 62)
"""Before every clock."""

SLACK = 2
"""Words more: a FIFO shows a word, and a place, some clocks after it is there."""

PIPELINE = 8
"""Clocks between a turn's reads and its writes in hardware, on the safe side: Vitis decides them."""

LEAST = 2
"""A FIFO of two words moves one every clock."""

Clocks = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Turns:
    """A stage's loop for one frame: ``count`` turns, and in which of them it reads and it writes.

    ``reads`` are those of each source; all targets are written in the same turns.  ``room``: the
    depth that the stream behind it has, 0 where it is to be found.
    """

    count: int
    reads: tuple[Clocks, ...]
    writes: Clocks
    room: int = 0


def stream_depths(
    stages: Sequence[Turns], writers: Sequence[Sequence[int]], beats: int, period: int
) -> list[list[int]]:
    """The depth of the stream into each source of each stage; frames of ``beats`` come every ``period``.

    ``writers`` are the stages that write those sources, -1 being the core's input, whose depth is
    given as 0.  A stage stands behind its writers.
    """
    frames = FRAMES
    if any(len(sources) > 1 for sources in writers):
        # a word may wait for whole frames of another path
        once = _traffic(stages, writers, beats, period, 1)
        frames += max(int((taken - came).max()) for _, came, taken in once) // period
    depths: list[list[int]] = [[0] * len(sources) for sources in writers]
    for (number, port), came, taken in _traffic(stages, writers, beats, period, frames):
        depths[number][port] = stages[writers[number][port]].room or _most(came, taken)
    return depths


Place = tuple[int, int]
"""A stage and the number of one of its sources."""


def _traffic(
    stages: Sequence[Turns], writers: Sequence[Sequence[int]], beats: int, period: int, frames: int
) -> Iterator[tuple[Place, Clocks, Clocks]]:
    """For each stream between two stages the clocks in which its words come and are taken."""
    frame = np.arange(frames)[:, None]

    def repeated(turns: Clocks, count: int) -> Clocks:
        return (frame * count + turns).ravel()

    loops = [
        Turns(s.count, tuple(repeated(r, s.count) for r in s.reads), repeated(s.writes, s.count), s.room)
        for s in stages
    ]
    gave = {-1: (frame * period + np.arange(beats) * period // beats).ravel()}
    for number, (stage, sources) in enumerate(zip(loops, writers, strict=True)):
        came = [gave[writer] for writer in sources]
        # a turn comes a clock after the one before it, and after the words that it reads
        waits = [
            np.maximum.accumulate(words + 1 - reads) for words, reads in zip(came, stage.reads, strict=True)
        ]
        late = [_late(stage, waits, reads) for reads in stage.reads]
        late_writes = _late(stage, waits, stage.writes)
        if stage.room:
            (behind,) = (n for n, places in enumerate(writers) if number in places)
            late_writes = _held_back(stage, late_writes, loops[behind].reads[0])
            written = np.searchsorted(stage.writes, stage.reads[0], side="left") - 1
            late = [np.maximum(late[0], np.where(written < 0, NEVER, late_writes[written]))]
        for port, (writer, reads) in enumerate(zip(sources, stage.reads, strict=True)):
            if writer >= 0:
                yield (number, port), came[port], reads + late[port]
        gave[number] = stage.writes + late_writes + PIPELINE


def _late(stage: Turns, waits: Sequence[Clocks], turns: Clocks) -> Clocks:
    """How many clocks after its number each of ``turns`` comes, the words of each source being waited for."""
    late = np.full(len(turns), NEVER)
    for reads, wait in zip(stage.reads, waits, strict=True):
        if turns is reads:
            late = np.maximum(late, wait)
            continue
        last_read = np.searchsorted(reads, turns, side="right") - 1
        late = np.maximum(late, np.where(last_read < 0, NEVER, wait[last_read]))
    return late


def _most(came: Clocks, taken: Clocks) -> int:
    """The depth at which each word finds room when it comes."""
    waiting = np.arange(1, len(came) + 1) - np.searchsorted(taken, came, side="left")
    return max(LEAST, int(waiting.max()) + SLACK)


def _held_back(stage: Turns, late: Clocks, reads: Clocks) -> Clocks:
    """How late ``stage`` writes where the stage behind it, which reads in turns ``reads``, leaves no room."""
    writes, room = stage.writes.tolist(), stage.room
    found: list[int] = []
    taken: list[int] = []
    behind, behind_late = 0, NEVER
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
    # a slice is taken as a pixel by itself
    parts = words // unit.slices
    part_cycles = parts * unit.repeats * groups
    taken = (np.arange(pixels * unit.slices)[:, None] * part_cycles + np.arange(parts) * pace).ravel()
    whole = pixels * unit.slices * part_cycles
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
