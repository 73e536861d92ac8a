"""A torch module -> FloatGraph, by symbolic tracing; proven on random inputs afterwards."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import replace as with_fields
from typing import Any, NoReturn, get_args

import torch
import torch.nn.functional as F
from torch import fx, nn

from xnorhw.frontends.inplace import is_in_place, overwrites_shared
from xnorhw.frontends.known_functions import FUNCTIONS, METHODS
from xnorhw.frontends.known_modules import module_op
from xnorhw.frontends.prove import prove
from xnorhw.frontends.replace import Replacements, replaced
from xnorhw.frontends.shapes import check_op, input_value, normal_input, output_value
from xnorhw.frontends.source import line_here, line_of
from xnorhw.frontends.vocabulary import OUR_LAYERS, SUPPORTED, Made, Place, Result
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    BipolarQuant,
    Flatten,
    FloatGraph,
    FloatNode,
    FloatOp,
    Input,
    InputQuant,
    MaxPool2d,
    Value,
)

__all__ = ["check_eval", "module_path", "record", "trace"]

_ROOT = "net"


def trace(net: nn.Module, declared: Input, replace: Replacements | None = None) -> FloatGraph:
    """The float graph of ``net`` on inputs of the declared type.

    ``replace`` maps classes or qualified names to functions that give the module to put in
    their place; it works on a copy.  ``net`` itself is not changed.  Raises ModelError, with the
    module, the reason and the source line where there is one, for everything that cannot be
    taken; and where the graph, run on three seeded random inputs, differs from ``net``.
    """
    if not isinstance(net, nn.Module):
        raise ModelError(
            f"a {type(net).__name__} is no network", module="net", remedy="Give a torch.nn.Module in eval"
        )
    declared = normal_input(declared)
    net = replaced(net, replace)
    check_eval(net)
    _check_signature(net)
    recorded = record(net)
    graph = _Builder(net, declared, recorded).build()
    prove(net, graph)
    return graph


def check_eval(net: nn.Module) -> None:
    """ModelError, naming the module, where one is in training mode."""
    for name, module in net.named_modules():
        if module.training:
            raise ModelError(
                f"{type(module).__name__} is in training mode, where it computes something else",
                module=name or "the network",
                remedy="Call net.eval() before saving",
            )


def _check_signature(net: nn.Module) -> None:
    needed = [
        p.name
        for p in inspect.signature(net.forward).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(needed) > 1:
        raise ModelError(
            f"its forward takes several inputs: {', '.join(needed)}",
            module=type(net).__name__,
            remedy="Give it one input, for example by a small wrapper module",
        )


class _Root(nn.Module):
    """Holds the network, so that a network that is a single known layer is traced as a call."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input: Any) -> Any:
        return self.net(input)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, OUR_LAYERS) or super().is_leaf_module(m, module_qualified_name)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["source"] = line_here(_Root.forward.__code__)
        return node


@contextlib.contextmanager
def _reshape_records_itself() -> Iterator[None]:
    """torch 2.2's own reshape refuses a tuple with a traced size before it asks the tracer."""
    own = torch.reshape

    def reshape(*args: Any, **kwargs: Any) -> Any:
        proxies: list[fx.Proxy] = []
        fx.node.map_aggregate((args, kwargs), lambda a: _note(a, proxies))
        if not proxies:
            return own(*args, **kwargs)
        return proxies[0].tracer.create_proxy("call_function", own, args, kwargs)

    torch.reshape = reshape
    try:
        yield
    finally:
        torch.reshape = own


def _note(value: Any, proxies: list[fx.Proxy]) -> Any:
    if isinstance(value, fx.Proxy):
        proxies.append(value)
    return value


def record(net: nn.Module) -> fx.Graph:
    """The calls of ``net``'s forward, with known layers as leaves; ModelError where it has no trace."""
    try:
        with _reshape_records_itself():
            graph = _Tracer().trace(_Root(net))
    except ModelError:
        raise
    except Exception as error:
        raise _untraceable(net, error) from error
    return graph


