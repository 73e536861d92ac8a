"""What C++ for synthesis has not (UG1399, "Unsupported C/C++ Constructs" and "C++ Classes")."""

from __future__ import annotations

from tests.hls_rules.constants import calls, reached
from tests.hls_rules.model import Call, Decl, Function, Node, Program, Unknown, walk

ALLOCATING = {"malloc", "calloc", "realloc", "free", "alloca", "operator new", "operator delete"}
RULES = {
    "CXX_NEW_EXPR": "dynamic-memory",
    "CXX_DELETE_EXPR": "dynamic-memory",
    "CXX_TRY_STMT": "exception",
    "CXX_CATCH_STMT": "exception",
    "CXX_THROW_EXPR": "exception",
    "CXX_DYNAMIC_CAST_EXPR": "virtual",
    "CXX_TYPEID_EXPR": "virtual",
    "LAMBDA_EXPR": "function-pointer",
    "NAME_OF_FUNCTION_DECL": "function-pointer",
    "NAME_OF_CXX_METHOD": "function-pointer",
    "POINTER_&": "pointer",
    "POINTER_*": "pointer",
    "WHILE_STMT": "loop-exit",
    "DO_STMT": "loop-exit",
    "BREAK_STMT": "loop-exit",
    "CONTINUE_STMT": "loop-exit",
    "GOTO_STMT": "loop-exit",
    "INDIRECT_GOTO_STMT": "loop-exit",
    "CXX_FOR_RANGE_STMT": "loop-bound",
}
"""libclang's kinds of node that are refused -> rule; every other unknown kind is ``unsupported``."""


def check(program: Program) -> None:
    """Rules on constructs, in the top and all that it calls."""
    if program.top is None:
        return
    functions = reached(program, program.top)
    for function in functions:
        for node in walk(function.body):
            _node(program, function, node)
    for cycle in _cycles(program, functions):
        program.add(cycle, cycle.where.line, "recursion", f"{cycle.name} calls itself, directly or not")


def _node(program: Program, function: Function, node: Node) -> None:
    if isinstance(node, Unknown):
        rule = RULES.get(node.what, "unsupported")
        said = node.what.lower().replace("_", " ")
        program.add(function, node.line, rule, f"{function.name}: {said}")
    elif isinstance(node, Decl) and node.var.kind == "static":
        program.add(function, node.line, "static", f"{function.name}: {node.var.name} outlives the call")
    elif isinstance(node, Call) and node.usr not in program.functions:
        if node.name in ALLOCATING:
            program.add(function, node.line, "dynamic-memory", f"{function.name} calls {node.name}")
        elif not node.usr:
            program.add(function, node.line, "function-pointer", f"{function.name} calls through a variable")
        else:
            said = f"{function.name} calls {node.name}, which the sources do not define"
            program.add(function, node.line, "system-call", said)


def _cycles(program: Program, functions: list[Function]) -> list[Function]:
    """The functions from which calls lead back to themselves."""
    found = []
    for function in functions:
        for call in calls(function):
            target = program.functions.get(call.usr)
            if target is not None and function in reached(program, target):
                found.append(function)
                break
    return found
