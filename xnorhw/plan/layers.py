"""The integer graph as the chain of layers that the chip runs, or a refusal that says why not.

A network is cut in three: what stands before the first binary product runs on the host
(lookups, full-precision layers and their thresholds and pools), the chain of binary products
runs on the chip, and what follows the last product's sums runs on the host again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Union

import numpy as np

from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import WindowGeometry
from xnorhw.ir.int_graph import IntGraph, IntNode, MaxPool, Product, Requant, SumPool, Tensor, Threshold
from xnorhw.ir.types import Encoding, IntType
from xnorhw.plan.refusals import (
    check_chain,
    check_product,
    check_quantiser,
    check_reading,
    check_sum_pool,
    misplaced,
)

__all__ = ["ChipLayer", "ChipPool", "Quantiser", "chip_input", "chip_layers", "chip_output", "wire_bits"]

Quantiser = Union[Threshold, Requant]
"""What makes codes of integer sums."""


def wire_bits(kind: IntType) -> int:
    """Bits of an element on a wire; of a thermometer code its number of ones travels."""
    return kind.bits.bit_length() if kind.encoding is Encoding.THERMOMETER else kind.bits


@dataclass(frozen=True)
class ChipPool:
    """A pool behind a layer: its operation, its input tensor and what it makes of it.

    ``quantiser`` makes codes of a sum pool's sums: ``output`` then, else ``pooled``.
    """

    op: MaxPool | SumPool
    source: Tensor
    pooled: Tensor
    quantiser: Quantiser | None
    output: Tensor

    @property
    def name(self) -> str:
        """The pool's name: that of the tensor it makes."""
        return self.pooled.name

    @property
    def act(self) -> IntType:
        """The type of what it reads."""
        assert self.source.type is not None
        return self.source.type

    @property
    def bits(self) -> int:
        """Bits of an element that it reads."""
        return wire_bits(self.act)

    @property
    def sums_range(self) -> tuple[int, int]:
        """The least and the largest sum of a window; padded taps count 0."""
        taps = self.op.geometry.taps
        return min(0, taps * self.act.min), max(0, taps * self.act.max)

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.pooled.shape[1] * self.pooled.shape[2]


