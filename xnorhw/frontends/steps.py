"""A network as steps of a few kinds, alike for a module that is traced and for a saved graph.

What works on trained networks (``snap``, ``calibrate``) needs to know what feeds what, not
shapes: it reads a network through this.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal, Union

import numpy as np
from torch import fx, nn

from xnorhw.frontends.known_modules import module_op
from xnorhw.frontends.trace import module_path, record
from xnorhw.frontends.vocabulary import OUR_LAYERS, Place
from xnorhw.ir import float_graph as fg

__all__ = ["INPUT", "Integers", "Kind", "PRODUCT_OPS", "ProductOp", "Step", "Steps", "of_graph", "of_net"]

Kind = Literal[
    "input", "product", "norm", "quant", "relu", "clamp", "pool", "pass", "flatten", "add", "concat", "other"
]
"""``pool`` is a max-pool; ``pass`` changes nothing in eval; ``other`` is whatever is left."""

ProductOp = Union[
    fg.BinaryConv2d,
    fg.BinaryLinear,
    fg.BasesConv2d,
    fg.BasesLinear,
    fg.ScaledBinaryConv2d,
    fg.FullConv2d,
    fg.FullLinear,
]
PRODUCT_OPS = (
    fg.BinaryConv2d,
    fg.BinaryLinear,
    fg.BasesConv2d,
    fg.BasesLinear,
    fg.ScaledBinaryConv2d,
    fg.FullConv2d,
    fg.FullLinear,
)
_QUANTS = (fg.InputQuant, fg.BipolarQuant, fg.QuantRelu, fg.Grid, fg.BasesQuant, fg.MultiThreshold)

INPUT = fg.FloatGraph.INPUT_NAME

_OP_KINDS: dict[type, Kind] = {
    **dict.fromkeys(PRODUCT_OPS, "product"),
    **dict.fromkeys(_QUANTS, "quant"),
    fg.BatchNorm: "norm",
    fg.Relu: "relu",
    fg.Hardtanh: "clamp",
    fg.MaxPool2d: "pool",
    fg.Flatten: "flatten",
    fg.Add: "add",
    fg.Concat: "concat",
}
_MODULE_KINDS: tuple[tuple[tuple[type[nn.Module], ...], Kind], ...] = (
    ((nn.ReLU,), "relu"),
    ((nn.Hardtanh,), "clamp"),
    ((nn.MaxPool2d,), "pool"),
    ((nn.Flatten,), "flatten"),
    ((nn.Identity, nn.modules.dropout._DropoutNd), "pass"),
)
_CALL_KINDS: dict[str, Kind] = {
    "relu": "relu",
    "relu_": "relu",
    "hardtanh": "clamp",
    "max_pool2d": "pool",
    "boolean_dispatch": "pool",  # F.max_pool2d's name in a trace
    "flatten": "flatten",
    "view": "flatten",
    "reshape": "flatten",
    "dropout": "pass",
    "contiguous": "pass",
    "add": "add",
    "iadd": "add",
    "add_": "add",
    "cat": "concat",
    "concat": "concat",
}


@dataclass(frozen=True)
class Step:
    """One call: ``name`` is unique, ``path`` the module's qualified name ("" for a function).

    ``op`` is there for products, norms and quantisers; ``shared`` where the module is called
    more than once.  ``module`` is the module itself where there is one.
    """

    name: str
    path: str
    kind: Kind
    inputs: tuple[str, ...]
    op: fg.FloatOp | None = None
    shared: bool = False
    module: nn.Module | None = None


@dataclass(frozen=True)
class Integers:
    """What is known of a value: a multiple of 2^-point, at most ``peak`` in magnitude (None: not known)."""

    point: int
    peak: float | None


class Steps:
    """The steps of a network by name, with who reads what."""

    def __init__(self, steps: tuple[Step, ...], output: str, given: Integers) -> None:
        self.all = steps
        self.output = output
        self._given = given
        self._named = {step.name: step for step in steps}
        self._users: dict[str, list[Step]] = {}
        for step in steps:
            for name in step.inputs:
                self._users.setdefault(name, []).append(step)

    def __getitem__(self, name: str) -> Step:
        return self._named[name]

    def users(self, step: Step) -> tuple[Step, ...]:
        """The steps that read ``step``."""
        return tuple(self._users.get(step.name, ()))

    def source(self, step: Step) -> Step:
        """What ``step`` reads first."""
        return self._named[step.inputs[0]]

    def integers(self, step: Step) -> Integers | None:
        """What ``step`` makes, where it makes integers times a power of two; None where it is real."""
        op = step.op
        if step.kind == "input":
            return self._given
        if step.kind == "quant":
            return _quantised(op)
        if step.kind in ("pool", "pass", "flatten", "relu"):
            return self.integers(self.source(step))
        if step.kind in ("add", "concat"):
            parts = [self.integers(self[name]) for name in step.inputs]
            known = [p for p in parts if p is not None]
            if len(known) != len(parts):
                return None
            peaks = [p.peak for p in known if p.peak is not None]
            peak = None if len(peaks) != len(parts) else sum(peaks) if step.kind == "add" else max(peaks)
            return Integers(max(p.point for p in known), peak)
        return None


def _quantised(op: fg.FloatOp | None) -> Integers:
    if isinstance(op, fg.Grid):
        return Integers(op.frac, math.ldexp(1.0, op.bits - 1 - op.frac))
    if isinstance(op, fg.QuantRelu):
        return Integers(0, float((1 << op.bits) - 1))
    if isinstance(op, fg.BasesQuant):
        return Integers(op.frac, math.ldexp(float(np.abs(op.betas).sum()), -op.frac))
    if isinstance(op, fg.MultiThreshold):
        ends = (op.out_bias, op.out_scale * op.levels + op.out_bias)
        return Integers(0, max(abs(v) for v in ends))
    if isinstance(op, fg.InputQuant):
        return Integers(0, float(max(abs(op.type.min), op.type.max)))
    return Integers(0, 1.0)


def of_graph(graph: fg.FloatGraph) -> Steps:
    """The steps of a saved network; names are its own."""
    declared = graph.input
    point = -int(math.log2(declared.scale))
    given = Integers(point, max(abs(declared.type.min), declared.type.max) * declared.scale)
    steps = [Step(INPUT, "", "input", ())]
    for node in graph.nodes:
        kind = _OP_KINDS.get(type(node.op), "other")
        name = node.output.name
        op = node.op if kind in ("product", "norm", "quant") else None
        steps.append(Step(name, name, kind, node.inputs, op))
    return Steps(tuple(steps), graph.output, given)


def of_net(net: nn.Module, point: int = 0) -> Steps:
    """The steps of a module in eval; its input is taken to be a multiple of 2^-point.

    ModelError where it has no trace, or a layer holds what cannot be saved.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    recorded = record(net)
    nodes = [
        n for n in recorded.nodes if n.op in ("placeholder", "call_module", "call_function", "call_method")
    ]
    output = next(n for n in recorded.nodes if n.op == "output").all_input_nodes
    calls = Counter(id(modules[module_path(n)]) for n in nodes if n.op == "call_module")
    steps = []
    for node in nodes:
        inputs = tuple(n.name for n in node.all_input_nodes)
        if node.op == "placeholder":
            steps.append(Step(node.name, "", "input", ()))
        elif node.op == "call_module":
            path = module_path(node)
            module = modules[path]
            kind, op = _module(module, path)
            steps.append(Step(node.name, path, kind, inputs, op, calls[id(module)] > 1, module))
        else:
            steps.append(Step(node.name, "", _call(node), inputs))
    return Steps(tuple(steps), output[0].name if output else "", Integers(point, None))


def _module(module: nn.Module, path: str) -> tuple[Kind, fg.FloatOp | None]:
    for classes, kind in _MODULE_KINDS:
        if isinstance(module, classes):
            return kind, None
    if isinstance(module, (*OUR_LAYERS, nn.BatchNorm1d, nn.BatchNorm2d)):
        place = Place(path, type(module).__name__, "")
        # what is not in front of it does not change a layer's own numbers
        op = module_op(module, fg.Value(INPUT, (), "CHW"), place, False)
        return ("pass", None) if op is None else (_OP_KINDS.get(type(op), "other"), op)
    return "other", None


def _call(node: fx.Node) -> Kind:
    return _CALL_KINDS.get(str(getattr(node.target, "__name__", node.target)), "other")
