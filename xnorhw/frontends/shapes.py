"""Shapes and contents of a float graph: what each operation accepts and makes."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal, NoReturn, get_args, get_type_hints

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    Add,
    Affine,
    AvgPool2d,
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    Concat,
    Flatten,
    FloatGraph,
    FloatNode,
    FloatOp,
    FullConv2d,
    FullLinear,
    Grid,
    Hardtanh,
    Input,
    InputQuant,
    MaxPool2d,
    MultiThreshold,
    QuantRelu,
    ScaledBinaryConv2d,
    Value,
)
from xnorhw.ir.geometry import Pads, WindowGeometry

__all__ = ["check_input", "check_op", "input_value", "normal_input", "output_value", "validate"]

_F32 = np.dtype(np.float32)
_PRODUCT: dict[str, np.dtype[Any]] = {"weight": np.dtype(np.int8), "scale": _F32, "bias": _F32}
_ARRAYS: dict[type, dict[str, np.dtype[Any]]] = {
    InputQuant: {"table": np.dtype(np.int32)},
    BinaryConv2d: _PRODUCT,
    BinaryLinear: _PRODUCT,
    BasesConv2d: {**_PRODUCT, "coefficients": np.dtype(np.int64)},
    BasesLinear: {**_PRODUCT, "coefficients": np.dtype(np.int64)},
    ScaledBinaryConv2d: _PRODUCT,
    BasesQuant: {"shifts": _F32, "betas": np.dtype(np.int64)},
    FullConv2d: {"weight": _F32, "bias": _F32},
    FullLinear: {"weight": _F32, "bias": _F32},
    BatchNorm: {"gamma": _F32, "beta": _F32, "mean": _F32, "var": _F32},
    MultiThreshold: {"thresholds": _F32},
    Affine: {"scale": _F32, "bias": _F32},
}
_OPTIONAL = ("scale", "bias", "gamma", "beta")
_RANKS = {"table": 2, "thresholds": 2}
_WEIGHT_RANKS: dict[type, int] = {
    BinaryConv2d: 4,
    BinaryLinear: 2,
    BasesConv2d: 5,
    BasesLinear: 3,
    ScaledBinaryConv2d: 4,
    FullConv2d: 4,
    FullLinear: 2,
}
_BITS: dict[type, tuple[int, int]] = {QuantRelu: (1, 8), Grid: (2, 24)}
MAX_BASES = 8
MAX_WEIGHT_BASES = 9
"""Weights of 8 bits in two's complement, -128 .. 127, take one plane more than bits."""
MAX_COEFFICIENT = 1 << 24
MAX_INPUT_BITS = 8
MAX_FRAC = 30
_AGAIN = "Save the network again"


def check_input(declared: Input) -> None:
    """Refuse an input description that no network can have."""

    def refuse(reason: str, remedy: str) -> NoReturn:
        raise ModelError(reason, module="input", remedy=remedy)

    if len(declared.shape) not in (1, 3) or not all(_whole(s) and s > 0 for s in declared.shape):
        refuse(
            f"the shape {tuple(declared.shape)} is neither (channels, height, width) nor (features,)",
            "Give the shape of one input without the batch",
        )
    if declared.encoding not in ("code", "bipolar"):
        refuse(f"the encoding {declared.encoding!r} is unknown", 'Use encoding="code" or encoding="bipolar"')
    if not (_whole(declared.bits) and 1 <= declared.bits <= MAX_INPUT_BITS):
        refuse(
            f"codes of {declared.bits} bits are not supported: an input code has 1 to {MAX_INPUT_BITS} bits",
            "Quantise the input to 8 bits, for example by xnorhw.nn.InputQuant as the first module",
        )
    if not _power_of_two(declared.scale):
        refuse(
            f"the scale {declared.scale} is no power of two, so sums of the input are not exact",
            "Feed integer codes and give the scale to the first layer as in_scale, "
            "or begin the network with xnorhw.nn.InputQuant",
        )


