"""The DATAFLOW region: streams, calls, and one writer and one reader a stream.

UG1399, "Limitations of Control-Driven Task-Level Parallelism" and "Canonical Body" (WYSIWYG coding
style): local variables, then calls of void functions that pass data forward; each channel has one
writing and one reading process; no condition, loop or other statement; no state that two
processes share.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.hls_rules.constants import calls, reached
from tests.hls_rules.model import (
    Call,
    Decl,
    For,
    Function,
    If,
    Method,
    Node,
    Program,
    Ref,
    Unknown,
    Var,
    walk,
)


@dataclass(frozen=True)
class Use:
    """A stage that reads and writes; ``order`` is its place among the calls."""

    order: int
    call: Call


def uses(program: Program, function: Function, seen: tuple[str, ...] = ()) -> dict[Var, set[str]]:
    """What ``function`` does with its stream parameters: "read", "write", in it or in what it calls."""
    found: dict[Var, set[str]] = {}
    if function.usr in seen:
        return found
    for node in walk(function.body):
        if isinstance(node, Method) and isinstance(node.base, Ref) and node.base.var.is_stream:
            kinds = {kind for kind in ("read", "write") if node.name.startswith(kind)}
            found.setdefault(node.base.var, set()).update(kinds)
        elif isinstance(node, Call) and node.usr in program.functions:
            target = program.functions[node.usr]
            inner = uses(program, target, (*seen, function.usr))
            for param, arg in zip(target.params, node.args, strict=False):
                if isinstance(arg, Ref) and param.is_stream:
                    found.setdefault(arg.var, set()).update(inner.get(param, set()))
    return found


def stages(program: Program) -> list[Function]:
    """The functions that the top calls, in order, each once."""
    if program.top is None:
        return []
    found = [program.functions[c.usr] for c in calls(program.top) if c.usr in program.functions]
    return list(dict.fromkeys(found))


def check(program: Program) -> None:
    """Rules on the top function."""
    top = program.top
    if top is None:
        return
    if not any(p.directive == "dataflow" and p.function is top for p in program.pragmas):
        program.add(top, top.where.line, "dataflow", f"{top.name} has no #pragma HLS DATAFLOW")
    if top.result != "void":
        program.add(top, top.where.line, "dataflow", f"{top.name} returns {top.result}")
    _interfaces(program, top)
    called: list[Call] = []
    for node in top.body.body:
        if isinstance(node, Decl):
            _declaration(program, top, node)
        elif isinstance(node, Call):
            called.append(node)
        else:
            _statement(program, top, node)
    _stages(program, top, called)
    _streams(program, top, called)
    _shared(program)


def _interfaces(program: Program, top: Function) -> None:
    found = [p for p in program.pragmas if p.directive == "interface" and p.function is top]
    modes = {p.get("port"): (p.get("mode") or "").lower() for p in found}
    line = top.where.line
    for var in top.params:
        if not var.is_stream or not var.reference:
            program.add(top, line, "interface", f"port {var.name} is no stream by reference")
        if modes.get(var.name) != "axis":
            program.add(top, line, "interface", f"port {var.name} has no INTERFACE mode=axis")
    if modes.get("return") != "ap_ctrl_none":
        program.add(top, line, "interface", "the top has no INTERFACE mode=ap_ctrl_none port=return")
    if len(found) != len(modes):
        program.add(top, line, "interface", "a port has two INTERFACE pragmas")


def _declaration(program: Program, top: Function, node: Decl) -> None:
    var, line = node.var, node.line
    if not var.is_stream or var.dims:
        program.add(top, line, "dataflow-channel", f"{var.name} is no stream: stages share streams alone")
        return
    pragmas = program.pragmas_on(var, "stream")
    depths = [p.get("depth") for p in pragmas]
    if var.depth < 1:
        said = f"{var.name} has no depth of one or more as its type's argument"
        program.add(top, line, "stream-depth", said)
    elif len(pragmas) != 1 or depths[0] is None:
        said = f"{var.name} has {len(pragmas)} STREAM pragmas, one with depth= is needed"
        program.add(top, line, "stream-depth", said)
    elif depths[0] != str(var.depth):
        said = f"{var.name} has depth {var.depth} in its type and {depths[0]} in its pragma"
        program.add(top, line, "stream-depth", said)
    if any((p.get("type") or "fifo").lower() != "fifo" for p in pragmas):
        program.add(top, line, "stream-depth", f"{var.name} is no FIFO by its pragma")


def _statement(program: Program, top: Function, node: Node) -> None:
    has_call = any(isinstance(part, Call) for part in walk(node))
    line = node.line
    if isinstance(node, If) and has_call:
        program.add(top, line, "dataflow-conditional", "a stage is called on a condition")
    elif (isinstance(node, For) or (isinstance(node, Unknown) and "STMT" in node.what)) and has_call:
        program.add(top, line, "dataflow-repeated", "a stage is called in a loop")
    else:
        program.add(top, line, "dataflow-statement", "a DATAFLOW region holds streams and calls alone")


def _stages(program: Program, top: Function, called: list[Call]) -> None:
    seen: set[str] = set()
    for call in called:
        if call.usr in seen:
            program.add(top, call.line, "dataflow-repeated", f"{call.name} is called twice")
        seen.add(call.usr)
        function = program.functions.get(call.usr)
        if function is None:
            continue
        if function.result != "void":
            program.add(top, call.line, "dataflow-argument", f"{call.name} returns {function.result}")
        for param, arg in zip(function.params, call.args, strict=False):
            if not isinstance(arg, Ref) or not arg.var.is_stream or not param.reference:
                said = f"{call.name} takes {param.name}, which is no stream by reference"
                program.add(top, call.line, "dataflow-argument", said)


def _streams(program: Program, top: Function, called: list[Call]) -> None:
    readers: dict[Var, list[Use]] = {}
    writers: dict[Var, list[Use]] = {}
    for order, call in enumerate(called):
        function = program.functions.get(call.usr)
        if function is None:
            continue
        done = uses(program, function)
        both: dict[Var, set[str]] = {}
        for param, arg in zip(function.params, call.args, strict=False):
            if isinstance(arg, Ref) and arg.var.is_stream:
                both.setdefault(arg.var, set()).update(done.get(param, set()))
        for var, kinds in both.items():
            if kinds == {"read", "write"}:
                program.add(top, call.line, "feedback", f"{call.name} reads and writes {var.name}")
            for kind, table in (("read", readers), ("write", writers)):
                if kind in kinds:
                    table.setdefault(var, []).append(Use(order, call))
    local = [node.var for node in top.body.body if isinstance(node, Decl) and node.var.is_stream]
    for var in [*local, *(p for p in top.params if p.is_stream)]:
        _stream(program, top, var, readers.get(var, []), writers.get(var, []))


def _stream(program: Program, top: Function, var: Var, readers: list[Use], writers: list[Use]) -> None:
    port = var in top.params
    for uses_, kind, rule in ((writers, "writes", "stream-producer"), (readers, "reads", "stream-consumer")):
        if len(uses_) > 1:
            names = " and ".join(use.call.name for use in uses_)
            program.add(top, uses_[1].call.line, rule, f"more than one stage {kind} {var.name}: {names}")
        elif not uses_ and not port:
            program.add(top, var.where.line, rule, f"no stage {kind} {var.name}")
    if port and len(readers) + len(writers) == 0:
        program.add(top, var.where.line, "stream-consumer", f"no stage uses port {var.name}")
    if port and readers and writers:
        program.add(top, var.where.line, "feedback", f"port {var.name} is read and written")
    for writer in writers:
        for reader in readers:
            if reader.order < writer.order:
                said = f"{reader.call.name} reads {var.name}, which {writer.call.name} writes after it"
                program.add(top, reader.call.line, "feedback", said)


def _shared(program: Program) -> None:
    for stage in stages(program):
        for function in reached(program, stage):
            for node in walk(function.body):
                if isinstance(node, Ref) and node.var.kind == "global" and not node.var.const:
                    said = f"{stage.name} uses {node.var.name}, a variable that is no constant"
                    program.add(function, node.line, "shared", said)
