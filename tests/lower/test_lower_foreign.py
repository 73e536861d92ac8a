"""Thresholds and constants of other projects: torch equals golden on every tensor, and what reads them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.lower.lowering import equal, lowered
from xnorhw import nn as xnn
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input, MultiThreshold
from xnorhw.ir.int_graph import HostAffine, Lookup, Requant, Threshold
from xnorhw.ir.types import BIPOLAR, Encoding, code
from xnorhw.nn.foreign import Affine, Step, StepNet, sign_at_zero
from xnorhw.nn.foreign import MultiThreshold as Counted

SIGNS = Input((3, 6, 6), encoding="bipolar")


def norm() -> nn.Module:
    made = nn.BatchNorm2d(4)
    rng = np.random.default_rng(4)
    with torch.no_grad():
        for values, drawn in ((made.weight, rng.normal(0, 1, 4)), (made.bias, rng.normal(0, 0.5, 4)),
                              (made.running_mean, rng.normal(0, 3, 4))):  # fmt: skip
            assert values is not None
            values.copy_(torch.from_numpy(drawn))
    return made


def net(quantiser: nn.Module, *behind: nn.Module, features: int = 4) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        xnn.BinaryConv2d(3, 4, 3), norm(), quantiser, *behind, nn.Flatten(),
        xnn.BinaryLinear(features * 16, 3),
    ).eval()  # fmt: skip


def levels(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0, 2, (4, count)).astype(np.float32)


@pytest.mark.parametrize(("count", "bias", "kind"), [
    (1, -1.0, "bipolar"), (3, 0.0, "code:u2"), (2, -1.0, "thermometer:u2"), (6, -3.0, "thermometer:u6"),
    (3, -2.0, "code:s2"), (40, -20.0, "code:s6"), (200, 0.0, "code:u8"), (5, 2.0, "code:u3"),
])  # fmt: skip
def test_thresholds_of_every_kind(count: int, bias: float, kind: str) -> None:
    module = Counted(levels(count), 2.0 if kind == "bipolar" else 1.0, bias)
    made = equal(net(module), SIGNS)
    found = made.graph.tensor("2").type
    assert found is not None and str(found).startswith(kind)


def test_types_of_thresholds() -> None:
    table = np.zeros((1, 1), np.float32)
    assert MultiThreshold(table, 2.0, -1.0).type == BIPOLAR
    assert MultiThreshold(table, 1.0, 0.0).type == code(1, False)
    three = np.zeros((1, 3), np.float32)
    assert MultiThreshold(three, 1.0, -2.0).type == code(2, True)
    assert MultiThreshold(three, 2.0, -3.0).type == code(3, True)
    assert not MultiThreshold(three, 0.5, 0.0).whole and not MultiThreshold(three, 1.0, 0.25).whole
    betas = MultiThreshold(np.zeros((1, 2), np.float32), 1.0, -1.0).bases
    assert betas is not None and betas[0].tolist() == [1, 1] and betas[1] == 1
    assert MultiThreshold(np.zeros((1, 9), np.float32), 2.0, -9.0).bases is None


@pytest.mark.parametrize("zero", [-1, 0])
def test_signs_that_are_others_at_zero(zero: int) -> None:
    # means on whole sums: 0 is reached
    torch.manual_seed(0)
    conv, last = xnn.BinaryConv2d(3, 4, 3), xnn.BinaryLinear(64, 3)
    shift = Affine(None, [1.0, -1.0, 3.0, -3.0])
    modules = nn.Sequential(conv, shift, sign_at_zero(zero), nn.Flatten(), last).eval()
    equal(modules, SIGNS)
    x = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (64, 3, 6, 6)).astype(np.float32))
    summed = shift(conv(x))
    assert bool((summed == 0).any())
    ours = nn.Sequential(conv, shift, xnn.Sign()).eval()(x)
    assert not torch.equal(ours, sign_at_zero(zero)(summed))


def test_bases_are_for_layers_alone() -> None:
    # a pool and a flatten between keep bases; a sum takes the integers
    pooled = equal(net(Counted(levels(2), 1.0, -1.0), nn.MaxPool2d(2), features=1), SIGNS)
    assert pooled.graph.tensor("2").type is not None
    assert pooled.graph.tensor("2").type.encoding is Encoding.THERMOMETER
    averaged = equal(net(Counted(levels(2), 1.0, -1.0), nn.AvgPool2d(2), xnn.Sign(), features=1), SIGNS)
    assert str(averaged.graph.tensor("2").type) == "code:s2"


def test_constants_join_the_threshold() -> None:
    between = (Affine([0.3, -0.7, 1.0, 2.0], [0.1, 0.2, -0.3, 0.4]), Affine([3.0], divide=True), xnn.Sign())
    torch.manual_seed(1)
    made = equal(
        nn.Sequential(
            xnn.BinaryConv2d(3, 4, 3), *between, nn.Flatten(), xnn.BinaryLinear(64, 3)
        ).eval(),
        SIGNS,
    )  # fmt: skip
    directions = [n.op.direction.tolist() for n in made.graph.nodes if isinstance(n.op, Threshold)]
    assert directions == [[1, -1, 1, 1]]


def test_constants_behind_the_last_sum_are_the_hosts() -> None:
    torch.manual_seed(1)
    tail = (Affine([3.0, -0.7, 1.5], [0.1, 0.2, 0.3]), Affine([0.5], divide=True))
    made = equal(nn.Sequential(xnn.BinaryConv2d(3, 4, 3), xnn.Sign(), nn.Flatten(),
                                 xnn.BinaryLinear(64, 3), *tail).eval(), SIGNS)  # fmt: skip
    scales = [
        op.scale.tolist() for op in made.graph.host if isinstance(op, HostAffine) and op.scale is not None
    ]
    assert scales[-2:] == [np.array([3.0, -0.7, 1.5], np.float32).tolist(), [2.0]]


def test_constants_and_thresholds_in_front_are_a_table() -> None:
    torch.manual_seed(1)
    front = (Affine([255.0], divide=True), Affine([2.0], [-1.0]), Counted([[-0.5, 0.0, 0.5]], 1.0, -2.0))
    made = equal(nn.Sequential(*front, xnn.BinaryConv2d(1, 4, 3), xnn.Sign(), nn.Flatten(),
                                 xnn.BinaryLinear(64, 3)).eval(), Input((1, 6, 6)))  # fmt: skip
    assert isinstance(made.graph.nodes[0].op, Lookup)


def test_eight_bits_are_one_multiplication_or_a_table() -> None:
    table = (np.arange(-127, 128) / 8 + 0.001)[None].astype(np.float32)
    made = equal(net(Counted(table, 1.0, -128.0)), SIGNS)
    assert any(isinstance(n.op, Requant | Lookup) for n in made.graph.nodes)


def test_thresholds_that_make_no_integers_are_refused() -> None:
    with pytest.raises(ModelError, match="no whole numbers.*in_scale"):
        lowered(net(Counted(levels(3), 0.5, 0.0)), SIGNS)


def test_a_network_of_steps() -> None:
    modules = {"a": nn.ReLU(), "b.0": nn.Identity(), "b.1": nn.ReLU()}
    steps = [Step("a", ("input",)), Step("b.0", ("a",)), Step("sum", ("a", "b.0"), torch.add),
             Step("b.1", ("sum",))]  # fmt: skip
    made = StepNet(modules, steps, "b.1")
    assert made(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 4.0]
    with pytest.raises(ValueError, match="is taken"):
        StepNet({"x.y": nn.ReLU(), "x": nn.ReLU()}, [], "x")
