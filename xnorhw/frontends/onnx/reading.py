"""One handler for each operation of a file: nodes -> steps of the network that is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.onnx import bases, layers, shaping
from xnorhw.frontends.onnx.builder import ADD, Builder, Scaled, concatenate
from xnorhw.frontends.onnx.constants import Const, axes_of, quantiser_of, whole
from xnorhw.frontends.onnx.flow import Bases, Flow, Pixels, Stored, channels, one_flow
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.layers import constant, need_map, pads_of, pair
from xnorhw.frontends.onnx.quantising import count, quantise, store, unstore
from xnorhw.frontends.onnx.truncating import truncate
from xnorhw.nn.full import MAX_FRAC

__all__ = ["HANDLERS", "KNOWN"]

Float32 = npt.NDArray[np.float32]
Handler = Callable[[Builder, Node, list[Any]], Any]


# --- constants beside a tensor ---------------------------------------------------------------


def _arithmetic(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    left, right = inputs[0], inputs[1]
    if isinstance(left, Bases):
        if isinstance(right, Const):
            return bases.weighed(builder, node, left, right.values)
        return bases.joined(builder, node, left, right)
    if not isinstance(left, Const) and not isinstance(right, Const):
        return _two(builder, node, left, right)
    swapped = isinstance(left, Const)
    value, const = (right, left) if swapped else (left, right)
    if swapped and node.op in ("Sub", "Div"):
        node.refuse(
            "subtracts or divides a constant by the network's tensor", "Write it the other way around"
        )
    if isinstance(value, Pixels):
        return _on_pixels(node, value, const)
    flow = one_flow(node, value)
    by = channels(node, const, flow)
    if node.op == "Add" and bases.begins(node):
        return bases.begun(builder, node, flow, by)
    if node.op == "Mul":
        return builder.multiply(node, flow, by, const)
    if node.op == "Div":
        return builder.divide(node, flow, by)
    return builder.shift(node, flow, by if node.op == "Add" else -by)


def _on_pixels(node: Node, value: Pixels, const: Const) -> Pixels:
    by = channels(node, const, value.flow)
    if value.flat and by.size > 1:
        node.refuse("has a constant for each feature of the input", "Use one for each channel")
    operation: dict[str, Callable[..., Any]] = {
        "Mul": np.multiply,
        "Div": np.divide,
        "Add": np.add,
        "Sub": np.subtract,
    }
    with np.errstate(all="ignore"):
        made = operation[node.op](value.values, by[:, None])
    if not np.isfinite(made).all():
        node.refuse("makes NaN or infinity of a pixel", "Export the file again")
    return replace(value, values=np.asarray(made, np.float32))


def _two(builder: Builder, node: Node, left: Any, right: Any) -> Flow:
    if node.op != "Add":
        node.refuse(
            "computes with two tensors of the network; only their sum and Concat are known",
            "Use networks of convolutions, linear layers, batch norms and quantisers",
        )
    a, b = one_flow(node, left), one_flow(node, right)
    _same_worth(node, (a, b))
    if a.shape != b.shape or a.last != b.last or a.order != b.order:
        node.refuse(f"adds {b.file_shape} to {a.file_shape}", "Add tensors of one shape")
    made = replace(a, whole=a.whole and b.whole)
    return builder.join(node, ADD, (a, b), made)


def _same_worth(node: Node, flows: Sequence[Flow]) -> None:
    worths = sorted({f.scale for f in flows})
    if len(worths) > 1:
        node.refuse(
            f"joins integers that are worth {worths[0]:g} and {worths[-1]:g}, whose sum is no integer",
            "Quantise what is joined with one scale (in Brevitas: the same QuantIdentity in front of both)",
        )


def _concat(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flows = [one_flow(node, v) for v in inputs]
    _same_worth(node, flows)
    first = flows[0]
    axis = int(node.attributes.get("axis", 1)) % first.rank
    if axis != (first.rank - 1 if first.last else 1) or any(f.order for f in flows):
        node.refuse("joins along another axis than the channels", "Join along the channels")
    shape = (sum(f.shape[0] for f in flows), *first.shape[1:])
    made = replace(first, shape=shape, whole=all(f.whole for f in flows))
    return builder.join(node, concatenate, flows, made)


# --- activations and pools -------------------------------------------------------------------


def _relu(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    value = inputs[0]
    if isinstance(value, Pixels):
        return replace(value, values=np.maximum(value.values, np.float32(0)))
    flow = one_flow(node, value)
    return replace(builder.add(node, nn.ReLU(), flow, flow), scale=flow.scale)


def _clip(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    value = inputs[0]
    ends: list[Any] = [node.attributes.get("min"), node.attributes.get("max")]
    for i in (0, 1):
        if len(inputs) > i + 1 and inputs[i + 1] is not None:
            ends[i] = float(np.asarray(constant(node, inputs[i + 1], "limit").values).reshape(-1)[0])
    low, high = (d if e is None else float(e) for e, d in zip(ends, (-math.inf, math.inf), strict=True))
    if isinstance(value, Stored):
        quantiser = value.quantiser
        least, most = low - quantiser.zero, high - quantiser.zero
        if not least <= most:
            node.refuse(f"has empty limits {low:g} to {high:g}", "Export the file again")
        # the quantiser's own ends are finite
        lowest = math.ceil(max(least, quantiser.low))
        highest = math.floor(min(most, quantiser.high))
        if lowest >= highest:
            node.refuse(f"leaves one value between {low:g} and {high:g}", "Export the file again")
        return replace(value, quantiser=replace(quantiser, low=lowest, high=highest))
    if isinstance(value, Pixels):
        return replace(value, values=np.clip(value.values, np.float32(low), np.float32(high)))
    flow = builder.plain(node, one_flow(node, value))
    if not low < high:
        node.refuse(f"has empty limits {low:g} to {high:g}", "Export the file again")
    if (low, high) == (0.0, math.inf):
        return builder.add(node, nn.ReLU(), flow, flow)
    return builder.add(node, nn.Hardtanh(low, high), flow, flow)


def _max_pool(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flow = one_flow(node, inputs[0])
    need_map(node, flow)
    kernel = pair(node, "kernel_shape", ())
    stride, dilation = pair(node, "strides", (1, 1)), pair(node, "dilations", (1, 1))
    left, right, top, bottom = pads_of(node, flow, kernel, stride, dilation)
    if any(flow.pads) or left != right or top != bottom:
        node.refuse("is padded unevenly, or behind a Pad", "Pad both sides of an axis alike, in the pool")
    if node.attributes.get("storage_order", 0) or len(node.outputs) > 1:
        node.refuse("gives the places of the maxima", "Use the values alone")
    ceil = bool(node.attributes.get("ceil_mode", 0))
    pool = nn.MaxPool2d(kernel, stride, (top, left), dilation, ceil_mode=ceil)
    return replace(_pooled(builder, node, pool, flow), scale=flow.scale)


def _pooled(builder: Builder, node: Node, pool: nn.Module, flow: Flow) -> Flow:
    try:
        with torch.no_grad():
            shape = tuple(pool(torch.zeros(1, *flow.shape)).shape[1:])
    except (RuntimeError, ValueError) as error:
        node.refuse(f"does not fit: {str(error).splitlines()[0]}", "Export the file again")
    return builder.add(node, pool, flow, replace(flow, shape=shape))


def _average_pool(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flow = one_flow(node, inputs[0])
    need_map(node, flow)
    kernel, stride = pair(node, "kernel_shape", ()), pair(node, "strides", (1, 1))
    left, right, top, bottom = pads_of(node, flow, kernel, stride, (1, 1))
    padded = bool(left or right or top or bottom)
    if any(flow.pads) or left != right or top != bottom or node.attributes.get("ceil_mode", 0):
        node.refuse("is padded unevenly or rounds its size up", "Pad both sides alike, without ceil_mode")
    if padded and not node.attributes.get("count_include_pad", 0):
        node.refuse(
            "leaves padded taps out of its average, so border windows divide by another number",
            "Use count_include_pad=1, or no padding",
        )
    pool = nn.AvgPool2d(kernel, stride, (top, left), count_include_pad=True)
    return replace(_pooled(builder, node, pool, flow), scale=flow.scale)


def _global_average(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flow = one_flow(node, inputs[0])
    kept = True
    if node.op == "ReduceMean":
        axes = axes_of(node, list(inputs))
        wanted = {1, 2} if flow.last else {2, 3}
        if axes is None or {a % flow.rank for a in axes} != wanted:
            node.refuse(f"averages over the axes {axes}", "Average over height and width")
        kept = bool(node.attributes.get("keepdims", 1))
        flow = replace(flow, last=False)
    need_map(node, flow)
    made = replace(_pooled(builder, node, nn.AdaptiveAvgPool2d(1), flow), scale=flow.scale)
    if kept:
        return made
    flat = builder.add(node, nn.Flatten(), made, replace(made, shape=made.shape[:1]), behind="_flatten")
    return replace(flat, scale=flow.scale)


def _sign(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    # ONNX's Sign is 0 at 0
    table = Const(np.array([[0.0, float(np.nextafter(np.float32(0), np.float32(1)))]], np.float32))
    return count(builder, replace(node, attributes={"out_bias": -1.0}), inputs[0], table)


def _round(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flow = one_flow(node, inputs[0])
    maker = builder.last(flow)
    if not isinstance(maker, Scaled) or builder.steps[-1].name != flow.name:
        return replace(builder.plain(node, flow), in_frac=0)
    steps = None if maker.scale is None or maker.divide or maker.bias is not None else maker.scale
    exponent = -1 if steps is None or steps.size > 1 else math.frexp(float(steps[0]))[1] - 1
    if steps is None or not 0 <= exponent <= MAX_FRAC or float(steps[0]) != 2.0**exponent:
        node.refuse("rounds to steps that are no power of two", "Use a Quant, which has a range")
    step = builder.steps.pop()
    del builder.made[step.name]
    return replace(flow, name=step.inputs[0], scale=2.0**exponent, in_frac=exponent)


def _pad(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    flow = one_flow(node, inputs[0])
    need_map(node, flow)
    if str(node.attributes.get("mode", "constant")) != "constant":
        node.refuse(f"pads by {node.attributes['mode']!r}", "Pad with a constant")
    value = float(node.attributes.get("value", 0.0))
    if len(inputs) > 2 and inputs[2] is not None:
        value = float(np.asarray(constant(node, inputs[2], "value").values).reshape(-1)[0])
    sizes = list(node.attributes.get("pads", ())) or whole(
        node, inputs[1] if len(inputs) > 1 else None, "pads"
    )
    if len(sizes) != 8 or sizes[0] or sizes[1] or sizes[4] or sizes[5] or min(sizes) < 0:
        node.refuse(f"pads by {sizes}", "Pad height and width alone")
    return replace(flow, pads=(sizes[3], sizes[7], sizes[2], sizes[6]), pad_value=value)


# --- quantisers ------------------------------------------------------------------------------


def _value(node: Node, value: Any) -> Flow | Pixels:
    return value if isinstance(value, Pixels) else one_flow(node, value)


def _quantised(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    source = _value(node, inputs[0])
    return quantise(builder, node, source, quantiser_of(node, [None, *inputs[1:]]))


def _truncated(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    return truncate(builder, node, _value(node, inputs[0]), inputs[1:])


def _counted(builder: Builder, node: Node, inputs: list[Any]) -> Flow | Bases:
    table = constant(node, inputs[1], "thresholds")
    if isinstance(inputs[0], Bases):
        return bases.counted(node, inputs[0], table.values)
    return count(builder, node, _value(node, inputs[0]), table)


def _stored(builder: Builder, node: Node, inputs: list[Any]) -> Stored:
    return store(node, _value(node, inputs[0]), [None, *inputs[1:]])


def _unstored(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    if not isinstance(inputs[0], Stored):
        node.refuse("reads no QuantizeLinear", "Export the network with the pair together")
    return unstore(builder, node, inputs[0], [None, *inputs[1:]])


def _unsupported(reason: str, remedy: str) -> Handler:
    def refused(builder: Builder, node: Node, inputs: list[Any]) -> NoReturn:
        node.refuse(reason, remedy)

    return refused


_NORMALISED = _unsupported(
    "normalises by statistics of the frame itself, which no fixed threshold expresses",
    "Replace it by a batch norm and retrain",
)
_BRANCHING = _unsupported("chooses by the network's data", "Export the network without control flow")

HANDLERS: dict[str, Handler] = {
    "Identity": shaping.same,
    "Dropout": shaping.dropout,
    "Cast": shaping.cast,
    "Reshape": shaping.reshape,
    "Flatten": shaping.flatten,
    "Squeeze": shaping.squeeze,
    "Unsqueeze": shaping.squeeze,
    "Transpose": shaping.transpose,
    **dict.fromkeys(("Mul", "Div", "Add", "Sub"), _arithmetic),
    "Concat": _concat,
    "Conv": layers.conv,
    "MatMul": layers.linear,
    "Gemm": layers.linear,
    "BatchNormalization": layers.batch_norm,
    "Relu": _relu,
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _global_average,
    "Sign": _sign,
    "Round": _round,
    "Pad": _pad,
    **dict.fromkeys(("Quant", "IntQuant", "BipolarQuant"), _quantised),
    "MultiThreshold": _counted,
    "QuantizeLinear": _stored,
    "DequantizeLinear": _unstored,
    "Trunc": _truncated,
    "FloatQuant": _unsupported(
        "makes floating-point numbers of few bits, whose steps differ with their size, so that no integer "
        "stands for them",
        "Quantise to integers and retrain (in Brevitas: Int8WeightPerTensorFloat and Int8ActPerTensorFloat "
        "in place of the Fp8 quantisers)",
    ),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LRN"), _NORMALISED
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), _BRANCHING),
    "ConvTranspose": _unsupported("enlarges a map", "Use convolutions that keep or shrink it"),
}

KNOWN = (
    "Known are Conv, MatMul, Gemm, BatchNormalization, Quant, BipolarQuant, Trunc, MultiThreshold, "
    "QuantizeLinear with DequantizeLinear, Relu, Clip, Sign, MaxPool, AveragePool, GlobalAveragePool, "
    "Flatten, Reshape, Transpose, Concat, Pad, and Mul, Div, Add, Sub with constants"
)
