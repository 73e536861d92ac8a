"""What a batch norm behind a flatten makes of a map: a threshold, and a direction, for every position."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.lower.lowering import BIPOLAR_MAP, batch_norm, conv, equal
from xnorhw import nn as xnn
from xnorhw.ir.float_graph import Input
from xnorhw.ir.int_graph import (
    Add,
    Concat,
    IntGraph,
    Lookup,
    MaxPool,
    Product,
    Requant,
    Reshape,
    SumPool,
    Threshold,
)

CODES = Input((4, 5, 5), bits=3, signed=True)


def kinds(graph: IntGraph) -> list[type]:
    return [type(node.op) for node in graph.nodes]


def thresholds(graph: IntGraph) -> Threshold:
    """The one threshold of ``graph``."""
    (found,) = (node.op for node in graph.nodes if isinstance(node.op, Threshold))
    return found


def norm(size: int, seed: int, spread: int) -> nn.BatchNorm1d:
    """Gammas of both signs and a few zeros, means that sums hit exactly: ties are certain."""
    rng = np.random.default_rng(seed)
    gamma = rng.choice([-2.0, -0.5, 0.0, 0.25, 1.0], size, p=[0.3, 0.15, 0.1, 0.15, 0.3])
    gamma[:2] = 1.0, -1.0
    mean = rng.integers(-spread, spread + 1, size)
    beta = np.where(rng.random(size) < 0.7, 0.0, rng.integers(-2, 3, size) / 4)
    made = batch_norm(gamma.tolist(), mean=mean.tolist(), beta=beta.tolist(), rank=2)
    assert isinstance(made, nn.BatchNorm1d)
    return made


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 1 << 16),
    channels=st.integers(2, 5),
    pool=st.sampled_from([None, (2, 2), (2, 1), (3, 2)]),
    front=st.booleans(),
    bits=st.sampled_from([0, 1, 2, 3]),
)
def test_thresholds_of_positions_are_the_modules(
    seed: int, channels: int, pool: tuple[int, int] | None, front: bool, bits: int
) -> None:
    """Directions differ inside of every channel of several positions; a pool stays on the sums."""
    rng = np.random.default_rng(seed)
    layers: list[nn.Module] = [conv(4, channels, 2, seed=seed)]
    if front:
        gamma = rng.choice([-1.0, 0.0, 1.0, 2.0], channels)
        gamma[0] = -1.0 if seed % 2 else 2.0
        layers.append(batch_norm(gamma.tolist(), mean=rng.integers(-3, 4, channels).tolist()))
    side = 4
    if pool is not None:
        layers.append(nn.MaxPool2d(*pool))
        side = (side - pool[0]) // pool[1] + 1
    size = channels * side * side
    quant: nn.Module = xnn.QuantReLU(bits, 0.5) if bits else xnn.Sign()
    layers += [nn.Flatten(), norm(size, seed, 4), quant, xnn.BinaryLinear(size, 3)]
    made = equal(nn.Sequential(*layers), BIPOLAR_MAP, 8)
    middle = [MaxPool] if pool is not None else []
    # a vector has channels alone, and no position to tell apart
    flat = [Reshape] if Reshape in kinds(made.graph) else []
    assert kinds(made.graph) == [Product, *middle, Threshold, *flat, Product] or side == 1
    op = thresholds(made.graph)
    assert op.table.shape[0] == side * side and (op.mixed or side == 1)


def test_ties_fall_on_the_right_side_of_every_position() -> None:
    """The sum equals the mean of its position in both directions: +-1 where the module says so."""
    size = 4 * 9
    gamma = np.resize([1.0, -1.0, 0.0], size).tolist()
    net = nn.Sequential(
        conv(4, 4, seed=1),
        nn.Flatten(),
        batch_norm(gamma, mean=2.0, rank=2),
        xnn.Sign(),
        xnn.BinaryLinear(size, 3),
    )
    made = equal(net, BIPOLAR_MAP, 64)
    op = thresholds(made.graph)
    assert op.mixed and set(np.unique(op.directions)) == {-1, 1}
    assert not op.constant.any()
    sums = made.tensors["0"].reshape(64, -1)
    signs = made.tensors["3"].reshape(64, -1)
    for way in (1.0, -1.0, 0.0):
        tied = (sums == 2) & (np.array(gamma) == way)
        assert tied.any() and (signs[tied] == 1).all()


def test_positions_that_agree_keep_one_direction_a_channel() -> None:
    """Only the channels that need it have a direction for every position, and then the table has all."""
    gamma = np.repeat([1.0, -1.0, 0.5, -0.5], 9)
    uniform = nn.Sequential(
        conv(4, 4, seed=1),
        nn.Flatten(),
        batch_norm(gamma.tolist(), mean=1.0, rank=2),
        xnn.Sign(),
        xnn.BinaryLinear(36, 3),
    )
    assert thresholds(equal(uniform).graph).direction.tolist() == [1, -1, 1, -1]
    gamma[4] = -1.0
    with torch.no_grad():
        uniform[2].weight.copy_(torch.from_numpy(gamma))
    op = thresholds(equal(uniform).graph)
    assert op.direction.shape == (9, 4)
    assert op.direction[:, 0].tolist() == [1, 1, 1, 1, -1, 1, 1, 1, 1]
    assert (op.direction[:, 1:] == [-1, 1, -1]).all()


class Residual(nn.Module):
    """A sum on a grid, flattened, normalised by position, quantised."""

    def __init__(self, quant: nn.Module, normalised: bool, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv(4, 4, 3, seed=3, padding=1)
        self.grid, self.other = xnn.Grid(8, 2), xnn.Grid(7, 1)
        self.pool = pool or nn.Identity()
        size = 4 * (25 if pool is None else 4)
        self.flat = nn.Flatten()
        self.norm = norm(size, 5, 6) if normalised else nn.Identity()
        self.quant, self.last = quant, xnn.BinaryLinear(size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pool(self.grid(self.conv(x)) + self.other(x))
        return self.last(self.quant(self.norm(self.flat(y))))


def test_sums_are_quantised_in_front_of_the_flatten() -> None:
    for quant in (xnn.Sign(), xnn.QuantReLU(3, 0.5)):
        by_position = equal(Residual(quant, normalised=True), CODES).graph
        assert Reshape not in kinds(by_position) and Add in kinds(by_position)
        assert thresholds(by_position).mixed and thresholds(by_position).table.shape[0] == 25
        by_channel = equal(Residual(quant, normalised=False), CODES).graph
        assert Reshape not in kinds(by_channel) and thresholds(by_channel).table.shape[0] == 1
    pooled = equal(Residual(xnn.Sign(), True, nn.MaxPool2d(2)), CODES).graph
    assert kinds(pooled)[-4:] == [Add, MaxPool, Threshold, Product]


def test_averages_and_numbers_are_quantised_in_front_of_the_flatten() -> None:
    averaged = nn.Sequential(
        xnn.Sign(),
        conv(4, 4, seed=1),
        nn.BatchNorm2d(4),
        xnn.Sign(),
        nn.AvgPool2d(2, 1),
        nn.Flatten(),
        norm(16, 3, 1),
        xnn.Sign(),
        xnn.BinaryLinear(16, 3),
    )
    graph = equal(averaged, CODES).graph
    assert kinds(graph)[-3:] == [SumPool, Threshold, Product]
    numbers = nn.Sequential(
        conv(4, 4, seed=1),
        xnn.Grid(6, 0),
        nn.Flatten(),
        norm(36, 3, 6),
        xnn.QuantReLU(2, 1.0),
        xnn.BinaryLinear(36, 3),
    )
    assert kinds(equal(numbers, CODES).graph) == [Product, Requant, Threshold, Product]
    codes = nn.Sequential(
        conv(4, 4, seed=1),
        xnn.QuantReLU(3, 2.0),
        nn.Flatten(),
        norm(36, 3, 3),
        xnn.Sign(),
        xnn.BinaryLinear(36, 3),
    )
    assert kinds(equal(codes, CODES).graph) == [Product, Threshold, Threshold, Product]


def test_numbers_are_flattened_by_the_layer_that_reads_them() -> None:
    net = nn.Sequential(conv(4, 4, seed=1), xnn.Grid(6, 1), nn.Flatten(), xnn.BinaryLinear(36, 3))
    graph = equal(net, CODES).graph
    assert kinds(graph) == [Product, Requant, Product]
    assert graph.nodes[-1].op.geometry.kernel == (3, 3)  # type: ignore[union-attr]


class Twice(nn.Module):
    """A flatten that a layer reads, and a quantiser."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.grid = conv(4, 4, seed=1), xnn.Grid(6, 0)
        self.norm, self.sign = norm(36, 3, 6), xnn.Sign()
        self.left, self.right = xnn.BinaryLinear(36, 5), xnn.BinaryLinear(36, 5)
        self.a, self.b = xnn.Sign(), xnn.Sign()
        self.last = xnn.BinaryLinear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = self.grid(self.conv(x)).flatten(1)
        left = self.a(self.left(flat))
        right = self.b(self.right(self.sign(self.norm(flat))))
        return self.last(torch.cat([left, right], 1))


