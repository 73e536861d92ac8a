"""Each rewrite by itself: what it makes of a graph, and that the result still computes the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.lower.lowering import BIPOLAR_MAP, batch_norm, conv, equal, lowered
from xnorhw import nn as xnn
from xnorhw.frontends import TorchEvaluator
from xnorhw.frontends.trace import trace
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import (
    HostAffine,
    HostBatchNorm,
    HostClamp,
    IntGraph,
    Lookup,
    MaxPool,
    Product,
    Real,
    Reshape,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR
from xnorhw.lower.context import Context
from xnorhw.lower.flatten import absorb_reshapes
from xnorhw.lower.lookup import fold_lookups
from xnorhw.lower.start import start
from xnorhw.lower.tail import move_tail_to_host
from xnorhw.lower.threshold import fold_thresholds


def started(net: nn.Module, declared: Input = BIPOLAR_MAP) -> tuple[Context, IntGraph]:
    graph = trace(net.eval(), declared)
    context = Context(graph, TorchEvaluator(graph))
    return context, start(context)


def kinds(graph: IntGraph) -> list[type]:
    return [type(n.op) for n in graph.nodes]


def threshold_of(graph: IntGraph, name: str) -> Threshold:
    op = graph.node(name).op
    assert isinstance(op, Threshold)
    return op


def two_layers(*between: nn.Module, channels: int = 4) -> nn.Sequential:
    return nn.Sequential(conv(4, channels, seed=1), *between, nn.Flatten(), xnn.BinaryLinear(9 * channels, 3))


def test_start_splits_products_and_keeps_the_rest_real() -> None:
    _, graph = started(two_layers(batch_norm([1.0] * 4), xnn.Sign()))
    assert kinds(graph) == [Product, Real, Real, Real, Reshape, Product, Real]
    names = [n.output.name for n in graph.nodes]
    assert names == ["0", "0:out", "1", "2", "3", "4", "4:out"]
    assert graph.tensor("2").type == BIPOLAR and graph.tensor("1").type is None
    sums = graph.tensor("0").type
    assert sums is not None and sums.min <= -36 and sums.max >= 36


def test_thresholds_replace_the_chain_up_to_the_sign() -> None:
    context, graph = started(two_layers(nn.ReLU(), batch_norm([1.0] * 4, mean=2.0), xnn.Sign()))
    folded = fold_thresholds(context, graph)
    assert kinds(folded) == [Product, Threshold, Reshape, Product, Real]
    op = threshold_of(folded, "3")
    assert op.table[0, :, 0].tolist() == [2, 2, 2, 2]
    assert op.direction.tolist() == [1, 1, 1, 1] and not op.constant.any() and not op.strict.any()


def test_other_rewrites_leave_a_graph_without_their_pattern_alone() -> None:
    context, graph = started(nn.Sequential(conv(4, 3, seed=1)))
    assert fold_lookups(context, graph) is graph
    assert kinds(fold_thresholds(context, graph)) == kinds(graph)
    assert kinds(absorb_reshapes(context, graph)) == kinds(graph)


@pytest.mark.parametrize("gamma", [2.0, 1.0, 0.25, -0.25, -1.0, -4.0])
@pytest.mark.parametrize("mean", [-3.0, 0.0, 2.0])
def test_ties_decide_for_plus_one(gamma: float, mean: float) -> None:
    """A sum exactly at the mean gives 0, whose sign is +1: >= where gamma > 0, <= where it is < 0."""
    graph = lowered(two_layers(batch_norm([gamma] * 4, mean=mean), xnn.Sign()))
    op = threshold_of(graph, "2")
    assert op.table[0, :, 0].tolist() == [int(mean)] * 4
    assert op.direction.tolist() == [1 if gamma > 0 else -1] * 4
    assert graph.rounding_dependent == ()


def test_constants_are_planned() -> None:
    norm = batch_norm([0.0, 0.0, 1.0, -1.0], beta=[-0.5, 0.0, 100.0, -100.0])
    op = threshold_of(lowered(two_layers(norm, xnn.Sign())), "2")
    assert op.constant.tolist() == [True] * 4
    held = equal(two_layers(norm, xnn.Sign())).tensors["2"]
    assert [set(np.unique(held[:, c])) for c in range(4)] == [{-1}, {1}, {1}, {-1}]


def test_tiny_gamma_is_no_constant() -> None:
    norm = batch_norm([2.0**-40, -(2.0**-60), 2.0**-20, 1.0], mean=1.0)
    op = threshold_of(lowered(two_layers(norm, xnn.Sign())), "2")
    assert op.direction.tolist() == [1, -1, 1, 1] and not op.constant.any()
    assert op.table[0, :, 0].tolist() == [1, 1, 1, 1]


def test_a_pool_is_minimum_where_the_part_behind_it_falls() -> None:
    signs = [1.0, -1.0, 2.0, -2.0]
    pool = nn.MaxPool2d(2)

    def net(*chain: nn.Module) -> nn.Sequential:
        return nn.Sequential(conv(4, 4, padding=1, seed=2), *chain, nn.Flatten(), xnn.BinaryLinear(16, 3))

    orders = {
        "pool, norm": (net(pool, batch_norm(signs), xnn.Sign()), [False, True, False, True]),
        "norm, pool": (net(batch_norm(signs), pool, xnn.Sign()), [False] * 4),
        "norm, sign, pool": (net(batch_norm(signs), xnn.Sign(), pool), [False] * 4),
        "norm, pool, norm": (
            net(batch_norm([-1.0, -1.0, 1.0, 1.0], mean=2.0), pool, batch_norm(signs), xnn.Sign()),
            [False, True, False, True],
        ),
    }
    for order, (module, minimum) in orders.items():
        graph = equal(module).graph
        pools = [n.op for n in graph.nodes if isinstance(n.op, MaxPool)]
        assert len(pools) == 1, order
        assert pools[0].minimum.tolist() == minimum, order


def test_lookups_swallow_what_stands_in_front_of_the_first_sign() -> None:
    quant = xnn.InputQuant(mean=0.5, std=0.25, bits=6)
    # falling, and not monotone behind the ReLU's fold: a table does not mind
    net = nn.Sequential(
        quant, nn.ReLU(), batch_norm([-1.0, 1.0], mean=4.0), xnn.Sign(), conv(2, 3, seed=3), nn.Flatten()
    )
    result = equal(net, Input((2, 4, 4)))
    assert kinds(result.graph) == [Lookup, Product]
    op = result.graph.nodes[0].op
    assert isinstance(op, Lookup) and op.table.shape == (2, 256)
    codes = quant(torch.arange(256.0).reshape(1, 1, 1, 256)).flatten().numpy()
    assert op.table[0].tolist() == np.where(np.maximum(codes, 0) <= 4, 1, -1).tolist()
    assert op.table[1].tolist() == np.where(np.maximum(codes, 0) >= 4, 1, -1).tolist()


def test_a_flatten_becomes_a_kernel_of_the_whole_map() -> None:
    net = nn.Sequential(
        conv(4, 3, seed=4),
        xnn.Sign(),
        nn.Flatten(),
        xnn.BinaryLinear(27, 5),
        xnn.Sign(),
        xnn.BinaryLinear(5, 2),
    )
    graph = equal(net).graph
    assert kinds(graph) == [Product, Threshold, Product, Threshold, Product]
    first, second = graph.node("3").op, graph.node("5").op
    assert isinstance(first, Product) and isinstance(second, Product)
    assert first.geometry.kernel == (3, 3) and first.terms[0].weight.shape == (5, 3, 3, 3)
    assert second.geometry.kernel == (1, 1) and second.terms[0].weight.shape == (2, 5, 1, 1)


def test_a_sign_behind_the_flatten_keeps_its_name() -> None:
    """Its bits are observed on the chip as a map, and compared with torch under the sign's name."""
    net = nn.Sequential(
        conv(4, 3, seed=4), batch_norm([1.0, -1.0, 1.0]), nn.Flatten(), xnn.Sign(), xnn.BinaryLinear(27, 5)
    )
    graph = equal(net).graph
    assert [n.output.name for n in graph.nodes] == ["0", "3", "4"]
    assert graph.tensor("3").shape == (3, 3, 3)