def normal_input(declared: Input) -> Input:
    """``declared`` with plain Python numbers; ModelError where it is none or cannot be."""
    if not isinstance(declared, Input):
        raise ModelError(
            f"the input is described by a {type(declared).__name__}",
            module="input",
            remedy="Give xnorhw.Input(shape=..., bits=..., signed=..., scale=...)",
        )
    try:
        shape = tuple(operator.index(s) for s in declared.shape)
        clean = Input(shape, operator.index(declared.bits), bool(declared.signed), float(declared.scale))
    except TypeError:
        raise ModelError(
            f"{declared} does not describe an input: shape and bits are whole numbers, scale is a number",
            module="input",
            remedy="Give the shape of one input without the batch",
        ) from None
    clean = replace(clean, encoding=declared.encoding)
    check_input(clean)
    return clean


def input_value(declared: Input) -> Value:
    """The value that the network's first module reads."""
    layout: Literal["CHW", "C"] = "CHW" if len(declared.shape) == 3 else "C"
    return Value(FloatGraph.INPUT_NAME, tuple(declared.shape), layout)


def output_value(op: FloatOp, sources: Sequence[Value], name: str) -> Value:
    """The value named ``name`` that ``op`` makes from ``sources``; ModelError where they do not fit."""
    if isinstance(op, Add | Concat):
        return _joined(op, sources, name)
    if len(sources) != 1:
        raise ModelError(f"it reads {len(sources)} values, and takes one", module=name, remedy=_AGAIN)
    (source,) = sources
    if isinstance(op, BinaryConv2d | BasesConv2d | ScaledBinaryConv2d | FullConv2d):
        return _convolution(op, source, name)
    if isinstance(op, BinaryLinear | BasesLinear | FullLinear):
        return _linear(op, source, name)
    if isinstance(op, AvgPool2d):
        _need_map(source, name, "an average pool")
        if op.geometry.ceil_mode or op.geometry.dilation != (1, 1):
            raise ModelError("an average pool has no dilation and no ceil_mode", module=name, remedy=_AGAIN)
        return Value(name, (source.shape[0], *_window(op.geometry, source, name, pool=True)), "CHW")
    if isinstance(op, MaxPool2d):
        _need_map(source, name, "a max-pool")
        return Value(name, (source.shape[0], *_window(op.geometry, source, name, pool=True)), "CHW")
    if isinstance(op, Flatten):
        return Value(name, (math.prod(source.shape),), "C")
    if isinstance(op, BatchNorm):
        _batch_norm(op, source, name)
    elif isinstance(op, Affine):
        _affine(op, source, name)
    elif isinstance(op, InputQuant | MultiThreshold):
        rows = (op.table if isinstance(op, InputQuant) else op.thresholds).shape[0]
        if rows not in (1, source.shape[0]):
            raise ModelError(
                f"it has a table for {rows} channels, its input has the shape {source.shape}",
                module=name,
                remedy="Give one table for all channels or one per channel",
            )
    return Value(name, source.shape, source.layout)


