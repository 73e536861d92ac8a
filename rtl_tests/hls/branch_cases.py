"""Cases of the units at which streams part and meet; see ``unit_cases``."""

from __future__ import annotations

from dataclasses import replace

from rtl_tests.hls.unit_cases import FRAMES, UNIT, UnitCase, in_frames, unit_plan
from rtl_tests.units import test_branches
from xnorhw.plan.hls_model import Add, Concat, Fork, HlsDesign, HlsStream, Multiply
from xnorhw.plan.model import AbsSumUnit, AddUnit, ConcatUnit, ForkUnit, MultiplyUnit, Stream

__all__ = ["branch", "branches"]

Frames = list[tuple[tuple[int, ...], ...]]


def branches() -> list[UnitCase]:
    """The bench's units."""
    return [branch(unit) for unit in test_branches.UNITS]


def branch(unit: test_branches.Unit) -> UnitCase:
    """A unit with words of its bench."""
    return _magnitudes(unit) if unit.module == "abs_sum" else _branch(unit)


def _words(unit: test_branches.Unit) -> tuple[Frames, Frames]:
    """For each stream in and out its words in frames."""
    work = test_branches._work(unit, "stage")
    taken, given = ([in_frames(words) for words in side.values()] for side in (work.taken, work.given))
    return taken, given


def _frames(streams: Frames) -> tuple[tuple[int, ...], ...]:
    """The words of each frame, stream after stream."""
    return tuple(tuple(word for stream in streams for word in stream[i]) for i in range(FRAMES))


def _magnitudes(unit: test_branches.Unit) -> UnitCase:
    (taken,), (given,) = _words(unit)
    planned, size = AbsSumUnit(UNIT, **unit.size), unit.size
    channels = size["lanes"] * (size["words_per_pixel"] - 1) + size["last_lanes"]
    into = Stream("input", size["lanes"], size["in_bits"], channels, len(given[0]))
    out = Stream("output", 1, size["out_bits"], 1, len(given[0]))
    return UnitCase(str(unit), unit_plan(planned, into, out, (len(taken[0]), len(given[0]))), taken, given)


def _branch(unit: test_branches.Unit) -> UnitCase:
    taken, given = _words(unit)
    widths_in, widths_out = ([port.width for port in side] for side in (unit.sources, unit.sinks))
    sources = tuple(
        HlsStream(UNIT, width, 2, len(words[0]), "input", port=i)
        for i, (width, words) in enumerate(zip(widths_in, taken, strict=True))
    )
    joins = unit.module != "fork"
    targets = tuple(
        HlsStream("output" if joins else "other", width, 2, len(words[0]), "output", port=i)
        for i, (width, words) in enumerate(zip(widths_out, given, strict=True))
    )
    size, many, cycles = unit.size, unit.many, max(s.words for s in (*sources, *targets))
    common = UNIT, "", sources, targets, cycles
    stage: Fork | Add | Concat | Multiply
    if unit.module == "fork":
        stage = Fork(*common, ForkUnit(UNIT, size["width"], size["copies"]), cycles)
    elif unit.module == "add":
        signed, bipolar = (tuple(map(bool, many[name])) for name in ("in_signed", "in_bipolar"))
        adder = AddUnit(
            UNIT, size["lanes"], many["in_bits"], signed, bipolar, many["shifts"], size["out_bits"]
        )
        stage = Add(*common, adder, cycles)
    elif unit.module == "concat":
        concat = ConcatUnit(UNIT, 1, size["width"], many["words"])
        stage = Concat(*common, concat, cycles // sum(many["words"]))
    else:
        stage = Multiply(*common, MultiplyUnit(UNIT, **size), targets[0].words // size["words_per_pixel"])
    plan = unit_plan(stage.unit, _stream(sources[0]), _stream(targets[0]), (cycles, cycles))
    return UnitCase(str(unit), plan, _frames(taken), _frames(given), design=_design(stage))


def _stream(stream: HlsStream) -> Stream:
    return Stream(stream.tensor, 1, stream.width, 1, stream.words)


def _design(stage: Fork | Add | Concat | Multiply) -> HlsDesign:
    """``stage`` and another that closes it: a top has one stream in and one out."""
    if isinstance(stage, Fork):
        count, width = len(stage.targets), stage.unit.width
        no = (False,) * count
        unit = AddUnit("other", 1, (width,) * count, no, no, (0,) * count, width)
        target = replace(stage.source, name="output")
        other = Add("other", "", stage.targets, (target,), stage.words, unit, stage.words)
        return HlsDesign((stage, other), stage.cycles)
    widest = max(stage.sources, key=lambda s: s.width)
    source = replace(widest, name="other", port=0)
    fork = ForkUnit("other", widest.width, len(stage.sources))
    return HlsDesign(
        (Fork("other", "", (source,), stage.sources, source.words, fork, source.words), stage), stage.cycles
    )
