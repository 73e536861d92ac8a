"""Nodes with weights: convolutions, linear layers, batch norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.onnx.builder import Builder, Product
from xnorhw.frontends.onnx.constants import Const
from xnorhw.frontends.onnx.flow import Flow, Pixels, one_flow
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.products import ConvShape, Weight, weight_of
from xnorhw.frontends.onnx.quantising import note_of

__all__ = ["batch_norm", "constant", "conv", "linear", "need_map", "pads_of", "pair"]

Float32 = npt.NDArray[np.float32]


def _integer_input(builder: Builder, node: Node, value: Any) -> Any:
    """Pixels that are integers times one number, as the input itself with that number as its scale."""
    if not isinstance(value, Pixels):
        return value
    step = value.values[:, 255:] / np.float32(255)
    ramp = np.arange(256, dtype=np.float32) * step
    if step.size == 1 and step[0, 0] > 0 and np.abs(value.values - ramp).max() <= 2 * np.spacing(ramp.max()):
        flow = replace(value.flow, name="input", scale=float(step[0, 0]), whole=True)
        if not value.flat:
            return flow
        start = replace(flow, shape=builder.values[":given"].shape, order=None)
        return replace(builder.add(node, nn.Flatten(), start, flow, behind="_flatten"), scale=flow.scale)
    return value


def pair(node: Node, name: str, default: Sequence[int]) -> tuple[int, int]:
    """An attribute of two numbers (y, x)."""
    found = [int(v) for v in node.attributes.get(name, default)]
    if len(found) != 2:
        node.refuse(f"has {name} {found}: two dimensions are known", "Use 2-d layers")
    return found[0], found[1]


def pads_of(node: Node, flow: Flow, kernel: tuple[int, int], stride: tuple[int, int],
          dilation: tuple[int, int]) -> tuple[int, int, int, int]:  # fmt: skip
    """left, right, top, bottom."""
    auto = str(node.attributes.get("auto_pad", "NOTSET"))
    if auto in ("NOTSET", ""):
        top, left, bottom, right = (int(p) for p in node.attributes.get("pads", (0, 0, 0, 0)))
        if min(top, left, bottom, right) < 0:
            node.refuse("has negative pads", "Crop nothing")
        return left, right, top, bottom
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"pads by {auto!r}", "Give pads")
    sides = []
    for size, k, s, d in zip(flow.shape[1:], kernel, stride, dilation, strict=True):
        total = max(0, (math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
        less = total // 2
        sides.append((less, total - less) if auto == "SAME_UPPER" else (total - less, less))
    (top, bottom), (left, right) = sides
    return left, right, top, bottom


def constant(node: Node, value: Any, what: str) -> Const:
    """An input that must be constant; ``what`` names it in the refusal."""
    if not isinstance(value, Const):
        node.refuse(
            f"has no constant {what}: it is computed from the network's own tensors",
            "Use layers with trained weights",
        )
    return value


def need_map(node: Node, flow: Flow) -> None:
    """ModelError where ``flow`` is no map of channels first."""
    if len(flow.shape) != 3 or flow.last:
        node.refuse(
            f"reads a tensor of the shape {flow.file_shape} where a map (channels, height, width) belongs",
            "Use 2-d layers on channels-first maps",
        )


def conv(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    """A convolution; a Pad in front of it becomes its padding."""
    flow = one_flow(node, _integer_input(builder, node, inputs[0]))
    need_map(node, flow)
    const = constant(node, inputs[1], "weight")
    if const.values.ndim != 4:
        node.refuse(f"has a weight of {const.values.ndim} axes", "Use 2-d convolutions")
    weight = weight_of(node, const, False, note_of(node).get("frac"))
    outputs, inner, *size = const.values.shape
    groups = int(node.attributes.get("group", 1))
    if inner * groups != flow.shape[0] or outputs % groups:
        node.refuse(
            f"takes {inner * groups} channels in {groups} groups, its input has {flow.shape[0]}",
            "Export the file again",
        )
    kernel = (int(size[0]), int(size[1]))
    stride, dilation = pair(node, "strides", (1, 1)), pair(node, "dilations", (1, 1))
    pads = pads_of(node, flow, kernel, stride, dilation)
    value = flow.pad_value / flow.scale
    if any(flow.pads) and any(pads) and value != 0:
        node.refuse("pads with zeros what a Pad has padded with something else", "Give one padding")
    sides = tuple(a + b for a, b in zip(pads, flow.pads, strict=True))
    if value != 0 and (weight.codes is None or weight.bits != "1 bit"):
        node.refuse("pads with another number than 0 and has weights of several bits", "Pad with 0 there")
    left, right, top, bottom = sides
    shape = ConvShape(stride, (left, right, top, bottom), dilation, groups, value)
    bias = _bias(node, inputs[2], outputs) if len(inputs) > 2 and inputs[2] is not None else None
    spans = (flow.shape[1] + top + bottom, flow.shape[2] + left + right)
    out = [(n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(spans, kernel, stride, dilation, strict=True)]
    if min(out) < 1:
        node.refuse(
            f"has a kernel {kernel} that does not fit into {flow.file_shape}", "Export the file again"
        )
    source = replace(flow, pads=(0, 0, 0, 0), pad_value=0.0)
    made = replace(source, shape=(outputs, *out), scale=1.0)
    return builder.add(node, Product(weight, shape, bias, flow.scale), source, made, const.origin)


def _bias(node: Node, value: Any, outputs: int) -> Float32:
    const = constant(node, value, "bias")
    values = np.asarray(const.values, np.float32).reshape(-1)
    if values.size not in (1, outputs) or not np.isfinite(values).all():
        node.refuse(f"has a bias of the shape {const.values.shape} for {outputs} outputs", "Export it again")
    return np.broadcast_to(values, (outputs,)).copy()


def linear(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    """MatMul and Gemm with a constant weight."""
    gemm = node.op == "Gemm"
    flow = one_flow(node, _integer_input(builder, node, inputs[0]))
    if len(flow.shape) != 1 or flow.ones:
        node.refuse(
            f"multiplies a tensor of the shape {flow.file_shape}: matrices multiply vectors here",
            "Flatten the tensor in front of it",
        )
    const = constant(node, inputs[1], "weight")
    if const.values.ndim != 2:
        node.refuse(f"has a weight of {const.values.ndim} axes", "Use linear layers")
    transposed = not (gemm and node.attributes.get("transB", 0))
    if gemm and (node.attributes.get("transA", 0) or float(node.attributes.get("alpha", 1.0)) != 1.0):
        node.refuse("has alpha or transA", "Export the network without them")
    weight = weight_of(node, const, transposed, note_of(node).get("frac"))
    outputs, features = const.values.shape[::-1] if transposed else const.values.shape
    if features != flow.shape[0]:
        node.refuse(f"takes {features} features, its input has {flow.shape[0]}", "Export the file again")
    if flow.order is not None:
        weight = _reordered(weight, flow.order)
    bias = None
    if len(inputs) > 2 and inputs[2] is not None:
        if float(node.attributes.get("beta", 1.0)) != 1.0:
            node.refuse("has beta", "Export the network without it")
        bias = _bias(node, inputs[2], outputs)
    if flow.in_frac is not None and (weight.real is None or flow.scale != 1.0):
        node.refuse("reads rounded numbers with integer weights", "Use a Quant, which has a range")
    weight = replace(weight, in_frac=flow.in_frac)
    made = replace(flow, last=False, ones=0, order=None, shape=(outputs,), scale=1.0, in_frac=None)
    return builder.add(node, Product(weight, None, bias, flow.scale), flow, made, const.origin)


def _reordered(weight: Weight, order: tuple[int, ...]) -> Weight:
    """The columns in the order of our features: the file's feature i is our feature order[i]."""
    back = np.argsort(np.asarray(order))
    codes = None if weight.codes is None else weight.codes[:, back]
    real = None if weight.real is None else weight.real[:, back]
    bases = weight.bases and (weight.bases[0][:, :, back], *weight.bases[1:])
    return replace(weight, codes=codes, real=real, bases=bases)


