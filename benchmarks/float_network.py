"""A saved network as plain torch modules in float32: what it would be run as without this project."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xnorhw.frontends.modules import module_of
from xnorhw.ir.float_graph import BinaryConv2d, BinaryLinear, BipolarQuant, FloatGraph, FloatOp, InputQuant

__all__ = ["float_network"]


class _Table(nn.Module):
    def __init__(self, op: InputQuant) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(op.table[0].astype("float32")), requires_grad=False)
        if len(op.table) != 1:
            raise ValueError("a table a channel is not measured")

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x.long()]


class _Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


def _weighted(op: BinaryConv2d | BinaryLinear) -> tuple[Tensor, Tensor | None]:
    """Weight times scale, and the bias."""
    weight = torch.from_numpy(op.weight.astype("float32")) * op.in_scale
    if op.scale is not None:
        weight = weight * torch.from_numpy(op.scale.copy()).reshape(-1, *[1] * (weight.dim() - 1))
    return weight, None if op.bias is None else torch.from_numpy(op.bias.copy())


def _convolution(op: BinaryConv2d) -> nn.Module:
    weight, bias = _weighted(op)
    pads = op.geometry.pads
    if (pads.left, pads.top) != (pads.right, pads.bottom) or (pads.any() and op.pad_value):
        raise ValueError("such padding is not measured")
    out, inputs = weight.shape[0], weight.shape[1] * op.groups
    module = nn.Conv2d(
        inputs,
        out,
        op.geometry.kernel,
        op.geometry.stride,
        (pads.top, pads.left),
        op.geometry.dilation,
        op.groups,
        bias is not None,
    )
    module.weight.data = weight
    if bias is not None:
        assert module.bias is not None
        module.bias.data = bias
    return module


def _linear(op: BinaryLinear) -> nn.Module:
    weight, bias = _weighted(op)
    module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    module.weight.data = weight
    if bias is not None:
        module.bias.data = bias
    return module


def _module(op: FloatOp, name: str) -> nn.Module:
    if isinstance(op, InputQuant):
        return _Table(op)
    if isinstance(op, BinaryConv2d):
        return _convolution(op)
    if isinstance(op, BinaryLinear):
        return _linear(op)
    if isinstance(op, BipolarQuant):
        return _Sign()
    return module_of(op, name)


def float_network(graph: FloatGraph) -> nn.Module:
    """The modules of a chain in order, in eval, channels last; the scales are part of the weights."""
    net = nn.Sequential(*(_module(node.op, node.output.name) for node in graph.nodes)).eval()
    return net.to(memory_format=torch.channels_last)
