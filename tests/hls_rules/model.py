"""What the rules read: a small tree of the C++ sources, and what they give back: violations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Union


@dataclass(frozen=True, order=True)
class Violation:
    """One rule broken at one place; ``line`` counts from 1."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: [{self.rule}] {self.message}"


@dataclass(frozen=True, order=True)
class Where:
    """A place in a source file."""

    file: str
    line: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Var:
    """A variable, a parameter or a member; there is one object of each (of each in a template's instance).

    ``spelling`` is the canonical type, ``dims`` the sizes of an array (of a reference to one
    too), ``depth`` a stream's template argument (0 where none is given).
    """

    where: Where
    name: str
    kind: str  # global, static, local, param
    spelling: str
    dims: tuple[int, ...] = ()
    const: bool = False
    reference: bool = False
    pointer: bool = False
    scope: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """The bits of an ap_uint, 0 for any other type."""
        found = re.fullmatch(r"(?:const )?ap_uint<(\d+)>", self.spelling)
        return int(found[1]) if found else 0

    @property
    def is_stream(self) -> bool:
        """True for an hls::stream."""
        return "hls::stream<" in self.spelling

    @property
    def depth(self) -> int:
        """The stream's template depth, 0 where none is given."""
        depth = self.spelling.rsplit(">", 1)[0].rsplit(",", 1)[-1].strip()
        return int(depth) if depth.isdigit() else 0


@dataclass(frozen=True)
class Lit:
    """A constant; ``value`` is None for one that is no integer."""

    value: int | None
    line: int = 0


@dataclass(frozen=True)
class Ref:
    """A variable's name."""

    var: Var
    line: int = 0


@dataclass(frozen=True)
class Op:
    """An operator without effect, or a conversion ("cast"); "?:" is the conditional."""

    op: str
    args: tuple[Expr, ...]
    line: int = 0


@dataclass(frozen=True)
class Assign:
    """``op`` is "=" or the operator of a compound assignment; ``post``: gives the old value."""

    op: str
    target: Expr
    value: Expr
    line: int = 0
    post: bool = False


@dataclass(frozen=True)
class Index:
    """An element of an array."""

    base: Expr
    index: Expr
    line: int = 0


@dataclass(frozen=True)
class Bits:
    """One bit (one position) or a range of bits (high, low) of an ap_int."""

    base: Expr
    places: tuple[Expr, ...]
    line: int = 0


@dataclass(frozen=True)
class Call:
    """A call of a function, ``usr`` is "" where it is not a plain function's name."""

    usr: str
    name: str
    args: tuple[Expr, ...]
    line: int = 0


@dataclass(frozen=True)
class Method:
    """A call of a member function of an ap_int or a stream."""

    base: Expr
    name: str
    args: tuple[Expr, ...]
    line: int = 0


@dataclass(frozen=True)
class Unknown:
    """An expression or statement that the rules have no meaning for; ``what`` is libclang's kind."""

    what: str
    args: tuple[Node, ...]
    line: int = 0


Expr = Union[Lit, Ref, Op, Assign, Index, Bits, Call, Method, Unknown]


@dataclass(frozen=True)
class Decl:
    """A local variable; ``init`` is None where it has no initialiser."""

    var: Var
    init: Expr | None
    line: int = 0


@dataclass(frozen=True)
class Block:
    """Statements in braces, or the one statement in their place."""

    body: tuple[Node, ...]
    line: int
    start: Where
    end: Where


@dataclass(frozen=True)
class If:
    """A conditional statement."""

    test: Expr
    then: Block
    other: Block | None
    line: int


@dataclass(frozen=True, eq=False)
class For:
    """A for loop; ``init``, ``test`` and ``step`` are None unless all three are there."""

    init: Node | None
    test: Expr | None
    step: Expr | None
    body: Block
    label: str
    line: int


@dataclass(frozen=True)
class Return:
    """A return statement."""

    value: Expr | None
    line: int


Node = Union[Expr, Decl, Block, If, For, Return]


