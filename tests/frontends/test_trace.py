from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn, reshape

from xnorhw import nn as xnn
from xnorhw.frontends.evaluator import TorchEvaluator
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.geometry import Pads

BIPOLAR = fg.Input((4, 8, 6), encoding="bipolar")


def names(graph: fg.FloatGraph) -> list[str]:
    return [node.output.name for node in graph.nodes]


def ops(graph: fg.FloatGraph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


class Net(nn.Module):
    """Functional and method forms, submodules, elided modules and a dead branch."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            xnn.BinaryConv2d(4, 6, 3, padding=1, scale="channel", bias=True),
            nn.Dropout(0.3),
            nn.BatchNorm2d(6),
        )
        self.act = xnn.Sign()
        self.pool = nn.MaxPool2d((2, 3), stride=2, padding=(1, 1), dilation=1, ceil_mode=True)
        self.unused = nn.Conv2d(4, 4, 3)
        self.head = xnn.BinaryLinear(6 * 5 * 4, 3, scale="layer")

    def forward(self, x: torch.Tensor, debug: bool = False) -> torch.Tensor:
        if debug:
            print(x)
        self.unused(x)
        x = self.features(x)
        x = F.relu(x)
        x = F.hardtanh(x, -2.0, 0.5)
        x = self.act(self.pool(x))
        x = F.dropout(x, 0.5, training=self.training)
        x = x.relu()
        x = self.act(x - 1 if debug else x)
        return self.head(x.view(x.size(0), -1))  # type: ignore[no-any-return]


def test_modules_functions_and_methods() -> None:
    net = Net().eval()
    graph = trace(net, BIPOLAR)
    assert names(graph) == [
        "features.0", "features.2", "relu_1", "hardtanh_1", "pool", "act", "relu_2", "act_2", "view_1",
        "head",
    ]  # fmt: skip
    assert ops(graph) == [
        "BinaryConv2d", "BatchNorm", "Relu", "Hardtanh", "MaxPool2d", "BipolarQuant", "Relu", "BipolarQuant",
        "Flatten", "BinaryLinear",
    ]  # fmt: skip
    assert graph.output == "head"
    assert graph.kind("features.2") == "BatchNorm2d" and graph.kind("relu_1") == "relu"
    shapes = {n.output.name: n.output.shape for n in graph.nodes}
    assert shapes["features.0"] == (6, 8, 6) and shapes["pool"] == (6, 5, 4) and shapes["view_1"] == (120,)
    pool = graph.node("pool").op
    assert isinstance(pool, fg.MaxPool2d)
    assert (
        pool.geometry.kernel == (2, 3) and pool.geometry.ceil_mode and pool.geometry.pads == Pads(1, 1, 1, 1)
    )
    hardtanh = graph.node("hardtanh_1").op
    assert hardtanh == fg.Hardtanh(-2.0, 0.5)


def test_the_graph_computes_the_network() -> None:
    net = Net().eval()
    evaluator = TorchEvaluator(trace(net, BIPOLAR))
    x = random_inputs(BIPOLAR, 5, seed=9)
    assert torch.equal(evaluator.run(torch.from_numpy(x)), net(torch.from_numpy(x)).detach())


def test_tracing_changes_nothing() -> None:
    net = Net().eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    trace(net, BIPOLAR)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not net.training


@pytest.mark.parametrize(
    "layer",
    [xnn.BinaryLinear(5, 3, scale="channel"), nn.Sequential(xnn.BinaryLinear(5, 3))],
    ids=["bare", "sequential"],
)
def test_networks_of_one_layer(layer: nn.Module) -> None:
    graph = trace(layer.eval(), fg.Input((5,), bits=4, signed=True, scale=0.25))
    assert names(graph) == (["0"] if isinstance(layer, nn.Sequential) else ["BinaryLinear"])
    assert graph.nodes[0].input == "input" and graph.nodes[0].output.layout == "C"


class Reshaper(nn.Module):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how
        self.head = xnn.BinaryLinear(192, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.how(x))  # type: ignore[no-any-return]


RESHAPES = {
    "flatten": lambda x: torch.flatten(x, 1),
    "flatten_named": lambda x: torch.flatten(x, start_dim=-3, end_dim=3),
    "method": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.size(0), -1),
    "view_shape": lambda x: x.view(x.shape[0], -1),
    "view_size": lambda x: x.view(x.size()[0], 192),
    "view_minus": lambda x: x.view(-1, 192),
    "view_computed": lambda x: x.view(-1, x.size(1) * x.shape[2] * x.size(-1)),
    "view_numel": lambda x: x.view(-1, x.shape[1:].numel()),
    "view_tuple": lambda x: x.view((x.size(0), -1)),
    "reshape": lambda x: x.contiguous().reshape(x.size(0), 192),
    "torch_reshape": lambda x: torch.reshape(x, (x.size(0), -1)),
    "torch_reshape_named": lambda x: torch.reshape(input=x, shape=(x.shape[0], 192)),
    "twice": lambda x: x.flatten(1).flatten(1),
    "view_same": lambda x: x.view(x.size()).flatten(1),
}


@pytest.mark.parametrize("how", RESHAPES.values(), ids=RESHAPES.keys())
def test_ways_to_flatten(how: Any) -> None:
    graph = trace(Reshaper(how).eval(), BIPOLAR)
    assert ops(graph) == ["Flatten", "BinaryLinear"]
    assert torch.reshape is reshape  # tracing has put it back


class Pools(nn.Module):
    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how
        self.conv = xnn.BinaryConv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.how(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "how",
    [
        lambda x: F.max_pool2d(x, 3, 2, 1, 1, True),
        lambda x: F.max_pool2d(x, kernel_size=(3, 3), stride=2, padding=1, ceil_mode=True),
        lambda x: torch.max_pool2d(x, 3, [2], 1, ceil_mode=True),
        lambda x: F.max_pool2d(input=x, kernel_size=3, stride=(2, 2), padding=1, ceil_mode=True),
    ],
)
def test_ways_to_pool(how: Any) -> None:
    graph = trace(Pools(how).eval(), BIPOLAR)
    op = graph.nodes[0].op
    assert graph.nodes[0].output.name == "max_pool2d_1"
    assert isinstance(op, fg.MaxPool2d)
    assert op.geometry.kernel == (3, 3) and op.geometry.stride == (2, 2) and op.geometry.ceil_mode
    assert graph.nodes[0].output.shape == (4, 5, 4)


class Shadow(nn.Module):
    """Modules with the names that functions and the input would get."""

    def __init__(self) -> None:
        super().__init__()
        self.relu_1 = nn.ReLU()
        self.input = xnn.BinaryConv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.input(F.relu(self.relu_1(x)))
        return y  # type: ignore[no-any-return]


def test_names_never_collide() -> None:
    assert names(trace(Shadow().eval(), BIPOLAR)) == ["relu_1", "relu_2", "input_2"]


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = xnn.BinaryConv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardtanh(self.relu(self.conv(x)), -1, 1, True)
        x = F.relu_(x.view(x.size(0), -1)).relu_()
        return x


def test_in_place_calls_that_nobody_sees_are_plain() -> None:
    assert ops(trace(InPlace().eval(), BIPOLAR)) == [
        "BinaryConv2d", "Relu", "Hardtanh", "Flatten", "Relu", "Relu",
    ]  # fmt: skip


def test_input_quant_and_its_scale() -> None:
    quant = xnn.InputQuant(mean=[0.4, 0.5], std=0.2)
    net = nn.Sequential(quant, xnn.BinaryConv2d(2, 3, 2, in_scale=quant.scale)).eval()
    graph = trace(net, fg.Input((2, 5, 5)))
    table = graph.nodes[0].op
    assert (
        isinstance(table, fg.InputQuant) and table.table.shape == (2, 256) and table.table.dtype == np.int32
    )
    conv = graph.nodes[1].op
    assert isinstance(conv, fg.BinaryConv2d) and conv.in_scale == table.scale == quant.scale


def test_input_descriptions_become_plain_numbers() -> None:
    declared = fg.Input([np.int64(4), 8, 6], np.int64(3), scale=1)  # type: ignore[arg-type]
    graph = trace(nn.Sequential(xnn.BinaryConv2d(4, 2, 1)).eval(), declared)
    assert graph.input == fg.Input((4, 8, 6), 3)
    assert type(graph.input.bits) is int and type(graph.input.scale) is float


def test_batch_norm_variants() -> None:
    net = nn.Sequential(
        xnn.BinaryConv2d(4, 4, 1),
        nn.BatchNorm2d(4, affine=False, eps=1e-3),
        nn.Flatten(),
        nn.BatchNorm1d(192),
    ).eval()
    graph = trace(net, BIPOLAR)
    first, last = graph.node("1").op, graph.node("3").op
    assert isinstance(first, fg.BatchNorm) and isinstance(last, fg.BatchNorm)
    assert first.gamma is None and first.beta is None and first.eps == 1e-3 and first.rank == 4
    assert last.rank == 2 and last.gamma is not None


def test_frozen_layers_are_known() -> None:
    net = nn.Sequential(xnn.BinaryConv2d(4, 3, 2, scale="channel")).eval()
    frozen = nn.Sequential(net[0].freeze())  # type: ignore[operator]
    a, b = trace(net, BIPOLAR), trace(frozen.eval(), BIPOLAR)
    one, two = a.nodes[0].op, b.nodes[0].op
    assert isinstance(one, fg.BinaryConv2d) and isinstance(two, fg.BinaryConv2d)
    assert one.scale is not None and two.scale is not None
    assert np.array_equal(one.weight, two.weight) and np.array_equal(one.scale, two.scale)


class UserConv(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.conv2d(input, torch.sign(self.weight), padding=self.padding)


class TestReplace:
    def net(self) -> nn.Sequential:
        shared = UserConv(4, 4, 3, padding=1, bias=False)
        return nn.Sequential(shared, xnn.Sign(), nn.Sequential(shared, nn.BatchNorm2d(4)), xnn.Sign()).eval()

    def test_by_class(self) -> None:
        net = self.net()
        graph = trace(net, BIPOLAR, {UserConv: lambda m: xnn.BinaryConv2d.from_conv(m)})
        assert ops(graph)[0] == "BinaryConv2d" and names(graph) == ["0", "1", "0_2", "2.1", "3"]
        assert isinstance(net[0], UserConv)

    def test_by_name_wins(self) -> None:
        made: list[str] = []

        def by_name(m: nn.Conv2d) -> nn.Module:
            made.append("name")
            return xnn.BinaryConv2d.from_conv(m, scale="layer")

        net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)).eval()
        graph = trace(net, BIPOLAR, {nn.Conv2d: lambda m: nn.Identity(), "1": by_name})
        assert made == ["name"] and names(graph) == ["1"]

    def test_the_root(self) -> None:
        conv = nn.Conv2d(4, 2, 3).eval()
        assert ops(trace(conv, BIPOLAR, {nn.Conv2d: lambda m: xnn.BinaryConv2d.from_conv(m)})) == [
            "BinaryConv2d"
        ]

    def test_results_in_training_mode_follow_the_network(self) -> None:
        trace(self.net(), BIPOLAR, {UserConv: lambda m: xnn.BinaryConv2d(4, 4, 1).train()})