def test_the_tail_runs_on_the_host() -> None:
    net = nn.Sequential(
        conv(4, 3, seed=5, bias=True, scale="channel", in_scale=0.5),
        batch_norm([1.5, -0.7, 0.0], mean=0.3, beta=0.1, var=2.0, eps=1e-5),
        nn.Hardtanh(-2.0, 3.0),
        nn.ReLU(),
        nn.Flatten(),
    )
    context, graph = started(net)
    moved = move_tail_to_host(context, graph)
    assert kinds(moved) == [Product] and moved.output == "0"
    assert [type(op) for op in moved.host] == [HostAffine, HostBatchNorm, HostClamp, HostClamp]
    affine, norm = moved.host[:2]
    assert isinstance(affine, HostAffine) and affine.scale is not None and affine.bias is not None
    assert np.array_equal(affine.bias, net[0].bias.detach().numpy())
    assert isinstance(norm, HostBatchNorm) and norm.shift is not None
    assert np.array_equal(norm.shift, norm.a * np.float32(0.3))
    assert equal(net).scores.shape == (16, 27)


@pytest.mark.parametrize("scale", [1.0, 0.125, 8.0])
def test_an_input_of_scaled_codes(scale: float) -> None:
    """Sums are integers of codes; the scale, a power of two, is multiplied in behind them."""
    declared = Input((4, 5, 5), bits=5, signed=True, scale=scale)
    net = two_layers(batch_norm([1.0, -1.0, 0.5, -2.0], mean=3.0 * scale), xnn.Sign())
    result = equal(net, declared)
    op = threshold_of(result.graph, "2")
    assert op.table[0, :, 0].tolist() == [3, 3, 3, 3]
    assert op.direction.tolist() == [1, -1, 1, -1]
    alone = equal(nn.Sequential(conv(4, 3, seed=6, bias=True)), declared)
    assert alone.tensors["0"].dtype == np.int64


def test_pools_and_flattens_on_scaled_codes() -> None:
    declared = Input((2, 4, 4), bits=4, signed=True, scale=0.25)
    net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), xnn.BinaryLinear(8, 3))
    assert kinds(equal(net, declared).graph) == [MaxPool, Product]
