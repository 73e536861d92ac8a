"""What is known of a value in one turn of a pipelined loop: a constant, or how it came about.

``Path`` measures the logic between a register's old value and what is made of it.  Levels of
arithmetic are additions, subtractions, negations, comparisons and reductions; light levels are
multiplexers, bit operations and the choice of one bit or one register.  Copies, conversions,
concatenations, fixed shifts and fixed ranges of bits cost nothing.  ``heavy`` names what never fits
beside a register: multiplication, division, a shift by an amount that is no constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Union

from tests.hls_rules.model import Var

Place = tuple[Union[int, str], ...]


@dataclass(frozen=True)
class Loc:
    """A register, or with "*" for an index a memory; ``places`` are an array's indices."""

    var: Var
    places: Place = ()

    def __str__(self) -> str:
        return self.var.name + "".join(f"[{p}]" for p in self.places)


@dataclass(frozen=True)
class Path:
    """The longest way from a register to a value; ``trace`` are its arithmetic levels."""

    arith: int = 0
    light: int = 0
    heavy: str = ""
    trace: tuple[str, ...] = ()


Paths = dict[Loc, Path]


@dataclass(frozen=True)
class Value:
    """``key`` is equal for values that are the same computation.

    ``negated`` is the key of what this value is the logical opposite of, 0 for none; ``leaves``
    are the keys of the values that multiplexers choose from.
    """

    key: int
    const: int | None = None
    paths: Paths = field(default_factory=dict)
    negated: int = 0
    leaves: frozenset[int] = frozenset()

    @property
    def choices(self) -> frozenset[int]:
        """The keys of the values that this may be."""
        return self.leaves or frozenset((self.key,))


def merge(*tables: Paths) -> Paths:
    """For each register the worst of its paths."""
    found: Paths = {}
    for table in tables:
        for loc, path in table.items():
            old = found.get(loc)
            if old is None or old == path:
                found[loc] = path
                continue
            trace = path.trace if path.arith > old.arith else old.trace
            light = max(path.light, old.light)
            found[loc] = Path(max(path.arith, old.arith), light, old.heavy or path.heavy, trace)
    return found


def arithmetic(table: Paths, what: str) -> Paths:
    """One level of arithmetic more."""
    return {
        loc: replace(path, arith=path.arith + 1, trace=(*path.trace, what)[:6]) for loc, path in table.items()
    }


def light(table: Paths) -> Paths:
    """One light level more."""
    return {loc: replace(path, light=path.light + 1) for loc, path in table.items()}


def heavy(table: Paths, what: str) -> Paths:
    """Logic that takes more than a clock."""
    return {loc: replace(path, heavy=path.heavy or what) for loc, path in table.items()}


class Numbers:
    """Numbers computations so that equal ones have equal keys."""

    def __init__(self) -> None:
        self._keys: dict[tuple[object, ...], int] = {}
        self._made: list[tuple[object, ...]] = []
        self._fresh = 0

    def key(self, *parts: object) -> int:
        """The number of the computation ``parts``."""
        number = self._keys.setdefault(parts, len(self._keys) + 1)
        if number > len(self._made):
            self._made.append(parts)
        return number

    def parts(self, key: object) -> tuple[object, ...]:
        """What the computation of number ``key`` is made of."""
        known = isinstance(key, int) and 0 < key <= len(self._made)
        return self._made[key - 1] if isinstance(key, int) and known else ("unknown",)

    def fresh(self) -> int:
        """The number of something that happens once, as a word that comes in."""
        self._fresh += 1
        return self.key("fresh", self._fresh)

    def constant(self, number: int) -> Value:
        """The value ``number``."""
        return Value(self.key("constant", number), number)


ARITHMETIC = {"+", "-", "<", "<=", ">", ">=", "==", "!="}
LIGHT = {"&", "|", "^", "&&", "||"}
HEAVY = {"*": "a multiplication", "/": "a division", "%": "a division"}


def fold(op: str, a: int, b: int) -> int | None:
    """``a op b`` of constants."""
    if op in ("/", "%"):
        if b == 0:
            return None
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if op == "/" else a - quotient * b
    if op in ("<<", ">>"):
        return None if not 0 <= b <= 4096 else a << b if op == "<<" else a >> b
    table = {
        "+": a + b,
        "-": a - b,
        "*": a * b,
        "&": a & b,
        "|": a | b,
        "^": a ^ b,
        "<": int(a < b),
        "<=": int(a <= b),
        ">": int(a > b),
        ">=": int(a >= b),
        "==": int(a == b),
        "!=": int(a != b),
        "&&": int(bool(a) and bool(b)),
        "||": int(bool(a) or bool(b)),
    }
    return table.get(op)


def binary(numbers: Numbers, op: str, a: Value, b: Value, line: int) -> Value:
    """``a op b``."""
    if a.const is not None and b.const is not None:
        known = fold(op, a.const, b.const)
        if known is not None:
            return numbers.constant(known)
    if op in ("&&", "||"):
        for one, other in ((a, b), (b, a)):
            if one.const is not None:
                stops = bool(one.const) == (op == "||")
                return numbers.constant(int(op == "||")) if stops else other
    key = numbers.key(op, a.key, b.key)
    both = merge(a.paths, b.paths)
    if op in ARITHMETIC:
        return Value(key, None, arithmetic(both, f"{op} in line {line}"))
    if op in LIGHT:
        return Value(key, None, light(both))
    if op in ("<<", ">>") and b.const is not None:
        return Value(key, None, a.paths)
    if op in ("<<", ">>"):
        return Value(key, None, heavy(both, f"a shift by a variable in line {line}"))
    if op == ",":
        return Value(key, None, both)
    factor = b.const if b.const is not None else a.const
    if op == "*" and factor is not None and factor > 0 and factor & (factor - 1) == 0:
        return Value(key, None, both)
    return Value(key, None, heavy(both, f"{HEAVY.get(op, op)} in line {line}"))


def choose(numbers: Numbers, test: Value, then: Value, other: Value) -> Value:
    """``test ? then : other``."""
    if test.const is not None:
        return then if test.const else other
    if then.key == other.key:
        return then
    paths = light(merge(test.paths, then.paths, other.paths))
    leaves = then.choices | other.choices
    return Value(numbers.key("?:", test.key, then.key, other.key), None, paths, 0, leaves)
