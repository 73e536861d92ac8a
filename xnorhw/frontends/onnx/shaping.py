"""Nodes that change no number: flattens, transposes, axes of size 1, casts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from xnorhw.frontends.onnx.builder import Builder
from xnorhw.frontends.onnx.constants import Const, axes_of, whole
from xnorhw.frontends.onnx.flow import Flow, Pixels, one_flow
from xnorhw.frontends.onnx.graph import Node

__all__ = ["cast", "dropout", "flatten", "reshape", "same", "squeeze", "transpose"]


def same(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """What its input is."""
    return inputs[0]


def dropout(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """Nothing, in eval."""
    if len(inputs) > 2 and isinstance(inputs[2], Const) and bool(np.asarray(inputs[2].values).any()):
        node.refuse("is in training mode", "Export the network in eval")
    return inputs[0]


def cast(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """Nothing where it stays a float."""
    if int(node.attributes.get("to", 1)) not in (1, 11):
        node.refuse("makes other numbers than float32 of a tensor", "Export the network in float32")
    return inputs[0]


def _flat(builder: Builder, node: Node, value: Flow | Pixels) -> Flow | Pixels:
    """The flatten of a map; of a file with its channels last each feature keeps its own place."""
    flow = value.flow if isinstance(value, Pixels) else value
    if len(flow.shape) == 1:
        made = replace(flow, ones=0)
        return replace(value, flow=made) if isinstance(value, Pixels) else made
    size = math.prod(flow.shape)
    order = None
    if flow.last and size > flow.shape[0]:
        c, h, w = flow.shape
        # the file's feature (y, x, channel) lies at (channel, y, x) here
        order = tuple(int(i) for i in np.arange(size).reshape(c, h, w).transpose(1, 2, 0).reshape(-1))
    made = replace(flow, shape=(size,), last=False, ones=0, order=order)
    if isinstance(value, Pixels):
        return replace(value, flow=made, flat=True)
    return replace(builder.add(node, nn.Flatten(), flow, made), scale=flow.scale)


def reshape(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """A flatten to (N, -1), or what changes nothing."""
    value = inputs[0]
    flow = value.flow if isinstance(value, Pixels) else one_flow(node, value)
    sizes = whole(node, inputs[1] if len(inputs) > 1 else None, "shape")
    if not node.attributes.get("allowzero", 0):
        known = (1, *flow.file_shape)
        sizes = [known[i] if s == 0 and i < len(known) else s for i, s in enumerate(sizes)]
    if sizes[:1] not in ([1], [-1]):
        node.refuse(
            f"makes {sizes[0]} frames of one", "Export the network with one frame, or a dynamic batch"
        )
    size, rest = math.prod(flow.file_shape), sizes[1:]
    if rest.count(-1) == 1:
        rest = [size // max(1, -math.prod(rest)) if s == -1 else s for s in rest]
    if math.prod(rest) != size:
        node.refuse(f"makes {sizes} of a tensor of {size} numbers", "Export the file again")
    return _shaped(builder, node, value, flow, rest)


def _shaped(builder: Builder, node: Node, value: Any, flow: Flow, sizes: Sequence[int]) -> Any:
    if tuple(sizes) == flow.file_shape:
        return value
    core = list(sizes)
    while len(core) > 1 and core[-1] == 1:
        core.pop()
    if len(core) == 1:
        flat = _flat(builder, node, value)
        inner = flat.flow if isinstance(flat, Pixels) else flat
        made = replace(inner, ones=len(sizes) - 1)
        return replace(flat, flow=made) if isinstance(flat, Pixels) else made
    node.refuse(
        f"makes the shape {list(sizes)} of {list(flow.file_shape)}: only a flatten to (N, -1) is known",
        "Export the network without it",
    )


def flatten(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """All behind the batch in one axis."""
    value = inputs[0]
    flow = value.flow if isinstance(value, Pixels) else one_flow(node, value)
    if int(node.attributes.get("axis", 1)) not in (1, 1 - flow.rank):
        node.refuse("flattens other axes than all behind the batch", "Flatten from axis 1")
    return _flat(builder, node, value)


def squeeze(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """Axes of size 1 taken out or put in (Squeeze, Unsqueeze)."""
    value = inputs[0]
    flow = value.flow if isinstance(value, Pixels) else one_flow(node, value)
    axes = axes_of(node, list(inputs))
    shape = [1, *flow.file_shape]
    if node.op == "Squeeze":
        gone = (
            {a % len(shape) for a in axes} if axes is not None else {i for i, s in enumerate(shape) if s == 1}
        )
        gone.discard(0) if axes is None else None
        if 0 in gone or any(shape[a] != 1 for a in gone):
            node.refuse(f"takes the axes {axes} out of {shape}", "Squeeze axes of size 1 behind the channels")
        return _shaped(builder, node, value, flow, [s for i, s in enumerate(shape) if i and i not in gone])
    rank = len(shape) + len(axes or [])
    new = {a % rank for a in axes or []}
    if 0 in new or 1 in new:
        node.refuse(f"puts axes in front of the channels: {axes}", "Unsqueeze behind the channels")
    sizes, left = [], iter(shape)
    for i in range(rank):
        sizes.append(1 if i in new else next(left))
    if len(flow.shape) == 1 and all(s == 1 for s in sizes[2:]):
        made = replace(flow, ones=rank - 2)
        return replace(value, flow=made) if isinstance(value, Pixels) else made
    return _shaped(builder, node, value, flow, sizes[1:])


def transpose(builder: Builder, node: Node, inputs: list[Any]) -> Any:
    """Channels first to channels last, and back: nothing moves here."""
    value = inputs[0]
    flow = value.flow if isinstance(value, Pixels) else one_flow(node, value)
    perm = [int(p) for p in node.attributes.get("perm", range(flow.rank)[::-1])]
    if perm == list(range(flow.rank)):
        return value
    moves: dict[tuple[bool, tuple[int, ...]], bool] = {
        (True, (0, 3, 1, 2)): False,
        (False, (0, 2, 3, 1)): True,
    }
    last = moves.get((flow.last, tuple(perm)))
    if last is None or len(flow.shape) != 3:
        node.refuse(
            f"moves axes by {perm}: only channels first and channels last are known",
            "Export the network without it",
        )
    made = replace(flow, last=last)
    return replace(value, flow=made) if isinstance(value, Pixels) else made
