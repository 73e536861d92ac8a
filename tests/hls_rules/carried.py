"""What a turn of a pipelined loop needs of the turn before it, at II = 1.

A register that a turn changes feeds the next turn a clock later.  Where registers depend on one
another in a circle, each way from register to register on the circle must fit one clock: at most
one level of arithmetic and eight light ones, nothing heavy (see ``values``).  That allows, for
example,

    x = last ? 0 : x + 1                     a counter
    acc[p] = (first ? init : acc[p]) + term  an accumulator, the term itself of any depth
    held = (held | (word << n)) >> 8         a fixed shift of what is carried, n from elsewhere
    line[k] = line[k + 1]                    a shift register

and refuses a second addition, a multiplication, a division or a variable shift on the circle, in
the loop itself or in a function that it calls.  What is on no circle can be pipelined and is free.

A memory that a turn reads and writes depends on itself from one turn to the next, as far as Vitis
can tell (UG1399, "pragma HLS dependence").  ``distances`` checks what the sources say against that.
"""

from __future__ import annotations

from tests.hls_rules.distances import memories_of
from tests.hls_rules.model import Program
from tests.hls_rules.turn import Turn
from tests.hls_rules.values import Loc, Path

MAX_ARITHMETIC = 1
MAX_LIGHT = 8


def check(program: Program, turn: Turn) -> None:
    """Rules ``carried`` and ``carried-memory`` on one pipelined loop."""
    memories = memories_of(program, turn)
    edges: dict[Loc, dict[Loc, Path]] = {}
    for loc in turn.written:
        if loc.var in memories:
            continue
        now = turn.state.get(loc)
        if now is not None:
            edges[loc] = {old: path for old, path in now.paths.items() if old.var not in memories}
    for circle in circles(edges):
        for loc in sorted(circle, key=str):
            for old, path in sorted(edges[loc].items(), key=lambda item: str(item[0])):
                if old in circle:
                    _path(program, turn, old, loc, path)


def _path(program: Program, turn: Turn, old: Loc, loc: Loc, path: Path) -> None:
    line, name = turn.written[loc], turn.stage.name
    way = f"{name}: the next turn's {loc} waits for {old}"
    if path.heavy:
        program.add(turn.stage, line, "carried", f"{way} through {path.heavy}")
    elif path.arith > MAX_ARITHMETIC:
        levels = ", ".join(path.trace)
        program.add(turn.stage, line, "carried", f"{way} through {path.arith} levels: {levels}")
    elif path.light > MAX_LIGHT:
        said = f"{way} through {path.light} multiplexers and bit operations"
        program.add(turn.stage, line, "carried", said)


def circles(edges: dict[Loc, dict[Loc, Path]]) -> list[set[Loc]]:
    """The sets of registers that depend on one another or on themselves (Tarjan's components)."""
    index: dict[Loc, int] = {}
    low: dict[Loc, int] = {}
    stack: list[Loc] = []
    on_stack: set[Loc] = set()
    found: list[set[Loc]] = []
    for first in edges:
        if first in index:
            continue
        work = [(first, iter(edges[first]))]
        index[first] = low[first] = len(index)
        stack.append(first)
        on_stack.add(first)
        while work:
            node, rest = work[-1]
            for other in rest:
                if other not in edges:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(edges[other])))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    circle: set[Loc] = set()
                    while node not in circle:
                        circle.add(stack.pop())
                    on_stack -= circle
                    if len(circle) > 1 or node in edges[node]:
                        found.append(circle)
    return found