@dataclass(frozen=True, eq=False)
class Function:
    """A function with its body (of a template: an instance)."""

    usr: str
    name: str
    scope: tuple[str, ...]
    params: tuple[Var, ...]
    result: str
    body: Block
    where: Where
    static: bool = False


@dataclass(frozen=True)
class Pragma:
    """``#pragma HLS directive option=value ...`` and where it stands.

    ``function`` is None outside of functions; ``blocks`` are the blocks around it, outermost
    first, ``loop`` the loop whose body is the innermost of them.
    """

    where: Where
    directive: str
    options: tuple[tuple[str, str | None], ...]
    function: Function | None = None
    blocks: tuple[Block, ...] = ()
    loop: For | None = None
    var: Var | None = None

    def get(self, name: str) -> str | None:
        """The value of option ``name``, None where it is not given."""
        return dict(self.options).get(name)

    def has(self, name: str) -> bool:
        """Whether option ``name`` is given."""
        return name in dict(self.options)


@dataclass
class Program:
    """All sources of one core.  ``top`` is None where no function has its name."""

    texts: dict[str, str]
    functions: dict[str, Function] = field(default_factory=dict)
    globals: dict[Where, Var] = field(default_factory=dict)
    constants: dict[Var, int] = field(default_factory=dict)
    pragmas: list[Pragma] = field(default_factory=list)
    templates: list[tuple[Where, Where]] = field(default_factory=list)
    findings: set[Violation] = field(default_factory=set)
    top: Function | None = None
    names: dict[tuple[object, ...], Var] = field(default_factory=dict)
    _on: dict[Var, list[Pragma]] = field(default_factory=dict)

    def add(self, where: Where | Function | str, line: int, rule: str, message: str) -> None:
        """Note a violation in the file of ``where``."""
        if isinstance(where, Function):
            where = where.where
        name = where.file if isinstance(where, Where) else where
        self.findings.add(Violation(name, line, rule, message))

    def pragmas_of(self, loop: For, directive: str) -> list[Pragma]:
        """The pragmas ``directive`` that stand in the body of ``loop``."""
        return [p for p in self.pragmas if p.loop is loop and p.directive == directive]

    def pragmas_on(self, var: Var, directive: str) -> list[Pragma]:
        """The pragmas ``directive`` whose variable is ``var``."""
        return [p for p in self._on.get(var, ()) if p.directive == directive]

    def enter(self, pragma: Pragma) -> None:
        """Add a pragma."""
        self.pragmas.append(pragma)
        if pragma.var is not None:
            self._on.setdefault(pragma.var, []).append(pragma)


def children(node: Node) -> tuple[Node, ...]:
    """The parts of ``node``, in order of the text."""
    if isinstance(node, (Op, Call, Unknown)):
        return tuple(node.args)
    if isinstance(node, Assign):
        return (node.target, node.value)
    if isinstance(node, Index):
        return (node.base, node.index)
    if isinstance(node, Bits):
        return (node.base, *node.places)
    if isinstance(node, Method):
        return (node.base, *node.args)
    if isinstance(node, Decl):
        return () if node.init is None else (node.init,)
    if isinstance(node, Block):
        return node.body
    if isinstance(node, If):
        return (node.test, node.then) if node.other is None else (node.test, node.then, node.other)
    if isinstance(node, For):
        return tuple(part for part in (node.init, node.test, node.step, node.body) if part is not None)
    if isinstance(node, Return):
        return () if node.value is None else (node.value,)
    return ()


def walk(node: Node) -> list[Node]:
    """``node`` and everything below it."""
    found: list[Node] = []
    stack = [node]
    while stack:
        part = stack.pop()
        found.append(part)
        stack.extend(reversed(children(part)))
    return found


def root(expr: Expr) -> Var | None:
    """The variable that an lvalue is, or is a part of."""
    while isinstance(expr, (Index, Bits)):
        expr = expr.base
    while isinstance(expr, Op) and expr.op == "cast":
        expr = expr.args[0]
        while isinstance(expr, (Index, Bits)):
            expr = expr.base
    return expr.var if isinstance(expr, Ref) else None
