"""What each stage of the C++ core does, in one line: the comments in its text."""

from __future__ import annotations

from xnorhw.plan.hls_model import (
    AbsSum,
    Add,
    Codes,
    Concat,
    Convert,
    Fork,
    Levels,
    Lines,
    Matrix,
    Multiply,
    Planes,
    Replay,
    Requant,
    Stage,
    SumPool,
    Taps,
    Terms,
)

__all__ = ["channel_groups", "stage_comment"]


def stage_comment(stage: Stage) -> str:
    """What ``stage`` does, in one line."""
    if isinstance(stage, Convert):
        return f"words of {stage.in_bits} bits to words of {stage.out_bits}"
    if isinstance(stage, Codes):
        return f"codes of {stage.code_bits} bits out of lanes of {stage.lane_bits}"
    if isinstance(stage, Lines):
        w = stage.window
        kernel = "x".join(str(k) for k in w.geometry.kernel)
        sizes = f"map {w.height} x {w.width} to {w.out_height} x {w.out_width}"
        if w.spread is None:
            return f"all taps of a {kernel} window, {sizes}"
        beside = w.spread.row // w.geometry.kernel[1]
        return f"all taps of {w.spread.pixels} pixels in a {kernel} window over words of {beside}, {sizes}"
    if isinstance(stage, Taps):
        again = f", {stage.repeats} times" if stage.repeats > 1 else ""
        parts = f"{stage.groups} parts" if stage.groups > 1 else "one part"
        return f"a window in {parts}{again}"
    if isinstance(stage, Replay):
        return f"blocks of {stage.words} words, {stage.repeats} times"
    if isinstance(stage, Matrix):
        u = stage.unit
        end = "thresholds" if u.thresholded else "sums"
        weights = f"weights of {u.weight_bits} bits, " if u.full else ""
        weights = f"{u.pixels} pixels at once, {weights}" if u.pixels > 1 else weights
        return f"PE {u.pe} x SIMD {u.simd}, {weights}{u.folds} folds, {channel_groups(stage)}, {end}"
    if isinstance(stage, Planes):
        planes = ", ".join(f"> {plane}" for plane in stage.unit.planes)
        return f"planes of {stage.unit.lanes} codes: {planes}"
    if isinstance(stage, Terms):
        factors = ", ".join(str(c) for c in stage.unit.coefficients)
        return f"weighted sum of terms: {factors}; {stage.unit.lanes} lanes"
    if isinstance(stage, Levels):
        return f"how many of {stage.unit.levels} levels a sum has passed, {stage.unit.lanes} lanes"
    if isinstance(stage, Requant):
        r = stage.unit
        ties = ", ties to even" if r.even else ""
        return f"(sum * multiplier + addend) >> {r.shift}{ties} within {r.low}..{r.high}, {r.lanes} lanes"
    if isinstance(stage, Fork | Add | Concat | AbsSum | Multiply):
        return _of_branches(stage)
    pool = stage.unit
    what = "sum of " if isinstance(stage, SumPool) else ""
    taps = pool.taps_per_word * pool.tap_groups
    return f"{what}{pool.taps_per_word} of {taps} taps a clock, {pool.lanes} lanes"


def _of_branches(stage: Fork | Add | Concat | AbsSum | Multiply) -> str:
    if isinstance(stage, Fork):
        return f"each word to {stage.unit.copies} readers"
    if isinstance(stage, Add):
        shifts = enumerate(stage.unit.shifts)
        terms = " + ".join(f"source{i} * {1 << shift}" if shift else f"source{i}" for i, shift in shifts)
        return f"{terms}, {stage.unit.lanes} lanes"
    if isinstance(stage, Concat):
        words = " + ".join(map(str, stage.unit.words))
        return f"{words} words a pixel, one map's channels behind the other's"
    if isinstance(stage, AbsSum):
        return f"the sum of a pixel's magnitudes, {stage.unit.words_per_pixel} words of {stage.unit.lanes}"
    return f"values times a factor a pixel, {stage.unit.lanes} lanes"


def channel_groups(stage: Matrix) -> str:
    """The channel groups of a matrix stage, and the terms of each, in words."""
    text = f"{stage.unit.groups // stage.terms} channel groups"
    return text if stage.terms == 1 else f"{text} x {stage.terms} terms"