def check_op(op: FloatOp, name: str) -> None:
    """Refuse parameters that are not finite, have the wrong type, or lie outside of the vocabulary."""
    if not isinstance(op, get_args(FloatOp)):
        raise ModelError(f"{type(op).__name__} is no operation", module=name, remedy=_AGAIN)
    arrays = _ARRAYS.get(type(op), {})
    hints = get_type_hints(type(op))
    for field in fields(op):
        value = getattr(op, field.name)
        if field.name in arrays:
            _check_array(op, value, field.name, arrays[field.name], name)
        elif type(value) not in (get_args(hints[field.name]) or (hints[field.name],)):
            raise ModelError(f"its {field.name} is a {type(value).__name__}", module=name, remedy=_AGAIN)
        elif isinstance(value, float) and not math.isfinite(value) and not isinstance(op, Hardtanh):
            _not_finite(name, field.name)
        elif field.name in ("scale", "in_scale") and value <= 0:
            raise ModelError(f"its {field.name} {value} is not positive", module=name, remedy=_AGAIN)
        elif field.name in ("frac", "in_frac") and value is not None and not 0 <= value <= MAX_FRAC:
            raise ModelError(
                f"its {field.name} {value} is not 0 to {MAX_FRAC} bits", module=name, remedy=_AGAIN
            )
    if isinstance(op, _SIGNS) and not bool((np.abs(op.weight) == 1).all()):
        raise ModelError("its weights are not all -1 or +1", module=name, remedy=_AGAIN)
    if isinstance(op, QuantRelu | Grid):
        low, high = _BITS[type(op)]
        if not low <= op.bits <= high:
            raise ModelError(
                f"its codes of {op.bits} bits are not {low} to {high} bits wide", module=name, remedy=_AGAIN
            )
    if isinstance(op, BasesConv2d | BasesLinear | BasesQuant):
        _check_bases(op, name)
    if isinstance(op, FullLinear) and op.in_frac is not None and op.in_scale != 1.0:
        raise ModelError("it has both in_frac and in_scale", module=name, remedy=_AGAIN)
    if isinstance(op, BatchNorm) and not bool((op.var.astype(np.float64) + op.eps > 0).all()):
        raise ModelError(
            "its running variance plus eps is not positive in every channel",
            module=name,
            remedy="Train it, or load the statistics it was trained with",
        )
    if isinstance(op, Affine) and op.divide and (op.scale is None or not bool(op.scale.all())):
        raise ModelError("it divides by 0", module=name, remedy=_AGAIN)
    if isinstance(op, MultiThreshold) and not op.out_scale > 0:
        raise ModelError(f"its out_scale {op.out_scale} is not positive", module=name, remedy=_AGAIN)
    if isinstance(op, Hardtanh) and not op.low <= op.high:
        raise ModelError(f"its limits {op.low}..{op.high} are empty", module=name, remedy="Give low <= high")


_SIGNS = (BinaryConv2d, BinaryLinear, BasesConv2d, BasesLinear, ScaledBinaryConv2d)


def _check_bases(op: BasesConv2d | BasesLinear | BasesQuant, name: str) -> None:
    """Refuse bases whose numbers disagree, or whose coefficients leave float32."""
    count, steps = (
        (len(op.shifts), op.betas) if isinstance(op, BasesQuant) else (len(op.weight), op.coefficients)
    )
    most = MAX_BASES if isinstance(op, BasesQuant) else MAX_WEIGHT_BASES
    if steps.shape != (count,) or count > most:
        raise ModelError(
            f"it has {count} bases and {len(steps)} coefficients; 1 to {most} of each can be built",
            module=name,
            remedy="Use fewer bases",
        )
    if int(np.abs(steps).max()) > MAX_COEFFICIENT:
        raise ModelError(
            f"a coefficient of {int(np.abs(steps).max())} steps of 2^-{op.frac} leaves the 24 bits of "
            "float32",
            module=name,
            remedy="Use a smaller frac",
        )
    if isinstance(op, BasesQuant) and bool((np.diff(op.shifts) > 0).any()):
        raise ModelError("its shifts do not fall", module=name, remedy=_AGAIN)


def validate(graph: FloatGraph) -> None:
    """Check a graph from a file: names, topology, shapes and parameters; ModelError names the node."""
    if not isinstance(graph.input, Input) or not all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair)
        for pair in graph.kinds
    ):
        raise ModelError(
            "the graph's input or its list of modules is none", module="the network", remedy=_AGAIN
        )
    check_input(graph.input)
    values = {FloatGraph.INPUT_NAME: input_value(graph.input)}
    for node in graph.nodes:
        if not (
            isinstance(node, FloatNode)
            and isinstance(node.output, Value)
            and isinstance(node.others, tuple)
            and all(isinstance(read, str) for read in node.inputs)
        ):
            raise ModelError("a node is none", module="the network", remedy=_AGAIN)
        name = node.output.name
        if name in values:
            raise ModelError(f"two values are named {name!r}", module=name, remedy=_AGAIN)
        for read in node.inputs:
            if read not in values:
                raise ModelError(
                    f"it reads the value {read!r}, which nothing before it makes",
                    module=name,
                    remedy=_AGAIN,
                )
        check_op(node.op, name)
        made = output_value(node.op, [values[read] for read in node.inputs], name)
        if made != node.output:
            raise ModelError(
                f"the file gives it the shape {node.output.shape}, its operation makes {made.shape}",
                module=name,
                remedy=_AGAIN,
            )
        values[name] = made
    if not graph.nodes or graph.output not in values:
        raise ModelError(f"the graph does not make its output {graph.output!r}", remedy=_AGAIN)