def batch_norm(builder: Builder, node: Node, inputs: list[Any]) -> Flow:
    """BatchNormalization with stored statistics."""
    flow = builder.plain(node, one_flow(node, inputs[0]))
    if node.attributes.get("training_mode", 0):
        node.refuse("is in training mode", "Export the network in eval")
    parts = [constant(node, v, "statistics") for v in inputs[1:5]]
    if len(parts) != 4 or any(c.values.shape != (flow.shape[0],) for c in parts):
        node.refuse(f"does not normalise {flow.shape[0]} channels", "Export the file again")
    if flow.last:
        node.refuse("normalises the last axis of a map", "Export it with NCHW tensors")
    gamma, beta, mean, var = (np.asarray(c.values, np.float32) for c in parts)
    if flow.order is not None:
        back = np.argsort(np.asarray(flow.order))
        gamma, beta, mean, var = (a[back] for a in (gamma, beta, mean, var))
    kind = nn.BatchNorm2d if len(flow.shape) == 3 else nn.BatchNorm1d
    note = note_of(node)
    eps = note.get("eps")
    stored = float(node.attributes.get("epsilon", 1e-5))
    if not isinstance(eps, float) or np.float32(eps) != np.float32(stored):
        # the file keeps float32: its own decimal is what was meant
        eps = float(str(np.float32(stored)))
    module = kind(flow.shape[0], eps=eps, affine=False)
    module.running_mean, module.running_var = (torch.from_numpy(a.copy()) for a in (mean, var))
    for name, array in (("weight", gamma), ("bias", beta)):
        if note.get(name) is not False:
            setattr(module, name, nn.Parameter(torch.from_numpy(array.copy()), requires_grad=False))
    return builder.add(node, module, flow, flow, parts[0].origin)
