"""Memories that a turn reads and writes: how many turns lie between a write and the next read.

A RAM's word is there some clocks after it was written, so the tool must know the distance, as

    #pragma HLS DEPENDENCE variable=line type=inter direction=RAW distance=16 dependent=true

It holds the pipeline to what is said, so what is said must be true: no word may be read in fewer
turns.  Here reads and writes of a turn have one address, the address moves every turn, and the turns
until it is back are read from the text.  ``dependent=false`` is untrue of such a memory, however
long the distance: the word is read in the end.
"""

from __future__ import annotations

from tests.hls_rules.loops import trip
from tests.hls_rules.model import Decl, For, Pragma, Program, Var
from tests.hls_rules.partitions import is_whole
from tests.hls_rules.turn import Turn
from tests.hls_rules.values import Loc, Value

MIN_DISTANCE = 8
"""A memory whose words come back within so many turns belongs into registers."""


def memories_of(program: Program, turn: Turn) -> set[Var]:
    """The arrays that are no registers; checks those that a turn reads and writes."""
    found: set[Var] = set()
    arrays = {access.var for access in turn.accesses if turn.outer(Loc(access.var))}
    for var in sorted(arrays, key=lambda v: (v.where, v.name)):
        said = _statements(program, turn, var)
        if is_whole(program, var):
            for pragma in said:
                _wrong(
                    program, turn, pragma.where.line, f"DEPENDENCE on {var.name}, which is made of registers"
                )
            continue
        found.add(var)
        reads = [a for a in turn.accesses if a.var == var and not a.write]
        writes = [a for a in turn.accesses if a.var == var and a.write]
        if reads and writes:
            _check(program, turn, var, said, writes[0].line)
    return found


def _wrong(program: Program, turn: Turn, line: int, message: str) -> None:
    program.add(turn.stage, line, "carried-memory", f"{turn.stage.name}: {message}")


def _statements(program: Program, turn: Turn, var: Var) -> list[Pragma]:
    """What DEPENDENCE says of ``var`` in this loop."""
    return [p for p in program.pragmas_on(var, "dependence") if p.loop is None or p.loop is turn.loop]


def _check(program: Program, turn: Turn, var: Var, said: list[Pragma], line: int) -> None:
    for pragma in said:
        if (pragma.get("dependent") or "").lower() != "true":
            untrue = f"{var.name} is said to be independent, and each turn reads what another wrote"
            _wrong(program, turn, pragma.where.line, untrue)
            return
    told = [p for p in said if p.get("type") == "inter" and (p.get("direction") or "").lower() == "raw"]
    distances = [p.get("distance") or "" for p in told]
    if len(told) != 1 or not distances[0].isdigit():
        form = "DEPENDENCE type=inter direction=RAW distance=... dependent=true"
        _wrong(
            program, turn, line, f"{var.name} is a memory that each turn reads and writes, without one {form}"
        )
        return
    distance, at = int(distances[0]), told[0].where.line
    period = _back_after(program, turn, var)
    if period == 0:
        unknown = f"in how many turns {var.name} comes back to a word cannot be told from its address"
        _wrong(program, turn, line, unknown)
    elif distance > period:
        _wrong(program, turn, at, f"{var.name} comes back to a word after {period} turns, not {distance}")
    elif distance <= MIN_DISTANCE:
        short = f"{var.name} comes back to a word after {distance} turns, registers are needed up to"
        _wrong(program, turn, at, f"{short} {MIN_DISTANCE}")


def _back_after(program: Program, turn: Turn, var: Var) -> int:
    """The turns after which a word is read again, 0 where that cannot be told."""
    rolled = [d for d in range(len(var.dims)) if not is_whole(program, var, d)]
    indices = turn.moving.get(var, [])
    if len({tuple(index[d].key for d in rolled) for index in indices}) != 1:
        return 0
    periods = [(_period(program, turn, indices[0][d]), var.dims[d]) for d in rolled]
    return max((min(period, words) for period, words in periods), default=0)


def _period(program: Program, turn: Turn, value: Value) -> int:
    """The turns until an index is back; 0 where it may stand still, or where that cannot be told.

    The counter of the innermost loop with more than one turn moves every turn.  So does a register
    that each turn moves on by one, and from its last value back to its first.
    """
    inner = _moving_counter(program, turn.nest)
    for loop in turn.nest:
        if isinstance(loop.init, Decl) and value.key == turn.start(Loc(loop.init.var)).key:
            return len((trip(loop, program) or (None, []))[1]) if loop is inner else 0
    for loc in turn.written:
        if not loc.places and value.key == turn.start(loc).key and loc in turn.state:
            return _wraps(turn, loc)
    return 0


def _wraps(turn: Turn, loc: Loc) -> int:
    """The values of a register that each turn makes ``r == last ? first : r + 1``, or ``r + 1``."""
    numbers, start, now = turn.numbers, turn.start(loc), turn.state[loc]
    whole = 1 << loc.var.bits if loc.var.bits else 0
    if _one_more(turn, start, now.key):
        return whole
    choice = numbers.parts(now.key)
    if len(choice) != 4 or choice[0] != "?:":
        return 0
    test, first, other = (numbers.parts(key) for key in choice[1:] if isinstance(key, int))
    if len(test) != 3 or test[0] not in ("==", "!=") or start.key not in test[1:]:
        return 0
    step = choice[3]
    if test[0] == "!=":
        first, step = other, choice[2]
    last = numbers.parts(test[2] if test[1] == start.key else test[1])
    if not _one_more(turn, start, step) or first[0] != "constant" or last[0] != "constant":
        return 0
    assert isinstance(first[1], int) and isinstance(last[1], int)
    if not 0 <= first[1] <= last[1] or (whole and last[1] >= whole):
        return 0
    return last[1] - first[1] + 1


def _one_more(turn: Turn, start: Value, key: object) -> bool:
    parts = turn.numbers.parts(key)
    one = turn.numbers.constant(1).key
    return parts in (("+", start.key, one), ("+", one, start.key))


def _moving_counter(program: Program, nest: tuple[For, ...]) -> For | None:
    for loop in reversed(nest):
        found = trip(loop, program)
        if found is not None and len(found[1]) > 1:
            return loop
    return None