def _check_array(op: FloatOp, value: Any, field: str, dtype: np.dtype[Any], name: str) -> None:
    if value is None and field in _OPTIONAL:
        return
    if not isinstance(value, np.ndarray) or value.dtype != dtype:
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise ModelError(f"its {field} is {found}, not {dtype}", module=name, remedy=_AGAIN)
    if not bool(np.isfinite(value).all()):
        _not_finite(name, field)
    rank = _RANKS.get(field, 1)
    if field == "weight":
        rank = _WEIGHT_RANKS[type(op)]
    if value.ndim != rank or 0 in value.shape:
        raise ModelError(f"its {field} has the shape {value.shape}", module=name, remedy=_AGAIN)
    outputs = getattr(op, "weight", None)
    if outputs is not None and field in ("scale", "bias"):
        count = outputs.shape[1 if isinstance(op, BasesConv2d | BasesLinear) else 0]
        sizes = (count, 1) if field == "scale" else (count,)
        if value.shape[0] not in sizes:
            raise ModelError(
                f"its {field} has {value.shape[0]} entries for {count} outputs",
                module=name,
                remedy=_AGAIN,
            )
    if isinstance(op, InputQuant) and (
        value.shape[1] != 256 or value.min() < op.type.min or value.max() > op.type.max
    ):
        raise ModelError(
            f"its table is no list of 256 codes of {op.bits} bits",
            module=name,
            remedy=_AGAIN,
        )


def _not_finite(name: str, field: str) -> None:
    raise ModelError(
        f"its {field} holds NaN or infinity, so the network decides nothing",
        module=name,
        remedy="Train again with a smaller learning rate, or load the last good checkpoint",
    )


def _joined(op: Add | Concat, sources: Sequence[Value], name: str) -> Value:
    """The value of several: a sum of equal shapes, or channels one behind the other."""
    first = sources[0]
    if len(sources) < 2:
        raise ModelError("it joins fewer than two values", module=name, remedy=_AGAIN)
    for source in sources[1:]:
        if isinstance(op, Add) and source.shape != first.shape:
            raise ModelError(
                f"it adds {source.name} of shape {source.shape} to {first.name} of shape {first.shape}",
                module=name,
                remedy="Add tensors of one shape: give the shortcut a layer of its own (stride, channels)",
            )
        if source.layout != first.layout or source.shape[1:] != first.shape[1:]:
            raise ModelError(
                f"it joins {source.name} of shape {source.shape} to {first.name} of shape {first.shape}",
                module=name,
                remedy="Join maps of one height and width",
            )
    if isinstance(op, Add):
        return Value(name, first.shape, first.layout)
    return Value(name, (sum(s.shape[0] for s in sources), *first.shape[1:]), first.layout)


def _convolution(
    op: BinaryConv2d | BasesConv2d | ScaledBinaryConv2d | FullConv2d, source: Value, name: str
) -> Value:
    _need_map(source, name, "a convolution")
    outputs, per_group = op.weight.shape[-4:-2]
    groups = 1 if isinstance(op, ScaledBinaryConv2d) else op.groups
    if groups < 1 or outputs % groups or per_group * groups != source.shape[0]:
        raise ModelError(
            f"it takes {per_group * groups} channels in {groups} group(s), its input has {source.shape[0]}",
            module=name,
            remedy="Make its in_channels those of the module before it",
        )
    if op.weight.shape[-2:] != op.geometry.kernel:
        raise ModelError("its kernel and its weights differ", module=name, remedy=_AGAIN)
    return Value(name, (outputs, *_window(op.geometry, source, name, pool=False)), "CHW")


