"""A saved network as plain torch modules in float32: what it would be run as without this project."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xnorhw.frontends.modules import module_of
from xnorhw.ir.float_graph import (
    Add,
    BasesConv2d,
    BasesLinear,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    Concat,
    FloatGraph,
    FloatOp,
    FullConv2d,
    FullLinear,
    Grid,
    InputQuant,
)

__all__ = ["float_network"]


class _Table(nn.Module):
    def __init__(self, op: InputQuant) -> None:
        super().__init__()
        table = torch.from_numpy(op.table.astype("float32"))
        self.table = nn.Parameter(table, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.long()
        if len(self.table) == 1:
            return self.table[0][pixels]
        return torch.stack([row[pixels[:, c]] for c, row in enumerate(self.table)], dim=1)


class _Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


class _Sum(nn.Module):
    def forward(self, *terms: Tensor) -> Tensor:
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class _Joined(nn.Module):
    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, dim=1)


Weighted = BinaryConv2d | BinaryLinear | BasesConv2d | BasesLinear | FullConv2d | FullLinear


def _weighted(op: Weighted) -> tuple[Tensor, Tensor | None]:
    """Weight times scale, and the bias."""
    weight = torch.from_numpy(op.weight.astype("float32"))
    if isinstance(op, BasesConv2d | BasesLinear):
        factors = torch.from_numpy(op.coefficients.astype("float32")) * 2.0**-op.frac
        weight = (weight * factors.view(-1, *[1] * (weight.dim() - 1))).sum(0)
    weight = weight * op.in_scale
    scale = None if isinstance(op, FullConv2d | FullLinear) else op.scale
    if scale is not None:
        weight = weight * torch.from_numpy(scale.copy()).reshape(-1, *[1] * (weight.dim() - 1))
    return weight, None if op.bias is None else torch.from_numpy(op.bias.copy())


def _convolution(op: BinaryConv2d | BasesConv2d | FullConv2d) -> nn.Module:
    weight, bias = _weighted(op)
    pads = op.geometry.pads
    padded_otherwise = isinstance(op, BinaryConv2d) and pads.any() and op.pad_value
    if (pads.left, pads.top) != (pads.right, pads.bottom) or padded_otherwise:
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


def _linear(op: BinaryLinear | BasesLinear | FullLinear) -> nn.Module:
    weight, bias = _weighted(op)
    module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    module.weight.data = weight
    if bias is not None:
        module.bias.data = bias
    return module


def _module(op: FloatOp, name: str) -> nn.Module:
    if isinstance(op, InputQuant):
        return _Table(op)
    if isinstance(op, BinaryConv2d | BasesConv2d | FullConv2d):
        return _convolution(op)
    if isinstance(op, BinaryLinear | BasesLinear | FullLinear):
        return _linear(op)
    if isinstance(op, BipolarQuant):
        return _Sign()
    if isinstance(op, Grid):
        return nn.Identity()
    if isinstance(op, Add):
        return _Sum()
    if isinstance(op, Concat):
        return _Joined()
    return module_of(op, name)


class _Network(nn.Module):
    def __init__(self, graph: FloatGraph) -> None:
        super().__init__()
        self.graph = graph
        self.steps = nn.ModuleList(_module(node.op, node.output.name) for node in graph.nodes)

    def forward(self, x: Tensor) -> Tensor:
        values = {FloatGraph.INPUT_NAME: x}
        for node, step in zip(self.graph.nodes, self.steps, strict=True):
            values[node.output.name] = step(*(values[name] for name in node.inputs))
        return values[self.graph.output]


def float_network(graph: FloatGraph) -> nn.Module:
    """The network in eval, channels last; the scales are part of the weights, grids are left out."""
    return _Network(graph).eval().to(memory_format=torch.channels_last)