def test_every_reader_of_a_flatten_is_served() -> None:
    graph = equal(Twice(), CODES).graph
    assert Reshape not in kinds(graph) and Concat in kinds(graph)


def test_more_levels_than_a_table_are_a_multiplication_for_each_position() -> None:
    """Directions are the multipliers' own signs; a pool and a sum in front stay as they are."""
    quant = xnn.QuantReLU(6, 0.25)
    graph = equal(Residual(quant, normalised=True), CODES).graph
    assert kinds(graph)[-2:] == [Requant, Product]
    op = graph.nodes[-2].op
    assert isinstance(op, Requant) and op.multiplier.shape == op.addend.shape == (25, 4)
    # inside of a channel
    assert ((op.multiplier < 0).any(axis=0) & (op.multiplier > 0).any(axis=0)).all()
    pooled = equal(Residual(quant, True, nn.MaxPool2d(2)), CODES).graph
    assert kinds(pooled)[-3:] == [MaxPool, Requant, Product]
    (op,) = (node.op for node in pooled.nodes[-2:] if isinstance(node.op, Requant))
    assert op.positions == 4


def test_a_table_for_each_feature_stays_behind_the_flatten() -> None:
    """A ReLU in front of the norm cuts each feature elsewhere: no multiplication has these codes."""
    net = nn.Sequential(
        conv(4, 4, seed=1),
        xnn.Grid(8, 0),
        nn.Flatten(),
        nn.ReLU(),
        norm(36, 3, 6),
        xnn.QuantReLU(6, 0.25),
        xnn.BinaryLinear(36, 3),
    )
    graph = equal(net, CODES).graph
    assert kinds(graph)[:4] == [Product, Requant, Reshape, Lookup]
    # the flatten has its own name, and torch's tensor of it is compared
    assert graph.nodes[2].output.name == "2"
