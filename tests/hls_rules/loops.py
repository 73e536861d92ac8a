"""The form of a stage: declarations and one perfect nest with constant bounds, its innermost body
pipelined at II = 1.

UG1399 "pragma HLS loop_flatten" (perfect nests: no logic between the loop statements, constant
bounds), "Rewinding Pipelined Loops for Performance"; UG1448 messages 200-950, 200-954, 200-955 and
200-959 (a loop is rewound only if it is the function's single loop, without code in front of it or
a condition around it).  A stage that waits for words flushes: UG1448, "Pipeline Styles" (of stp: it
may "prevent already computed outputs from being delivered, if inputs to next iterations are missing").
"""

from __future__ import annotations

import re

from tests.hls_rules.constants import constant, reached
from tests.hls_rules.model import (
    Assign,
    Block,
    Decl,
    For,
    Function,
    If,
    Lit,
    Method,
    Node,
    Op,
    Program,
    Ref,
    Return,
    Var,
    root,
    walk,
)
from tests.hls_rules.region import stages


def check(program: Program) -> None:
    """Rules on the loops of every stage and of what the stages call."""
    if program.top is None:
        return
    for function in reached(program, program.top):
        for loop in _loops(function.body):
            _bounds(program, function, loop)
        if function is not program.top:
            _returns(program, function)
    for stage in stages(program):
        _nest(program, stage)
        for helper in reached(program, stage)[1:]:
            _sums(program, helper)
            for loop in _loops(helper.body):
                if program.pragmas_of(loop, "pipeline"):
                    said = f"{helper.name}: a helper of a pipelined loop is unrolled into it"
                    program.add(helper, loop.line, "pipeline", said)


def _loops(block: Node) -> list[For]:
    return [node for node in walk(block) if isinstance(node, For)]


def trip(loop: For, program: Program) -> tuple[Var, list[int]] | None:
    """The loop's variable and the values it takes, or None where they are no constants."""
    if not isinstance(loop.init, Decl) or not isinstance(loop.step, Assign) or not isinstance(loop.test, Op):
        return None
    var, first = loop.init.var, constant(loop.init.init, program)
    step, target = constant(loop.step.value, program), loop.step.target
    if first is None or not step or not isinstance(target, Ref) or target.var != var:
        return None
    if loop.step.op not in ("+", "-") or loop.test.op not in ("<", "<=", ">", ">=", "!="):
        return None
    left, limit = loop.test.args[0], constant(loop.test.args[1], program)
    while isinstance(left, Op) and left.op == "cast":
        left = left.args[0]
    if limit is None or not isinstance(left, Ref) or left.var != var:
        return None
    step = step if loop.step.op == "+" else -step
    if loop.test.op in ("<", "<=") and step > 0:
        return var, list(range(first, limit + (loop.test.op == "<="), step))
    if loop.test.op in (">", ">=") and step < 0:
        return var, list(range(first, limit - (loop.test.op == ">="), step))
    if loop.test.op == "!=" and (limit - first) % step == 0 and (limit - first) // step >= 0:
        return var, list(range(first, limit, step))
    return None


def _bounds(program: Program, function: Function, loop: For) -> None:
    name = loop.label or "a loop"
    found = trip(loop, program)
    if found is None:
        said = f"{function.name}: {name} does not count from a constant to a constant"
        program.add(function, loop.line, "loop-bound", said)
        return
    var, values = found
    for node in walk(loop.body):
        if isinstance(node, Assign) and isinstance(node.target, Ref) and node.target.var == var:
            said = f"{function.name}: {name} changes its own counter {var.name}"
            program.add(function, node.line, "loop-bound", said)
    width = re.match(r"ap_(u?)int<(\d+)>", var.spelling)
    if width is not None and values:
        # the counter must hold the value that ends the loop, too
        last = values[-1] + (values[1] - values[0] if len(values) > 1 else 1)
        bits = int(width[2]) - (not width[1])
        if not (0 if width[1] else -(2**bits)) <= last < 2**bits:
            said = f"{function.name}: {var.spelling} {var.name} never reaches {last}: {name} does not end"
            program.add(function, loop.line, "loop-bound", said)


def _returns(program: Program, function: Function) -> None:
    for loop in _loops(function.body):
        for node in walk(loop.body):
            if isinstance(node, Return):
                program.add(function, node.line, "loop-exit", f"{function.name} returns from within a loop")


def _trivial(node: Decl) -> bool:
    """Whether a declaration does nothing at run time but set a constant."""
    init = node.init
    while isinstance(init, Op) and init.op in ("cast", "-") and len(init.args) == 1:
        init = init.args[0]
    return init is None or isinstance(init, Lit)


def _nest(program: Program, stage: Function) -> None:
    loops = [node for node in stage.body.body if isinstance(node, For)]
    line = stage.where.line
    if len(loops) != 1:
        said = f"{stage.name} has {len(loops)} loop nests, a stage is one"
        program.add(stage, loops[1].line if len(loops) > 1 else line, "nest", said)
    for node in stage.body.body:
        if isinstance(node, For) or (isinstance(node, Decl) and _trivial(node)):
            continue
        said = f"{stage.name}: code beside the loop nest, with which the loop is not rewound"
        program.add(stage, node.line, "rewind", said)
    _streams_outside(program, stage)
    for loop in loops:
        _level(program, stage, loop, (loop,))


