"""Integer graphs with branches: residual blocks, fire modules, dense blocks, groups, input scales."""

from __future__ import annotations

import numpy as np

from tests.plan.code_networks import SAME, Conv, Dense, Levels, Maker, Multiply, Values
from xnorhw import golden
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    IntGraph,
    IntNode,
    IntOp,
    MaxPool,
    Requant,
    SumPool,
    Tensor,
)
from xnorhw.ir.int_graph import Multiply as MultiplyMap
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, type_for_range

__all__ = ["CASES", "GraphMaker", "draw_graph", "number"]

_SIGN = Levels(1, "sign")
NONE = Pads()


def number(bits: int, point: int = 0) -> IntType:
    """The type of a fixed-point number (xnn.Grid)."""
    return IntType(bits, True, Encoding.TWOS, point)


class GraphMaker(Maker):
    """A maker whose nodes may read any tensor: ``at`` goes on from one."""

    def __init__(self, shape: tuple[int, int, int], kind: IntType, seed: int = 0, frames: int = 3) -> None:
        super().__init__(shape, kind, seed, frames)
        self._count = 0

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def at(self, tensor: Tensor) -> GraphMaker:
        self.last = tensor
        return self

    def conv(
        self, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, terms: tuple[int, ...] = (1,)
    ) -> Tensor:
        pads = Pads(*([kernel // 2] * 4))
        layer = Conv(outputs, (kernel, kernel), pads, (stride, stride), terms, codes=None, groups=groups)
        self.product(self.name("conv"), layer)
        return self.last

    def dense(self, outputs: int) -> Tensor:
        self.product(self.name("fc"), Dense(outputs))
        return self.last

    def coded(self, codes: Levels | Multiply) -> Tensor:
        self.codes(self.name("act"), codes)
        return self.last

    def sign(self) -> Tensor:
        return self.coded(_SIGN)

    def grid(self, bits: int = 7, point: int = 0) -> Tensor:
        """Numbers of ``bits`` bits by one multiplication, some of them clamped."""
        values = self.values()
        channels, shift, half = values.shape[1], 10, 1 << (bits - 1)
        spread = np.abs(values).max() + 1
        multiplier = self.rng.uniform(0.6, 2.0, channels) * (half << shift) / spread
        multiplier *= self.rng.choice(np.array([-1, 1]), channels)
        addend = self.rng.integers(-half << shift - 2, half << shift - 2, channels)
        op = Requant(multiplier.astype(np.int64), addend, shift, -half, half - 1)
        self.add(self.name("grid"), op, self.last.shape, number(bits, point))
        return self.last

    def even(self, kind: IntType, dropped: int) -> Tensor:
        """Numbers or codes ``dropped`` bits coarser; sums half way between two go to the even one."""
        channels, half = self.last.shape[0], 1 << (dropped - 1)
        multiplier = self.rng.choice(np.array([1, -1, 3]), channels).astype(np.int64)
        middle = (kind.max + 1) // 2 << dropped if kind.min == 0 else 0
        addend = np.full(channels, half + middle, np.int64)
        op = Requant(multiplier, addend, dropped, kind.min, kind.max, even=True)
        self.add(self.name("even"), op, self.last.shape, kind)
        return self.last

    def joined(
        self, stem: str, op: IntOp, sources: tuple[Tensor, ...], shape: tuple[int, int, int], kind: IntType
    ) -> Tensor:
        out = Tensor(self.name(stem), shape, kind)
        first, *others = (source.name for source in sources)
        self.nodes.append(IntNode(op, first, out, tuple(others)))
        self.last = out
        return out

    def sum(self, *sources: Tensor) -> Tensor:
        kinds = [source.type for source in sources if source.type is not None]
        point = max(kind.point for kind in kinds)
        shifts = tuple(point - kind.point for kind in kinds)
        low = sum(k.min << s for k, s in zip(kinds, shifts, strict=True))
        high = sum(k.max << s for k, s in zip(kinds, shifts, strict=True))
        kind = IntType(type_for_range(low, high).bits, True, Encoding.TWOS, point)
        return self.joined("add", Add(shifts), sources, sources[0].shape, kind)

    def cat(self, *sources: Tensor) -> Tensor:
        channels = sum(source.shape[0] for source in sources)
        assert sources[0].type is not None
        return self.joined("cat", Concat(), sources, (channels, *sources[0].shape[1:]), sources[0].type)

    def half(self, kind: str = "average", pads: Pads = NONE) -> Tensor:
        """A pool of 2 x 2 without codes behind it."""
        source, geometry = self.last, WindowGeometry((2, 2), (2, 2), pads)
        channels, height, width = source.shape
        shape = (channels, *geometry.output_size(height, width))
        assert source.type is not None
        if kind == "max":
            self.add(self.name("pool"), MaxPool(geometry, np.arange(channels) % 3 == 1), shape, source.type)
        else:
            sums = type_for_range(min(0, 4 * source.type.min), max(0, 4 * source.type.max))
            self.add(self.name("pool"), SumPool(geometry), shape, sums)
        return self.last

    def scaled(self, outputs: int) -> Tensor:
        """A layer of signs times the map of its input's magnitudes (XNOR-Net, eq. 11)."""
        source = self.last
        assert source.type is not None
        sums = self.at(self.sign_of(source)).conv(outputs)
        geometry = WindowGeometry((3, 3), (1, 1), SAME)
        most = source.shape[0] * 9 * max(abs(source.type.min), abs(source.type.max))
        scales = self.joined(
            "k", BoxSum(geometry), (source,), (1, *source.shape[1:]), type_for_range(0, most)
        )
        assert sums.type is not None
        largest = most * max(abs(sums.type.min), abs(sums.type.max))
        kind = type_for_range(-largest, largest)
        return self.joined("scaled", MultiplyMap(), (sums, scales), sums.shape, kind)

    def sign_of(self, source: Tensor) -> Tensor:
        return self.at(source).sign()


def _residual(shape: tuple[int, int, int], kind: IntType) -> GraphMaker:
    maker = GraphMaker(shape, kind, 1)
    start = maker.first
    maker.sign()
    maker.conv(shape[0])
    branch = maker.grid()
    total = maker.sum(branch, start)
    maker.sign()
    maker.conv(shape[0])
    maker.sum(maker.grid(6, 1), total)
    maker.sign()
    maker.dense(4)
    return maker


def _ends_in_sum() -> GraphMaker:
    maker = GraphMaker((4, 6, 5), number(8), 2)
    start = maker.first
    maker.sign()
    maker.conv(4)
    maker.sign()
    maker.conv(4)
    maker.sum(maker.grid(8), start)
    return maker


def _halved() -> GraphMaker:
    maker = GraphMaker((4, 8, 8), number(7), 3)
    start = maker.first
    signs = maker.sign()
    maker.conv(6, stride=2)
    maker.sign()
    maker.conv(6)
    long = maker.grid()
    maker.at(signs).conv(6, kernel=1, stride=2)
    first = maker.sum(long, maker.grid())
    largest = maker.at(start).half("max")
    maker.at(start).half("average")
    pooled = maker.at(maker.sum(largest, maker.grid(6))).grid(6)
    maker.at(maker.cat(pooled, pooled)).sign()
    maker.conv(6)
    maker.sum(maker.grid(), first)
    maker.coded(Levels(2))
    maker.dense(3)
    return maker


def _bireal() -> GraphMaker:
    maker = GraphMaker((3, 8, 6), number(9), 4)
    start = maker.first
    maker.sign()
    maker.conv(6, stride=2)
    branch = maker.grid(9)
    pooled = maker.at(start).half("max")
    total = maker.sum(branch, maker.cat(pooled, pooled))
    maker.sign()
    maker.conv(6)
    maker.sum(maker.grid(9), total)
    maker.sign()
    maker.dense(5)
    return maker


def _fire() -> GraphMaker:
    maker = GraphMaker((6, 6, 6), BIPOLAR, 5)
    for _ in range(2):
        maker.conv(4, kernel=1)
        few = maker.sign()
        maker.conv(6, kernel=1)
        left = maker.sign()
        maker.at(few).conv(9)
        maker.cat(left, maker.sign())
    maker.dense(4)
    return maker


def _dense_block() -> GraphMaker:
    maker = GraphMaker((4, 5, 7), code(4, False), 6)
    seen = maker.first
    for _ in range(3):
        maker.at(seen).conv(4, terms=(1, 2))
        seen = maker.cat(seen, maker.coded(Levels(4)))
    maker.dense(3)
    return maker


def _groups() -> GraphMaker:
    maker = GraphMaker((8, 6, 6), BIPOLAR, 7)
    maker.conv(12, groups=4)
    maker.coded(Levels(2))
    maker.conv(12, groups=12, terms=(1, -2))
    maker.sign()
    maker.conv(6, stride=2, groups=2)
    maker.sign()
    maker.dense(4)
    return maker


def _scales() -> GraphMaker:
    maker = GraphMaker((5, 6, 7), number(6), 8)
    maker.scaled(6)
    maker.grid(7)
    maker.scaled(4)
    maker.grid(6)
    maker.sign()
    maker.dense(3)
    return maker


def _numbers() -> GraphMaker:
    """Numbers, codes and signs summed, read by products, by pools and by several quantisers."""
    maker = GraphMaker((4, 6, 6), number(7, 2), 9)
    start = maker.first
    maker.conv(4)
    codes = maker.coded(Multiply(5))
    signs = maker.at(codes).coded(Levels(1, "sign", strict=True))
    raw = maker.at(signs).conv(4)
    total = maker.sum(raw, codes, signs, start)
    maker.at(raw).coded(Levels(3))
    few = maker.conv(4)
    maker.at(total).grid(8)
    half = maker.half("average")
    maker.at(maker.sum(few, few))
    maker.sum(half, maker.half("max"))
    maker.coded(Levels(2, strict=True))
    maker.dense(3)
    return maker


def _ties() -> GraphMaker:
    """Codes and numbers of finer numbers, of a layer's sums, of a sum of branches and of an average."""
    maker = GraphMaker((4, 6, 6), number(8, 3), 10)
    start = maker.first
    maker.even(code(6, False), 2)
    maker.conv(4)
    branch = maker.even(number(8, 3), 1)
    total = maker.sum(branch, start)
    maker.even(number(7, 1), 2)
    maker.half("average")
    maker.even(code(5, False), 2)
    maker.conv(6)
    small = maker.even(number(6), 3)
    maker.at(total).even(code(5, False), 1)
    other = maker.conv(6, stride=2)
    maker.sum(small, maker.at(other).grid(6))
    maker.sign()
    maker.dense(3)
    return maker


def _flattened() -> GraphMaker:
    """What a batch norm behind a flatten leaves: pools on sums, levels, directions, factors by position."""
    maker = GraphMaker((3, 7, 6), code(3, True), 10)
    maker.conv(5)
    maker.half("max", Pads(1, 0, 0, 1))
    signs = maker.coded(Levels(1, "sign", by_position=True, mixed=True))
    maker.conv(4)
    maker.coded(Levels(1, "sign", by_position=True, mixed=True))
    maker.half("average", Pads(1, 0, 1, 0))
    averaged = maker.coded(Levels(2, by_position=True, strict=True, mixed=True))
    maker.at(signs).half("average", Pads(0, 1, 1, 0))
    forked = maker.coded(Levels(2))
    maker.at(signs).conv(4)
    maker.sum(maker.coded(Levels(1, "sign", mixed=True, by_position=True)), maker.at(signs).conv(4, 1))
    maker.half("max", Pads(1, 0, 1, 0))
    pooled = maker.coded(Levels(2, by_position=True, mixed=True))
    maker.at(signs).conv(3)
    maker.coded(Multiply(5, by_position=True))
    maker.half("max", Pads(1, 0, 1, 0))
    multiplied = maker.coded(Levels(2))
    maker.at(maker.cat(averaged, forked, pooled, multiplied))
    maker.dense(4)
    return maker


_MAKERS = {
    "residual": lambda: _residual((5, 6, 6), number(7)),
    "residual of odd channels": lambda: _residual((7, 5, 9), number(8, 3)),
    "ends in a sum": _ends_in_sum,
    "halved": _halved,
    "channels doubled": _bireal,
    "fire": _fire,
    "dense block": _dense_block,
    "groups": _groups,
    "input scales": _scales,
    "numbers": _numbers,
    "behind a flatten": _flattened,
    "ties to even": _ties,
}
CASES = {name: (lambda make=make: (make().graph(), make().x)) for name, make in _MAKERS.items()}


def draw_graph(seed: int, frames: int = 3) -> tuple[IntGraph, Values] | None:
    """A random network with branches, the same for the same seed; None where a window does not fit."""
    rng = np.random.default_rng(seed)

    def pick(*choices: int) -> int:
        return int(rng.choice(np.array(choices)))

    kind = [BIPOLAR, code(pick(2, 4), False), number(pick(5, 7, 9), pick(0, 2))][pick(0, 1, 2)]
    groups = pick(1, 1, 2)
    maker = GraphMaker((pick(1, 2, 3, 5) * groups, pick(4, 6, 7), pick(4, 5, 8)), kind, seed, frames)

    def ready() -> Tensor:
        """Something that a product takes, made of ``last``."""
        read = maker.last.type
        assert read is not None
        few = read.encoding is not Encoding.TWOS and read.bits <= 8
        if few and pick(0, 1):
            return maker.last
        return [maker.sign, lambda: maker.coded(Levels(pick(1, 2, 3))), lambda: maker.coded(Multiply(5))][
            pick(0, 1, 2)
        ]()

    def layer(outputs: int, stride: int = 1) -> Tensor:
        source = ready()
        split = pick(1, 2, 3)
        split = split if source.shape[0] % split == outputs % split == 0 else 1
        return maker.conv(outputs, pick(1, 3, 3), stride, split, (1,) if pick(0, 1) else (1, -3, 2))

    def residual() -> None:
        start = maker.last
        layer(start.shape[0])
        if pick(0, 1):
            layer(start.shape[0])
        branches = [maker.grid(pick(4, 8), pick(0, 1)), start]
        if pick(0, 1):
            maker.at(start)
            layer(start.shape[0])
            branches.append(maker.last if pick(0, 1) else maker.grid(6))
        maker.sum(*branches)

    def joined() -> None:
        start = ready()
        sides = []
        for _ in range(pick(2, 3)):
            maker.at(start)
            maker.conv(pick(2, 3, 4), pick(1, 3))
            sides.append(maker.coded(Levels(2)))
        maker.cat(*sides)

    def halved() -> None:
        stride = 2
        start = maker.last
        layer(start.shape[0] * 2, stride)
        branch = maker.grid(7)
        maker.at(start)
        if branch.shape[1:] != tuple(side // 2 for side in start.shape[1:]):
            return
        pooled = maker.half("max" if pick(0, 1) else "average")
        maker.sum(branch, maker.cat(pooled, pooled))

    def scaled() -> None:
        maker.grid(6)
        maker.scaled(pick(2, 5))
        maker.grid(6)

    try:
        for _ in range(pick(1, 2, 2)):
            [residual, residual, joined, halved, scaled][pick(0, 1, 2, 3, 4)]()
        if pick(0, 1, 1):
            ready()
            maker.dense(pick(2, 5))
        elif maker.last.type is not None and maker.last.type.is_bipolar:
            maker.dense(3)
        graph = maker.graph()
        golden.run(graph, maker.x)
    except ValueError:
        return None
    read = {graph.output, *(name for node in graph.nodes for name in node.inputs)}
    dead = any(node.output.name not in read for node in graph.nodes)
    return None if dead else (graph, maker.x)
