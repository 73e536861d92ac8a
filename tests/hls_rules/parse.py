"""C++ sources -> ``Program``, by libclang.

Sources are read against the declarations in include/, which hold what the vendor documents of
ap_int and hls::stream: nothing of the platform's headers is needed, and a member that is not
documented does not parse.
"""

from __future__ import annotations

import re
from typing import Any

from tests.hls_rules.expressions import FUNCTIONS, INCLUDE, NAMES, PARAMETERS, Expressions
from tests.hls_rules.model import (
    Block,
    Decl,
    Expr,
    For,
    Function,
    If,
    Lit,
    Node,
    Op,
    Program,
    Return,
    Unknown,
    Var,
)

LIMIT = 4096
"""The widest ap_int there is (UG1399, "Overview of Arbitrary Precision Integer Data Types")."""


def parse(texts: dict[str, str], top: str) -> Program:
    """All ``texts`` (file name -> contents) as one program; ``top`` is the name of its top function."""
    from clang.cindex import Index as Clang

    program = Program(texts)
    args = ["-x", "c++", "-std=c++14", "-nostdinc", "-nostdinc++", "-I", str(INCLUDE), "-ferror-limit=50"]
    # a folder that does not exist: every file comes from texts
    files = [(f"/sources/{name}", text) for name, text in sorted(texts.items())]
    for name in sorted(name for name in texts if name.endswith(".cpp")):
        unit = Clang.create().parse(f"/sources/{name}", args=args, unsaved_files=files)
        _Reader(program).read(unit)
    named = [f for f in program.functions.values() if f.name == top]
    program.top = named[0] if named else None
    if not named:
        first = min(texts) if texts else ""
        program.add(first, 1, "parse", f"there is no function {top}, the core's top")
    return program


