"""Integer graphs written by hand, so that builds can be made where there is no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.float_graph import Input
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.int_graph import (
    FullProduct,
    HostAffine,
    HostBatchNorm,
    HostClamp,
    HostFull,
    IntGraph,
    IntNode,
    IntOp,
    Lookup,
    MaxPool,
    Product,
    Tensor,
    Term,
    Threshold,
)
from xnorhw.ir.types import BIPOLAR, IntType, code, type_for_range

__all__ = ["NETWORKS", "make"]


@dataclass
class _Chain:
    """A graph in the making, node behind node."""

    given: Input
    rng: np.random.Generator

    def __post_init__(self) -> None:
        shape = self.given.shape if len(self.given.shape) == 3 else (*self.given.shape, 1, 1)
        self.tensor = self.first = Tensor("input", (shape[0], shape[1], shape[2]), self.given.type)
        self.nodes: list[IntNode] = []

    def add(self, name: str, op: IntOp, shape: tuple[int, int, int], kind: IntType) -> None:
        after = Tensor(name, shape, kind)
        self.nodes.append(IntNode(op, self.tensor.name, after))
        self.tensor = after

    def lookup(self, name: str, kind: IntType, channels: int) -> None:
        assert self.tensor.type is not None
        values = self.tensor.type.max - self.tensor.type.min + 1
        table = self.rng.integers(kind.min, kind.max + 1, (channels, values)).astype(np.int32)
        if kind.is_bipolar:
            table = np.where(table > 0, 1, -1).astype(np.int32)
        self.add(name, Lookup(table), self.tensor.shape, kind)

    def product(
        self,
        name: str,
        out: int,
        kernel: int | tuple[int, int],
        full: int | None = None,
        on_chip: bool = False,
    ) -> None:
        """A layer of ``out`` outputs; ``full`` is the number of fraction bits of real weights."""
        channels, height, width = self.tensor.shape
        pads = Pads() if isinstance(kernel, tuple) else Pads(*[kernel // 2] * 4)
        size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        geometry = WindowGeometry(size, pads=pads)
        assert self.tensor.type is not None
        largest = max(abs(self.tensor.type.min), self.tensor.type.max)
        shape = (out, channels, *size)
        if full is None:
            weight = self.rng.choice(np.array([-1, 1], np.int8), shape)
            op: IntOp = Product((Term(1, weight),), geometry, 1, 0)
            reach = channels * geometry.taps * largest
        else:
            real = self.rng.integers(-(1 << full), (1 << full) + 1, shape).astype(np.int32)
            op = FullProduct(real, full, geometry, 1, 0, on_chip)
            reach = int(np.abs(real).sum(axis=(1, 2, 3)).max()) * largest
        self.add(name, op, (out, *geometry.output_size(height, width)), type_for_range(-reach, reach))

    def sign(self, name: str, spread: float) -> None:
        channels = self.tensor.shape[0]
        table = np.rint(self.rng.normal(0, spread, (1, channels, 1))).astype(np.int64)
        direction = self.rng.choice(np.array([-1, 1], np.int8), channels)
        op = Threshold(table, direction, np.array([False]), np.zeros(channels, np.bool_))
        self.add(name, op, self.tensor.shape, BIPOLAR)

    def pool(self, name: str) -> None:
        channels, height, width = self.tensor.shape
        geometry = WindowGeometry((2, 2), (2, 2))
        minimum = self.rng.random(channels) < 0.5
        assert self.tensor.type is not None
        shape = (channels, *geometry.output_size(height, width))
        self.add(name, MaxPool(geometry, minimum), shape, self.tensor.type)

    def graph(self, host: tuple[Any, ...], scores: tuple[int, ...]) -> IntGraph:
        return IntGraph(self.given, self.first, tuple(self.nodes), self.tensor.name, host, scores)


def _reals(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    return rng.normal(0, 0.3, count).astype(np.float32)


def _table(rng: np.random.Generator) -> IntGraph:
    """Pixels through a table, two layers and a pool: what a network with InputQuant is."""
    chain = _Chain(Input((1, 6, 6)), rng)
    chain.lookup("quant", code(8, True), 1)
    chain.product("conv1", 8, 3)
    chain.sign("sign1", 200.0)
    chain.product("conv2", 8, 3)
    chain.sign("sign2", 8.0)
    chain.pool("pool")
    chain.product("linear", 5, (3, 3))
    return chain.graph((HostAffine("linear", _reals(rng, 5), _reals(rng, 5)),), (5,))


def _bits(rng: np.random.Generator) -> IntGraph:
    """Vectors of -1 and +1; one layer; odd sizes, so that frames end within a beat."""
    chain = _Chain(Input((77,), encoding="bipolar"), rng)
    chain.product("linear", 3, (1, 1))
    return chain.graph((HostBatchNorm("norm", _reals(rng, 3), _reals(rng, 3)),), (3,))


def _codes(rng: np.random.Generator) -> IntGraph:
    """Three channels of four-bit codes with a sign, straight to the chip; a map leaves it."""
    chain = _Chain(Input((3, 5, 4), bits=4, signed=True, scale=0.125), rng)
    chain.product("conv", 4, 3)
    return chain.graph((HostClamp("relu", 0.0, float("inf")),), (4, 5, 4))


def _full(rng: np.random.Generator) -> IntGraph:
    """Full precision at both ends, and integer layers behind the chip."""
    chain = _Chain(Input((3, 6, 6)), rng)
    chain.lookup("quant", code(6, True), 3)
    chain.product("first", 7, 3, full=6)
    chain.sign("sign1", 4000.0)
    chain.pool("pool1")
    chain.product("binary", 9, 3)
    chain.sign("sign2", 6.0)
    chain.product("last", 4, (3, 3), full=5)
    weight = rng.integers(-64, 65, (4, 4)).astype(np.int32)
    host = (
        HostAffine("last", np.float32([2.0**-5]), _reals(rng, 4)),
        HostFull("head", weight, 6, 8, _reals(rng, 4)),
    )
    return chain.graph(host, (4,))


def _ends(rng: np.random.Generator) -> IntGraph:
    """Full precision at both ends, on the chip."""
    chain = _Chain(Input((2, 6, 6)), rng)
    chain.lookup("quant", code(8, True), 1)
    chain.product("first", 5, 3, full=6, on_chip=True)
    chain.sign("sign1", 8000.0)
    chain.product("binary", 6, 3)
    chain.sign("sign2", 6.0)
    chain.pool("pool")
    chain.product("last", 4, (3, 3), full=5, on_chip=True)
    return chain.graph((HostAffine("last", np.float32([2.0**-5]), _reals(rng, 4)),), (4,))


def _wide(rng: np.random.Generator) -> IntGraph:
    """Twelve-bit codes, which no byte holds, through tables per channel to bits."""
    chain = _Chain(Input((2, 4, 4), bits=12, signed=True), rng)
    chain.lookup("table", BIPOLAR, 2)
    chain.product("linear", 6, (4, 4))
    return chain.graph((), (6,))


def _flags(rng: np.random.Generator) -> IntGraph:
    """One-bit codes with a sign, which are 0 and -1 and not +1 and -1, straight to the chip."""
    chain = _Chain(Input((3, 5, 4), bits=1, signed=True), rng)
    chain.product("conv", 4, 3)
    return chain.graph((), (4, 5, 4))


NETWORKS = {
    "table": _table,
    "bits": _bits,
    "codes": _codes,
    "ends": _ends,
    "flags": _flags,
    "full": _full,
    "wide": _wide,
}


def make(name: str, seed: int = 1) -> IntGraph:
    """The network ``name`` with weights drawn from ``seed``."""
    return NETWORKS[name](np.random.default_rng(seed))
