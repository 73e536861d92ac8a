"""Multi-bit activations, branches, averages, bases and K as integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.lower.lowering import BIPOLAR_MAP, batch_norm, conv, equal, lowered
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import (
    Add,
    Concat,
    HostAffine,
    IntGraph,
    MaxPool,
    Product,
    Requant,
    SumPool,
    Threshold,
)
from xnorhw.ir.types import Encoding
from xnorhw.lower import lower
from xnorhw.lower import threshold as threshold_rewrite


def kinds(graph: IntGraph) -> list[type]:
    return [type(node.op) for node in graph.nodes]


def op_of(graph: IntGraph, name: str, kind: type) -> Any:
    op = graph.node(name).op
    assert isinstance(op, kind)
    return op


class Net(nn.Module):
    """A forward of its own over named layers."""

    def __init__(self, how: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.how = how
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def refusal(net: nn.Module, declared: Input = BIPOLAR_MAP) -> ModelError:
    with pytest.raises(ModelError) as caught:
        lowered(net, declared)
    assert caught.value.remedy and not caught.value.reason.endswith(".")
    return caught.value


# --- codes -----------------------------------------------------------------------------------


def norm(outputs: int = 4, seed: int = 3, size: float = 2.0) -> nn.Module:
    rng = np.random.default_rng(seed)
    gamma = rng.uniform(0.3, 1, outputs) * np.where(np.arange(outputs) % 2, -size, size)
    return batch_norm(gamma.tolist(), mean=rng.normal(0, 3, outputs).tolist(), beta=0.4, var=4.7, eps=1e-5)


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_up_to_four_bits_are_thresholds_above_one_multiplication(bits: int) -> None:
    scale = 3.0 / (2**bits - 1)
    net = nn.Sequential(
        conv(4, 4, seed=1, scale="channel"), norm(), xnn.QuantReLU(bits, scale), conv(4, 3, 1, in_scale=scale)
    )
    result = equal(net)
    codes = result.graph.node("2")
    assert codes.output.type is not None
    assert (codes.output.type.bits, codes.output.type.signed) == (bits, False)
    assert codes.output.type.encoding is Encoding.CODE
    if bits <= 4:
        op = op_of(result.graph, "2", Threshold)
        assert op.levels == 2**bits - 1 and set(op.direction) == {1, -1}
    else:
        op = op_of(result.graph, "2", Requant)
        assert (op.low, op.high) == (0, 2**bits - 1) and (np.abs(op.multiplier) < 1 << 17).all()
        assert (op.multiplier < 0).any() and (op.multiplier > 0).any()
    assert len(np.unique(result.tensors["2"])) > min(2**bits, 8) // 2


@pytest.mark.parametrize("bits", [5, 9])
def test_where_nothing_else_is_exact_there_are_many_levels(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold_rewrite, "find_requant", lambda *_: None)
    monkeypatch.setattr(threshold_rewrite, "LOOKUP_BITS", 3)
    if bits == 9:
        net = nn.Sequential(conv(4, 4, seed=1), norm(), xnn.Grid(9, 4), conv(4, 3, 1))
        error = refusal(net)
        assert error.module == "2" and "512 codes" in error.reason and "snap" in error.remedy
        return
    net = nn.Sequential(conv(4, 4, seed=1), norm(), xnn.QuantReLU(bits, 0.1), conv(4, 3, 1, in_scale=0.1))
    assert op_of(equal(net).graph, "2", Threshold).levels == 31


def test_a_wide_unsnapped_sum_on_a_grid_is_refused() -> None:
    declared = Input((64, 8, 8), 8, True)
    net = nn.Sequential(conv(64, 4, 7, seed=2, scale="channel"), norm(), xnn.Grid(16, 8), conv(4, 2, 1))
    error = refusal(net, declared)
    assert error.module == "2" and "65536 codes" in error.reason
    assert "xnorhw.snap" in error.remedy


def test_a_rounding_that_moves_a_level_is_listed() -> None:
    """x * a + b at the tie of the second level, 1.5: rounded once or twice it lands on both sides."""
    rng = np.random.default_rng(5)
    gamma = rng.uniform(0.3, 3.0, 40) * rng.choice([-1, 1], 40)
    means = rng.choice([-14, -12, -10, -6, 6, 10, 12, 14], 40).astype(float)
    norm_ = batch_norm(gamma.tolist(), mean=means.tolist(), beta=1.5, var=1.7, eps=1e-5)
    net = nn.Sequential(conv(4, 40, seed=8), norm_, xnn.QuantReLU(3, 1.0), conv(40, 2, 1)).eval()
    graph = trace(net, Input((4, 4, 4), encoding="bipolar"))
    integers = lower(graph, TorchEvaluator(graph))
    table = op_of(integers, "2", Threshold).table[0]
    assert 4 <= len(integers.rounding_dependent) <= 36
    for entry in integers.rounding_dependent:
        assert entry.tensor == "2" and entry.stored == table[entry.channel, 1]
        assert any(other != entry.stored for other in entry.others)
        assert means[entry.channel] in (entry.stored, *entry.others)


def test_signs_and_codes_can_be_quantised_again() -> None:
    front = [conv(4, 4, seed=1), batch_norm([1.0] * 4), xnn.Sign()]
    norms = [batch_norm([1.0, -1.0, 1.0, -1.0]), xnn.Sign()]
    for extra in ([xnn.Sign()], norms, [nn.MaxPool2d(2), xnn.Sign()]):
        result = equal(nn.Sequential(*front, *extra, conv(4, 2, kernel=1)))
        assert isinstance(result.graph.nodes[-2].op, Threshold)


def test_a_pool_in_front_of_the_first_sign() -> None:
    first = [nn.MaxPool2d(2), batch_norm([1.0, -1.0, 1.0, -0.5], mean=8.0)]
    for chain in (first, first[::-1]):
        net = nn.Sequential(*chain, xnn.Sign(), conv(4, 2, kernel=1))
        graph = equal(net, Input((4, 6, 6), bits=4)).graph
        assert set(kinds(graph)) == {MaxPool, Threshold, Product}


# --- branches --------------------------------------------------------------------------------


def residual(shortcut: Callable[..., Tensor], **more: nn.Module) -> Net:
    def how(net: Any, x: Tensor) -> Tensor:
        y = net.sign(net.first(x))
        body = net.body(y)
        result: Tensor = net.last(net.quant(net.grid(net.norm(body)) + shortcut(net, y, body)))
        return result

    parts = {
        "first": conv(4, 4, padding=1, seed=1),
        "sign": xnn.Sign(),
        "body": conv(4, 4, padding=1, seed=2),
        "norm": norm(),
        "grid": xnn.Grid(8, 3),
        "quant": xnn.QuantReLU(3, 0.8),
        "last": conv(4, 3, 1, in_scale=0.8),
        **more,
    }
    return Net(how, **parts)


def test_a_shortcut_is_shifted_to_the_finer_grid() -> None:
    graph = equal(residual(lambda net, y, body: y)).graph
    add = graph.node("add_1")
    assert add.inputs == ("grid", "sign") and op_of(graph, "add_1", Add).shifts == (0, 3)
    assert add.output.type is not None and add.output.type.point == 3
    finer = residual(lambda net, y, body: net.other(body), other=xnn.Grid(7, 5))
    result = equal(finer)
    assert op_of(result.graph, "add_1", Add).shifts == (2, 0)
    # both grids fold a chain of their own on the one sum
    assert [n.output.name for n in result.graph.users("body")] == ["grid", "other"]


def test_a_sum_without_scale_is_an_operand_as_it_is() -> None:
    graph = equal(residual(lambda net, y, body: body)).graph
    assert graph.node("add_1").inputs == ("grid", "body")
    error = refusal(residual(lambda net, y, body: net.other(y), other=conv(4, 4, padding=1, scale="channel")))
    assert error.module == "add_1" and "real-valued activations of other" in error.reason
    assert "xnn.Grid(bits, frac) behind other" in error.remedy


def test_an_add_that_float32_cannot_hold() -> None:
    net = residual(lambda net, y, body: net.wide(y), wide=xnn.Grid(24, 0))
    error = refusal(net)
    assert error.module == "add_1" and "float32 holds 24" in error.reason


def fire(*quants: nn.Module) -> Net:
    def how(net: Any, x: Tensor) -> Tensor:
        parts = [net.left(net.one(x)), net.right(net.three(x))]
        result: Tensor = net.last(torch.cat(parts, dim=1))
        return result

    one, three = conv(4, 2, 1, seed=1), conv(4, 3, padding=1, seed=2)
    return Net(how, one=one, three=three, left=quants[0], right=quants[1], last=conv(5, 2, 1))


def test_channels_are_joined() -> None:
    graph = equal(fire(xnn.QuantReLU(2, 1.5), xnn.QuantReLU(2, 2.0))).graph
    assert Concat in kinds(graph) and graph.node("cat_1").output.shape == (5, 5, 5)
    bases = [xnn.BasesActivation(2, 4) for _ in range(2)]
    assert Concat in kinds(equal(fire(*bases)).graph)


@pytest.mark.parametrize(
    "quants",
    [
        (xnn.QuantReLU(2, 1.5), xnn.QuantReLU(3, 1.5)),
        (xnn.Sign(), xnn.QuantReLU(1)),
        (xnn.Grid(8, 2), xnn.Grid(8, 3)),
        (xnn.BasesActivation(2, 4), xnn.BasesActivation(2, 5)),
    ],
)
def test_branches_of_several_types_are_not_joined(quants: tuple[nn.Module, nn.Module]) -> None:
    error = refusal(fire(*quants))
    assert error.module == "cat_1" and "same quantiser" in error.remedy


def test_real_branches_are_not_joined() -> None:
    error = refusal(fire(nn.ReLU(), nn.ReLU()))
    assert error.module == "cat_1" and "left (ReLU)" in error.reason and "QuantReLU" in error.remedy


# --- averages --------------------------------------------------------------------------------


def test_an_average_is_a_sum_and_its_division_part_of_the_chain() -> None:
    net = nn.Sequential(
        conv(4, 4, padding=1, seed=1),
        norm(),
        xnn.QuantReLU(3, 0.5),
        nn.AvgPool2d(3, 2, 1),
        norm(seed=5),
        xnn.Sign(),
        conv(4, 3, 1),
    )
    result = equal(net)
    assert kinds(result.graph) == [Product, Threshold, SumPool, Threshold, Product]
    assert result.tensors["3"].max() > 7


def test_scores_of_a_global_average() -> None:
    def how(net: Any, x: Tensor) -> Tensor:
        result: Tensor = net.scale(net.grid(net.conv(x)).mean((2, 3)))
        return result

    parts = {"conv": conv(4, 4, seed=1, scale="channel"), "grid": xnn.Grid(10, 5)}
    graph = equal(Net(how, **parts, scale=batch_norm([1.5, -2.0, 0.5, 1.0], rank=2))).graph
    assert graph.output == "mean_1" and isinstance(graph.node("mean_1").op, SumPool)
    step, average = graph.host[0], graph.host[1]
    assert isinstance(step, HostAffine) and isinstance(average, HostAffine)
    assert step.scale is not None and step.scale.tolist() == [2.0**-5]
    assert average.scale is not None and average.scale.tolist() == [np.float32(1) / np.float32(9)]


def test_an_average_of_real_values_is_refused() -> None:
    net = nn.Sequential(conv(4, 4, seed=1, scale="channel"), nn.AvgPool2d(1), xnn.Sign(), conv(4, 2, 1))
    error = refusal(net)
    assert error.module == "1" and "average of real values" in error.reason and "Grid" in error.remedy


def test_a_network_that_ends_in_codes() -> None:
    error = refusal(nn.Sequential(conv(4, 4, seed=1), norm(), xnn.QuantReLU(2)))
    assert error.module == "2" and "ends in signs or codes" in error.reason
    error = refusal(nn.Sequential(conv(4, 4, seed=1), norm(), xnn.QuantReLU(2), norm()))
    assert error.module == "3" and "codes of 2" in error.reason


# --- real activations ------------------------------------------------------------------------


def test_a_relu_between_binary_layers_names_calibrate() -> None:
    error = refusal(nn.Sequential(conv(4, 4, seed=1), nn.ReLU(), conv(4, 2, 1)))
    assert error.module == "2" and "1 (ReLU)" in error.reason
    assert "xnn.QuantReLU" in error.remedy and "xnorhw calibrate" in error.remedy


def test_a_relu_is_named_through_pools_and_flattens() -> None:
    chain = nn.Sequential(
        conv(4, 4, seed=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), xnn.BinaryLinear(4, 2)
    )
    error = refusal(chain)
    assert error.module == "4" and "1 (ReLU)" in error.reason
    assert "in the place of 1:" in error.remedy and "xnorhw calibrate" in error.remedy
    error = refusal(nn.Sequential(conv(4, 4, seed=1), nn.ReLU(), norm(), conv(4, 2, 1)))
    assert "2 (BatchNorm2d)" in error.reason and "calibrate" not in error.remedy


# --- features --------------------------------------------------------------------------------


def features(gamma: np.ndarray, *front: nn.Module, quant: nn.Module | None = None) -> nn.Sequential:
    size = len(gamma)
    rng = np.random.default_rng(8)
    one = batch_norm(gamma.tolist(), mean=rng.integers(-6, 6, size).tolist(), beta=0.3, rank=2)
    tail = xnn.BinaryLinear(size, 3)
    return nn.Sequential(conv(4, 4, seed=1), *front, nn.Flatten(), one, quant or xnn.Sign(), tail)


def test_thresholds_of_features_are_a_table_a_position() -> None:
    gamma = np.repeat([1.0, -2.0, 0.5, -1.0], 9)
    gamma[[3, 12]] = 0.0
    graph = equal(features(gamma)).graph
    assert kinds(graph) == [Product, Threshold, Product]
    op = op_of(graph, "3", Threshold)
    assert op.table.shape == (9, 4, 1) and op.direction.tolist() == [1, -1, 1, -1]
    assert len(np.unique(op.table[:, 0, 0])) > 3 and not op.constant.any()
    codes = equal(features(np.abs(gamma) + 0.5, quant=xnn.QuantReLU(2, 0.7))).graph
    assert op_of(codes, "3", Threshold).table.shape == (9, 4, 3)


def test_features_that_go_both_ways_have_a_direction_each() -> None:
    gamma = np.resize([1.0, -1.0], 36)
    graph = equal(features(gamma)).graph
    assert kinds(graph) == [Product, Threshold, Product]
    assert np.array_equal(op_of(graph, "3", Threshold).direction, gamma.reshape(4, 9).T)
    codes = equal(features(gamma, quant=xnn.QuantReLU(6, 0.1))).graph
    assert kinds(codes) == [Product, Requant, Product]
    assert op_of(codes, "3", Requant).multiplier.shape == (9, 4)


def test_a_pool_in_front_of_features_pools_the_sums() -> None:
    front = batch_norm([1.0, -1.0, 2.0, -2.0], mean=1.0), nn.MaxPool2d(2, 1)
    graph = equal(features(np.resize([1.0, -1.0], 16), *front)).graph
    assert kinds(graph) == [Product, MaxPool, Threshold, Product]
    pool = next(n.op for n in graph.nodes if isinstance(n.op, MaxPool))
    assert pool.minimum.tolist() == [False, True, False, True]


# --- bases and K -----------------------------------------------------------------------------


def test_bases_are_terms_and_planes() -> None:
    bases = xnn.BasesActivation(3, frac=4)
    with torch.no_grad():
        bases.betas.copy_(torch.tensor([1.0, 0.5, 0.25]))
        bases.shifts.copy_(torch.tensor([-0.5, 1.5, 0.5]))
    torch.manual_seed(2)
    layer = xnn.QuantConv2d(4, 3, 2, padding=1, weight=xnn.BasesWeight(2, 3))
    net = nn.Sequential(conv(4, 4, seed=1, scale="channel"), nn.MaxPool2d(2), norm(), bases, layer)
    graph = equal(net).graph
    op = op_of(graph, "4", Product)
    weight = layer.bases().coefficients.tolist()
    assert [(t.coefficient, t.plane) for t in op.terms] == [
        (c * beta, plane) for c in weight for plane, beta in enumerate((8, 4, 16))
    ]
    assert graph.node("3").output.type is not None
    assert graph.node("3").output.type.encoding is Encoding.THERMOMETER
    assert graph.node("4").output.type is not None and graph.node("4").output.type.point == 4


def test_bits_of_weights_are_planes_of_powers_of_two() -> None:
    torch.manual_seed(1)
    graph = equal(nn.Sequential(xnn.QuantConv2d(4, 3, 3, weight=xnn.DoReFaWeight(3)))).graph
    assert [t.coefficient for t in op_of(graph, "0", Product).terms] == [1, 2, 4]


def with_bases(*behind: nn.Module, beta: float = 0.5) -> nn.Sequential:
    bases = xnn.BasesActivation(2, frac=4)
    with torch.no_grad():
        bases.betas[0] = beta
    return nn.Sequential(conv(4, 4, seed=1), norm(), bases, *behind, conv(4, 2, 1))


def test_what_cannot_read_bases() -> None:
    error = refusal(with_bases(norm(), xnn.Sign()))
    assert error.module == "3" and "bases of 2" in error.reason
    error = refusal(with_bases(nn.AvgPool2d(2), xnn.Sign()))
    assert error.module == "3" and "bases of 2" in error.reason
    error = refusal(with_bases(nn.MaxPool2d(2), beta=-0.5))
    assert error.module == "3" and "negative beta" in error.reason
    equal(with_bases(beta=-0.5))
    # less than half a step: the beta is 0 in eval, and more ones are never less
    equal(with_bases(nn.MaxPool2d(2), beta=-0.01))
    equal(with_bases(nn.MaxPool2d(2, 1, padding=1)))


def test_pools_joins_and_flattens_of_bases() -> None:
    def how(net: Any, x: Tensor) -> Tensor:
        y = net.bases(net.norm(net.conv(x)))
        pooled = net.pool(y)
        result: Tensor = net.last(torch.cat([pooled, pooled], 1).flatten(1))
        return result

    bases = xnn.BasesActivation(3, frac=3)
    with torch.no_grad():
        bases.betas.copy_(torch.tensor([1.0, 0.25, 0.5]))
    parts = {"conv": conv(4, 4, seed=1), "norm": norm(), "pool": nn.MaxPool2d(2, 1)}
    result = equal(Net(how, **parts, bases=bases, last=xnn.BinaryLinear(32, 3)))
    assert kinds(result.graph) == [Product, Threshold, MaxPool, Concat, Product]
    assert set(np.unique(result.tensors["bases"])) == {0, 1, 2, 3}


def test_k_needs_a_grid() -> None:
    def net(*front: nn.Module) -> nn.Sequential:
        torch.manual_seed(3)
        return nn.Sequential(conv(4, 4, seed=1), norm(), *front, xnn.ScaledBinaryConv2d(4, 3, 3, padding=1))

    result = equal(net(xnn.Grid(9, 4)))
    assert [n.output.name for n in result.graph.nodes] == ["0", "2", "3:sign", "3:sums", "3:scale", "3"]
    assert (result.tensors["3"] == result.tensors["3:sums"] * result.tensors["3:scale"]).all()
    for front in ([], [xnn.Sign()], [xnn.QuantReLU(2)]):
        error = refusal(net(*front))
        assert error.module in ("2", "3") and "xnn.Grid" in error.remedy


def test_a_full_precision_layer_behind_a_global_average() -> None:
    """ResNet's end: codes, their mean, a linear layer on real values."""
    last = xnn.FullLinear(4, 3, frac=8, in_frac=10)
    with torch.no_grad():
        last.weight.copy_(torch.round(last.weight * 256) / 256)
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)
    net = nn.Sequential(conv(4, 4, seed=1), norm(), xnn.QuantReLU(6, 0.1), *pool)
    graph = equal(net).graph
    assert graph.output == "3" and [type(op).__name__ for op in graph.host] == ["HostAffine", "HostFull"]
