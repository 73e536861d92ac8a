"""Constant expressions, and who calls whom."""

from __future__ import annotations

from tests.hls_rules.model import Call, Expr, Function, Lit, Op, Program, Ref, walk


def constant(expr: Expr | None, program: Program) -> int | None:
    """The value of a constant expression of literals and const integers, or None."""
    if isinstance(expr, Lit):
        return expr.value
    if isinstance(expr, Ref):
        return program.constants.get(expr.var)
    if isinstance(expr, Op) and expr.op == "cast" and len(expr.args) == 1:
        return constant(expr.args[0], program)
    if isinstance(expr, Op) and expr.op in ("+", "-", "*"):
        values = [constant(arg, program) for arg in expr.args]
        if None in values:
            return None
        a, *b = (value for value in values if value is not None)
        if not b:
            return -a if expr.op == "-" else a if expr.op == "+" else None
        return {"+": a + b[0], "-": a - b[0], "*": a * b[0]}[expr.op]
    return None


def calls(function: Function) -> list[Call]:
    """All calls in a function."""
    return [node for node in walk(function.body) if isinstance(node, Call)]


def reached(program: Program, first: Function) -> list[Function]:
    """``first`` and every function that it calls, at whatever distance."""
    found, waiting = [first], [first]
    while waiting:
        for call in calls(waiting.pop()):
            target = program.functions.get(call.usr)
            if target is not None and target not in found:
                found.append(target)
                waiting.append(target)
    return found
