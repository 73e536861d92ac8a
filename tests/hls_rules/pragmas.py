"""Pragmas: read from the lines, put to the place where they stand, and held to the table."""

from __future__ import annotations

import re

from tests.hls_rules.directives import DIRECTIVES, FLAG, INT, NAME, STORAGE
from tests.hls_rules.model import Block, Decl, For, Function, If, Node, Pragma, Program, Var, Where

PRAGMA = re.compile(r"^\s*#\s*pragma\b\s*(.*)$")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def without_comments(text: str) -> str:
    """``text`` with comments blanked, its lines where they were; strings are kept."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] in "\"'" else re.sub(r"[^\n]", " ", found)

    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', blank, text, flags=re.S)


def logical_lines(text: str) -> list[tuple[int, str]]:
    """(line number, contents) without comments, continued lines joined."""
    lines = without_comments(text).split("\n")
    found: list[tuple[int, str]] = []
    i = 0
    while i < len(lines):
        first, line = i, lines[i]
        while line.endswith("\\") and i + 1 < len(lines):
            i += 1
            line = line[:-1] + " " + lines[i]
        found.append((first + 1, line))
        i += 1
    return found


def collect(program: Program) -> None:
    """Find all pragmas of ``program`` and check what can be said of each alone."""
    for file, text in sorted(program.texts.items()):
        for number, line in logical_lines(text):
            if re.search(r"\b_Pragma\b", line):
                program.add(file, number, "pragma", "_Pragma hides a directive from this check")
            match = PRAGMA.match(line)
            if match is None or match.group(1).strip() == "once":
                continue
            words = match.group(1).split()
            if not words or words[0].lower() != "hls":
                program.add(file, number, "pragma", f"#pragma {' '.join(words)} is no HLS directive")
                continue
            if len(words) < 2 or words[1].lower() not in DIRECTIVES:
                said = words[1] if len(words) > 1 else "nothing"
                program.add(file, number, "pragma", f"{said} is no directive known")
                continue
            options = re.sub(r"\s*=\s*", "=", " ".join(words[2:])).split()
            pairs = tuple((o.split("=", 1)[0].lower(), _value(o)) for o in options)
            _place(program, Pragma(Where(file, number), words[1].lower(), pairs))


def _value(option: str) -> str | None:
    return option.split("=", 1)[1] if "=" in option else None


def _place(program: Program, pragma: Pragma) -> None:
    """Enter ``pragma`` once for each function in whose body it stands (a template's instances)."""
    _options(program, pragma)
    where, placed = pragma.where, False
    for function in program.functions.values():
        if not _inside(where, function.body):
            continue
        placed = True
        blocks, loop = _around(where, function.body)
        var = _variable(program, pragma, function, blocks)
        full = Pragma(where, pragma.directive, pragma.options, function, blocks, loop, var)
        program.enter(full)
        _check_place(program, full)
        _check_variable(program, full)
    in_template = any(a.file == where.file and a.line <= where.line <= b.line for a, b in program.templates)
    if not placed and not in_template:
        program.add(where, where.line, "pragma-place", f"{pragma.directive.upper()} stands in no function")


def _inside(where: Where, block: Block) -> bool:
    return block.start.file == where.file and block.start.line < where.line <= block.end.line


def _around(where: Where, body: Block) -> tuple[tuple[Block, ...], For | None]:
    """The blocks around a line, and the loop whose body is the innermost."""
    blocks, loop = [body], None
    while True:
        inner = [(block, of) for block, of in _blocks(blocks[-1]) if _inside(where, block)]
        if not inner:
            return tuple(blocks), loop
        blocks.append(inner[0][0])
        loop = inner[0][1]


def _blocks(block: Block) -> list[tuple[Block, For | None]]:
    found: list[tuple[Block, For | None]] = []
    for node in block.body:
        if isinstance(node, Block):
            found.append((node, None))
        elif isinstance(node, If):
            found += [(part, None) for part in (node.then, node.other) if part is not None]
        elif isinstance(node, For):
            found.append((node.body, node))
    return found


def _options(program: Program, pragma: Pragma) -> None:
    table, where = DIRECTIVES[pragma.directive], pragma.where
    name = pragma.directive.upper()

    def wrong(message: str, rule: str = "pragma") -> None:
        program.add(where, where.line, rule, f"{name}: {message}")

    seen: set[str] = set()
    for option, value in pragma.options:
        if option in seen:
            wrong(f"{option} is given twice")
        seen.add(option)
        legal = table.options.get(option)
        if legal is None:
            wrong(f"there is no option {option}")
        elif legal == FLAG:
            if value is not None and value.lower() not in ("true", "false"):
                wrong(f"{option}={value} is neither true nor false")
        elif value is None:
            wrong(f"{option} needs a value")
        elif legal == INT:
            if not re.fullmatch(r"\d+", value):
                wrong(f"{option}={value} is no number")
        elif legal == NAME:
            if not IDENTIFIER.fullmatch(value):
                wrong(f"{option}={value} is no name")
        elif value.lower() not in legal:
            wrong(f"{option}={value} is none of {', '.join(sorted(legal))}")
    for option in table.required:
        if option not in seen:
            wrong(f"{option} is missing")
    _combinations(pragma, wrong)


def _combinations(pragma: Pragma, wrong: object) -> None:
    assert callable(wrong)
    get = pragma.get
    if pragma.directive == "array_partition":
        kind = (get("type") or "complete").lower()
        if kind == "complete" and pragma.has("factor"):
            wrong("a complete partition has no factor")
        if kind != "complete" and not pragma.has("factor"):
            wrong(f"type={kind} needs a factor")
    elif pragma.directive == "bind_storage":
        kind, impl = (get("type") or "").lower(), (get("impl") or "auto").lower()
        if kind in STORAGE and impl not in STORAGE[kind]:
            wrong(f"{kind} cannot be made of {impl}")
    elif pragma.directive == "pipeline":
        # UG1448, message 207-5512
        if (get("style") or "").lower() == "frp" and pragma.has("rewind"):
            wrong("style=frp and rewind exclude one another")
    elif pragma.directive == "dependence":
        if (get("dependent") or "").lower() == "false" and pragma.has("distance"):
            wrong("a distance goes with dependent=true alone")
        if (get("type") or "").lower() != "inter" and (pragma.has("distance") or pragma.has("direction")):
            wrong("direction and distance go with type=inter alone")
        if pragma.has("class") and pragma.has("variable"):
            wrong("class and variable exclude one another")


def _variable(program: Program, pragma: Pragma, function: Function, blocks: tuple[Block, ...]) -> Var | None:
    """The variable that the pragma names, by C++'s rules of scope."""
    name = pragma.get("variable")
    if name is None:
        return None
    line = pragma.where.line
    for block in reversed(blocks):
        for node in _declared(block):
            if node.var.name == name and node.var.where.line < line:
                return node.var
    for var in function.params:
        if var.name == name:
            return var
    for depth in range(len(function.scope), -1, -1):
        for var in program.globals.values():
            if var.name == name and var.scope == function.scope[:depth]:
                return var
    return None


def _declared(block: Block) -> list[Decl]:
    nodes: list[Node] = list(block.body)
    return [node for node in reversed(nodes) if isinstance(node, Decl)]


def _check_place(program: Program, pragma: Pragma) -> None:
    place, where, function = DIRECTIVES[pragma.directive].place, pragma.where, pragma.function
    name = pragma.directive.upper()

    def wrong(message: str) -> None:
        program.add(where, where.line, "pragma-place", f"{name} {message}")

    if place == "loop" and pragma.loop is None:
        wrong("stands in no loop's body")
    if place == "top" and (function is not program.top or len(pragma.blocks) != 1):
        wrong("belongs into the body of the top function")
    if pragma.directive == "inline" and len(pragma.blocks) != 1:
        wrong("belongs into a function's body")
    if pragma.directive == "interface" and function is program.top and function is not None:
        ports = {var.name for var in function.params} | {"return"}
        if pragma.get("port") not in ports:
            wrong(f"names port {pragma.get('port')}, which the top has not")


def _check_variable(program: Program, pragma: Pragma) -> None:
    wanted, where, var = DIRECTIVES[pragma.directive].variable, pragma.where, pragma.var
    name = pragma.get("variable")
    if not wanted or name is None:
        return

    def wrong(message: str) -> None:
        program.add(where, where.line, "pragma-variable", f"{pragma.directive.upper()}: {message}")

    if var is None:
        wrong(f"{name} is no variable in scope")
        return
    if wanted == "array" and not var.dims:
        wrong(f"{name} is no array")
    if wanted == "stream" and not var.is_stream:
        wrong(f"{name} is no stream")
    if wanted == "number" and (var.dims or var.is_stream):
        wrong(f"{name} is no number")
    dim = pragma.get("dim")
    if var.dims and dim is not None and dim.isdigit() and int(dim) > len(var.dims):
        wrong(f"{name} has {len(var.dims)} dimensions, not {dim}")
    factor = pragma.get("factor")
    if var.dims and factor is not None and factor.isdigit():
        at = int(dim) if dim is not None and dim.isdigit() else 1
        size = var.dims[at - 1] if 0 < at <= len(var.dims) else int(factor)
        if not 1 <= int(factor) <= size:
            wrong(f"factor={factor} of {size} elements")
    if pragma.directive == "bind_storage":
        rom = (pragma.get("type") or "").lower().startswith("rom")
        if rom and not var.const:
            wrong(f"{name} is written, a ROM cannot be")
        if not rom and var.const:
            wrong(f"{name} is const, which makes a ROM")
