"""One turn of a pipelined loop, followed through every branch and every call, its inner loops
unrolled: what each register becomes, which memories and streams are used, under which condition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.hls_rules.loops import trip
from tests.hls_rules.model import (
    Assign,
    Bits,
    Block,
    Call,
    Decl,
    For,
    Function,
    If,
    Index,
    Lit,
    Method,
    Node,
    Op,
    Ref,
    Return,
    Var,
    walk,
)
from tests.hls_rules.places import Guards, Named, Places, State, Token
from tests.hls_rules.values import Loc, Value, arithmetic, binary, choose, light, merge

STEPS = 400_000
"""Statements of one turn after which it is called too large to follow."""

READERS = {"to_int", "to_uint", "to_long", "to_ulong", "to_int64", "to_uint64", "to_bool", "length"}
REDUCERS = {"and_reduce", "or_reduce", "xor_reduce", "nand_reduce", "nor_reduce", "xnor_reduce", "is_zero"}
SETTERS = {"set", "clear", "set_bit", "reverse"}


@dataclass
class Turn(Places):
    """Follows the turn; the results stand in the fields."""

    too_large: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._unrolled = 0
        self._steps = 0
        self._calling: list[str] = []
        self._plain: dict[str, bool] = {}

    def run(self) -> Turn:
        """Follow the turn."""
        self._block(self.loop.body.body)
        return self

    # statements; a value comes back where a return was met

    def _block(self, body: tuple[Node, ...]) -> Value | None:
        for i, node in enumerate(body):
            self._steps += 1
            if self._steps > STEPS:
                self.too_large = True
                return None
            if isinstance(node, Decl):
                self._declare(node)
            elif isinstance(node, Block):
                if any(isinstance(part, Return) for part in walk(node)):
                    return self._block((*node.body, *body[i + 1 :]))
                self._block(node.body)
            elif isinstance(node, For):
                self._loop(node)
            elif isinstance(node, Return):
                return self.value(node.value) if node.value is not None else Value(0)
            elif isinstance(node, If):
                ends = any(isinstance(part, Return) for part in walk(node))
                back = self._if(node, body[i + 1 :] if ends else ())
                if ends:
                    return back
            else:
                self.value(node)
        return None

    def _declare(self, node: Decl) -> None:
        var = node.var
        if var.reference and node.init is not None:
            place = self._place(node.init)
            if place is not None:
                self._bound[var] = place
            return
        self._inner.add(var)
        for loc in [loc for loc in self.state if loc.var == var]:
            del self.state[loc]
        if not var.dims and not var.is_stream:
            init = self.value(node.init) if node.init is not None else Value(self.numbers.fresh())
            self.state[Loc(var)] = init

    def _loop(self, node: For) -> None:
        found = trip(node, self.program)
        if found is None:
            # refused by the rule on bounds; followed once
            self._block(node.body.body)
            return
        var, values = found
        self._inner.add(var)
        self._unrolled += 1
        for number in values:
            self.state[Loc(var)] = self.numbers.constant(number)
            self._block(node.body.body)
            if self.too_large:
                break
        self._unrolled -= 1

    def _if(self, node: If, rest: tuple[Node, ...]) -> Value | None:
        test = self.value(node.test)
        then, other = node.then.body, node.other.body if node.other is not None else ()
        if test.const is not None:
            return self._block((*(then if test.const else other), *rest))
        before = self.state
        results: list[tuple[State, Value | None]] = []
        for side, body in ((True, then), (False, other)):
            self.state = dict(before)
            with _Guard(self, test, side):
                back = self._block((*body, *rest))
            results.append((self.state, back))
        (one, back1), (two, back2) = results
        self.state = self._join(test, one, two)
        if back1 is not None and back2 is not None:
            return choose(self.numbers, test, back1, back2)
        return back1 or back2

    def _join(self, test: Value, one: State, two: State) -> State:
        joined: State = {}
        for loc in dict.fromkeys((*one, *two)):
            a, b = one.get(loc) or self.start(loc), two.get(loc) or self.start(loc)
            joined[loc] = a if a is b else choose(self.numbers, test, a, b)
        return joined

    # expressions

    def value(self, expr: Node | None) -> Value:
        """The value of an expression, with all that its evaluation does."""
        if isinstance(expr, Lit):
            return (
                self.numbers.constant(expr.value) if expr.value is not None else Value(self.numbers.fresh())
            )
        if isinstance(expr, (Ref, Index)):
            place = self._place(expr)
            return self._read(place, expr.line) if place is not None else Value(self.numbers.fresh())
        if isinstance(expr, Bits):
            place = self._place(expr)
            if place is not None:
                return self._read(place, expr.line)
            base = self.value(expr.base)
            return self.bits(base, tuple(self.value(p) for p in expr.places), expr.line)
        if isinstance(expr, Assign):
            return self._assign(expr)
        if isinstance(expr, Op):
            return self._operation(expr)
        if isinstance(expr, Call):
            return self._call(expr)
        if isinstance(expr, Method):
            return self._method(expr)
        return Value(self.numbers.fresh())

    def _assign(self, expr: Assign) -> Value:
        place = self._place(expr.target)
        value = self.value(expr.value)
        if place is None:
            return value
        if expr.op == "=":
            self._write(place, value, expr.line)
            return value
        old = self._read(place, expr.line)
        new = binary(self.numbers, expr.op, old, value, expr.line)
        self._write(place, new, expr.line)
        return old if expr.post else new

    def _operation(self, expr: Op) -> Value:
        op, line = expr.op, expr.line
        if op == "cast":
            return self.value(expr.args[0]) if expr.args else self.numbers.constant(0)
        if op == "?:":
            test = self.value(expr.args[0])
            if test.const is not None:
                return self.value(expr.args[1 if test.const else 2])
            sides = []
            for side, arg in ((True, expr.args[1]), (False, expr.args[2])):
                with _Guard(self, test, side):
                    sides.append(self.value(arg))
            return choose(self.numbers, test, *sides)
        values = [self.value(arg) for arg in expr.args]
        if len(values) == 2:
            return binary(self.numbers, op, values[0], values[1], line)
        value = values[0]
        if value.const is not None and op in ("-", "+", "!", "~"):
            known = {"-": -value.const, "+": value.const, "!": int(not value.const), "~": ~value.const}[op]
            return self.numbers.constant(known)
        key = self.numbers.key(op, value.key)
        if op == "!":
            return Value(key, None, light(value.paths), value.key)
        if op == "~":
            return Value(key, None, light(value.paths))
        return Value(key, None, arithmetic(value.paths, f"{op} in line {line}") if op == "-" else value.paths)

    def _method(self, expr: Method) -> Value:
        base = expr.base
        if isinstance(base, Ref):
            bound = self._bound.get(base.var) or Named(base.var)
            if bound.var.is_stream:
                return self._stream(bound.var, expr)
        if expr.name == "range":
            return self.value(Bits(base, expr.args, expr.line))
        args = [self.value(arg) for arg in expr.args]
        if expr.name in SETTERS:
            place = self._place(base)
            if place is not None:
                paths = merge(*(v.paths for v in args))
                value = Value(self.numbers.key(expr.name, *(v.key for v in args)), None, light(paths))
                self._write(replace(place, bits=tuple(args)), value, expr.line)
        value = self.value(base)
        if expr.name in READERS and not args:
            return value
        paths = merge(value.paths, *(v.paths for v in args))
        key = self.numbers.key(expr.name, value.key, *(v.key for v in args))
        if expr.name in REDUCERS:
            return Value(key, None, arithmetic(paths, f"{expr.name} in line {expr.line}"))
        return Value(key, None, light(paths))

    def _stream(self, var: Var, expr: Method) -> Value:
        for arg in expr.args:
            if expr.name.startswith("write"):
                self.value(arg)
        self.tokens.append(Token(var, expr.name, self._guards, self._unrolled > 0, expr.line))
        word = Value(self.numbers.fresh())
        if expr.name in ("read", "read_nb") and expr.args:
            place = self._place(expr.args[0])
            if place is not None:
                self._write(place, word, expr.line)
        return word

    def _call(self, expr: Call) -> Value:
        function = self.program.functions.get(expr.usr)
        if function is None or function.usr in self._calling:
            values = [self.value(arg) for arg in expr.args]
            return Value(self.numbers.fresh(), None, merge(*(v.paths for v in values)))
        if self._is_plain(function):
            values = [self.value(arg) for arg in expr.args]
            if not any(v.paths for v in values) and not any(v.const is not None for v in values):
                return Value(self.numbers.key("call", function.usr, *(v.key for v in values)))
            pairs = list(zip(function.params, values, strict=False))
            return self._enter(function, [(p, None, v) for p, v in pairs])
        bound: list[tuple[Var, Named | None, Value | None]] = []
        for param, arg in zip(function.params, expr.args, strict=False):
            place = self._place(arg) if param.reference else None
            bound.append((param, place, self.value(arg) if place is None else None))
        return self._enter(function, bound)

    def _enter(self, function: Function, bound: list[tuple[Var, Named | None, Value | None]]) -> Value:
        saved = dict(self._bound)
        for param, place, value in bound:
            if place is not None:
                self._bound[param] = place
            else:
                self._bound.pop(param, None)
                self._inner.add(param)
                self.state[Loc(param)] = value or Value(self.numbers.fresh())
        self._calling.append(function.usr)
        back = self._block(function.body.body)
        self._calling.pop()
        self._bound = saved
        return back or Value(self.numbers.fresh())

    def _is_plain(self, function: Function) -> bool:
        """Whether a call gives a value of its arguments and touches nothing else."""
        if function.usr not in self._plain:
            scalars = all(
                not p.dims and not p.is_stream and (p.const or not p.reference) for p in function.params
            )
            outside = any(
                isinstance(n, Ref) and n.var.kind in ("global", "static") for n in walk(function.body)
            )
            inner = all(
                n.usr in self.program.functions and self._is_plain(self.program.functions[n.usr])
                for n in walk(function.body)
                if isinstance(n, Call) and n.usr != function.usr
            )
            self._plain[function.usr] = scalars and inner and not outside
        return self._plain[function.usr]

    def guard(self, test: Value, side: bool) -> Guards:
        """The condition that ``test`` is ``side``, beside those that hold already."""
        fact = (test.negated, not side) if test.negated else (test.key, side)
        return self._guards | {fact}


class _Guard:
    """A stretch of the turn that happens on a condition."""

    def __init__(self, turn: Turn, test: Value, side: bool) -> None:
        self._turn, self._inside = turn, turn.guard(test, side)

    def __enter__(self) -> None:
        self._before, self._turn._guards = self._turn._guards, self._inside

    def __exit__(self, *_: object) -> None:
        self._turn._guards = self._before
