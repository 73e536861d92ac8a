"""Plan -> C++ for Vitis HLS: stages, top, ROM contents, testbench; and what runs them without it."""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw import resources
from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.sim import stream_file
from xnorhw.emit.wiring import identifiers
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import type_for_range
from xnorhw.pack import lanes_from_words, split_words, start_words, table_words, weight_words
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import (
    Codes,
    Convert,
    HlsDesign,
    Levels,
    Lines,
    Matrix,
    Planes,
    Pool,
    Replay,
    Requant,
    Stage,
    SumPool,
    Taps,
    Terms,
)
from xnorhw.plan.model import Plan, StartRom

__all__ = [
    "INPUT_PORT",
    "OUTPUT_PORT",
    "files",
    "named_stages",
    "observed_streams",
    "pattern_arrays",
    "top_name",
]

INPUT_PORT = "s_axis"
OUTPUT_PORT = "m_axis"

_DEFAULT_MAX_BITS = 1024
"""The widest ap_uint that needs no AP_INT_MAX_W."""
_NATIVE_BITS = 64
"""The widest C++ literal."""
_LARGEST_INT = 2**31 - 1
_HELPERS = ("xh_popcount.h",)

WithRoms = Matrix | Levels | Requant


def top_name(prefix: str) -> str:
    """The name of the top function, and of the module that Vitis makes of it."""
    return f"{prefix}_hls"


@dataclass(frozen=True)
class Names:
    """What a stage's text calls things; ``comment`` says in one line what the stage does.

    ``weights`` and ``starts`` are a matrix stage's arrays, ``table`` is a quantiser's; ``pad``,
    ``invert`` and ``factor`` (a term's plane or coefficient) are expressions.
    """

    function: str
    source: str
    target: str
    comment: str
    weights: str = ""
    starts: str = ""
    pad: str = ""
    invert: str = ""
    table: str = ""
    factor: str = ""


@dataclass(frozen=True)
class Array:
    """A constant array: ``rows`` of C++ expressions, one row where it has one dimension."""

    comment: str
    type: str
    name: str
    rows: tuple[tuple[str, ...], ...]
    flat: bool


@dataclass(frozen=True)
class Observed:
    """A stream whose words are a tensor's, and the stem of the file they are compared by."""

    stream: str
    file: str
    width: int


def files(plan: Plan, graph: IntGraph, prefix: str = "accel") -> dict[str, str]:
    """The C++ core of a plan: path inside the build folder (``hls/...``) -> text.

    The top is ``<prefix>_hls`` in ``hls/<prefix>.cpp``.  Raises FitError where the folding
    cannot be expressed.  The same arguments give the same bytes.
    """
    check_prefix(prefix)
    design = hls_design(plan)
    stages = named_stages(design)
    values = {
        "prefix": prefix,
        "top": top_name(prefix),
        "plan": plan,
        "design": design,
        "stages": stages,
        "streams": [(stage.source, n.source) for stage, n in stages[1:]],
        "beat_bits": plan.input_frame.beat_bits,
        "observed": observed_streams(plan),
        "max_bits": _max_bits(design),
        "default_max_bits": _DEFAULT_MAX_BITS,
    }
    texts = {name: resources.read_text(f"templates/hls/{name}") for name in _HELPERS}
    texts[f"{prefix}.h"] = render("hls/top.h.j2", **values)
    texts[f"{prefix}.cpp"] = render("hls/top.cpp.j2", **values)
    texts[f"{prefix}_stages.h"] = render("hls/stages.h.j2", **values)
    texts[f"{prefix}_stages.cpp"] = render("hls/stages.cpp.j2", **values)
    roms = [rom for s, n in stages if isinstance(s, WithRoms) for rom in _roms(plan, graph, s, n)]
    arrays = (*roms, *pattern_arrays(plan))
    texts[f"{prefix}_weights.h"] = render("hls/weights.h.j2", arrays=arrays, **values)
    texts[f"{prefix}_tb.cpp"] = render("hls/tb.cpp.j2", **values)
    texts[f"{prefix}_core.v"] = render("hls/core.v.j2", **values)
    for name in resources.list_names("templates/hls/sim", ""):
        if not name.endswith(".j2"):
            texts[f"sim/{name}"] = resources.read_text(f"templates/hls/sim/{name}")
    texts["sim/network.h"] = render("hls/sim/network.h.j2", **values)
    texts["sim/spawn.cpp"] = render("hls/sim/spawn.cpp.j2", **values)
    texts[f"sim/{prefix}_core.sv"] = render("hls/sim/core_dpi.sv.j2", **values)
    texts["sim/real_stages.cpp"] = render("hls/sim/real_stages.cpp.j2", **values)
    return {f"hls/{name}": text for name, text in sorted(texts.items())}


def observed_streams(plan: Plan) -> tuple[Observed, ...]:
    """The streams of the C++ core on which observed tensors travel, in the plan's order."""
    return tuple(
        Observed(n.target, stream_file(plan, stage.target.observed), stage.target.width)
        for stage, n in named_stages(hls_design(plan))
        if stage.target.observed
    )