class _Reader(Expressions):
    """Reads one translation unit into the program."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._widest = 1024

    def read(self, unit: Any) -> None:
        for found in unit.diagnostics:
            if found.severity >= 3:
                where = self._where(found.location)
                self._program.add(where, where.line, "parse", found.spelling)
        self._scope(unit.cursor, ())

    def _scope(self, cursor: Any, scope: tuple[str, ...]) -> None:
        for child in cursor.get_children():
            kind = child.kind.name
            if kind == "NAMESPACE" and child.spelling == "xh_rules":
                self._widest = [c.enum_value for v in child.get_children() for c in v.get_children()][0]
            elif not self._ours(child):
                continue
            elif kind == "NAMESPACE":
                self._scope(child, (*scope, child.spelling))
            elif kind == "LINKAGE_SPEC":
                self._scope(child, scope)
            elif kind in FUNCTIONS:
                self.function(child, scope)
            elif kind == "FUNCTION_TEMPLATE":
                extent = child.extent
                self._program.templates.append((self._where(extent.start), self._where(extent.end)))
            elif kind == "VAR_DECL":
                self._global(child, scope)
            elif kind in ("CLASS_DECL", "STRUCT_DECL", "UNION_DECL", "CLASS_TEMPLATE"):
                self._class(child, scope)
            elif kind in ("TYPEDEF_DECL", "TYPE_ALIAS_DECL"):
                self.named_type(child, child.underlying_typedef_type)

    def _class(self, cursor: Any, scope: tuple[str, ...]) -> None:
        for child in cursor.get_children():
            where = self._where(child.location)
            if child.kind.name in FUNCTIONS:
                if child.is_virtual_method():
                    self._program.add(where, where.line, "virtual", f"{child.spelling} is a virtual function")
                self.function(child, (*scope, cursor.spelling))
            elif child.kind.name == "FIELD_DECL":
                self.named_type(child, child.type)
            elif child.kind.name == "VAR_DECL":
                self._global(child, (*scope, cursor.spelling))

    def _global(self, cursor: Any, scope: tuple[str, ...]) -> None:
        var = self.variable(cursor, scope)
        self._program.globals[var.where] = var
        if var.const and not var.dims:
            init = self._init(cursor, var)
            if isinstance(init, Lit) and init.value is not None:
                self._program.constants[var] = init.value

    def function(self, cursor: Any, scope: tuple[str, ...]) -> None:
        """Read a function with a body, once."""
        usr = cursor.get_usr()
        if usr in self._program.functions or not cursor.is_definition():
            return
        bodies = [c for c in cursor.get_children() if c.kind.name == "COMPOUND_STMT"]
        if not bodies:
            return
        params = tuple(self.variable(c, ()) for c in cursor.get_arguments())
        where = self._where(cursor.location)
        self.named_type(cursor, cursor.result_type)
        file, self._file = self._file, where.file
        arguments, self._arguments = self._arguments, self._template_arguments(cursor)
        # entered first: a body that calls its own function does not read it again
        empty = Block((), where.line, where, where)
        static = cursor.storage_class.name == "STATIC"
        result = cursor.result_type.get_canonical().spelling
        for body in (empty, None):
            block = body if body is not None else self._block(bodies[-1])
            self._program.functions[usr] = Function(
                usr, cursor.spelling, scope, params, result, block, where, static
            )
        self._file, self._arguments = file, arguments

    def _template_arguments(self, cursor: Any) -> dict[str, int]:
        """The numbers of a template's instance, by the names that its text has for them."""
        from clang.cindex import conf

        count = cursor.get_num_template_arguments()
        if count < 1:
            return {}
        template = conf.lib.clang_getSpecializedCursorTemplate(cursor)
        names = [c.spelling for c in template.get_children() if c.kind.name in PARAMETERS]
        kinds = [cursor.get_template_argument_kind(i).name for i in range(count)]
        return {
            name: cursor.get_template_argument_value(i)
            for i, (name, kind) in enumerate(zip(names, kinds, strict=False))
            if kind == "INTEGRAL"
        }

    def variable(self, cursor: Any, scope: tuple[str, ...]) -> Var:
        kind = {"PARM_DECL": "param"}.get(cursor.kind.name, "local")
        if kind == "local":
            parent = cursor.semantic_parent.kind.name if cursor.semantic_parent else ""
            inside = parent in FUNCTIONS or parent == "FUNCTION_TEMPLATE"
            static = cursor.storage_class.name == "STATIC"
            kind = "global" if not inside else "static" if static else "local"
        full = cursor.type.get_canonical()
        reference = full.kind.name in ("LVALUEREFERENCE", "RVALUEREFERENCE")
        inner = full.get_pointee() if reference else full
        whole = inner
        dims: list[int] = []
        while inner.kind.name == "CONSTANTARRAY":
            dims.append(inner.element_count)
            inner = inner.element_type
        pointer = inner.kind.name in ("POINTER", "MEMBERPOINTER", "INCOMPLETEARRAY")
        where = self._where(cursor.location)
        dimensions = tuple(dims)
        identity = (where, kind, inner.spelling, dimensions)
        if identity in self._program.names:
            return self._program.names[identity]
        var = Var(
            where,
            cursor.spelling,
            kind,
            inner.spelling.removeprefix("const "),
            dimensions,
            # the element type of a const array comes without its const
            whole.get_canonical().spelling.startswith("const "),
            reference or (kind == "param" and bool(dims)),
            pointer,
            scope,
        )
        self._program.names[identity] = var
        self.named_type(cursor, full)
        if pointer:
            rule = "function-pointer" if "(*" in inner.spelling or "(&" in inner.spelling else "pointer"
            self._program.add(where, where.line, rule, f"{var.name} is a pointer ({inner.spelling})")
        return var

    def named_type(self, cursor: Any, kind: Any) -> None:
        """What holds for every type that is named."""
        where, spelling = self._where(cursor.location), kind.get_canonical().spelling
        for width in re.findall(r"\bap_u?int(?:_base)?<(\d+)", spelling):
            limit = min(self._widest, LIMIT)
            if int(width) > limit:
                said = f"{cursor.spelling or spelling} is {width} bits wide, at most {limit} are possible"
                self._program.add(where, where.line, "width", said)
        if re.search(r"\b(float|double|half|_Float16)\b", spelling):
            self._program.add(where, where.line, "floating-point", f"{cursor.spelling} is {spelling}")
        if re.search(r"\bstd::", spelling):
            self._program.add(where, where.line, "dynamic-memory", f"{cursor.spelling} is {spelling}")

    # statements

    def _block(self, cursor: Any) -> Block:
        start, end = self._where(cursor.extent.start), self._where(cursor.extent.end)
        if cursor.kind.name != "COMPOUND_STMT":
            return Block(tuple(self._statement(cursor)), start.line, start, end)
        body = tuple(part for child in cursor.get_children() for part in self._statement(child))
        return Block(body, start.line, start, end)

    def _statement(self, cursor: Any, label: str = "") -> list[Node]:
        kind, line, parts = cursor.kind.name, cursor.location.line, list(cursor.get_children())
        if kind == "COMPOUND_STMT":
            return [self._block(cursor)]
        if kind == "NULL_STMT":
            return []
        if kind == "LABEL_STMT":
            return self._statement(parts[0], cursor.spelling)
        if kind == "DECL_STMT":
            return [self._declaration(child) for child in parts if child.kind.name != "STATIC_ASSERT"]
        if kind == "RETURN_STMT":
            return [Return(self.expression(parts[0]) if parts else None, line)]
        if kind == "IF_STMT" and len(parts) in (2, 3):
            other = self._block(parts[2]) if len(parts) == 3 else None
            return [If(self.expression(parts[0]), self._block(parts[1]), other, line)]
        if kind == "FOR_STMT":
            if len(parts) != 4:
                return [For(None, None, None, self._block(parts[-1]), label, line)]
            init = self._statement(parts[0])
            single = init[0] if len(init) == 1 else None
            test, step = self.expression(parts[1]), self.expression(parts[2])
            return [For(single, test, step, self._block(parts[3]), label, line)]
        if kind.endswith("_STMT"):
            inner = tuple(part for child in parts for part in self._statement(child))
            return [Unknown(kind, inner, line)]
        return [self.expression(cursor)]

    def _declaration(self, cursor: Any) -> Node:
        line = cursor.location.line
        if cursor.kind.name != "VAR_DECL":
            return Unknown(cursor.kind.name, (), line)
        var = self.variable(cursor, ())
        return Decl(var, self._init(cursor, var), line)

    def _init(self, cursor: Any, var: Var) -> Expr | None:
        start = cursor.location.offset
        parts = [c for c in cursor.get_children() if c.kind.name not in NAMES]
        parts = [c for c in parts if c.extent.start.offset >= start]
        if var.dims:
            lists = [c for c in parts if self._peel(c).kind.name == "INIT_LIST_EXPR"]
            return Lit(None, lists[-1].location.line) if lists else None
        if not parts:
            return None
        init = self.expression(parts[-1])
        return None if isinstance(init, Op) and not init.args else init
