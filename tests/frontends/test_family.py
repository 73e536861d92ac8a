"""The layers of the family: traced, saved, loaded, run node by node, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator, load_model_file, save
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError

DECLARED = fg.Input((4, 6, 6), 4, True, 0.25)


class Family(nn.Module):
    """One of each: codes, grids, bases, several bits a weight, K, branches, averages."""

    def __init__(self) -> None:
        super().__init__()
        self.first = xnn.QuantConv2d(4, 6, 3, padding=(1, 0, 2, 1), groups=2, weight=xnn.DoReFaWeight(3))
        self.norm = nn.BatchNorm2d(6)
        self.relu = xnn.QuantReLU(3, 0.7)
        self.grid = xnn.Grid(10, 4)
        self.scaled = xnn.ScaledBinaryConv2d(6, 6, 3, padding=1, bias=True)
        self.out_grid = xnn.Grid(12, 3)
        self.mean_grid = xnn.Grid(12, 5)
        self.bases = xnn.BasesActivation(3, frac=5)
        self.gradient = xnn.GradientQuant(4)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.last = xnn.QuantLinear(12, 3, bias=True, weight=xnn.BasesWeight(2), in_scale=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x))
        codes = self.relu(x)
        y = self.out_grid(self.scaled(self.grid(x))) + self.mean_grid(F.avg_pool2d(codes, 3, 1, 1))
        joined = torch.cat([self.bases(y), self.gradient(y)], dim=1)
        return self.last(self.mean(joined).flatten(1))


def family(seed: int = 0) -> Family:
    torch.manual_seed(seed)
    net = Family().eval()
    with torch.no_grad():
        net.norm.weight.normal_()
        net.norm.bias.normal_()
        net.bases.betas.copy_(torch.tensor([0.5, 1.0, 0.25]))
        net.bases.shifts.copy_(torch.tensor([0.5, -0.25, 1.0]))
    return net


def test_a_file_gives_the_same_network(tmp_path: Path) -> None:
    net = family()
    x = random_inputs(DECLARED, 5, seed=3)
    save(net, tmp_path / "m.pt", DECLARED)
    graph = load_model_file(tmp_path / "m.pt").graph
    ops = {type(node.op) for node in graph.nodes}
    assert ops == {
        fg.BasesConv2d, fg.BatchNorm, fg.QuantRelu, fg.Grid, fg.ScaledBinaryConv2d, fg.Add, fg.AvgPool2d,
        fg.BasesQuant, fg.Concat, fg.Flatten, fg.BasesLinear,
    }  # fmt: skip
    values = TorchEvaluator(graph).trace(x)
    assert np.array_equal(values[":scores"], net(torch.from_numpy(x)).detach().numpy())
    add = graph.node("add_1")
    assert add.inputs == ("out_grid", "mean_grid")
    assert [node.output.name for node in graph.users("norm")] == ["relu", "grid"]


def test_every_node_is_its_module() -> None:
    net = family(1)
    graph = trace(net, DECLARED)
    evaluator = TorchEvaluator(graph)
    values = evaluator.trace(random_inputs(DECLARED, 5, seed=4))
    summed = 0
    for node in graph.nodes:
        name = node.output.name
        sources = [values.get(f"{read}:out", values[read]) for read in node.inputs]
        out = values.get(f"{name}:out", values[name])
        assert out.shape[1:] == node.output.shape
        if isinstance(node.op, fg.Add | fg.Concat):
            expected = sources[0] + sources[1] if isinstance(node.op, fg.Add) else np.concatenate(sources, 1)
            assert np.array_equal(out, expected)
            continue
        called = evaluator.call(name, sources[0])
        assert np.array_equal(called, values[name] if isinstance(node.op, fg.BasesQuant) else out)
        if name in ("first", "scaled", "last", "mean", "avg_pool2d_1"):
            frac = getattr(node.op, "frac", 0)
            assert np.array_equal(evaluator.after_sum(name, values[name] * 2.0**-frac), out)
            summed += 1
    assert summed == 5


def test_bases_are_traced_as_the_number_of_ones() -> None:
    graph = trace(family(), DECLARED)
    values = TorchEvaluator(graph).trace(random_inputs(DECLARED, 4))
    op = graph.node("bases").op
    assert isinstance(op, fg.BasesQuant)
    assert np.array_equal(op.shifts, np.float32([1.0, 0.5, -0.25])) and op.betas.tolist() == [8, 16, 32]
    ones = values["bases"]
    assert set(np.unique(ones)) <= {0, 1, 2, 3} and len(np.unique(ones)) > 1
    worth = sum(np.where(ones > n, beta, -beta) for n, beta in enumerate(op.betas)) / 32
    assert np.array_equal(worth, values["bases:out"])


def test_the_sums_of_an_average_are_the_windows() -> None:
    graph = trace(family(), DECLARED)
    values = TorchEvaluator(graph).trace(random_inputs(DECLARED, 2))
    codes = np.pad(values["relu"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    view = np.lib.stride_tricks.sliding_window_view(codes, (3, 3), axis=(2, 3))
    assert np.array_equal(values["avg_pool2d_1"], view.sum(axis=(4, 5)))


class Calls(nn.Module):
    def __init__(self, how: Callable[..., Any]) -> None:
        super().__init__()
        self.how = how
        self.conv = xnn.BinaryConv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.how(self.conv(x), x)


def in_place(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    y += x
    return y


@pytest.mark.parametrize(
    ("how", "ops"),
    [
        (lambda y, x: torch.add(y, x), [fg.Add]),
        (lambda y, x: y.add(x), [fg.Add]),
        (lambda y, x: y + x + y, [fg.Add, fg.Add]),
        (in_place, [fg.Add]),
        (lambda y, x: torch.cat((y, x, y), dim=-3), [fg.Concat]),
        (lambda y, x: torch.concat([y, x], axis=1), [fg.Concat]),
        (lambda y, x: torch.cat([y], 1), []),
        (lambda y, x: y.mean((2, 3)), [fg.AvgPool2d, fg.Flatten]),
        (lambda y, x: y.mean([-1, -2], keepdim=True), [fg.AvgPool2d]),
        (lambda y, x: torch.mean(y, dim=(2, 3)), [fg.AvgPool2d, fg.Flatten]),
        (lambda y, x: F.adaptive_avg_pool2d(y, (1, 1)), [fg.AvgPool2d]),
        (lambda y, x: F.avg_pool2d(y, 2, stride=1), [fg.AvgPool2d]),
    ],
)
def test_functions_and_methods(how: Callable[..., Any], ops: list[type]) -> None:
    graph = trace(Calls(how).eval(), DECLARED)
    assert [type(node.op) for node in graph.nodes[1:]] == ops


def old_form(value: Any) -> Any:
    """A graph as files in front of 1.2 have it: nodes with one input."""
    if isinstance(value, dict):
        return {k: old_form(v) for k, v in value.items() if k != "others"}
    return [old_form(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_file_of_the_formats_before_is_read(version: str, tmp_path: Path) -> None:
    net = nn.Sequential(xnn.BinaryConv2d(4, 4, 1), nn.BatchNorm2d(4), xnn.Sign()).eval()
    save(net, tmp_path / "m.pt", DECLARED)
    data = torch.load(tmp_path / "m.pt", weights_only=True)
    older = old_form(data)
    assert older != data or "others" not in str(data["graph"])
    kept = data if version == "1.2" else older
    torch.save({**kept, "version": version}, tmp_path / "old.pt")
    read = load_model_file(tmp_path / "old.pt")
    assert read.metadata.version == version
    assert [n.others for n in read.graph.nodes] == [(), (), ()]


def edited(tmp_path: Path, edit: Callable[[list[dict[str, Any]], dict[str, Any]], None]) -> ModelError:
    save(family(), tmp_path / "m.pt", DECLARED)
    data = torch.load(tmp_path / "m.pt", weights_only=True)
    edit(data["graph"]["nodes"], data["arrays"])
    torch.save(data, tmp_path / "bad.pt")
    with pytest.raises(ModelError) as caught:
        load_model_file(tmp_path / "bad.pt")
    return caught.value


def node(nodes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(n for n in nodes if n["output"]["name"] == name)


def array(nodes: list[dict[str, Any]], arrays: dict[str, Any], name: str, field: str) -> torch.Tensor:
    found = arrays[node(nodes, name)["op"][field]["array"]]
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda n, a: node(n, "relu")["op"].update(bits=9), "9 bits are not 1 to 8"),
        (lambda n, a: node(n, "relu")["op"].update(scale=0.0), "not positive"),
        (lambda n, a: node(n, "grid")["op"].update(bits=25), "25 bits are not 2 to 24"),
        (lambda n, a: node(n, "grid")["op"].update(frac=31), "not 0 to 30"),
        (lambda n, a: array(n, a, "first", "weight").zero_(), "not all -1 or +1"),
        (lambda n, a: array(n, a, "scaled", "weight").zero_(), "not all -1 or +1"),
        (lambda n, a: array(n, a, "last", "coefficients").fill_(1 << 30), "24 bits of float32"),
        (lambda n, a: array(n, a, "bases", "shifts").neg_(), "do not fall"),
        (lambda n, a: node(n, "add_1").update(others=["nowhere"]), "nothing before it makes"),
        (lambda n, a: node(n, "add_1").update(others=[]), "fewer than two|does not describe"),
        (lambda n, a: node(n, "relu").update(others=["first"]), "reads 2 values|does not describe"),
    ],
)
def test_files_that_describe_none(
    tmp_path: Path, edit: Callable[[list[dict[str, Any]], dict[str, Any]], None], word: str
) -> None:
    error = edited(tmp_path, edit)
    assert any(part in error.reason for part in word.split("|")), error.reason


def test_an_average_of_real_values_is_named() -> None:
    net = nn.Sequential(xnn.BinaryConv2d(4, 6, 3), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1)).eval()
    with torch.no_grad():
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.1, 3)
    with pytest.raises(ModelError) as caught:
        trace(net, fg.Input((4, 30, 30), 8, True))
    assert caught.value.module == "2"
    assert "average of real values" in caught.value.reason and "xnn.Grid" in caught.value.remedy