def _linear(op: BinaryLinear | BasesLinear | FullLinear, source: Value, name: str) -> Value:
    if source.layout != "C":
        raise ModelError(
            f"a linear layer takes vectors, its input is a map of shape {source.shape}",
            module=name,
            remedy="Put torch.nn.Flatten in front of it",
        )
    outputs, features = op.weight.shape[-2:]
    if features != source.shape[0]:
        raise ModelError(
            f"it takes {features} features, its input has {source.shape[0]}",
            module=name,
            remedy=f"Make its in_features {source.shape[0]}",
        )
    return Value(name, (outputs,), "C")


def _batch_norm(op: BatchNorm, source: Value, name: str) -> None:
    needed = {"CHW": 4, "C": 2}[source.layout]
    if op.rank != needed:
        better = {4: "BatchNorm2d", 2: "BatchNorm1d"}[needed]
        raise ModelError(
            f"it takes tensors of rank {op.rank}, its input has the shape {source.shape} without the batch",
            module=name,
            remedy=f"Use torch.nn.{better}",
        )
    for field in ("gamma", "beta", "mean", "var"):
        array = getattr(op, field)
        if array is not None and array.shape[0] != source.shape[0]:
            raise ModelError(
                f"it normalises {array.shape[0]} channels, its input has {source.shape[0]}",
                module=name,
                remedy=f"Make its num_features {source.shape[0]}",
            )


def _affine(op: Affine, source: Value, name: str) -> None:
    for array in (op.scale, op.bias):
        if array is not None and array.shape[0] not in (1, source.shape[0]):
            raise ModelError(
                f"it has {array.shape[0]} constants, its input has the shape {source.shape}",
                module=name,
                remedy="Give one constant for all channels or one per channel",
            )


def _window(geometry: WindowGeometry, source: Value, name: str, *, pool: bool) -> tuple[int, int]:
    pads = geometry.pads
    if not (isinstance(pads, Pads) and type(geometry.ceil_mode) is bool):
        raise ModelError(f"its window {geometry} is none", module=name, remedy=_AGAIN)
    low = (*geometry.kernel, *geometry.stride, *geometry.dilation)
    if not all(_whole(v) for v in (*low, *_sides(pads))) or min(low) < 1 or min(_sides(pads)) < 0:
        raise ModelError(f"its window {geometry} is none", module=name, remedy=_AGAIN)
    if pool:
        reach = [(k - 1) * d + 1 for k, d in zip(geometry.kernel, geometry.dilation, strict=True)]
        if 2 * max(pads.top, pads.bottom) > reach[0] or 2 * max(pads.left, pads.right) > reach[1]:
            raise ModelError(
                "its padding is more than half of its kernel, which torch refuses",
                module=name,
                remedy="Make the padding smaller",
            )
    height, width = geometry.output_size(source.shape[1], source.shape[2])
    if height < 1 or width < 1:
        raise ModelError(
            f"its window of {geometry.kernel[0]} x {geometry.kernel[1]} does not fit into its input of shape "
            f"{source.shape}",
            module=name,
            remedy="Make the kernel smaller, pad more, or feed larger images",
        )
    return height, width


def _need_map(source: Value, name: str, what: str) -> None:
    if source.layout != "CHW":
        raise ModelError(
            f"{what} takes maps (channels, height, width), its input has the shape {source.shape}",
            module=name,
            remedy="Move it in front of the flatten",
        )


def _sides(pads: Pads) -> tuple[int, int, int, int]:
    return pads.left, pads.right, pads.top, pads.bottom


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _power_of_two(value: float) -> bool:
    return math.isfinite(value) and value > 0 and math.frexp(value)[0] == 0.5
