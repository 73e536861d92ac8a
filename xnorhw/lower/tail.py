"""What follows the last integer sum becomes float32 operations on the host."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from xnorhw.golden import host
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import (
    Affine,
    AvgPool2d,
    BasesConv2d,
    BasesLinear,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    FullConv2d,
    FullLinear,
    Hardtanh,
    MaxPool2d,
    Relu,
    ScaledBinaryConv2d,
)
from xnorhw.ir.int_graph import (
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    HostOp,
    IntGraph,
    IntNode,
    MaxPool,
    Product,
    Real,
    Reshape,
    Tensor,
)
from xnorhw.ir.types import Encoding
from xnorhw.lower.chain import is_quantiser
from xnorhw.lower.context import Context
from xnorhw.lower.full import check_full_sums, integer_weight
from xnorhw.lower.ranges import ranges
from xnorhw.lower.start import unit
from xnorhw.lower.threshold import without_dead_nodes

__all__ = ["host_batch_norm", "move_tail_to_host"]


def move_tail_to_host(context: Context, graph: IntGraph) -> IntGraph:
    """Scale, bias, batch norm, ReLU, hardtanh and linear layers on real values run on the host.

    A max-pool among them moves in front of them, onto the integer sums: each operation is
    monotone in each channel, so the largest result is that of the largest sum, or of the
    smallest where the channel falls.
    """
    if not any(isinstance(n.op, Product) for n in graph.nodes):
        raise ModelError(
            "the network has no binary layer",
            module="model",
            remedy="Use xnn.BinaryConv2d and xnn.BinaryLinear; see docs/own-model.md",
        )
    made = {node.output.name: node for node in graph.nodes}
    path: list[IntNode] = []
    name = graph.output
    while name in made and (made[name].output.type is None or isinstance(made[name].op, Reshape)):
        path.insert(0, made[name])
        name = made[name].input
    _check_sums(context, graph, name, path)
    last = graph.tensor(name)
    nodes: list[IntNode] = []
    ops: list[HostOp] = []
    if last.type is not None and last.type.point and not any(isinstance(n.op, Real) for n in path):
        ops.append(HostAffine(f"{name}:in", np.array([unit(last.type)], np.float32), None))
    flat = False
    for node in path:
        if isinstance(node.op, Reshape):
            flat = flat or graph.tensor(node.input).shape[1:] != (1, 1)
            continue
        assert isinstance(node.op, Real)
        if flat and isinstance(context.op(node.op.node), BatchNorm):
            raise ModelError(
                "normalises each position by itself behind a flatten",
                module=node.op.node,
                remedy="Put BatchNorm2d before the flatten",
            )
        pool = context.op(node.op.node)
        if isinstance(pool, MaxPool2d):
            sums = nodes[-1].output if nodes else last
            pooled = Tensor(f"{node.output.name}:sums", node.output.shape, sums.type)
            nodes.append(IntNode(MaxPool(pool.geometry, _falling(ops, sums.shape[0])), sums.name, pooled))
            continue
        found = _host_ops(context, node.op)
        flat = flat and not isinstance(found[0], HostFull)
        ops.extend(found)
    tail = dataclasses.replace(
        graph,
        nodes=(*graph.nodes, *nodes),
        output=nodes[-1].output.name if nodes else name,
        host=tuple(ops),
    )
    tail = without_dead_nodes(tail)
    _check_full(tail)
    return tail


def _check_sums(context: Context, graph: IntGraph, name: str, path: list[IntNode]) -> None:
    """ModelError where the scores are not made of integer sums."""
    kind = graph.tensor(name).type
    sums = kind is not None and kind.encoding is Encoding.TWOS and name != graph.input_tensor.name
    reals = [node for node in path if isinstance(node.op, Real)]
    if not sums and not reals:
        raise ModelError(
            "the network ends in signs or codes, not in scores: the integer sums of the last layer make them",
            module=name,
            remedy="End the network with xnn.BinaryLinear, xnn.BinaryConv2d or xnn.FullLinear",
        )
    if sums and not any(is_quantiser(node) for node in graph.nodes):
        return
    assert kind is not None
    if not sums:
        what = "signs" if kind.is_bipolar else "codes"
        first = reals[0].op
        assert isinstance(first, Real)
        raise ModelError(
            f"({context.graph.kind(first.node)}) computes scores with the {what} of {name}, "
            "which only a layer or an average pool can sum",
            module=first.node,
            remedy="End the network with a layer, its batch norm, a ReLU or a max-pool",
        )


def _falling(ops: list[HostOp], channels: int) -> npt.NDArray[np.bool_]:
    """Where what the operations make of a channel falls as its sum rises; bool [C]."""
    falling = np.zeros(channels, np.bool_)
    for op in ops:
        scale = op.a if isinstance(op, HostBatchNorm) else op.scale if isinstance(op, HostAffine) else None
        if scale is not None:
            falling ^= scale < 0
    return falling


def _check_full(graph: IntGraph) -> None:
    """ModelError where the sum of a linear layer on real values can leave the integers of float64.

    Every other operation is monotone in each channel, rounding included: its results at both
    ends of its range bound all results.
    """
    if not any(isinstance(op, HostFull) for op in graph.host):
        return
    ends = np.stack(ranges(graph)[graph.output]).astype(np.float32)[:, :, None, None]
    ends = np.broadcast_to(ends, (2, *graph.tensor(graph.output).shape))
    for op in graph.host:
        largest = np.abs(ends).max(axis=0).reshape(-1).astype(np.float64)
        if not isinstance(op, HostFull):
            ends = host(op, ends)
            continue
        steps = np.rint(largest * 2.0**op.in_frac)
        check_full_sums(op.weight, steps, op.name)
        weight = np.abs(op.weight.astype(np.float64))
        # rounded up: a bound that rounding made smaller would be none
        reach = weight @ steps * 2.0 ** -(op.in_frac + op.frac) + (0 if op.bias is None else np.abs(op.bias))
        top = np.nextafter(reach.astype(np.float32), np.float32(np.inf))
        ends = np.stack([-top, top])[:, :, None, None]


def _host_ops(context: Context, real: Real) -> list[HostOp]:
    name = real.node
    op = context.op(name)
    if isinstance(op, AvgPool2d):
        taps = np.float32(op.geometry.taps)
        worth = HostAffine(f"{name}:in", np.array([real.in_scale], np.float32), None)
        average = HostAffine(name, np.array([np.float32(1) / taps], np.float32), None)
        return [worth, average] if real.in_scale != 1.0 else [average]
    if isinstance(op, BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear | ScaledBinaryConv2d):
        ops: list[HostOp] = []
        if real.in_scale != 1.0:  # a power of two: exact
            ops.append(HostAffine(f"{name}:in", np.array([real.in_scale], np.float32), None))
        ops.append(HostAffine(name, _product_scale(op), op.bias))
        return ops
    if isinstance(op, FullLinear) and not real.after_sum:
        assert op.in_frac is not None
        return [HostFull(name, integer_weight(op, name), op.frac, op.in_frac, op.bias)]
    if isinstance(op, FullConv2d | FullLinear):
        # one step of the sum is worth a power of two: exact
        step = HostAffine(f"{name}:in", np.array([real.in_scale], np.float32), None)
        scale = None if op.in_scale == 1.0 else np.array([op.in_scale], np.float32)
        return [step] if scale is None and op.bias is None else [step, HostAffine(name, scale, op.bias)]
    if isinstance(op, BatchNorm):
        a, b = host_batch_norm(op)
        return [HostBatchNorm(name, a, b, (op.mean * a).astype(np.float32))]
    if isinstance(op, Affine):
        scale = op.scale
        if op.divide and scale is not None:
            # one rounding more than torch's division, where the divisor is no power of two
            scale = (np.float32(1) / scale).astype(np.float32)
        return [HostAffine(name, scale, op.bias)]
    if isinstance(op, Relu):
        return [HostClamp(name, 0.0, math.inf)]
    if isinstance(op, Hardtanh):
        return [HostClamp(name, op.low, op.high)]
    raise ModelError(
        f"({context.graph.kind(name)}) behind the last sum has no form on the host",
        module=name,
        remedy="End the network with the last binary layer, its batch norm, a ReLU, a max-pool or "
        "xnn.FullLinear",
    )


def _product_scale(
    op: BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear | ScaledBinaryConv2d,
) -> npt.NDArray[np.float32] | None:
    """scale * in_scale, formed once in float32 as the layer does."""
    if isinstance(op, ScaledBinaryConv2d):
        return op.scale
    if op.scale is None:
        return None if op.in_scale == 1.0 else np.array([op.in_scale], np.float32)
    return (op.scale * np.float32(op.in_scale)).astype(np.float32)


def host_batch_norm(op: BatchNorm) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """a = gamma * (1 / sqrt(var + eps)), b = beta - mean * a, each step rounded to float32; [C]."""
    one = np.ones_like(op.mean)
    inverse = (np.float32(1) / np.sqrt((op.var + np.float32(op.eps)).astype(np.float32))).astype(np.float32)
    a = ((op.gamma if op.gamma is not None else one) * inverse).astype(np.float32)
    beta = op.beta if op.beta is not None else np.zeros_like(op.mean)
    return a, (beta - (op.mean * a).astype(np.float32)).astype(np.float32)
