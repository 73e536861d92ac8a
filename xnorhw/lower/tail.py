"""What follows the last integer sum becomes float32 operations on the host."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import BatchNorm, BinaryConv2d, BinaryLinear, Hardtanh, Relu
from xnorhw.ir.int_graph import (
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostOp,
    IntGraph,
    Product,
    Real,
    Reshape,
)
from xnorhw.lower.context import Context

__all__ = ["host_batch_norm", "move_tail_to_host"]


def move_tail_to_host(context: Context, graph: IntGraph) -> IntGraph:
    """Scale, bias, batch norm, ReLU and hardtanh behind the last product run on the host."""
    products = [i for i, n in enumerate(graph.nodes) if isinstance(n.op, Product)]
    if not products:
        raise ModelError(
            "the network has no binary layer",
            module="model",
            remedy="Use xnn.BinaryConv2d and xnn.BinaryLinear; see docs/own-model.md",
        )
    last = products[-1]
    host: list[HostOp] = []
    flat = False
    for node in graph.nodes[last + 1 :]:
        if isinstance(node.op, Reshape):
            flat = flat or graph.tensor(node.input).shape[1:] != (1, 1)
            continue
        if not isinstance(node.op, Real):
            raise ModelError(
                "the network ends in signs, not in scores: the integer sums of the last binary layer "
                "must leave the chip",
                module=node.output.name,
                remedy="End the network with xnn.BinaryLinear or xnn.BinaryConv2d",
            )
        if flat and isinstance(context.op(node.op.node), BatchNorm):
            raise ModelError(
                "normalises each position by itself behind a flatten",
                module=node.op.node,
                remedy="Put BatchNorm2d before the flatten",
            )
        host.extend(_host_ops(context, node.op))
    return dataclasses.replace(
        graph,
        nodes=graph.nodes[: last + 1],
        output=graph.nodes[last].output.name,
        host=tuple(host),
    )


def _host_ops(context: Context, real: Real) -> list[HostOp]:
    name = real.node
    op = context.op(name)
    if isinstance(op, BinaryConv2d | BinaryLinear):
        ops: list[HostOp] = []
        if real.in_scale != 1.0:  # a power of two: exact
            ops.append(HostAffine(f"{name}:in", np.array([real.in_scale], np.float32), None))
        ops.append(HostAffine(name, _product_scale(op), op.bias))
        return ops
    if isinstance(op, BatchNorm):
        a, b = host_batch_norm(op)
        return [HostBatchNorm(name, a, b, (op.mean * a).astype(np.float32))]
    if isinstance(op, Relu):
        return [HostClamp(name, 0.0, math.inf)]
    if isinstance(op, Hardtanh):
        return [HostClamp(name, op.low, op.high)]
    raise ModelError(
        f"({context.graph.kind(name)}) behind the last binary layer has no form on the host",
        module=name,
        remedy="End the network with the last binary layer, its batch norm or a ReLU",
    )


def _product_scale(op: BinaryConv2d | BinaryLinear) -> npt.NDArray[np.float32] | None:
    """scale * in_scale, formed once in float32 as the layer does."""
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
