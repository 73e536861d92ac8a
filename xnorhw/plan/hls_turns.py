"""In which turns of its loop each stage of the C++ core reads and writes: the schedule of its text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnorhw.plan.hls_depth import Turns
from xnorhw.plan.hls_model import (
    AbsSum,
    Add,
    Concat,
    Convert,
    Lines,
    Matrix,
    Multiply,
    Pool,
    Replay,
    Stage,
    SumPool,
    Taps,
    Terms,
)

__all__ = ["turns"]

Numbers = npt.NDArray[np.int64]


def turns(stage: Stage) -> Turns:
    """The turns of ``stage`` for one frame."""
    if isinstance(stage, Convert):
        return _convert(stage)
    if isinstance(stage, Lines):
        return _lines(stage)
    every = np.arange(stage.cycles)
    if isinstance(stage, Taps):
        pixel = stage.repeats * stage.groups * stage.words
        step = stage.groups if stage.words_outer else 1
        return Turns(stage.cycles, (_steps(stage.pixels, pixel, stage.words, step),), every)
    if isinstance(stage, Replay):
        reads = _steps(stage.blocks, stage.repeats * stage.words, stage.words, 1)
        return Turns(stage.cycles, (reads,), every)
    if isinstance(stage, Matrix):
        return Turns(stage.cycles, (every,), every[stage.unit.folds - 1 :: stage.unit.folds])
    if isinstance(stage, Terms):
        count = len(stage.unit.coefficients)
        return Turns(stage.cycles, (every,), every[count - 1 :: count])
    if isinstance(stage, Pool | SumPool):
        return Turns(stage.cycles, (every,), every[stage.unit.tap_groups - 1 :: stage.unit.tap_groups])
    if isinstance(stage, Add):
        return Turns(stage.cycles, (every,) * len(stage.unit.in_bits), every)
    if isinstance(stage, Concat):
        pixel, starts = stage.ends[-1], (0, *stage.ends)
        return Turns(
            stage.cycles,
            tuple(
                start + _steps(stage.pixels, pixel, count, 1)
                for start, count in zip(starts, stage.unit.words, strict=False)
            ),
            every,
        )
    if isinstance(stage, AbsSum):
        count = stage.unit.words_per_pixel
        return Turns(stage.cycles, (every,), every[count - 1 :: count])
    if isinstance(stage, Multiply):
        return Turns(stage.cycles, (every, every[:: stage.unit.words_per_pixel]), every)
    return Turns(stage.cycles, (every,), every)


def _steps(outer: int, outer_step: int, inner: int, inner_step: int) -> Numbers:
    return (np.arange(outer)[:, None] * outer_step + np.arange(inner) * inner_step).ravel()


def _lines(stage: Lines) -> Turns:
    """Reads at the pixels of the map, writes where a window is complete; all words of a pixel in a row."""
    window = stage.window
    words = np.arange(window.words_per_pixel)
    pixels = _steps(window.height, stage.columns, window.width, 1)
    steps = np.full((window.out_height, window.out_width), stage.step_pixel, np.int64)
    steps[:, 0] = stage.step_row
    steps[0, 0] = stage.first
    leaving = np.cumsum(steps.ravel())
    reads, writes = ((at[:, None] * len(words) + words).ravel() for at in (pixels, leaving))
    return Turns(stage.cycles, (reads,), writes, stage.window_depth)


def _convert(stage: Convert) -> Turns:
    """One packet's turns, over and over; a tail that is still due leaves a turn later."""
    in_bits, out_bits = stage.in_bits, stage.out_bits
    if not stage.widens:
        per_packet = stage.out_words
        # a word is taken when what is held is less than one word out
        reads: list[int] = []
        held = 0
        for turn in range(stage.out_words):
            if held < out_bits and len(reads) < stage.in_words:
                reads.append(turn)
                held += in_bits
            held -= out_bits
        writes: list[int] = list(range(stage.out_words))
    else:
        per_packet = stage.in_words
        reads = list(range(stage.in_words))
        writes, held = [], 0
        for turn in range(stage.in_words):
            held += in_bits
            if held >= out_bits:
                writes.append(turn)
                held -= out_bits
            elif turn == stage.in_words - 1 and not stage.flushes:
                writes.append(turn)
        if stage.flushes:
            writes.append(stage.in_words)
    packets = np.arange(stage.packets)[:, None] * per_packet
    return Turns(
        stage.cycles,
        ((packets + np.array(reads, np.int64)).ravel(),),
        (packets + np.array(writes, np.int64)).ravel(),
    )
