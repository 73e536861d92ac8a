"""Random integer graphs with every operation, for the CPU engine: odd channels, ties, both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.golden.codes import random_codes
from xnorhw.golden.run import requant
from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    Add,
    BoxSum,
    Concat,
    FullProduct,
    HostAffine,
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Multiply,
    Product,
    Requant,
    Reshape,
    SumPool,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, Encoding, IntType, code, twos_complement, type_for_range

FRAMES = 3


class Drawing:
    """A graph that grows node by node; ``values`` are golden's for a few random frames.

    ``ties``: by tensor the codes that rounding up would have made, where ties to even made others.
    """

    def __init__(self, seed: int, shape: tuple[int, int, int], kind: IntType) -> None:
        self.rng = np.random.default_rng(seed)
        self.input = Tensor("input", shape, kind)
        self.nodes: list[IntNode] = []
        declared = Input(shape, kind.bits, kind.signed, encoding="bipolar" if kind.is_bipolar else "code")
        self.graph = IntGraph(declared, self.input, (), "input", (), (int(np.prod(shape)),))
        self.codes = random_codes(self.graph, FRAMES, seed)
        self.values: dict[str, npt.NDArray[Any]] = {"input": self.codes}
        self.ties: dict[str, npt.NDArray[Any]] = {}

    def kind(self, name: str) -> IntType:
        found = self.graph.tensor(name).type
        assert found is not None
        return found

    def add(self, op: IntOp, kind: IntType, source: str, *others: str) -> str:
        """A node; its name tells the operation."""
        name = f"n{len(self.nodes)}.{type(op).__name__.lower()}"
        shape = (1, 1, 1)
        for again in range(2):  # the shape is that of the values
            node = IntNode(op, source, Tensor(name, shape, kind), others)
            nodes = (*self.nodes, node)
            self.graph = IntGraph(self.graph.input, self.input, nodes, name, (), (int(np.prod(shape)),))
            if not again:
                self.values = golden.run(self.graph, self.codes)
                shape = self.values[name].shape[1:]
        self.nodes.append(node)
        made = self.values[name]
        assert kind.min <= made.min() and made.max() <= kind.max, (name, kind, made.min(), made.max())
        return name

    def sums(self, source: str, factor: int) -> IntType:
        """Of ``factor`` values at most."""
        kind = self.kind(source)
        most = factor * max(abs(kind.min), abs(kind.max))
        return type_for_range(-most, most)

    def weights(self, *shape: int) -> npt.NDArray[np.int8]:
        return (2 * self.rng.integers(0, 2, shape) - 1).astype(np.int8)

    def product(
        self,
        source: str,
        out: int,
        kernel: tuple[int, int] = (1, 1),
        *,
        coefficients: tuple[int, ...] = (1,),
        planes: tuple[int | None, ...] | None = None,
        groups: int = 1,
        pad_value: int = 0,
        **window: Any,
    ) -> str:
        channels = self.values[source].shape[1] // groups
        planes = planes or (None,) * len(coefficients)
        terms = tuple(
            Term(c, self.weights(out, channels, *kernel), plane)
            for c, plane in zip(coefficients, planes, strict=True)
        )
        taps = channels * kernel[0] * kernel[1] * sum(map(abs, coefficients))
        geometry = WindowGeometry(kernel, **window)
        return self.add(Product(terms, geometry, groups, pad_value), self.sums(source, taps), source)

    def threshold(
        self, source: str, levels: int, kind: IntType, positions: bool = False, mixed: bool = False
    ) -> str:
        """Levels on values that occur, in both directions, with a few constant channels.

        ``mixed``: positions differ in direction as well.
        """
        x = self.values[source]
        _, channels, height, width = x.shape
        count = height * width if positions else 1
        table = self.rng.choice(x.ravel(), (count, channels, levels))
        table = np.sort(table + self.rng.integers(-1, 2, table.shape), axis=2)
        constant = self.rng.random(channels) < 0.1
        table[:, constant] = np.where(self.rng.random(channels) < 0.5, -(1 << 40), 1 << 40)[constant][
            None, :, None
        ]
        ways = (count, channels) if mixed else channels
        direction = np.where(self.rng.random(ways) < 0.3, -1, 1).astype(np.int8)
        strict = self.rng.random(levels) < 0.3
        return self.add(Threshold(table, direction, strict, constant), kind, source)

    def sign(self, source: str) -> str:
        return self.threshold(source, 1, BIPOLAR)

    def requant(
        self, source: str, kind: IntType, factor_bits: int, spread: float = 1.5, positions: bool = False
    ) -> str:
        """To values that fill ``kind`` and a little more, channels (or ``positions``) of both directions."""
        x = self.values[source]
        channels, largest = x.shape[1], max(1, int(np.abs(x).max()))
        size = (x.shape[2] * x.shape[3], channels) if positions else (channels,)
        room = (kind.max - kind.min) * spread / 2
        shift = max(0, int(np.floor(np.log2((1 << factor_bits) * largest / room))))
        top = min((1 << factor_bits) - 1, int(room * (1 << shift) / largest))
        multiplier = self.rng.integers(top // 2, top + 1, size) * self.rng.choice([-1, 1], size, p=[0.3, 0.7])
        multiplier[1:][self.rng.random((size[0] - 1, *size[1:])) < 0.1] = 0
        middle = (kind.max + kind.min + 1) // 2 << shift
        addend = middle + self.rng.integers(0, 1 << shift, size)
        op = Requant(multiplier.astype(np.int64), addend.astype(np.int64), shift, kind.min, kind.max)
        return self.add(op, kind, source)

    def even(self, source: str, kind: IntType, unit: int = 0, factor_bits: int = 0) -> str:
        """x * m / (4 * 2^unit), m small, ties to even: where x is n * 2^unit, a tie is every fourth n."""
        channels = self.values[source].shape[1]
        multiplier = self.rng.choice([1, -1, 3, -3, 2], channels).astype(np.int64) << factor_bits
        shift = unit + factor_bits + 2
        middle = (kind.max + kind.min + 1) // 2 << shift
        addend = np.full(channels, middle + (1 << shift - 1), np.int64)
        name = self.add(Requant(multiplier, addend, shift, kind.min, kind.max, True), kind, source)
        up = requant(Requant(multiplier, addend, shift, kind.min, kind.max), self.values[source])
        self.ties[name] = up[up != self.values[name]]
        return name

    def sum_of(self, *sources: str, shifts: tuple[int, ...]) -> str:
        kinds = [self.kind(name) for name in sources]
        low = sum(k.min << s for k, s in zip(kinds, shifts, strict=True))
        high = sum(k.max << s for k, s in zip(kinds, shifts, strict=True))
        return self.add(Add(shifts), type_for_range(low, high), *sources)

    def concat(self, *sources: str) -> str:
        return self.add(Concat(), self.kind(sources[0]), *sources)

    def pool(self, source: str, kernel: tuple[int, int], **window: Any) -> str:
        minimum = self.rng.random(self.values[source].shape[1]) < 0.4
        return self.add(MaxPool(WindowGeometry(kernel, **window), minimum), self.kind(source), source)

    def sum_pool(self, source: str, kernel: tuple[int, int], **window: Any) -> str:
        op = SumPool(WindowGeometry(kernel, **window))
        return self.add(op, self.sums(source, kernel[0] * kernel[1]), source)

    def lookup(self, source: str, kind: IntType, per_channel: bool) -> str:
        given = self.kind(source)
        shape = (self.values[source].shape[1] if per_channel else 1, given.max - given.min + 1)
        table = self.rng.integers(kind.min, kind.max + 1, shape).astype(np.int32)
        return self.add(Lookup(table), kind, source)

    def scores(self) -> IntGraph:
        """The graph, scores of its last tensor behind it."""
        channels = self.values[self.graph.output].shape[1]
        scale = np.random.default_rng(channels).standard_normal(channels).astype(np.float32)
        host = (HostAffine("scores", scale, scale[::-1].copy()),)
        return IntGraph(
            self.graph.input, self.input, tuple(self.nodes), self.graph.output, host,
            tuple(self.values[self.graph.output].shape[1:]),
        )  # fmt: skip


def residual(seed: int) -> Drawing:
    """Two blocks with shortcuts on grids, a map that three layers read, an average at the end."""
    d = Drawing(seed, (33, 9, 7), BIPOLAR)
    same = {"pads": Pads(1, 1, 1, 1)}
    grid = twos_complement(16)
    trunk = d.requant(d.product("input", 50, (3, 3), **same), grid, 14)
    mixed = d.sum_of(trunk, d.requant(d.product("input", 50), twos_complement(10), 12), shifts=(0, 3))
    body = d.requant(d.product(d.sign(mixed), 50, (3, 3), **same), grid, 15)
    wide = d.sum_of(body, mixed, shifts=(1, 0))
    three = d.sum_of(wide, d.sign(trunk), body, shifts=(0, 4, 2))
    small = d.requant(three, twos_complement(8), 20)
    half = d.requant(d.product(d.sign(small), 70, (3, 3), stride=(2, 2), **same), grid, 15)
    short = d.requant(d.product(d.pool(d.sign(small), (2, 2), stride=(2, 2), ceil_mode=True), 70), grid, 15)
    end = d.sum_of(half, short, shifts=(0, 0))
    average = d.sum_pool(end, d.values[end].shape[2:])
    d.product(d.threshold(average, 15, code(4, False)), 10)
    return d


def fire(seed: int) -> Drawing:
    """Codes of one to eight bits, squeezed, expanded and joined; groups; tables of few and many levels."""
    d = Drawing(seed, (5, 11, 8), code(3, False))
    squeezed = d.threshold(
        d.product("input", 19, (3, 3), pads=Pads(1, 1, 1, 1), pad_value=5), 7, code(3, False)
    )
    left = d.product(squeezed, 17)
    right = d.product(squeezed, 33, (3, 3), pads=Pads(1, 1, 1, 1))
    codes = d.concat(
        d.threshold(left, 3, code(2, False), positions=True), d.threshold(right, 2, code(2, False))
    )
    bits = d.concat(d.sign(left), d.sign(right), d.sign(left), d.sign(d.product(codes, 64)))
    joined = d.concat(d.product(bits, 6), d.product(bits, 6))
    pooled = d.pool(codes, (3, 2), stride=(2, 2), pads=Pads(0, 1, 1, 1))
    grouped = d.product(pooled, 40, (2, 2), groups=2, dilation=(2, 1), coefficients=(1, -2))
    many = d.threshold(grouped, 40, code(6, False))
    signed = d.requant(grouped, code(4, True), 10)
    planes = d.product(signed, 21, (2, 1), pads=Pads(1, 0, 2, 1), pad_value=-3)
    eight = d.requant(planes, code(8, False), 11)
    d.product(d.pool(eight, (2, 2)), 12)
    d.sum_pool(joined, (3, 3), stride=(2, 3), pads=Pads(1, 1, 1, 1))
    d.product(d.add(Reshape(), code(6, False), many), 9)
    d.product(d.add(Reshape(), code(8, False), eight), 7)
    return d


def evens(seed: int) -> Drawing:
    """Ties to even: of sums that 32 bits hold, of factors that they hold, of values of 64 bits."""
    d = Drawing(seed, (13, 7, 9), code(8, True))
    small = d.requant(d.product("input", 37, (3, 3), pads=Pads(1, 1, 1, 1)), twos_complement(10), 14)
    numbers = d.even(small, twos_complement(9))
    d.even(numbers, code(5, False))
    higher = d.sum_of(small, numbers, shifts=(16, 16))
    codes = d.even(higher, code(8, False), 16, 8)
    d.even(higher, twos_complement(9), 16, 14)
    d.even(higher, twos_complement(9), 16, 24)
    longest = d.sum_of(small, numbers, shifts=(32, 33))
    last = d.even(longest, code(8, False), 32)
    d.even(longest, twos_complement(11), 32, 12)
    d.product(d.concat(codes, last), 5, (2, 2))
    return d


def bases(seed: int) -> Drawing:
    """Thermometer codes by planes, several terms, the map K, tables on sums."""
    d = Drawing(seed, (40, 6, 7), BIPOLAR)
    unary = IntType(3, False, Encoding.THERMOMETER)
    stem = d.product("input", 37, (3, 3), pads=Pads(1, 1, 1, 1), coefficients=(3, -5, 7))
    ones = d.threshold(stem, 3, unary)
    signs = d.sign(stem)
    d.sum_pool(signs, (2, 3), stride=(2, 2), pads=Pads(1, 0, 0, 1))
    d.add(BoxSum(WindowGeometry((2, 2), pads=Pads(1, 0, 1, 0))), type_for_range(0, 4 * 37), signs)
    coefficients = (11, -3, 5, 2, 1, 9)
    planes = (0, 1, 2, 0, 1, 2)
    sums = d.product(ones, 35, (3, 3), coefficients=coefficients, planes=planes, pads=Pads(1, 1, 1, 1))
    table = d.lookup(sums, twos_complement(6), per_channel=True)
    both = d.product(ones, 35, (2, 3), coefficients=(4, -1, 1), planes=(1, None, 2), pads=Pads(1, 1, 1, 0))
    k = d.add(BoxSum(WindowGeometry((3, 3), pads=Pads(1, 1, 1, 1))), type_for_range(0, 32 * 9 * 35), table)
    scaled = d.add(Multiply(), d.sums(both, 32 * 9 * 35), both, k)
    grid = d.requant(scaled, twos_complement(12), 20)
    d.add(Multiply(), type_for_range(-(1 << 40), 1 << 40), scaled, k)
    thermometer = d.threshold(
        d.sum_of(grid, table, shifts=(0, 2)), 5, IntType(5, False, Encoding.THERMOMETER)
    )
    grouped = d.product(thermometer, 14, (2, 2), coefficients=(2, 3), planes=(4, 0), groups=7, stride=(2, 1))
    d.product(d.threshold(grouped, 1023, code(10, False)), 8, (2, 2), coefficients=(2, 1))
    return d


def bytes_(seed: int) -> Drawing:
    """Codes of many bits and channels, whose products are those of bytes where a path has them."""
    d = Drawing(seed, (67, 9, 8), code(8, False))
    first = d.product("input", 33, (3, 3), pads=Pads(1, 2, 1, 0), pad_value=255)
    d.product("input", 16, (2, 3), stride=(1, 2), dilation=(3, 2), pads=Pads(2, 0, 1, 1))
    seven = d.requant(first, code(7, False), 12)
    eight = d.requant(d.product(seven, 96, (1, 2), coefficients=(1, 2, -4, 8)), code(8, False), 12)
    grouped = d.product(eight, 40, (2, 2), groups=2, pads=Pads(1, 0, 0, 1), pad_value=9)
    heavy = d.product(eight, 17, (1, 1), coefficients=(64, 63, -1), stride=(2, 2))
    d.product(eight, 18, (2, 1), coefficients=(63, 1))
    five = d.requant(grouped, code(5, False), 14)
    six = d.requant(d.concat(five, five), code(6, False), 9)
    d.product(six, 50, (3, 2), dilation=(2, 1))
    d.product(d.requant(heavy, code(8, False), 12), 4)
    ones = np.ones((20, 67, 7, 7), np.int8)
    ones[3] = -1
    most = d.add(Lookup(np.full((1, 256), 255, np.int32)), code(8, False), "input")
    sums = type_for_range(-(1 << 20), 1 << 20)
    d.add(Product((Term(1, ones),), WindowGeometry((7, 7), pads=Pads(2, 2, 2, 2)), 1, 255), sums, most)
    d.product(eight, 10, (2, 2), stride=(4, 4))
    return d


def wide(seed: int) -> Drawing:
    """Sums and factors that take more than 32 bits, tensors of every width."""
    d = Drawing(seed, (9, 5, 6), code(12, True))
    weight = d.rng.integers(-(1 << 24), 1 << 24, (21, 9, 2, 3)).astype(np.int32)
    full = d.add(FullProduct(weight, 8, WindowGeometry((2, 3)), 1, 0), twos_complement(48), "input")
    sixteen = d.requant(full, twos_complement(16), 10)
    d.add(Reshape(), twos_complement(16), sixteen)
    long = d.requant(full, twos_complement(32), 3)
    codes = d.requant(d.requant(long, twos_complement(20), 30), code(16, False), 24)
    d.threshold(full, 20, code(5, False))
    few = d.threshold(full, 4, code(3, False), positions=True)
    bits = d.threshold(full, 1, BIPOLAR)
    added = d.sum_of(full, sixteen, long, bits, shifts=(0, 12, 3, 5))
    d.sum_pool(d.pool(added, (2, 2)), (2, 2), pads=Pads(1, 0, 0, 0))
    box = d.add(BoxSum(WindowGeometry((2, 2), pads=Pads(1, 0, 1, 0))), twos_complement(45), full)
    d.requant(box, twos_complement(24), 8)
    first = d.sum_of(codes, few, shifts=(0, 1))
    joined = d.concat(first, d.requant(codes, d.kind(first), 10))
    d.product(d.requant(joined, code(8, True), 8), 14, (2, 2), coefficients=(1, 4), groups=2)
    return d


def positions(seed: int) -> Drawing:
    """Levels, directions and factors that differ from pixel to pixel, of sums of 32 bits and of more."""
    d = Drawing(seed, (37, 7, 6), code(4, True))

    def by_position(source: str, levels: int, kind: IntType) -> str:
        return d.threshold(source, levels, kind, positions=True, mixed=True)

    sums = d.product("input", 70, (3, 3), pads=Pads(1, 1, 1, 1))
    signs = by_position(sums, 1, BIPOLAR)
    d.product(d.add(Reshape(), BIPOLAR, signs), 9)
    few, many = by_position(sums, 3, code(2, False)), by_position(sums, 20, code(5, False))
    d.product(few, 5, (2, 2))
    by_position(d.pool(sums, (2, 2), stride=(2, 2)), 1, BIPOLAR)
    # behind a product that nothing else reads
    alone = by_position(d.product(signs, 40), 1, BIPOLAR)
    long = d.sum_of(sums, signs, shifts=(32, 33))
    d.product(d.concat(by_position(long, 1, BIPOLAR), alone), 6, (3, 2))
    for source, bits in ((sums, 14), (sums, 25), (long, 12)):
        d.requant(source, code(8, False), bits, positions=True)
    by_position(long, 17, code(5, False))
    by_position(long, 2, code(2, False))
    d.product(d.add(Reshape(), code(5, False), many), 8)
    return d


GRAPHS: dict[str, Callable[[int], Drawing]] = {
    "residual": residual,
    "fire": fire,
    "bases": bases,
    "wide": wide,
    "bytes": bytes_,
    "evens": evens,
    "positions": positions,
}