def _untraceable(net: nn.Module, error: Exception) -> ModelError:
    where = line_of(error, _Root.forward.__code__)
    at = f" (at {where})" if where else ""
    name = type(net).__name__
    text = str(error).split(". ")[0].splitlines()[0] if str(error) else type(error).__name__
    if "iterated" in text:
        return ModelError(
            f"its forward iterates over a tensor or over its shape{at}",
            module=name,
            remedy="Use x.flatten(1), or sizes that are known: x.size(1)",
        )
    if isinstance(error, fx.proxy.TraceError):
        return ModelError(
            f"its forward depends on the data of a tensor, by if, while, for or bool(){at}",
            module=name,
            remedy="Write a forward that does the same steps for every input",
        )
    if "item assignment" in text or "item deletion" in text:
        return ModelError(
            f"its forward writes into a tensor in place{at}",
            module=name,
            remedy="Compute a new tensor instead",
        )
    if "'len'" in text:
        return ModelError(
            f"its forward takes len() of a tensor{at}", module=name, remedy="Use x.size(0), or x.flatten(1)"
        )
    return ModelError(
        f"its forward cannot be traced: {type(error).__name__}: {text}{at}",
        module=name,
        remedy=f"{SUPPORTED}. Modules that do more can be exchanged by replace= in save",
    )


