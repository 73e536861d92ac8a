"""libclang's expressions -> the rules' expressions.

Wrappers and implicit conversions vanish, overloaded operators of ap_int become operators, and
operators are read from the text between their operands, since libclang does not name them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.hls_rules.model import (
    Assign,
    Bits,
    Call,
    Expr,
    Index,
    Lit,
    Method,
    Op,
    Program,
    Ref,
    Unknown,
    Var,
    Where,
)

INCLUDE = Path(__file__).resolve().parent / "include"
VENDOR = {path.name for path in INCLUDE.iterdir()}

WRAPPERS = {"UNEXPOSED_EXPR", "PAREN_EXPR"}
CASTS = {
    "CSTYLE_CAST_EXPR",
    "CXX_STATIC_CAST_EXPR",
    "CXX_FUNCTIONAL_CAST_EXPR",
    "CXX_CONST_CAST_EXPR",
    "CXX_REINTERPRET_CAST_EXPR",
}
LITERALS = {
    "INTEGER_LITERAL",
    "CXX_BOOL_LITERAL_EXPR",
    "CHARACTER_LITERAL",
    "STRING_LITERAL",
    "FLOATING_LITERAL",
    "INIT_LIST_EXPR",
}
NAMES = {"TEMPLATE_REF", "TYPE_REF", "NAMESPACE_REF", "OVERLOADED_DECL_REF", "MEMBER_REF"}
FUNCTIONS = {"FUNCTION_DECL", "CXX_METHOD", "CONSTRUCTOR", "DESTRUCTOR", "CONVERSION_FUNCTION"}
FLOATS = {"HALF", "FLOAT16", "FLOAT", "DOUBLE", "LONGDOUBLE", "FLOAT128", "BFLOAT16"}
PARAMETERS = {"TEMPLATE_NON_TYPE_PARAMETER", "TEMPLATE_TYPE_PARAMETER", "TEMPLATE_TEMPLATE_PARAMETER"}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


class Expressions:
    """Reads the expressions of one translation unit into ``program``."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._arguments: dict[str, int] = {}
        self._file = ""

    def variable(self, cursor: Any, scope: tuple[str, ...]) -> Var:
        """The one object of a variable."""
        raise NotImplementedError

    def named_type(self, cursor: Any, kind: Any) -> None:
        """Check a type that the text names."""
        raise NotImplementedError

    def function(self, cursor: Any, scope: tuple[str, ...]) -> None:
        """Read a function with a body, once."""
        raise NotImplementedError

    def _where(self, location: Any) -> Where:
        name = location.file.name if location.file else ""
        return Where(name.removeprefix("/sources/"), location.line, location.offset)

    def _ours(self, cursor: Any) -> bool:
        file = cursor.location.file
        return file is not None and file.name.removeprefix("/sources/") in self._program.texts

    def _peel(self, cursor: Any) -> Any:
        while cursor.kind.name in WRAPPERS:
            parts = [c for c in cursor.get_children() if c.kind.name not in NAMES]
            if len(parts) != 1:
                return cursor
            cursor = parts[0]
        return cursor

    def _between(self, start: int, end: int) -> str:
        text = self._program.texts.get(self._file, "").encode()[start:end].decode(errors="replace")
        return COMMENT.sub("", text).replace("\\\n", "").strip()

    def expression(self, cursor: Any) -> Expr:
        """The expression at ``cursor``."""
        outer, cursor = cursor, self._peel(cursor)
        kind, line = cursor.kind.name, cursor.location.line or outer.location.line
        if cursor.type.get_canonical().kind.name in FLOATS:
            where = self._where(outer.location)
            self._program.add(where, where.line, "floating-point", "floating-point arithmetic")
        parts = [c for c in cursor.get_children() if c.kind.name not in NAMES]
        if kind == "DECL_REF_EXPR":
            return self._name(cursor, line)
        if kind in LITERALS:
            return Lit(self._literal(cursor, kind), line)
        if kind == "BINARY_OPERATOR":
            op = self._between(parts[0].extent.end.offset, parts[1].extent.start.offset)
            left, right = self.expression(parts[0]), self.expression(parts[1])
            return Assign("=", left, right, line) if op == "=" else Op(op, (left, right), line)
        if kind == "COMPOUND_ASSIGNMENT_OPERATOR":
            op = self._between(parts[0].extent.end.offset, parts[1].extent.start.offset)
            return Assign(op[:-1], self.expression(parts[0]), self.expression(parts[1]), line)
        if kind == "UNARY_OPERATOR":
            return self._unary(cursor, parts[0], line)
        if kind == "CONDITIONAL_OPERATOR":
            return Op("?:", tuple(self.expression(part) for part in parts), line)
        if kind == "ARRAY_SUBSCRIPT_EXPR":
            return Index(self.expression(parts[0]), self.expression(parts[1]), line)
        if kind in CASTS:
            self.named_type(cursor, cursor.type)
            return Op("cast", (self.expression(parts[-1]),), line) if parts else Op("cast", (), line)
        if kind == "CALL_EXPR":
            return self._call(cursor, parts, line)
        return Unknown(kind, tuple(self.expression(part) for part in parts), line)

    def _name(self, cursor: Any, line: int) -> Expr:
        target = cursor.referenced
        if target is None:
            # a template's argument in its instance
            return next((self.expression(child) for child in cursor.get_children()), Lit(None, line))
        if target.kind.name == "ENUM_CONSTANT_DECL":
            return Lit(target.enum_value, line)
        if target.kind.name not in ("VAR_DECL", "PARM_DECL"):
            return Unknown(f"NAME_OF_{target.kind.name}", (), line)
        return Ref(self.variable(target, self._scopes(target)), line)

    def _scopes(self, cursor: Any) -> tuple[str, ...]:
        names: list[str] = []
        parent = cursor.semantic_parent
        while parent is not None and parent.kind.name in ("NAMESPACE", "STRUCT_DECL", "CLASS_DECL"):
            names.append(parent.spelling)
            parent = parent.semantic_parent
        return tuple(reversed(names))

    def _literal(self, cursor: Any, kind: str) -> int | None:
        text = "".join(token.spelling for token in cursor.get_tokens())
        if text in self._arguments:
            return self._arguments[text]
        if kind == "CXX_BOOL_LITERAL_EXPR":
            return int(text == "true")
        number = text.replace("'", "").rstrip("uUlL")
        if kind != "INTEGER_LITERAL" or not number:
            return None
        try:
            return int(number, 8 if re.fullmatch(r"0[0-7]+", number) else 0)
        except ValueError:
            return None

    def _unary(self, cursor: Any, part: Any, line: int) -> Expr:
        op = self._between(cursor.extent.start.offset, part.extent.start.offset)
        post = not op
        op = op or self._between(part.extent.end.offset, cursor.extent.end.offset)
        inner = self.expression(part)
        if op in ("++", "--"):
            return Assign(op[0], inner, Lit(1, line), line, post)
        if op in ("&", "*"):
            return Unknown("POINTER_" + op, (inner,), line)
        return Op(op, (inner,), line)

    def _call(self, cursor: Any, parts: list[Any], line: int) -> Expr:
        target = cursor.referenced
        kind = target.kind.name if target is not None else ""
        if kind == "CONSTRUCTOR":
            self.named_type(cursor, cursor.type)
            if not self._vendor(target):
                return Unknown("CONSTRUCTOR", tuple(self.expression(part) for part in parts), line)
            # a conversion, or a plain construction
            return Op("cast", tuple(self.expression(part) for part in parts[:1]), line)
        if target is None and not cursor.spelling and len(parts) == 1:
            # a construction from a temporary
            return Op("cast", (self.expression(parts[0]),), line)
        if target is None or kind not in FUNCTIONS:
            return Call("", cursor.spelling, tuple(self.expression(part) for part in parts), line)
        name = target.spelling
        if name.startswith("operator") and not name[8:9].isalnum() and self._vendor(target):
            operator = name.removeprefix("operator").strip()
            if kind == "CONVERSION_FUNCTION" or not re.fullmatch(r"\W+", operator):
                base = list(parts[0].get_children())
                return Op("cast", (self.expression(base[0]),), line)
            values = [p for p in parts if not self._is_operator(p)]
            return self._operator(operator, [self.expression(v) for v in values], line)
        if kind == "CXX_METHOD" and self._vendor(target):
            base = [c for c in parts[0].get_children() if c.kind.name not in NAMES]
            args = tuple(self.expression(part) for part in parts[1:])
            return (
                Method(self.expression(base[0]), name, args, line) if base else Unknown("METHOD", args, line)
            )
        self._instance(target)
        given = [part for part in parts if not self._is_name(part, target)]
        return Call(target.get_usr(), name, tuple(self.expression(part) for part in given), line)

    def _vendor(self, target: Any) -> bool:
        file = target.location.file
        return file is not None and Path(file.name).name in VENDOR and not self._ours(target)

    def _instance(self, target: Any) -> None:
        """A helper's template is read where it is used, with its numbers in."""
        definition = target.get_definition()
        if definition is not None and self._ours(definition):
            self.function(definition, self._scopes(definition))

    def _is_operator(self, cursor: Any) -> bool:
        inner = self._peel(cursor)
        return bool(inner.kind.name == "DECL_REF_EXPR" and inner.spelling.startswith("operator"))

    def _is_name(self, cursor: Any, target: Any) -> bool:
        inner = self._peel(cursor)
        return bool(inner.kind.name == "DECL_REF_EXPR" and inner.referenced == target)

    def _operator(self, op: str, values: list[Expr], line: int) -> Expr:
        if op == "=":
            return Assign("=", values[0], values[1], line)
        if op in ("++", "--"):
            return Assign(op[0], values[0], Lit(1, line), line, len(values) == 2)
        if op in ("[]", "()"):
            return Bits(values[0], tuple(values[1:]), line)
        if len(values) == 2 and op.endswith("=") and op not in ("==", "!=", "<=", ">="):
            return Assign(op[:-1], values[0], values[1], line)
        return Op(op, tuple(values), line)
