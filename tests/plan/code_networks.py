"""Integer graphs with codes of several bits, weighted terms, planes and average pools, for the chip.

Levels are sums that occur, so that codes spread and ties are the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    IntGraph,
    IntNode,
    IntOp,
    MaxPool,
    Product,
    Requant,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, type_for_range

__all__ = [
    "SAME",
    "Average",
    "Conv",
    "Dense",
    "Layer",
    "Levels",
    "Maker",
    "Max",
    "Multiply",
    "Values",
    "draw",
    "network",
]

Values = npt.NDArray[np.int64]
SAME = Pads(1, 1, 1, 1)


@dataclass(frozen=True)
class Levels:
    """Codes of ``bits`` bits by thresholds; "sign" makes +-1, "thermometer" ``bits`` ones at most.

    ``mixed``: positions differ in direction as well.
    """

    bits: int = 2
    kind: str = "code"
    by_position: bool = False
    strict: bool = False
    mixed: bool = False

    @property
    def type(self) -> IntType:
        if self.kind == "sign":
            return BIPOLAR
        if self.kind == "thermometer":
            return IntType(self.bits, False, Encoding.THERMOMETER)
        return code(self.bits, False)


@dataclass(frozen=True)
class Multiply:
    """Codes of ``bits`` bits by one multiplication."""

    bits: int = 6
    by_position: bool = False

    @property
    def type(self) -> IntType:
        return code(self.bits, False)


Codes = Union[Levels, Multiply]


@dataclass(frozen=True)
class Conv:
    """A convolution of the terms ``coefficients``, of ``planes`` where there are some.

    ``weight_bits`` more than 1: of integer weights, on the chip.
    """

    outputs: int
    kernel: tuple[int, int] = (3, 3)
    pads: Pads = Pads()
    stride: tuple[int, int] = (1, 1)
    coefficients: tuple[int, ...] = (1,)
    planes: tuple[int, ...] = ()
    codes: Codes | None = Levels()
    groups: int = 1
    weight_bits: int = 1


@dataclass(frozen=True)
class Dense:
    """A linear layer on the whole map."""

    outputs: int
    coefficients: tuple[int, ...] = (1,)
    planes: tuple[int, ...] = ()
    codes: Codes | None = None
    weight_bits: int = 1


@dataclass(frozen=True)
class Max:
    """A max-pool; every third channel takes the minimum."""

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    pads: Pads = Pads()


@dataclass(frozen=True)
class Average:
    """An average pool and the codes behind it."""

    codes: Codes
    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    pads: Pads = Pads()


Layer = Union[Conv, Dense, Max, Average]


class Maker:
    """Appends nodes to a graph: each reads ``last``, which is then what it made."""

    def __init__(self, shape: tuple[int, int, int], kind: IntType, seed: int, frames: int) -> None:
        self.rng = np.random.default_rng(seed)
        encoding = kind.encoding.value if kind.encoding in (Encoding.BIPOLAR, Encoding.TWOS) else "code"
        self.declared = Input(shape, kind.bits, kind.signed, encoding=encoding)
        self.first = self.last = Tensor("input", shape, kind)
        low, high = kind.min, kind.max
        self.x = self.rng.integers(low, high + 1, (frames, *shape))
        if kind.is_bipolar:
            self.x = np.where(self.x > 0, 1, -1)
        self.nodes: list[IntNode] = []

    def graph(self) -> IntGraph:
        return IntGraph(
            self.declared, self.first, tuple(self.nodes), self.last.name, (), (self.last.shape[0],)
        )

    def values(self) -> Values:
        return golden.run(self.graph(), self.x)[self.last.name]

    def add(self, name: str, op: IntOp, shape: tuple[int, int, int], kind: IntType) -> None:
        out = Tensor(name, shape, kind)
        self.nodes.append(IntNode(op, self.last.name, out))
        self.last = out

    def product(self, name: str, layer: Conv | Dense) -> None:
        channels, height, width = self.last.shape
        kind = self.last.type
        assert kind is not None
        if isinstance(layer, Dense):
            geometry = WindowGeometry((height, width))
        else:
            geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads)
        planes = layer.planes or (None,) * len(layer.coefficients)
        groups = layer.groups if isinstance(layer, Conv) else 1
        shape = (layer.outputs, channels // groups, *geometry.kernel)
        out = (layer.outputs, *geometry.output_size(height, width))
        if layer.weight_bits > 1:
            self.full(name, layer.weight_bits, shape, geometry, groups, out)
            return
        terms = tuple(
            Term(c, self.rng.choice(np.array([-1, 1], np.int8), shape), plane)
            for c, plane in zip(layer.coefficients, planes, strict=True)
        )
        most = channels // groups * geometry.taps * max(abs(kind.min), abs(kind.max))
        most *= sum(map(abs, layer.coefficients))
        self.add(name, Product(terms, geometry, groups, 0), out, type_for_range(-most, most))

    def full(
        self,
        name: str,
        bits: int,
        shape: tuple[int, int, int, int],
        geometry: WindowGeometry,
        groups: int,
        out: tuple[int, int, int],
    ) -> None:
        """Integer weights of ``bits`` bits, the least one in the first channel, the largest in the last."""
        kind = self.last.type
        assert kind is not None
        if 0 in (*shape, *out):
            raise ValueError(f"{name}: a window does not fit")
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        weight = self.rng.integers(low, high, shape, dtype=np.int32, endpoint=True)
        weight[0, 0, 0, 0], weight[-1, -1, -1, -1] = low, high
        most = int(np.abs(weight).sum(axis=(1, 2, 3)).max()) * max(abs(kind.min), abs(kind.max))
        op = FullProduct(weight, 7, geometry, groups, 0, on_chip=True)
        self.add(name, op, out, type_for_range(-most, most))

    def codes(self, name: str, codes: Codes) -> None:
        sums = self.values()
        channels, height, width = self.last.shape
        if isinstance(codes, Multiply):
            self.add(name, self._requant(sums, codes), self.last.shape, codes.type)
            return
        levels = codes.type.max if not codes.type.is_bipolar else 1
        positions = height * width if codes.by_position else 1
        rows = sums.transpose(1, 0, 2, 3).reshape(channels, -1)
        ranks = np.sort(self.rng.uniform(0.05, 0.95, (positions, channels, levels)), axis=2)
        table = np.stack(
            [np.quantile(row, ranks[:, c], method="nearest") for c, row in enumerate(rows)], axis=1
        )
        ways = (positions, channels) if codes.mixed else channels
        direction = self.rng.choice(np.array([-1, 1], np.int8), ways)
        constant = np.zeros(channels, np.bool_)
        if levels > 1:
            # a level that no sum reaches, and one that every sum has passed
            table[:, 0, -1] = 1 << 50
            table[:, -1, 0] = -(1 << 50)
        strict = np.arange(levels) % 2 == 1 if levels > 1 else np.ones(1, np.bool_)
        strict = strict & codes.strict
        op = Threshold(table.astype(np.int64), direction, strict, constant)
        self.add(name, op, self.last.shape, codes.type)

    def _requant(self, sums: Values, codes: Multiply) -> Requant:
        channels, shift = sums.shape[1], 12
        size = (sums.shape[2] * sums.shape[3], channels) if codes.by_position else channels
        spread = np.abs(sums).max() + 1
        multiplier = self.rng.uniform(0.5, 2.0, size) * (1 << codes.bits + shift) / (2 * spread)
        sign = self.rng.choice(np.array([-1, 1]), size)
        addend = self.rng.integers(1 << codes.bits + shift - 2, 1 << codes.bits + shift - 1, size)
        return Requant((multiplier * sign).astype(np.int64), addend, shift, 0, (1 << codes.bits) - 1)

    def pool(self, name: str, layer: Max | Average) -> None:
        channels, height, width = self.last.shape
        kind = self.last.type
        assert kind is not None
        geometry = WindowGeometry(layer.kernel, layer.stride, layer.pads)
        shape = (channels, *geometry.output_size(height, width))
        if isinstance(layer, Max):
            self.add(name, MaxPool(geometry, np.arange(channels) % 3 == 2), shape, kind)
            return
        taps = geometry.taps
        low, high = min(0, taps * kind.min), max(0, taps * kind.max)
        self.add(name, SumPool(geometry), shape, type_for_range(low, high))
        self.codes(f"{name}_codes", layer.codes)


def network(
    shape: tuple[int, int, int],
    layers: list[Layer],
    kind: IntType = BIPOLAR,
    *,
    seed: int = 0,
    frames: int = 4,
) -> tuple[IntGraph, Values]:
    """The graph, and frames [N, C, H, W] of input values; the last layer's codes are left out."""
    maker = Maker(shape, kind, seed, frames)
    for i, layer in enumerate(layers):
        if isinstance(layer, Max | Average):
            maker.pool(f"pool{i}", layer)
            continue
        maker.product(f"layer{i}", layer)
        if layer.codes is not None and i < len(layers) - 1:
            maker.codes(f"codes{i}", layer.codes)
    return maker.graph(), maker.x


