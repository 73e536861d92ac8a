"""What a turn asks of memories and streams: no more words than they have ports.

Memories: UG1399, "pragma HLS array_partition" and "pragma HLS bind_storage"; a memory has two
ports unless its type says otherwise.  Streams: one word in or out a turn, by blocking calls.
"""

from __future__ import annotations

import itertools
from collections import defaultdict

from tests.hls_rules.directives import ANY_READS, PORTS
from tests.hls_rules.model import Program, Var
from tests.hls_rules.partitions import cut, is_whole
from tests.hls_rules.places import Access, Guards, Token
from tests.hls_rules.turn import Turn

MAX_CONDITIONS = 10
"""Conditions that are tried in all combinations; with more of them all accesses are added up."""


def check(program: Program, turn: Turn) -> None:
    """Rules ``ports`` and those on streams, on one pipelined loop."""
    if turn.too_large:
        said = f"{turn.stage.name}: a turn of this loop is too large to follow"
        program.add(turn.stage, turn.loop.line, "unsupported", said)
    _streams(program, turn)
    by_array: dict[Var, list[Access]] = defaultdict(list)
    for access in turn.accesses:
        by_array[access.var].append(access)
    for var in sorted(by_array, key=lambda v: (v.where, v.name)):
        if not is_whole(program, var):
            _memory(program, turn, var, by_array[var])


def _streams(program: Program, turn: Turn) -> None:
    by_stream: dict[tuple[Var, str], list[Token]] = defaultdict(list)
    name = turn.stage.name
    for token in turn.tokens:
        if token.kind not in ("read", "write"):
            said = f"{name}: {token.var.name}.{token.kind}() depends on time, or is no blocking access"
            program.add(turn.stage, token.line, "stream-access", said)
        if token.unrolled:
            said = f"{name}: {token.var.name} is used in an unrolled loop"
            program.add(turn.stage, token.line, "stream-unrolled", said)
        by_stream[token.var, token.kind].append(token)
    for (var, kind), tokens in by_stream.items():
        most = at_once([token.guards for token in tokens])
        if most > 1 and not any(token.unrolled for token in tokens):
            said = f"{name}: {most} {kind}s of {var.name} in one turn"
            program.add(turn.stage, tokens[-1].line, "stream-count", said)


def at_once(guards: list[Guards]) -> int:
    """How many of these can happen in the same turn."""
    conditions = sorted({key for guard in guards for key, _ in guard})
    if len(conditions) > MAX_CONDITIONS:
        return len(guards)
    most = 0
    for sides in itertools.product((True, False), repeat=len(conditions)):
        facts = set(zip(conditions, sides, strict=True))
        most = max(most, sum(guard <= facts for guard in guards))
    return most


def _memory(program: Program, turn: Turn, var: Var, accesses: list[Access]) -> None:
    """Count the words of each part of a partitioned array."""
    kinds = [(p.get("type") or "").lower() for p in program.pragmas_on(var, "bind_storage")]
    kind = kinds[0] if kinds else ""
    parts: dict[tuple[int, ...], list[Access]] = defaultdict(list)
    for access in accesses:
        if kind in ANY_READS and not access.write:
            continue
        for part in itertools.product(*(_parts(program, access, d) for d in range(len(var.dims)))):
            parts[part].append(access)
    limit = PORTS.get(kind, 2)
    worst = max(
        ((_words(found), found) for found in parts.values()), key=lambda item: item[0], default=(0, [])
    )
    if worst[0] > limit:
        said = (
            f"{turn.stage.name}: {worst[0]} accesses of one part of {var.name} in a turn, which has "
            f"{limit} ports: partition the dimension that is unrolled"
        )
        program.add(turn.stage, worst[1][-1].line, "ports", said)


def _parts(program: Program, access: Access, dim: int) -> tuple[int, ...]:
    """The parts, along dimension ``dim``, in which the word of ``access`` may lie."""
    size = access.var.dims[dim]
    kind, factor = cut(program, access.var, dim)
    place = access.places[dim]
    if not kind:
        return (0,)
    if isinstance(place, str):
        return tuple(range(factor))
    if kind == "complete":
        return (place,)
    return (place % factor,) if kind == "cyclic" else (place // -(-size // factor),)


def _words(accesses: list[Access]) -> int:
    """Different words that are wanted at once."""
    distinct: dict[tuple[object, ...], list[Guards]] = defaultdict(list)
    for access in accesses:
        distinct[access.places, access.write].append(access.guards)
    if len(distinct) <= 1:
        return len(distinct)
    conditions = sorted({key for guards in distinct.values() for guard in guards for key, _ in guard})
    if len(conditions) > MAX_CONDITIONS:
        return len(distinct)
    most = 0
    for sides in itertools.product((True, False), repeat=len(conditions)):
        facts = set(zip(conditions, sides, strict=True))
        happening = sum(any(guard <= facts for guard in guards) for guards in distinct.values())
        most = max(most, happening)
    return most
