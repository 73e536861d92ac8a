"""What a turn's text names: registers, memories, streams; and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.hls_rules.model import Bits, Decl, Expr, For, Function, Index, Method, Node, Op, Program, Ref, Var
from tests.hls_rules.partitions import is_whole
from tests.hls_rules.values import Loc, Numbers, Path, Place, Value, heavy, light, merge

ELEMENTS = 1024
"""An array of registers with more elements is followed as one."""

Guards = frozenset[tuple[int, bool]]


@dataclass(frozen=True)
class Access:
    """An element of an array is read or written; ``places`` are constants or keys ("k" + number)."""

    var: Var
    places: Place
    write: bool
    guards: Guards
    line: int


@dataclass(frozen=True)
class Token:
    """A word is read from or written to a stream; ``unrolled``: in a loop that is unrolled."""

    var: Var
    kind: str
    guards: Guards
    unrolled: bool
    line: int


@dataclass(frozen=True)
class Named:
    """An lvalue: a variable, its indices, and whether only some of its bits are meant."""

    var: Var
    index: tuple[Value, ...] = ()
    bits: tuple[Value, ...] | None = None


State = dict[Loc, Value]


@dataclass
class Places:
    """The state of one turn of ``loop`` in ``stage``: what it read, wrote and changed."""

    program: Program
    stage: Function
    loop: For
    nest: tuple[For, ...]
    state: State = field(default_factory=dict)
    accesses: list[Access] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    written: dict[Loc, int] = field(default_factory=dict)
    moving: dict[Var, list[tuple[Value, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = Numbers()
        self._inner: set[Var] = set()
        self._counters = {loop.init.var for loop in self.nest if isinstance(loop.init, Decl)}
        self._bound: dict[Var, Named] = {}
        self._guards: Guards = frozenset()

    def value(self, expr: Node | None) -> Value:
        """The value of an expression, with all that its evaluation does."""
        raise NotImplementedError

    def outer(self, loc: Loc) -> bool:
        """Whether a location lives on to the next turn."""
        return loc.var not in self._inner and loc.var not in self._counters

    def start(self, loc: Loc) -> Value:
        """What a location holds when the turn begins."""
        key = self.numbers.key("start", loc)
        if not self.outer(loc) or loc.var.const or loc.var.kind == "global":
            return Value(key)
        return Value(key, None, {loc: Path()})

    def _place(self, expr: Expr) -> Named | None:
        """What an lvalue means here; None for what is none."""
        if isinstance(expr, Ref):
            return self._bound.get(expr.var) or Named(expr.var)
        if isinstance(expr, Op) and expr.op == "cast" and len(expr.args) == 1:
            return self._place(expr.args[0])
        if isinstance(expr, Index):
            base = self._place(expr.base)
            index = self.value(expr.index)
            return None if base is None else replace(base, index=(*base.index, index))
        if isinstance(expr, Bits):
            base = self._place(expr.base)
            bits = tuple(self.value(place) for place in expr.places)
            return None if base is None else replace(base, bits=bits)
        if isinstance(expr, Method) and expr.name == "range":
            return self._place(Bits(expr.base, expr.args, expr.line))
        return None

    def _locations(self, place: Named) -> list[Loc]:
        """The registers, or the memory, that a place may be."""
        var = place.var
        if not var.dims:
            return [Loc(var)]
        if is_whole(self.program, var) or var in self._inner:
            count = 1
            for dim in var.dims:
                count *= dim
            if count > ELEMENTS:
                return [Loc(var, ("*",))]
            return [Loc(var, places) for places in _elements(var.dims, place.index)]
        fixed: list[int | str] = []
        for d in range(len(var.dims)):
            known = place.index[d].const if d < len(place.index) else None
            split = is_whole(self.program, var, d)
            fixed.append(known if split and known is not None else "*")
        return [Loc(var, tuple(fixed))]

    def _access(self, place: Named, write: bool, line: int) -> None:
        if place.var.dims and len(place.index) == len(place.var.dims):
            places = tuple(v.const if v.const is not None else f"k{v.key}" for v in place.index)
            self.accesses.append(Access(place.var, places, write, self._guards, line))
            self.moving.setdefault(place.var, []).append(place.index)

    def _read(self, place: Named, line: int) -> Value:
        known = self.program.constants.get(place.var)
        if known is not None and place.bits is None:
            return self.numbers.constant(known)
        self._access(place, False, line)
        locs = self._locations(place)
        found = [self.state.get(loc) or self.start(loc) for loc in locs]
        exact = len(found) == 1 and "*" not in locs[0].places
        value = found[0]
        if not exact:
            paths = merge(*(v.paths for v in found), *(v.paths for v in place.index))
            keys = tuple(v.key for v in (*found, *place.index))
            value = Value(self.numbers.key("element", place.var, *keys), None, light(paths))
        if place.bits is None:
            return value
        return self.bits(value, place.bits, line)

    def bits(self, value: Value, bits: tuple[Value, ...], line: int) -> Value:
        key = self.numbers.key("bits", value.key, *(v.key for v in bits))
        if all(v.const is not None for v in bits):
            if value.const is not None and bits and value.const >= 0:
                low, high = bits[-1].const or 0, bits[0].const or 0
                return self.numbers.constant(value.const >> low & ((1 << (high - low + 1)) - 1))
            return Value(key, None, value.paths)
        paths = merge(value.paths, *(v.paths for v in bits))
        if len(bits) == 1:
            return Value(key, None, light(paths))
        return Value(key, None, heavy(paths, f"a range of bits at a variable place in line {line}"))

    def _write(self, place: Named, value: Value, line: int) -> None:
        self._access(place, True, line)
        locs = self._locations(place)
        exact = len(locs) == 1 and "*" not in locs[0].places
        for loc in locs:
            new = value
            if not exact or place.bits is not None:
                old = self.state.get(loc) or self.start(loc)
                index = [v for v in (*place.index, *(place.bits or ())) if v.const is None]
                paths = merge(old.paths, value.paths, *(v.paths for v in index))
                key = self.numbers.key("part", loc, old.key, value.key, *(v.key for v in index), line)
                new = Value(key, None, light(paths) if index or not exact else paths)
            self.state[loc] = new
            if self.outer(loc):
                self.written[loc] = line


def _elements(dims: tuple[int, ...], index: tuple[Value, ...]) -> Iterator[tuple[int, ...]]:
    """All elements that ``index`` may mean: one of each dimension with a constant, else all."""
    if not dims:
        yield ()
        return
    known = index[0].const if index else None
    for place in range(dims[0]) if known is None else (known,):
        for rest in _elements(dims[1:], index[1:]):
            yield (place, *rest)