def _max_bits(design: HlsDesign) -> int:
    """The widest ap_uint of the text."""
    widths = [stream.width for stage in design.stages for stream in (stage.source, stage.target)]
    widths += [stage.buffer_bits for stage in design.stages if isinstance(stage, Convert)]
    widths += [stage.lane_bits for stage in design.stages if isinstance(stage, Levels | Requant)]
    return max(widths)


def named_stages(design: HlsDesign) -> tuple[tuple[Stage, Names], ...]:
    """The stages in order, each with what its text calls things."""
    ids = identifiers(tuple(stage.name for stage in design.stages))
    functions = [ids[stage.name] for stage in design.stages]
    streams = [INPUT_PORT, *(f"{name}_in" for name in functions[1:]), OUTPUT_PORT]
    return tuple(
        (stage, _stage_names(stage, functions[i], streams[i], streams[i + 1]))
        for i, stage in enumerate(design.stages)
    )


def _stage_names(stage: Stage, function: str, source: str, target: str) -> Names:
    if isinstance(stage, Matrix):
        weights, starts = f"{function}_weights", f"{function}_starts"
        return Names(function, source, target, _comment(stage), weights=weights, starts=starts)
    if isinstance(stage, Lines):
        pad = _pattern(*_pad_words(stage), f"{function}_pad")
        return Names(function, source, target, _comment(stage), pad=pad)
    if isinstance(stage, Pool):
        invert = _pattern(*_invert_words(stage), f"{function}_invert")
        return Names(function, source, target, _comment(stage), invert=invert)
    if isinstance(stage, Levels | Requant):
        return Names(function, source, target, _comment(stage), table=f"{function}_table")
    if isinstance(stage, Planes | Terms):
        return Names(function, source, target, _comment(stage), factor=_factor(stage, function))
    return Names(function, source, target, _comment(stage))


def _pad_words(stage: Lines) -> tuple[list[int], int]:
    """The words that padding reads, one a channel word, and their width."""
    words = split_words([int(stage.window.pad_word, 16)], stage.window.words_per_pixel, stage.word_bits)
    return [w[0] for w in words], stage.word_bits


def _invert_words(stage: Pool) -> tuple[list[int], int]:
    """The lanes that take the minimum, a word a channel word, and their width."""
    unit = stage.unit
    words = split_words([int(unit.invert, 16)], unit.words_per_pixel, unit.lanes)
    return [w[0] for w in words], unit.lanes


def _factors(stage: Planes | Terms) -> tuple[tuple[int, ...], str]:
    """What each term is compared or multiplied with, and the type of it in C++."""
    if isinstance(stage, Planes):
        return stage.unit.planes, f"ap_uint<{stage.unit.bits}>"
    factors = stage.unit.coefficients
    return factors, f"ap_int<{type_for_range(min(0, *factors), max(0, *factors)).bits}>"


def _factor(stage: Planes | Terms, function: str) -> str:
    """An expression for the plane or the coefficient of ``term``; none where coefficients are shifts."""
    factors, _ = _factors(stage)
    if len(set(factors)) == 1:
        return str(factors[0])
    if isinstance(stage, Planes):
        return f"{function}_planes[term]"
    return "" if stage.unit.doubles else f"{function}_coefficients[term]"


def _groups(stage: Matrix) -> str:
    """The channel groups of a matrix stage, and the terms of each, in words."""
    text = f"{stage.unit.groups // stage.terms} channel groups"
    return text if stage.terms == 1 else f"{text} x {stage.terms} terms"


def _pattern(words: list[int], bits: int, array: str) -> str:
    """An expression for the pattern of channel word ``word``."""
    if len(set(words)) == 1 and (bits <= _NATIVE_BITS or not words[0]):
        return _literal(words[0], bits)
    return f"{array}[{'word' if len(words) > 1 else '0'}]"


def _literal(value: int, bits: int) -> str:
    """An unsigned number of ``bits`` bits as a C++ expression."""
    if value == 0:
        return "0"
    if bits <= _NATIVE_BITS:
        return f"0x{value:X}{'ULL' if value > _LARGEST_INT else ''}"
    return f'ap_uint<{bits}>("0x{value:X}", 16)'


