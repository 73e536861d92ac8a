"""Random integer graphs: every operation of the vocabulary, thresholds in the middle of what sums do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.golden.codes import random_codes
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    HostOp,
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Product,
    Reshape,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, IntType, code, type_for_range

__all__ = ["RandomGraph", "random_graph"]

CHANNELS = (1, 3, 5, 16, 17, 33, 64, 65, 100)
LARGEST_MAP = 4000


@dataclass(frozen=True)
class RandomGraph:
    """A graph with input codes [N, C, H, W] and what golden makes of them."""

    graph: IntGraph
    codes: npt.NDArray[np.int64]
    tensors: dict[str, npt.NDArray[np.int64]]
    scores: npt.NDArray[np.float32]


def random_graph(seed: int, frames: int = 3) -> RandomGraph:
    """One to four layers of any kind on any input; the same on every machine."""
    return _Drawer(np.random.default_rng([7, seed]), frames).graph()


class _Drawer:
    def __init__(self, rng: np.random.Generator, frames: int) -> None:
        self.rng = rng
        given = self._input()
        source = Tensor("input", given.shape if len(given.shape) == 3 else (*given.shape, 1, 1), given.type)
        self.made = IntGraph(given, source, (), "input", (), ())
        self.codes = random_codes(self.made, frames, int(rng.integers(1 << 30)))
        self.values = self.codes
        self.last = source

    def graph(self) -> RandomGraph:
        if self.made.input == Input(self.made.input.shape):
            self._lookup()
        layers = int(self.rng.integers(1, 5))
        for layer in range(layers):
            if self._chance(15) and self.last.type is not None and self.last.type.bits <= 8:
                self._full(layer)
            else:
                self._binary(layer)
            if layer + 1 < layers:
                self._between(layer)
        self.made = replace(self.made, host=self._host())
        channels, height, width = self.last.shape
        shape = (channels, height, width) if height * width > 1 else (channels,)
        if isinstance(self.made.host[-1] if self.made.host else None, HostFull):
            shape = (self.made.host[-1].weight.shape[0],)  # type: ignore[union-attr]
        graph = replace(self.made, output=self.last.name, score_shape=shape)
        tensors = golden.run(graph, self.codes)
        return RandomGraph(graph, self.codes, tensors, golden.scores(graph, tensors[graph.output]))

    def _chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    def _pick(self, *options: int) -> int:
        return int(self.rng.choice(options))

    def _input(self) -> Input:
        channels = self._pick(*CHANNELS)
        size = self._pick(1, 3, 6, 9) if channels > 16 else self._pick(1, 4, 7, 12)
        shape = (channels, size, self._pick(size, size + 2))
        kind = self._pick(0, 1, 2, 3, 4)
        if kind == 0:
            return Input(shape)
        if kind == 4:
            return Input(shape, bits=self._pick(9, 12, 16), signed=self._chance(50))
        if kind == 1:
            return Input(shape, encoding="bipolar")
        return Input(shape, bits=self._pick(1, 2, 4, 7, 8) if kind == 2 else 8, signed=kind == 2)

    def _append(self, name: str, op: IntOp, shape: tuple[int, int, int], kind: IntType) -> None:
        tensor = Tensor(name, shape, kind)
        node = IntNode(op, self.last.name, tensor)
        step = replace(self.made, input_tensor=self.last, nodes=(node,))
        self.values = golden.run(step, self.values)[name]
        self.made = replace(self.made, nodes=(*self.made.nodes, node))
        self.last = tensor

    def _lookup(self) -> None:
        kind = [BIPOLAR, code(8, True), code(4, False)][self._pick(0, 1, 2)]
        rows = self._pick(1, self.last.shape[0])
        table = self.rng.integers(kind.min, kind.max + 1, (rows, 256))
        table = np.where(table > 0, 1, -1) if kind.is_bipolar else table
        self._append("table", Lookup(table.astype(np.int32)), self.last.shape, kind)

    def _window(self) -> WindowGeometry:
        height, width = self.last.shape[1:]
        if self._chance(20):
            return WindowGeometry(kernel=(height, width))
        kernel = (self._pick(1, 2, 3), self._pick(1, 3))
        dilation = (self._pick(1, 1, 2), self._pick(1, 1, 2))
        span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        pads = Pads(*(self._pick(0, 1, 2) for _ in range(4)))
        if height + pads.top + pads.bottom < span[0] or width + pads.left + pads.right < span[1]:
            return WindowGeometry(kernel=(1, 1))
        return WindowGeometry(kernel, (self._pick(1, 1, 2), self._pick(1, 1, 2)), pads, dilation)

    def _shape(self, geometry: WindowGeometry) -> tuple[int, int, int]:
        height, width = geometry.output_size(*self.last.shape[1:])
        choices = [c for c in CHANNELS if c * height * width <= LARGEST_MAP] or [1]
        return self._pick(*choices), height, width

    def _groups(self, out: int) -> int:
        channels = self.last.shape[0]
        groups = [g for g in (2, 3, 5, 11, 13) if channels % g == 0 and out % g == 0]
        return self._pick(*groups) if groups and self._chance(50) else 1

    def _binary(self, layer: int) -> None:
        kind = self.last.type
        assert kind is not None
        geometry = self._window()
        shape = self._shape(geometry)
        groups = self._groups(shape[0])
        inputs = self.last.shape[0] // groups
        coefficients = (1,) if self._chance(85) else (3, -2)
        weights = self.rng.integers(0, 2, (len(coefficients), shape[0], inputs, *geometry.kernel)) * 2 - 1
        pad = self._pick(0, 0, -1, 1) if kind.is_bipolar else self._pick(0, 0, kind.min, kind.max)
        terms = tuple(Term(c, w.astype(np.int8)) for c, w in zip(coefficients, weights, strict=True))
        n = inputs * geometry.taps * sum(map(abs, coefficients)) * max(-kind.min, kind.max, 1)
        self._append(f"conv{layer}", Product(terms, geometry, groups, pad), shape, type_for_range(-n, n))

    def _full(self, layer: int) -> None:
        kind = self.last.type
        assert kind is not None
        geometry = self._window()
        shape = self._shape(geometry)
        groups = self._groups(shape[0])
        inputs = self.last.shape[0] // groups
        largest = self._pick(100, 1 << 24)
        weight = self.rng.integers(-largest, largest + 1, (shape[0], inputs, *geometry.kernel)).astype(
            np.int32
        )
        n = inputs * geometry.taps * largest * max(-kind.min, kind.max, 1)
        pad = 0 if kind.is_bipolar else self._pick(0, kind.max)
        op = FullProduct(weight, 8, geometry, groups, pad)
        self._append(f"full{layer}", op, shape, type_for_range(-n, n))

    def _pool(self, name: str) -> None:
        channels, height, width = self.last.shape
        assert self.last.type is not None
        if min(height, width) < 2:
            return
        minimum = np.full(channels, self._chance(50)) if self._chance(50) else self.rng.random(channels) < 0.5
        pads = Pads(self._pick(0, 1), 0, self._pick(0, 1), 0)
        geometry = WindowGeometry((2, 2), (self._pick(1, 2), 2), pads, ceil_mode=self._chance(30))
        op = MaxPool(geometry, minimum)
        self._append(name, op, (channels, *geometry.output_size(height, width)), self.last.type)

    def _between(self, layer: int) -> None:
        if self._chance(20):
            self._pool(f"pool{layer}")
        self._threshold(layer)
        if self._chance(30):
            self._pool(f"pool{layer}:behind")
        if self._chance(15):
            channels, height, width = self.last.shape
            assert self.last.type is not None
            self._append(f"flat{layer}", Reshape(), (channels * height * width, 1, 1), self.last.type)

    def _threshold(self, layer: int) -> None:
        channels, height, width = self.last.shape
        positions = height * width if self._chance(25) else 1
        kind = BIPOLAR if self._chance(75) else code(self._pick(1, 2, 3), False)
        levels = 1 if kind.is_bipolar else kind.max
        rows = np.moveaxis(self.values, 1, 0).reshape(channels, -1)
        ranks = self.rng.uniform(0.1, 0.9, (positions, channels, levels))
        # values that occur: ties are the rule
        table = np.stack(
            [np.quantile(row, ranks[:, c], method="nearest") for c, row in enumerate(rows)], axis=1
        )
        table = np.sort(table, axis=2).astype(np.int64)
        ways = (positions, channels) if positions > 1 and self._chance(60) else channels
        direction = np.where(self.rng.random(ways) < 0.4, -1, 1).astype(np.int8)
        table = np.where((direction < 0).reshape(-1, channels, 1), table[:, :, ::-1], table)
        constant = self.rng.random(channels) < 0.08
        table[:, constant] = np.where(self.rng.random(int(constant.sum())) < 0.5, -(1 << 50), 1 << 50)[
            :, None
        ]
        strict = self.rng.random(levels) < 0.3
        op = Threshold(table, direction, strict, constant)
        self._append(f"sign{layer}", op, self.last.shape, kind)

    def _floats(self, count: int) -> npt.NDArray[np.float32]:
        return self.rng.normal(0, 0.3, count).astype(np.float32)

    def _host(self) -> tuple[HostOp, ...]:
        channels, height, width = self.last.shape
        ops: list[HostOp] = []
        if self._chance(60):
            scale = self._floats(self._pick(1, channels)) if self._chance(80) else None
            ops.append(HostAffine("scale", scale, self._floats(channels) if self._chance(60) else None))
        if self._chance(40):
            ops.append(HostBatchNorm("norm", self._floats(channels), self._floats(channels)))
        if self._chance(40):
            ops.append(
                HostClamp("relu", 0.0, float("inf")) if self._chance(50) else HostClamp("tanh", -1.0, 1.0)
            )
        if self._chance(40):
            weight = self.rng.integers(-4000, 4000, (self._pick(1, 7, 10), channels * height * width))
            bias = self._floats(len(weight)) if self._chance(60) else None
            ops.append(HostFull("classes", weight.astype(np.int32), 10, self._pick(1, 4), bias))
        return tuple(ops)
