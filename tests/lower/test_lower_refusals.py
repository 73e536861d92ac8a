"""What cannot be kept exact is refused, with the name of the module and a way out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.lower.lowering import BIPOLAR_MAP, batch_norm, conv, lowered
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.ir.errors import ModelError
from xnorhw.ir.evaluator import Array
from xnorhw.ir.float_graph import (
    BatchNorm,
    BinaryLinear,
    BipolarQuant,
    FloatGraph,
    FloatNode,
    Input,
    Quant,
    Value,
)
from xnorhw.lower import lower


class NoEvaluator:
    """An evaluator for graphs that are refused before anything runs."""

    def call(self, node: str, x: Array, rounding: str = "module") -> Array:
        raise AssertionError("nothing may run")

    def after_sum(self, node: str, sums: Array) -> Array:
        raise AssertionError("nothing may run")

    def trace(self, x: Array) -> dict[str, Array]:
        raise AssertionError("nothing may run")


def linear(name: str, source: str, inputs: int, outputs: int) -> FloatNode:
    weight = np.ones((outputs, inputs), np.int8)
    return FloatNode(BinaryLinear(weight, None, None, 1.0), source, Value(name, (outputs,), "C"))


def node(name: str, source: str, op: BipolarQuant | Quant | BatchNorm, size: int) -> FloatNode:
    return FloatNode(op, source, Value(name, (size,), "C"))


def graph_of(*nodes: FloatNode, declared: Input | None = None) -> FloatGraph:
    return FloatGraph(declared or Input((4,), encoding="bipolar"), nodes, nodes[-1].output.name)


def refusal(net: nn.Module, declared: Input = BIPOLAR_MAP) -> ModelError:
    with pytest.raises(ModelError) as caught:
        lowered(net, declared)
    return caught.value


def test_modules_behind_the_output() -> None:
    nodes = (linear("a", "input", 4, 4), node("s", "a", BipolarQuant(), 4))
    with pytest.raises(ModelError) as caught:
        lower(FloatGraph(Input((4,), encoding="bipolar"), nodes, "a"), NoEvaluator())
    assert caught.value.module == "a"


@pytest.mark.parametrize("scale", [0.3, 1 / 255, 3.0, 0.0, -0.5, float("nan"), float("inf")])
def test_an_input_scale_that_is_no_power_of_two(scale: float) -> None:
    declared = Input((4,), bits=8, scale=scale)
    with pytest.raises(ModelError, match="power of two") as caught:
        lower(graph_of(linear("a", "input", 4, 2), declared=declared), NoEvaluator())
    assert caught.value.module == "input" and "InputQuant" in caught.value.remedy


def test_real_activations_between_binary_layers() -> None:
    error = refusal(nn.Sequential(conv(4, 4, seed=1), nn.ReLU(), nn.Flatten(), xnn.BinaryLinear(36, 2)))
    assert error.module == "3" and "real-valued" in error.reason and "Sign" in error.remedy


def test_two_layers_without_a_sign_between_them() -> None:
    error = refusal(nn.Sequential(conv(4, 4, seed=1), conv(4, 2, seed=2)))
    assert error.module == "1" and "real-valued" in error.reason


def test_a_batch_norm_behind_a_flatten_at_the_end() -> None:
    norm = batch_norm([1.0] * 36, rank=2)
    at_the_end = refusal(nn.Sequential(conv(4, 4, seed=1), nn.Flatten(), norm))
    assert at_the_end.module == "2" and "flatten" in at_the_end.reason


def test_a_network_that_ends_in_signs() -> None:
    error = refusal(nn.Sequential(conv(4, 4, seed=1), batch_norm([1.0] * 4), xnn.Sign()))
    assert error.module == "2" and "ends in signs" in error.reason and "End the network" in error.remedy


def test_a_network_without_a_binary_layer() -> None:
    error = refusal(nn.Sequential(batch_norm([1.0] * 4), nn.ReLU()))
    assert error.reason and error.remedy


class Bent(nn.Module):
    """Rises, then falls: no module of the vocabulary does."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = 3 - self.inner(x).abs()
        return result


def test_a_chain_that_changes_its_decision_twice() -> None:
    net = nn.Sequential(conv(4, 4, seed=1), batch_norm([1.0] * 4), xnn.Sign(), conv(4, 2)).eval()
    graph = trace(net, BIPOLAR_MAP)
    evaluator = TorchEvaluator(graph)
    evaluator._modules["1"] = Bent(evaluator.module("1"))
    with pytest.raises(ModelError) as caught:
        lower(graph, evaluator)
    assert caught.value.module == "2"
    assert "channel 0" in caught.value.reason and "2 times" in caught.value.reason


@pytest.mark.parametrize(("var", "gamma"), [(-1.0, 1.0), (0.75, float(np.float32(3e38)))])
def test_a_batch_norm_that_gives_nan_or_overflows(var: float, gamma: float) -> None:
    """NaN from a negative variance and infinity from an overflow name the module and the channel."""
    norm = batch_norm([1.0, gamma, 1.0, 1.0])
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_var[1] = var
    error = refusal(nn.Sequential(conv(4, 4, seed=1), norm, xnn.Sign(), conv(4, 2)))
    assert error.module == "1"
    assert error.remedy


def test_activations_of_several_bits() -> None:
    quant = Quant(scale=1.0, zero_point=0.0, bits=2, signed=False, narrow=False, rounding="ROUND")
    graph = graph_of(linear("a", "input", 4, 4), node("q", "a", quant, 4), linear("b", "q", 4, 2))
    with pytest.raises(ModelError) as caught:
        lower(graph, TorchEvaluator(graph))
    assert caught.value.module in ("q", "b") and caught.value.remedy


def test_a_sign_with_a_scale() -> None:
    graph = graph_of(linear("a", "input", 4, 4), node("s", "a", BipolarQuant(0.5), 4), linear("b", "s", 4, 2))
    with pytest.raises(ModelError, match="scale") as caught:
        lower(graph, TorchEvaluator(graph))
    assert caught.value.module == "s" and "in_scale" in caught.value.remedy


def test_an_input_quant_with_a_declared_scale() -> None:
    net = nn.Sequential(xnn.InputQuant(mean=0.5, std=0.5), conv(1, 2, seed=1))
    error = refusal(net, Input((1, 4, 4), scale=0.5))
    assert error.module and error.remedy