class _Builder:
    def __init__(self, net: nn.Module, declared: Input, recorded: fx.Graph) -> None:
        self.declared = declared
        self.recorded = recorded
        self.modules: dict[str, nn.Module] = dict(net.named_modules(remove_duplicate=False))
        self.taken = {FloatGraph.INPUT_NAME}
        self.taken_by_modules = set(self.modules)
        self.nodes: list[FloatNode] = []
        self.ops: dict[str, FloatNode] = {}
        self.kinds: list[tuple[str, str]] = []
        self.env: dict[fx.Node, Any] = {}

    def build(self) -> FloatGraph:
        output = self._result_node()
        alive = _alive(output)
        for node in self.recorded.nodes:
            if node.op in ("call_module", "call_function", "call_method"):
                self._check_in_place(node)
        for node in self.recorded.nodes:
            if node in alive:
                self._add(node)
        result = self.env[output]
        if not isinstance(result, Value):
            raise ModelError(
                "its result is no tensor", module="the network", remedy="Return the scores alone"
            )
        if not self.nodes:
            raise ModelError(
                "it has no layer: the input is its result",
                module="the network",
                remedy="Build it of xnorhw.nn.BinaryConv2d and BinaryLinear",
            )
        return FloatGraph(self.declared, tuple(self.nodes), result.name, tuple(self.kinds))

    def _result_node(self) -> fx.Node:
        output = next(n for n in self.recorded.nodes if n.op == "output")
        result = output.args[0]
        if isinstance(result, tuple | list | dict):
            raise ModelError(
                "its forward returns several results",
                module="the network",
                remedy="Return the scores alone, for example from a small wrapper module",
            )
        if not isinstance(result, fx.Node):
            raise ModelError(
                "its result does not depend on the input", module="the network", remedy="Return the scores"
            )
        return result

    def _add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.env[node] = input_value(self.declared)
            return
        args = fx.node.map_arg(node.args, lambda n: self.env[n])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: self.env[n])
        if node.op == "call_module":
            self._add_module(node, args, kwargs)
        elif node.op == "get_attr":
            path = str(node.target)
            inside = path.startswith(f"{_ROOT}.")
            what = f"the parameter {_strip(path)!r} itself" if inside else "a tensor of its own making"
            raise ModelError(
                f"its forward computes with {what}{_at(node)}",
                module=_strip(path).rpartition(".")[0] or "the network" if inside else "the network",
                remedy=f"{SUPPORTED}. A module of your own can be exchanged by replace= in save",
            )
        else:
            self._add_call(node, args, kwargs)

    def _add_module(self, node: fx.Node, args: Any, kwargs: Any) -> None:
        path = _strip(str(node.target))
        module = self.modules[path]
        # a module read from a file is called what it was there
        kind = str(getattr(module, "foreign_kind", type(module).__name__))
        name = path or kind
        place = Place(name, kind, node.meta.get("source", ""))
        inputs = [*args, *kwargs.values()]
        if len(inputs) != 1 or not isinstance(inputs[0], Value):
            place.refuse("is called with something else than one tensor", "Call it as module(x)")
        op = module_op(module, inputs[0], place, self._fed_by_sign(inputs[0]))
        self._emit(node, op, (inputs[0],), name, kind)

    def _add_call(self, node: fx.Node, args: Any, kwargs: Any) -> None:
        function = str(node.target) if node.op == "call_method" else _function_name(node.target)
        handler = METHODS.get(function) if node.op == "call_method" else FUNCTIONS.get(node.target)
        stem = function.rstrip("_") or function
        name = self._numbered(stem)
        place = Place(name, function, node.meta.get("source", ""))
        if handler is None:
            self._refuse_function(node, place)
        if "input" in kwargs and not args:
            args = (kwargs["input"],)
            kwargs = {k: v for k, v in kwargs.items() if k != "input"}
        try:
            made: Result = handler(place, *args, **kwargs)
        except (TypeError, AttributeError, IndexError) as error:
            place.refuse(f"is called in a way that is not known: {error}", SUPPORTED)
        if isinstance(made, Made):
            self._emit_made(node, made, name, function)
            return
        if made is not None and not isinstance(made, get_args(FloatOp)):
            self.env[node] = made  # a size
            return
        self._emit(node, made, (args[0],), name, function)

    def _emit_made(self, node: fx.Node, made: Made, name: str, kind: str) -> None:
        """Several operations of one call; those behind the first have names of their own."""
        sources = made.sources
        self.env[node] = sources[0]
        for op in made.ops:
            label = name if op is made.ops[0] else self._numbered(f"{name}_{type(op).__name__.lower()}")
            self._emit(node, op, sources, label, kind)
            sources = (self.env[node],)

    def _refuse_function(self, node: fx.Node, place: Place) -> NoReturn:
        if place.kind in ("conv2d", "linear", "matmul", "mm", "addmm", "conv1d"):
            place.refuse(
                "with weights of the module's own is not known",
                "Use xnorhw.nn.BinaryConv2d or BinaryLinear, or give replace= for the module that calls it",
            )
        place.refuse("is not known", SUPPORTED)

    def _emit(
        self, node: fx.Node, op: FloatOp | None, sources: tuple[Any, ...], name: str, kind: str
    ) -> None:
        source = sources[0]
        if op is None:
            self.env[node] = source
            return
        if not all(isinstance(s, Value) for s in sources):
            raise ModelError(
                f"{kind} is called on something else than a tensor{_at(node)}", module=name, remedy=SUPPORTED
            )
        if isinstance(op, Flatten) and source.layout == "C":
            self.env[node] = source
            return
        if node.op == "call_module":
            name = self._again(name)
        if isinstance(op, InputQuant):
            self._check_pixels(name)
        check_op(op, name)
        made = output_value(op, sources, name)
        self.taken.add(name)
        self.nodes.append(FloatNode(op, source.name, made, tuple(s.name for s in sources[1:])))
        self.ops[name] = self.nodes[-1]
        self.kinds.append((name, kind))
        self.env[node] = made

    def _check_pixels(self, name: str) -> None:
        if with_fields(self.declared, shape=()) != Input(()):
            raise ModelError(
                "InputQuant takes raw pixels 0..255, the input is declared as something else",
                module=name,
                remedy="Declare xnorhw.Input(shape) without bits, signed, scale and encoding",
            )

    def _fed_by_sign(self, value: Value) -> bool:
        while value.name in self.ops:
            node = self.ops[value.name]
            if isinstance(node.op, BipolarQuant):
                return True
            if not isinstance(node.op, Flatten | MaxPool2d):
                return False
            if node.input not in self.ops:
                break
            value = self.ops[node.input].output
        return self.declared.encoding == "bipolar" and value.name == FloatGraph.INPUT_NAME

    def _numbered(self, stem: str) -> str:
        number = 1
        while f"{stem}_{number}" in self.taken | self.taken_by_modules:
            number += 1
        return f"{stem}_{number}"

    def _again(self, name: str) -> str:
        """The module's name; a number behind it at its second use."""
        name = name.replace(":", "_")  # the colon marks values that belong to another
        if name not in self.taken:
            return name
        number = 2
        while f"{name}_{number}" in self.taken | self.taken_by_modules:
            number += 1
        return f"{name}_{number}"

    def _module(self, node: fx.Node) -> nn.Module:
        return self.modules[_strip(str(node.target))]

    def _check_in_place(self, node: fx.Node) -> None:
        if is_in_place(node, self._module) and overwrites_shared(node, self._module):
            name = _strip(str(node.target)) if node.op == "call_module" else _function_name(node.target)
            raise ModelError(
                f"it works in place on a tensor that is read elsewhere too{_at(node)}",
                module=name,
                remedy="Use inplace=False, or assign its result: x = F.relu(x)",
            )


def _alive(output: fx.Node) -> set[fx.Node]:
    alive: set[fx.Node] = set()
    todo = [output]
    while todo:
        node = todo.pop()
        if node not in alive:
            alive.add(node)
            todo.extend(node.all_input_nodes)
    return alive


def module_path(node: fx.Node) -> str:
    """The qualified name, in the network that was recorded, of the module that ``node`` calls."""
    return _strip(str(node.target))


def _strip(path: str) -> str:
    return path[len(_ROOT) + 1 :]


def _function_name(target: Any) -> str:
    if target is F.max_pool2d:
        return "max_pool2d"  # torch dispatches it through an anonymous function
    return str(getattr(target, "__name__", target))


def _at(node: fx.Node) -> str:
    line = node.meta.get("source", "")
    return f" (at {line})" if line else ""