def draw(seed: int, frames: int = 3) -> tuple[IntGraph, Values] | None:
    """A random network of codes, the same for the same seed; None where a window does not fit."""
    rng = np.random.default_rng(seed)

    def pick(*choices: int) -> int:
        return int(rng.choice(np.array(choices)))

    def codes() -> Codes:
        kind = pick(0, 1, 2, 3)
        if kind == 0:
            return Levels(1, "sign", bool(pick(0, 0, 1)), bool(pick(0, 1)))
        if kind == 1:
            return Levels(pick(2, 3, 4, 7), "thermometer", strict=bool(pick(0, 1)))
        if kind == 2:
            return Levels(pick(1, 2, 3, 4), "code", bool(pick(0, 0, 1)), bool(pick(0, 1)))
        return Multiply(pick(4, 5, 8))

    def terms(kind: IntType) -> tuple[tuple[int, ...], tuple[int, ...]]:
        count = pick(1, 1, 2, 3)
        coefficients = tuple(int(c) for c in rng.integers(-9, 10, count) if c) or (1,)
        if kind.encoding is Encoding.THERMOMETER and pick(0, 1):
            planes = tuple(sorted(int(p) for p in rng.integers(0, kind.bits, len(coefficients))))
            return coefficients, planes
        return (coefficients if pick(0, 1) else (1,)), ()

    kind = [BIPOLAR, code(8, True), code(3, False), code(1, False)][pick(0, 1, 2, 3)]
    shape = (pick(1, 3, 5), pick(4, 6, 9), pick(4, 5, 8))
    layers: list[Layer] = []
    given = kind
    for _ in range(pick(1, 2, 3)):
        kernel = (pick(1, 2, 3), pick(1, 2, 3))
        pads = Pads(*(pick(0, k // 2) for k in (kernel[1], kernel[1], kernel[0], kernel[0])))
        coefficients, planes = terms(kind)
        chosen = codes()
        layers.append(Conv(pick(1, 4, 6, 9), kernel, pads, (pick(1, 1, 2), 1), coefficients, planes, chosen))
        kind = chosen.type
        behind = pick(0, 1, 2)
        if behind == 1:
            layers.append(Max((2, 2), (pick(1, 2), pick(1, 2)), Pads(pick(0, 1), 0, 0, 0)))
        if behind == 2:
            chosen = codes()
            pads = Pads() if kind.is_bipolar else Pads(pick(0, 1), 0, pick(0, 1), 0)
            layers.append(Average(chosen, (2, pick(1, 2)), (pick(1, 2), 1), pads))
            kind = chosen.type
    coefficients, planes = terms(kind)
    layers.append(Dense(pick(2, 5), coefficients, planes))
    try:
        graph, x = network(shape, layers, given, seed=seed, frames=frames)
        golden.run(graph, x)
    except ValueError:
        return None
    return graph, x
