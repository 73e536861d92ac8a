"""Plan -> C++ for Vitis HLS: stages, top, ROM contents, testbench; and what runs them without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xnorhw import resources
from xnorhw.emit.hls_comments import channel_groups, stage_comment
from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.sim import observed_edges, stream_file
from xnorhw.emit.wiring import identifiers
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import type_for_range
from xnorhw.pack import lanes_from_words, split_words, start_words, table_words, weight_words
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import (
    Convert,
    HlsDesign,
    HlsStream,
    Levels,
    Lines,
    Matrix,
    Planes,
    Pool,
    Requant,
    Stage,
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
_PRODUCTS = "xh_products.h"
"""What goes with a matrix unit of integer weights alone."""

WithRoms = Matrix | Levels | Requant


def top_name(prefix: str) -> str:
    """The name of the top function, and of the module that Vitis makes of it."""
    return f"{prefix}_hls"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a stage's function: its name, the stream that the top passes, bits of a word."""

    name: str
    stream: str
    width: int


@dataclass(frozen=True)
class Names:
    """What a stage's text calls things; ``comment`` says in one line what the stage does.

    ``parameters`` are the streams in, then those out.  ``weights`` and ``starts`` are a matrix
    stage's arrays, ``table`` is a quantiser's; ``pad``, ``invert`` and ``factor`` (a term's plane
    or coefficient) are expressions.
    """

    function: str
    parameters: tuple[Parameter, ...]
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
    streams = _stream_names(design)
    values = {
        "prefix": prefix,
        "top": top_name(prefix),
        "plan": plan,
        "design": design,
        "stages": stages,
        "streams": [(stream, streams[stream]) for stream in design.streams],
        "beat_bits": plan.input_frame.beat_bits,
        "observed": observed_streams(plan),
        "max_bits": _max_bits(design),
        "default_max_bits": _DEFAULT_MAX_BITS,
        "products": any(isinstance(stage, Matrix) and stage.unit.full for stage in design.stages),
    }
    helpers = (*_HELPERS, _PRODUCTS) if values["products"] else _HELPERS
    texts = {name: resources.read_text(f"templates/hls/{name}") for name in helpers}
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
    found = {
        stream.observed: Observed(name, stream_file(plan, stream.observed), stream.width)
        for stream, name in _stream_names(hls_design(plan)).items()
        if stream.observed
    }
    return tuple(found[tensor] for tensor in observed_edges(plan))


def _max_bits(design: HlsDesign) -> int:
    """The widest ap_uint of the text."""
    widths = [stream.width for stage in design.stages for stream in (*stage.sources, *stage.targets)]
    widths += [stage.buffer_bits for stage in design.stages if isinstance(stage, Convert)]
    widths += [stage.lane_bits for stage in design.stages if isinstance(stage, Levels | Requant)]
    widths += [stage.row_bits for stage in design.stages if isinstance(stage, Matrix)]
    widths += [stage.taps_bits for stage in design.stages if isinstance(stage, Lines)]
    return max(widths)


def named_stages(design: HlsDesign) -> tuple[tuple[Stage, Names], ...]:
    """The stages in order, each with what its text calls things."""
    ids = identifiers(tuple(stage.name for stage in design.stages))
    streams = _stream_names(design)
    return tuple((stage, _stage_names(stage, ids[stage.name], streams)) for stage in design.stages)


def _stream_names(design: HlsDesign) -> dict[HlsStream, str]:
    """What the top calls its ports and its streams."""
    ids = identifiers(tuple(stage.name for stage in design.stages))
    names = {
        stream: f"{ids[stage.name]}_in{stream.port if len(stage.sources) > 1 else ''}"
        for stage in design.stages
        for stream in stage.sources
    }
    return names | {design.stages[0].source: INPUT_PORT, design.stages[-1].target: OUTPUT_PORT}


def _stage_names(stage: Stage, function: str, streams: dict[HlsStream, str]) -> Names:
    parameters = tuple(
        Parameter(f"{word}{i if len(side) > 1 else ''}", streams[stream], stream.width)
        for word, side in (("source", stage.sources), ("target", stage.targets))
        for i, stream in enumerate(side)
    )
    names = Names(function, parameters, stage_comment(stage))
    if isinstance(stage, Matrix):
        return replace(names, weights=f"{function}_weights", starts=f"{function}_starts")
    if isinstance(stage, Lines):
        return replace(names, pad=_pattern(*_pad_words(stage), f"{function}_pad"))
    if isinstance(stage, Pool):
        return replace(names, invert=_pattern(*_invert_words(stage), f"{function}_invert"))
    if isinstance(stage, Levels | Requant):
        return replace(names, table=f"{function}_table")
    if isinstance(stage, Planes | Terms):
        return replace(names, factor=_factor(stage, function))
    return names


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
    weights = split_words(weight_words(plan, graph, stage.weights), unit.pe, stage.row_bits)
    starts = lanes_from_words(start_words(plan, graph, stage.starts), unit.rows, unit.start_bits, signed=True)
    order = f"{channel_groups(stage)} x {unit.folds} folds"
    lanes = "PE" if unit.pixels == 1 else "pixel, PE"
    what = f"weights of {unit.weight_bits} bits" if unit.full else "weights"
    return (
        Array(
            f"{layer}: {what}, [PE][{order}]",
            f"ap_uint<{stage.row_bits}>",
            n.weights,
            tuple(tuple(_literal(word, stage.row_bits) for word in row) for row in weights),
            False,
        ),
        Array(
            f"{layer}: starts, [{lanes}][{stage.starts.classes} position classes x {channel_groups(stage)}]",
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