@dataclass(frozen=True)
class ChipLayer:
    """A binary-weight product, what makes codes of its sums (None on the last layer), the pools behind.

    ``bits`` is the tensor of the codes.  No threshold is strict here.
    """

    index: int
    source: Tensor
    product: Product
    sums: Tensor
    quantiser: Quantiser | None
    bits: Tensor | None
    pools: tuple[ChipPool, ...]

    @property
    def name(self) -> str:
        """The layer's name: that of its product's tensor."""
        return self.sums.name

    @property
    def act(self) -> IntType:
        """The activations' type."""
        assert self.source.type is not None
        return self.source.type

    @property
    def act_bits(self) -> int:
        """Bits of an activation on a wire."""
        return wire_bits(self.act)

    @property
    def threshold(self) -> Threshold | None:
        """The quantiser where it is a threshold."""
        return self.quantiser if isinstance(self.quantiser, Threshold) else None

    @property
    def terms(self) -> int:
        """Products that the matrix unit forms one after the other."""
        return len(self.product.terms)

    @property
    def planes(self) -> tuple[int, ...]:
        """For each term the plane of the activations that it takes; empty where it takes them whole."""
        return tuple(t.plane for t in self.product.terms if t.plane is not None)

    @property
    def matrix_bipolar(self) -> bool:
        """True where the matrix unit multiplies +-1 by +-1: on signs, and on planes of codes."""
        return self.act.is_bipolar or bool(self.planes)

    @property
    def weighted(self) -> bool:
        """True where terms are weighed and summed behind the matrix unit."""
        return self.terms > 1 or self.product.terms[0].coefficient != 1

    @property
    def in_matrix(self) -> bool:
        """True where the matrix unit thresholds: one level, on the sum as it stands."""
        return self.threshold is not None and self.threshold.levels == 1 and not self.weighted

    @property
    def by_position(self) -> bool:
        """True where each output pixel has thresholds of its own."""
        return self.threshold is not None and self.threshold.table.shape[0] > 1

    @property
    def geometry(self) -> WindowGeometry:
        """The product's window."""
        return self.product.geometry

    @property
    def taps(self) -> int:
        """Kernel taps."""
        return self.product.geometry.taps

    @property
    def channels(self) -> int:
        """Input channels."""
        return self.source.shape[0]

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.sums.shape[0]

    @property
    def in_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.source.shape[1] * self.source.shape[2]

    @property
    def out_pixels(self) -> int:
        """Output pixels of a frame."""
        return self.sums.shape[1] * self.sums.shape[2]

    @property
    def whole_map(self) -> bool:
        """True where the kernel is the whole map: a linear layer on channels x taps values.

        The window's order is then the order in which the map arrives.
        """
        _, height, width = self.source.shape
        geometry = self.geometry
        dense = all(d == 1 or k == 1 for d, k in zip(geometry.dilation, geometry.kernel, strict=True))
        return geometry.kernel == (height, width) and dense and not geometry.pads.any()

    @property
    def pad_classes(self) -> bool:
        """True where padded taps count 0, which bipolar lanes cannot say: starts correct it."""
        return self.matrix_bipolar and self.product.pad_value == 0 and self.geometry.pads.any()

    @property
    def output(self) -> Tensor:
        """The tensor that leaves the layer and its pools."""
        if self.pools:
            return self.pools[-1].output
        return self.sums if self.bits is None else self.bits

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame, those of each term."""
        return self.out_pixels * self.outputs * self.channels * self.taps * self.terms


def chip_input(graph: IntGraph) -> Tensor:
    """The tensor that enters the chip: what the first binary product reads."""
    first, _ = _chip_part(graph)
    return graph.tensor(graph.nodes[first].input)


def chip_output(graph: IntGraph) -> Tensor:
    """The tensor that leaves the chip: the sums of the last binary product."""
    _, last = _chip_part(graph)
    return graph.nodes[last].output


def _chip_part(graph: IntGraph) -> tuple[int, int]:
    """Indices of the first and the last binary product among the nodes."""
    products = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, Product)]
    if not products:
        raise ModelError(
            "the network has no binary layer, so there is nothing to put on the chip",
            module=graph.output,
            remedy="Use xnn.BinaryConv2d or xnn.BinaryLinear",
        )
    return products[0], products[-1]


def chip_layers(graph: IntGraph) -> tuple[ChipLayer, ...]:
    """Cut the chain of nodes from the first to the last binary product into layers.

    Accepted: products of one term or several on +-1 or on codes of 1 to 8 bits, each but the
    last followed by one quantiser (a threshold of 1 to 15 levels or a requantisation to 8 bits
    or fewer) and any number of pools: max-pools of codes, and sum pools, each followed by a
    quantiser.  What follows the last product, where a full-precision layer or a score behind a
    pool does, is the host's.  Raises ModelError naming the module for everything else.
    """
    check_chain(graph)
    first, last = _chip_part(graph)
    kind = graph.tensor(graph.output).type
    if kind is not None and kind.is_bipolar:
        raise ModelError(
            "the network ends in a sign: its last tensor must be integer sums, not bits",
            module=graph.output,
            remedy="End the network with a BinaryLinear, a BinaryConv2d or a FullLinear",
        )
    nodes = list(graph.nodes[first : last + 1])
    source = chip_input(graph)
    layers: list[ChipLayer] = []
    while nodes:
        layer, nodes = _take_layer(nodes, source, len(layers))
        layers.append(layer)
        source = layer.output
    return tuple(layers)


def _take_layer(nodes: list[IntNode], source: Tensor, index: int) -> tuple[ChipLayer, list[IntNode]]:
    first, rest = nodes[0], nodes[1:]
    if not isinstance(first.op, Product):
        raise misplaced(first)
    check_product(first, first.op, source)
    quantiser: Quantiser | None = None
    bits: Tensor | None = None
    pools: list[ChipPool] = []
    if rest:
        quantiser, rest = _take_quantiser(rest)
        bits = nodes[1].output
        tensor = bits
        while rest and isinstance(rest[0].op, MaxPool | SumPool):
            pool, rest = _take_pool(rest, tensor)
            pools.append(pool)
            tensor = pool.output
    return ChipLayer(index, source, first.op, first.output, quantiser, bits, tuple(pools)), rest


def _take_quantiser(nodes: list[IntNode]) -> tuple[Quantiser, list[IntNode]]:
    node = nodes[0]
    if not isinstance(node.op, Threshold | Requant):
        raise misplaced(node)
    check_quantiser(node, node.op)
    return _plain(node.op) if isinstance(node.op, Threshold) else node.op, nodes[1:]


def _take_pool(nodes: list[IntNode], source: Tensor) -> tuple[ChipPool, list[IntNode]]:
    node, rest = nodes[0], nodes[1:]
    assert isinstance(node.op, MaxPool | SumPool)
    check_reading(node.output.name, node.op.geometry, source)
    if isinstance(node.op, MaxPool):
        return ChipPool(node.op, source, node.output, None, node.output), rest
    check_sum_pool(node, node.op.geometry, source, rest)
    quantiser, behind = _take_quantiser(rest)
    return ChipPool(node.op, source, node.output, quantiser, rest[0].output), behind


def _plain(threshold: Threshold) -> Threshold:
    """The same threshold without strict levels: on integers s > t is s >= t + 1."""
    if not threshold.strict.any():
        return threshold
    step = threshold.direction.astype(np.int64)[None, :, None] * threshold.strict[None, None, :]
    return replace(threshold, table=threshold.table + step, strict=np.zeros_like(threshold.strict))
