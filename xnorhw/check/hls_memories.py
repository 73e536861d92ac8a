"""The ROM contents in a build's C++ against its integer graph, bit by bit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from xnorhw.check.compare import Comparison, Difference
from xnorhw.emit import hls
from xnorhw.emit.build import PREFIX
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.geometry import ceil_div
from xnorhw.pack import split_words, start_lanes, table_words, weight_words
from xnorhw.plan.hls import hls_design
from xnorhw.plan.hls_model import Levels, Matrix, Requant
from xnorhw.plan.model import MatrixUnit

__all__ = ["check_hls_memories"]

_ARRAY = re.compile(r"const ap_(?:u?)int<(\d+)> (\w+)(?:\[\d+\])+ = \{(.*?)\};", re.DOTALL)
_NUMBER = re.compile(r'ap_uint<\d+>\(\s*"0x([0-9A-F]+)",\s*16\)|0x([0-9A-F]+)(?:ULL)?|(-?\d+)')

Arrays = dict[str, tuple[int, list[int]]]


@dataclass(frozen=True)
class _Table:
    """The table of what makes codes of sums: for each lane the words, channel groups innermost."""

    lanes: int
    depth: int
    groups: int


@dataclass(frozen=True)
class _Rows:
    """The weights or the starts of a matrix unit that forms ``terms`` terms of a channel group in turn."""

    stage: Matrix
    terms: int


Owner = _Rows | _Table


def check_hls_memories(stored: StoredBuild, link: str) -> Comparison:
    """Compare every array of the C++ core's ROMs with what the integer graph and the plan give.

    A difference names the layer and the output channel; its ``y`` is the fold (of a start:
    the position class, of a table: the position), its ``x`` the lane (of a table: the bit of
    it).  Raises VerifyError where an array is missing,
    has another size, or the file is not what an array of numbers looks like.
    """
    name = f"hls/{PREFIX}_weights.h"
    try:
        written = _arrays((stored.folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VerifyError(f"cannot be read: {error}", module=name, remedy="Build again") from None
    wanted, owners = _wanted(stored)
    result = Comparison()
    for array, (bits, numbers) in wanted.items():
        layer, stage, starts = owners.get(array, (array, None, False))
        found_bits, found = written.get(array, (0, []))
        if found_bits != bits or len(found) != len(numbers):
            raise VerifyError(
                f"{name} has no array {array} of {len(numbers)} numbers of {bits} bits",
                module=layer,
                remedy="Build again",
            )
        first = None
        wrong = [i for i, pair in enumerate(zip(numbers, found, strict=True)) if pair[0] != pair[1]]
        if wrong:
            place = wrong[0]
            channel = y = x = 0
            pair = float(numbers[place] % 2**53), float(found[place] % 2**53)
            if stage is not None:
                channel, y, x, pair = _place(stage, starts, place, numbers[place], found[place])
            first = Difference(link, layer, 0, channel, y, x, *pair, layer)
        each = 1 if starts else bits
        if isinstance(stage, _Rows) and not starts:
            each = stage.stage.unit.simd
        result = result.beside(Comparison(1, len(numbers) * each, len(wrong), first))
    return result


def _wanted(stored: StoredBuild) -> tuple[Arrays, dict[str, tuple[str, Owner | None, bool]]]:
    """The arrays, and for each its layer, what it is of, and whether it holds accumulator starts."""
    plan, graph = stored.plan, stored.graph
    arrays: Arrays = {}
    owners: dict[str, tuple[str, Owner | None, bool]] = {}
    writes = {job.unit: job.writes for job in plan.jobs}
    for stage, names in hls.named_stages(hls_design(plan)):
        if isinstance(stage, Matrix):
            unit = stage.unit
            rows = split_words(weight_words(plan, graph, stage.weights), unit.pe, stage.row_bits)
            arrays[names.weights] = stage.row_bits, [word for row in rows for word in row]
            starts = start_lanes(plan, graph, stage.starts).T
            arrays[names.starts] = unit.start_bits, [int(v) for v in starts.ravel()]
            terms = unit.groups // ceil_div(graph.tensor(stage.layer).shape[0], unit.pe)
            owners[names.weights] = stage.layer, _Rows(stage, terms), False
            owners[names.starts] = stage.layer, _Rows(stage, terms), True
        elif isinstance(stage, Levels | Requant):
            lines = split_words(table_words(plan, graph, stage.table), stage.unit.lanes, stage.lane_bits)
            arrays[names.table] = stage.lane_bits, [word for row in lines for word in row]
            codes = writes[stage.unit.name]
            groups = ceil_div(graph.tensor(codes).shape[0], stage.unit.lanes)
            lanes = min(stage.unit.lanes, graph.tensor(codes).shape[0])
            owners[names.table] = codes, _Table(lanes, stage.table.depth, groups), False
    for array in hls.pattern_arrays(plan):
        text = f"const {array.type} {array.name}[1] = {{{', '.join(v for row in array.rows for v in row)}}};"
        arrays |= _arrays(text)
    return arrays, owners


def _place(
    stage: Owner, starts: bool, place: int, wanted: int, found: int
) -> tuple[int, int, int, tuple[float, float]]:
    if isinstance(stage, _Table):
        row, word = divmod(place, stage.depth)
        position, group = divmod(word, stage.groups)
        lane = ((wanted ^ found) & -(wanted ^ found)).bit_length() - 1
        pair = float(wanted >> lane & 1), float(found >> lane & 1)
        return group * stage.lanes + row % stage.lanes, position, lane, pair
    unit = stage.stage.unit
    if starts:
        pe, word = divmod(place, stage.stage.starts.classes * unit.groups)
        position_class, turn = divmod(word, unit.groups)
        group, term = divmod(turn, stage.terms)
        return group * unit.pe + pe % unit.pe, position_class, term, (float(wanted), float(found))
    pe, word = divmod(place, unit.folds * unit.groups)
    group, fold = divmod(word, unit.folds * stage.terms)
    lane = (((wanted ^ found) & -(wanted ^ found)).bit_length() - 1) // unit.weight_bits
    return group * unit.pe + pe, fold, lane, (_weight(wanted, lane, unit), _weight(found, lane, unit))


def _weight(word: int, lane: int, unit: MatrixUnit) -> float:
    """The weight of ``lane``: a bit, or a number in two's complement."""
    bits = unit.weight_bits
    value = word >> lane * bits & (1 << bits) - 1
    return float(value - (value >> bits - 1 << bits) if unit.full else value)


def _arrays(text: str) -> Arrays:
    """Name -> (bits of an element, elements in order) of the arrays of a header."""
    return {
        name: (int(bits), [_number(*match) for match in _NUMBER.findall(body)])
        for bits, name, body in _ARRAY.findall(text)
    }


def _number(wide: str, narrow: str, decimal: str) -> int:
    return int(decimal) if decimal else int(wide or narrow, 16)