def _level(program: Program, stage: Function, loop: For, nest: tuple[For, ...]) -> None:
    pipelines = program.pragmas_of(loop, "pipeline")
    name = loop.label or f"the loop of line {loop.line}"
    if pipelines:
        _pipelined(program, stage, loop, nest)
        return
    if program.pragmas_of(loop, "unroll"):
        program.add(stage, loop.line, "nest", f"{stage.name}: {name} is unrolled outside of a pipelined loop")
    inner = [node for node in loop.body.body if isinstance(node, For)]
    if not inner:
        program.add(stage, loop.line, "pipeline", f"{stage.name}: {name} is innermost and not pipelined")
        return
    for node in loop.body.body:
        if node is not inner[0]:
            said = f"{stage.name}: {name} has more in its body than the next loop"
            program.add(stage, node.line, "nest", said)
    for pragma in program.pragmas_of(loop, "loop_flatten"):
        said = "LOOP_FLATTEN belongs into the innermost loop"
        program.add(pragma.where, pragma.where.line, "pragma-place", said)
    for part in inner:
        _level(program, stage, part, (*nest, part))


def _pipelined(program: Program, stage: Function, loop: For, nest: tuple[For, ...]) -> None:
    name = loop.label or f"the loop of line {loop.line}"
    pipelines = program.pragmas_of(loop, "pipeline")
    if len(pipelines) != 1:
        said = f"{stage.name}: {name} has {len(pipelines)} PIPELINE pragmas"
        program.add(stage, loop.line, "pipeline", said)
    for pragma in pipelines:
        if pragma.get("ii") != "1" or pragma.has("off"):
            said = f"{stage.name}: {name} is not pipelined with II=1"
            program.add(pragma.where, pragma.where.line, "pipeline", said)
        if not pragma.has("rewind") or pragma.get("rewind") == "false":
            said = f"{stage.name}: {name} is not rewound into the next frame"
            program.add(pragma.where, pragma.where.line, "rewind", said)
        elif (pragma.get("style") or "").lower() != "flp" and _waits(program, stage):
            said = f"{stage.name}: {name} keeps the last words of a frame until the next frame comes, without"
            program.add(pragma.where, pragma.where.line, "flush", f"{said} style=flp")
    for pragma in program.pragmas_of(loop, "loop_flatten"):
        if pragma.has("off") and pragma.get("off") != "false":
            program.add(pragma.where, pragma.where.line, "nest", f"{stage.name}: flattening is switched off")
    if program.pragmas_of(loop, "unroll"):
        program.add(stage, loop.line, "pipeline", f"{stage.name}: {name} is pipelined and unrolled")
    for inner in _loops(loop.body):
        if program.pragmas_of(inner, "pipeline"):
            program.add(stage, inner.line, "pipeline", f"{stage.name}: a pipelined loop in a pipelined loop")
        for pragma in program.pragmas_of(inner, "unroll"):
            if pragma.has("factor") or pragma.has("off"):
                said = f"{stage.name}: a loop in a pipelined loop is unrolled whole, or II rises"
                program.add(pragma.where, pragma.where.line, "pipeline", said)


def _waits(program: Program, stage: Function) -> bool:
    """Whether a stage, or a function that it calls, may wait for a word."""
    return any(
        isinstance(node, Method)
        and isinstance(node.base, Ref)
        and node.base.var.is_stream
        and node.name == "read"
        for function in reached(program, stage)
        for node in walk(function.body)
    )


def _sums(program: Program, helper: Function) -> None:
    """A sum is added to in every turn of its loop: on a condition it is a chain of multiplexers, no tree."""
    for loop in _loops(helper.body):
        inside = {node.var for node in walk(loop.body) if isinstance(node, Decl)}
        for branch in [node for node in walk(loop.body) if isinstance(node, If)]:
            for node in walk(branch):
                if not isinstance(node, Assign):
                    continue
                var = root(node.target)
                adds = node.op != "=" or var in [n.var for n in walk(node.value) if isinstance(n, Ref)]
                if var is not None and var not in inside and adds:
                    said = f"{helper.name}: {var.name} is added to on a condition"
                    program.add(helper, node.line, "sum", said)


def _streams_outside(program: Program, stage: Function) -> None:
    inside: set[int] = set()
    for loop in _loops(stage.body):
        if program.pragmas_of(loop, "pipeline"):
            inside.update(id(node) for node in walk(loop.body))
    for node in walk(stage.body):
        if isinstance(node, Method) and isinstance(node.base, Ref) and node.base.var.is_stream:
            if id(node) not in inside:
                said = f"{stage.name}: {node.base.var.name} is used outside of the pipelined loop"
                program.add(stage, node.line, "stream-access", said)


def innermost(program: Program, stage: Function) -> list[tuple[For, tuple[For, ...]]]:
    """The pipelined loops of a stage, each with the nest around it, outermost first."""
    found: list[tuple[For, tuple[For, ...]]] = []

    def descend(block: Block, nest: tuple[For, ...]) -> None:
        for node in block.body:
            if isinstance(node, For):
                if program.pragmas_of(node, "pipeline"):
                    found.append((node, (*nest, node)))
                else:
                    descend(node.body, (*nest, node))

    descend(stage.body, ())
    return found