def _comment(stage: Stage) -> str:
    if isinstance(stage, Convert):
        return f"words of {stage.in_bits} bits to words of {stage.out_bits}"
    if isinstance(stage, Codes):
        return f"codes of {stage.code_bits} bits out of lanes of {stage.lane_bits}"
    if isinstance(stage, Lines):
        w = stage.window
        kernel = "x".join(str(k) for k in w.geometry.kernel)
        return f"all taps of a {kernel} window, map {w.height} x {w.width} to {w.out_height} x {w.out_width}"
    if isinstance(stage, Taps):
        again = f", {stage.repeats} times" if stage.repeats > 1 else ""
        parts = f"{stage.groups} parts" if stage.groups > 1 else "one part"
        return f"a window in {parts}{again}"
    if isinstance(stage, Replay):
        return f"blocks of {stage.words} words, {stage.repeats} times"
    if isinstance(stage, Matrix):
        u = stage.unit
        end = "thresholds" if u.thresholded else "sums"
        return f"PE {u.pe} x SIMD {u.simd}, {u.folds} folds, {_groups(stage)}, {end}"
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
        return f"(sum * multiplier + addend) >> {r.shift} within {r.low}..{r.high}, {r.lanes} lanes"
    pool = stage.unit
    what = "sum of " if isinstance(stage, SumPool) else ""
    taps = pool.taps_per_word * pool.tap_groups
    return f"{what}{pool.taps_per_word} of {taps} taps a clock, {pool.lanes} lanes"


def pattern_arrays(plan: Plan) -> tuple[Array, ...]:
    """The arrays that the plan alone gives: padding, pools, position classes, planes, coefficients."""
    arrays: list[Array] = []
    for stage, n in named_stages(hls_design(plan)):
        if isinstance(stage, Matrix) and stage.starts.classes > 1:
            arrays += _class_tables(stage.starts, one_line(stage.layer), n)
        elif isinstance(stage, Lines) and n.pad.startswith(n.function):
            arrays.append(_pattern_array(stage, *_pad_words(stage), n.pad))
        elif isinstance(stage, Pool) and n.invert.startswith(n.function):
            arrays.append(_pattern_array(stage, *_invert_words(stage), n.invert))
        elif isinstance(stage, Planes | Terms) and n.factor.startswith(n.function):
            factors, kind = _factors(stage)
            what = "planes" if isinstance(stage, Planes) else "coefficients"
            name = n.factor.partition("[")[0]
            row = tuple(map(str, factors))
            arrays.append(Array(f"{one_line(stage.layer)}: {what} of its terms", kind, name, (row,), True))
    return tuple(arrays)


def _pattern_array(stage: Stage, words: list[int], bits: int, expression: str) -> Array:
    name = expression.partition("[")[0]
    row = tuple(_literal(w, bits) for w in (words if "word" in expression else words[:1]))
    what = "padding" if isinstance(stage, Lines) else "lanes that take the minimum"
    return Array(f"{one_line(stage.layer)}: {what}", f"ap_uint<{bits}>", name, (row,), True)


def _roms(plan: Plan, graph: IntGraph, stage: WithRoms, n: Names) -> tuple[Array, ...]:
    if isinstance(stage, Matrix):
        return _matrix_roms(plan, graph, stage, n)
    unit, table = stage.unit, stage.table
    rows = split_words(table_words(plan, graph, table), unit.lanes, stage.lane_bits)
    if isinstance(stage, Levels):
        what = f"{stage.unit.levels} levels of {unit.in_bits} bits, lowest first, and the flip"
    else:
        what = f"multipliers of {stage.unit.multiplier_bits} bits, lowest, and addends"
    order = f"[lane][{table.depth} words, groups of channels innermost]"
    return (
        Array(
            f"{one_line(stage.target.tensor)}: {what}, {order}",
            f"ap_uint<{stage.lane_bits}>",
            n.table,
            tuple(tuple(_literal(word, stage.lane_bits) for word in row) for row in rows),
            False,
        ),
    )


def _matrix_roms(plan: Plan, graph: IntGraph, stage: Matrix, n: Names) -> tuple[Array, Array]:
    unit = stage.unit
    layer = one_line(stage.layer)
    weights = split_words(weight_words(plan, graph, stage.weights), unit.pe, unit.simd)
    starts = lanes_from_words(start_words(plan, graph, stage.starts), unit.pe, unit.start_bits, signed=True)
    order = f"{_groups(stage)} x {unit.folds} folds"
    return (
        Array(
            f"{layer}: weights, [PE][{order}]",
            f"ap_uint<{unit.simd}>",
            n.weights,
            tuple(tuple(_literal(word, unit.simd) for word in row) for row in weights),
            False,
        ),
        Array(
            f"{layer}: starts, [PE][{stage.starts.classes} position classes x {_groups(stage)}]",
            f"ap_int<{unit.start_bits}>",
            n.starts,
            tuple(tuple(str(int(v)) for v in row) for row in starts.T),
            False,
        ),
    )


def _class_tables(rom: StartRom, layer: str, n: Names) -> list[Array]:
    """The first start of each row's and each column's class: their sum is that of the pixel's."""
    from_row = [c * rom.column_classes * rom.groups for c in rom.row_class]
    from_column = [c * rom.groups for c in rom.column_class]
    bits = max(1, (rom.classes * rom.groups - 1).bit_length())
    return [
        Array(
            f"{layer}: first start of a {what}'s class",
            f"ap_uint<{bits}>",
            f"{n.starts}_{what}",
            (tuple(map(str, table)),),
            True,
        )
        for what, table in (("row", from_row), ("column", from_column))
    ]
