"""What a build that approximates makes of full-precision weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xnorhw import golden
from xnorhw import nn as xnn
from xnorhw.check.torch_link import check_torch
from xnorhw.frontends import TorchEvaluator, snap
from xnorhw.frontends.prove import random_inputs
from xnorhw.frontends.rounding import approximated, changed
from xnorhw.frontends.trace import trace
from xnorhw.golden.codes import codes_of
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatGraph, FullConv2d, FullLinear, Input
from xnorhw.ir.grid import off_grid, round_to_grid
from xnorhw.lower import lower

DECLARED = Input((3, 8, 8), bits=8, signed=True)


def network(size: float = 1.0, frac: int = 8) -> nn.Module:
    torch.manual_seed(0)
    first = xnn.FullConv2d(3, 16, 3, frac=10, in_scale=2.0**-7)
    with torch.no_grad():
        first.weight.mul_(size)
    middle = (nn.BatchNorm2d(16), xnn.Sign(), xnn.BinaryConv2d(16, 16, 3), nn.BatchNorm2d(16), xnn.Sign())
    last = xnn.FullLinear(256, 4, frac=frac)
    return nn.Sequential(first, *middle, nn.Flatten(), last).eval()


def layers(graph: FloatGraph) -> list[FullConv2d | FullLinear]:
    return [node.op for node in graph.nodes if isinstance(node.op, FullConv2d | FullLinear)]


@pytest.mark.parametrize("size", [2.0**-12, 2.0**-6, 1.0, 100.0])
def test_weights_take_31_bits_and_16_in_front_of_the_class(size: float) -> None:
    graph = trace(network(size), DECLARED)
    made = approximated(graph)
    assert off_grid(made) == () and len(layers(made)) == 2
    assert changed(graph, made) == ("0", "7")
    for before, after, bits in zip(layers(graph), layers(made), (31, 16), strict=True):
        steps = after.weight.astype(np.float64) * 2.0**after.frac
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(steps).max() < 2.0 ** (bits - 1) and after.frac <= 40
        assert np.abs(steps).max() >= 2.0 ** (bits - 2) or after.frac == 40
        assert np.abs(after.weight - before.weight).max() <= 2.0 ** -(after.frac + 1)
    assert layers(made)[0].frac == {2.0**-12: 40, 2.0**-6: 38, 1.0: 32, 100.0: 25}[size]


def test_sums_stay_exact_in_float64() -> None:
    """As many taps and as wide an input as leave no room for 31 bits."""
    first = xnn.FullConv2d(2048, 2, 7, frac=4)
    torch.manual_seed(1)
    nn.init.uniform_(first.weight, -1, 1)
    net = nn.Sequential(first, xnn.Sign(), nn.Flatten(), xnn.BinaryLinear(2, 2)).eval()
    graph = approximated(trace(net, Input((2048, 7, 7), bits=8)))
    op = layers(graph)[0]
    reach = 255 * np.abs(op.weight.astype(np.float64) * 2.0**op.frac).sum(axis=(1, 2, 3)).max()
    assert 2.0**51 <= reach < 2.0**52 and op.frac < 30
    lower(graph, TorchEvaluator(graph))


def test_what_is_finer_or_on_its_grid_stays() -> None:
    finer = approximated(trace(network(frac=24), DECLARED))
    assert [op.frac for op in layers(finer)] == [32, 24]
    exact = trace(snap(network()), DECLARED)
    assert approximated(exact) is exact and changed(exact, exact) == ()


def test_one_layer_alone() -> None:
    net = network()
    last = net[7]
    assert isinstance(last, xnn.FullLinear)
    with torch.no_grad():
        last.weight.copy_(torch.round(last.weight * 256) / 256)
    graph = trace(net, DECLARED)
    assert changed(graph, approximated(graph)) == ("0",)


def test_it_is_lowered_and_equals_its_own_torch() -> None:
    graph = approximated(trace(network(), DECLARED))
    evaluator = TorchEvaluator(graph)
    integers = lower(graph, evaluator)
    codes = codes_of(integers, random_inputs(DECLARED, 32))
    link = check_torch(integers, evaluator, codes, golden.run(integers, codes))
    assert link.comparison.mismatches == 0, link.comparison.first


def test_fewer_signs_change_than_on_the_layers_own_grid() -> None:
    graph = trace(network(), DECLARED)
    x = random_inputs(DECLARED, 400)
    before, own, fine = (
        TorchEvaluator(g).trace(x)["2"] for g in (graph, round_to_grid(graph), approximated(graph))
    )
    assert (own != before).mean() > 0.0003
    assert (fine == before).all()


def wide(bits: int, relu: bool) -> nn.Module:
    """Sums of 64 channels of 8 bits under a kernel of 5x5, far beyond a table's 16 bits."""
    torch.manual_seed(3)
    front = xnn.BinaryConv2d(64, 4, 5, scale="channel", in_scale=2.0**-7)
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7, -1.3, 0.9, 1.9]))
        assert norm.running_var is not None
        norm.running_var.fill_(3.1)
    middle = [nn.ReLU()] if relu else []
    behind = (nn.MaxPool2d(2), xnn.Grid(bits, 6), nn.Flatten(), xnn.FullLinear(16, 3, frac=8))
    return nn.Sequential(front, norm, *middle, *behind).eval()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bits", [10, 12])
def test_norms_become_exact_where_nothing_else_is(bits: int, relu: bool) -> None:
    declared = Input((64, 8, 8), bits=8, signed=True)
    graph = trace(wide(bits, relu), declared)
    made, alone = approximated(graph), round_to_grid(graph)
    last = graph.nodes[-1].output.name
    if relu and bits == 10:
        assert changed(graph, made) == (last,)
    else:
        with pytest.raises(ModelError, match="xnorhw.snap"):
            lower(alone, TorchEvaluator(alone))
        assert changed(graph, made) == ("0", "1", last) and approximated(made) is made
    evaluator = TorchEvaluator(made)
    integers = lower(made, evaluator)
    codes = codes_of(integers, random_inputs(declared, 8))
    assert check_torch(integers, evaluator, codes, golden.run(integers, codes)).comparison.mismatches == 0
    x = random_inputs(declared, 64)
    grid = graph.nodes[-3].output.name
    before, after = (TorchEvaluator(g).trace(x)[grid] for g in (graph, made))
    assert (before != after).mean() < 1e-3 and np.abs(before).max() > 30 * 2.0**-6


def test_norms_that_a_table_takes_stay() -> None:
    """4 channels of +-1: the table of 73 sums is the module's own."""
    front = xnn.BinaryConv2d(4, 4, 3), nn.BatchNorm2d(4), xnn.Grid(12, 6)
    net = nn.Sequential(*front, nn.Flatten(), xnn.FullLinear(36, 2, frac=8)).eval()
    graph = trace(net, Input((4, 5, 5), encoding="bipolar"))
    assert changed(graph, approximated(graph)) == ("4",)


def test_without_weights_off_their_grid_nothing_changes() -> None:
    net = wide(12, False)
    last = net[-1]
    assert isinstance(last, xnn.FullLinear)
    with torch.no_grad():
        last.weight.copy_(torch.round(last.weight * 256) / 256)
    graph = trace(net, Input((64, 8, 8), bits=8, signed=True))
    assert approximated(graph) is graph
